//! Tool calls as chat providers stream them: in pieces, several at once, with an index or without.
//!
//! Anthropic's blocks may not overlap, so the first call goes out while it comes in and those beside
//! it wait. A call may begin as soon as the one before it has become a whole JSON object.

use serde::de::IgnoredAny;

use super::names::ToolNames;
use crate::error::Refusal;
use crate::reply::Sink;

const MOST_CALLS: usize = 256;
/// The most bytes of all arguments together.
const MOST_ARGUMENTS: usize = 16 * 1024 * 1024;

/// One piece of a call. Empty strings stand for what the piece does not have.
#[derive(Debug, Default, Clone, Copy)]
pub struct Piece<'a> {
    pub index: Option<i64>,
    pub id: &'a str,
    pub name: &'a str,
    pub arguments: &'a str,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<i64>,
    id: String,
    name: String,
    arguments: String,
    /// Bytes of the arguments that have gone out.
    sent: usize,
    begun: bool,
    /// Whether the arguments were a whole object when last looked at; `None` since they grew.
    whole: Option<bool>,
}

impl Call {
    fn is_whole(&mut self) -> bool {
        let arguments = &self.arguments;
        *self.whole.get_or_insert_with(|| {
            arguments.trim_start().starts_with('{')
                && serde_json::from_str::<IgnoredAny>(arguments).is_ok()
        })
    }
}

/// All calls of one answer.
#[derive(Debug, Default)]
pub struct ToolCalls {
    calls: Vec<Call>,
    /// The call that goes out now; those before it are done.
    current: usize,
    arguments: usize,
    /// Begins the ids of calls to which the provider gave none.
    own_id: String,
}

impl ToolCalls {
    /// No calls yet. `own_id` is unique to the answer.
    pub fn new(own_id: String) -> Self {
        Self {
            own_id,
            ..Self::default()
        }
    }

    /// Whether there was any.
    pub fn any(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether a call goes out whose end has not come.
    pub fn is_open(&mut self) -> bool {
        let current = self.current;
        self.calls
            .iter_mut()
            .skip(current)
            .any(|call| !call.is_whole())
    }

    /// Takes a piece and sends what can be sent.
    ///
    /// # Errors
    /// More calls or arguments than any model makes.
    pub fn push(
        &mut self,
        piece: Piece,
        names: &ToolNames,
        sink: &mut dyn Sink,
    ) -> Result<(), Refusal> {
        self.arguments += piece.arguments.len();
        if self.arguments > MOST_ARGUMENTS || self.calls.len() > MOST_CALLS {
            return Err(Refusal::new(502, "the provider sent too many tool calls"));
        }
        let place = self.place(&piece);
        let place = place.unwrap_or_else(|| {
            self.calls.push(Call {
                index: piece.index,
                ..Call::default()
            });
            self.calls.len() - 1
        });
        if let Some(call) = self.calls.get_mut(place) {
            if call.id.is_empty() {
                call.id = piece.id.to_owned();
            }
            if call.name.is_empty() {
                call.name = piece.name.to_owned();
            }
            if !piece.arguments.is_empty() {
                call.arguments.push_str(piece.arguments);
                call.whole = None;
            }
        }
        self.send(names, sink, place != self.current);
        Ok(())
    }

    /// The call that a piece belongs to, `None` for a new one.
    fn place(&mut self, piece: &Piece) -> Option<usize> {
        let same_id = |call: &Call| !piece.id.is_empty() && call.id == piece.id;
        if piece.index.is_some() {
            let place = self
                .calls
                .iter()
                .rposition(|call| call.index == piece.index)?;
            let call = self.calls.get(place)?;
            // The same index with another id and a name is the next call of a provider that always
            // says 0; another id alone is one that makes a new id for every piece.
            let other_id = !piece.id.is_empty() && !call.id.is_empty() && !same_id(call);
            return (!other_id || piece.name.is_empty()).then_some(place);
        }
        if let Some(place) = self.calls.iter().rposition(same_id) {
            return Some(place);
        }
        let last = self.calls.len().checked_sub(1)?;
        let call = self.calls.get_mut(last)?;
        let begins = !piece.name.is_empty() && !call.name.is_empty();
        let is_next = begins && (call.is_whole() || !piece.id.is_empty());
        (!is_next).then_some(last)
    }

    /// Sends what the current call has, and goes on to the next when this one is whole and others
    /// have begun.
    fn send(&mut self, names: &ToolNames, sink: &mut dyn Sink, others_wait: bool) {
        self.send_current(names, sink, false);
        while others_wait
            && self.current + 1 < self.calls.len()
            && self.calls.get_mut(self.current).is_some_and(Call::is_whole)
        {
            self.current += 1;
            self.send_current(names, sink, false);
        }
    }

    fn send_current(&mut self, names: &ToolNames, sink: &mut dyn Sink, at_end: bool) {
        let current = self.current;
        let taken: bool = self.calls.iter().take(current).any(|earlier| {
            self.calls
                .get(current)
                .is_some_and(|call| call.id == earlier.id)
        });
        let own_id = format!("{}_{current}", self.own_id);
        let Some(call) = self.calls.get_mut(current) else {
            return;
        };
        if !call.begun {
            // The name must be there; the id may come later, but not after the arguments.
            let id_known = !call.id.is_empty() || !call.arguments.is_empty() || at_end;
            if call.name.is_empty() || !id_known {
                return;
            }
            if call.id.is_empty() || taken {
                call.id = own_id;
            }
            call.begun = true;
            sink.tool_call(&call.id, names.for_client(&call.name));
        }
        // "null" for no arguments must not get out, so nothing does before an object begins.
        let object = call.arguments.trim_start().starts_with('{');
        if object && let Some(new) = call.arguments.get(call.sent..) {
            sink.tool_input(new);
            call.sent = call.arguments.len();
        }
    }

    /// Sends everything that is left, because the answer has ended or text follows.
    ///
    /// `cut` says that the model ran into its limit, so that a call may be unfinished.
    ///
    /// # Errors
    /// A call has no name, or arguments that are no JSON object.
    pub fn flush(
        &mut self,
        cut: bool,
        names: &ToolNames,
        sink: &mut dyn Sink,
    ) -> Result<(), Refusal> {
        while self.current < self.calls.len() {
            self.send_current(names, sink, true);
            if let Some(call) = self.calls.get_mut(self.current) {
                if call.name.is_empty() {
                    return Err(Refusal::new(
                        502,
                        "the provider sent a tool call without a name",
                    ));
                }
                let none = matches!(call.arguments.trim(), "" | "null");
                if !none && !cut && !call.is_whole() {
                    return Err(Refusal::new(
                        502,
                        format!("the model called {} with input that is not JSON", call.name),
                    ));
                }
            }
            self.current += 1;
        }
        Ok(())
    }
}
