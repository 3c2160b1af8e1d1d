//! Tool calls as chat providers stream them: in pieces, several at once, with an index or without.
//!
//! Anthropic's blocks may not overlap, so the first call goes out while it comes in and those beside
//! it wait. A call may begin as soon as the one before it has become a whole JSON object.

use super::arguments::Arguments;
use super::ids;
use super::names::ToolNames;
use crate::error::{ErrorClass, Refusal};
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
    /// The provider's id, by which its pieces find together.
    id: String,
    name: String,
    arguments: Arguments,
    begun: bool,
}

/// All calls of one answer.
#[derive(Debug, Default)]
pub struct ToolCalls {
    calls: Vec<Call>,
    /// The call that goes out now; those before it are done.
    current: usize,
    arguments: usize,
    /// Begins the ids of calls whose own is missing, repeated or odd.
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
    pub fn is_open(&self) -> bool {
        let mut left = self.calls.iter().skip(self.current);
        left.any(|call| !call.arguments.is_whole())
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
            call.arguments.push(piece.arguments);
        }
        self.send(names, sink, place != self.current);
        Ok(())
    }

    /// The call that a piece belongs to, `None` for a new one.
    fn place(&self, piece: &Piece) -> Option<usize> {
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
        let last = self.calls.len().checked_sub(1)?;
        if let Some(place) = self.calls.iter().rposition(same_id) {
            // A provider that gives every call the same id, each of them whole.
            let call = self.calls.get(place)?;
            let again = call.arguments.is_whole() && piece.arguments.trim_start().starts_with('{');
            return (!again).then_some(place);
        }
        let call = self.calls.get(last)?;
        let begins = !piece.name.is_empty() && !call.name.is_empty();
        let is_next = begins && (call.arguments.is_whole() || !piece.id.is_empty());
        (!is_next).then_some(last)
    }

    /// Sends what the current call has, and goes on to the next when this one is whole and others
    /// have begun.
    fn send(&mut self, names: &ToolNames, sink: &mut dyn Sink, others_wait: bool) {
        self.send_current(names, sink, false);
        while others_wait
            && self.current + 1 < self.calls.len()
            && self
                .calls
                .get(self.current)
                .is_some_and(|call| call.arguments.is_whole())
        {
            self.current += 1;
            self.send_current(names, sink, false);
        }
    }

    fn send_current(&mut self, names: &ToolNames, sink: &mut dyn Sink, at_end: bool) {
        let current = self.current;
        let repeated = self.calls.iter().take(current).any(|earlier| {
            let call = self.calls.get(current);
            call.is_some_and(|call| call.id == earlier.id)
        });
        let Some(call) = self.calls.get_mut(current) else {
            return;
        };
        if !call.begun {
            // The name must be there; the id may come later, but not after the arguments.
            let id_known = !call.id.is_empty() || call.arguments.has_begun() || at_end;
            if call.name.is_empty() || !id_known {
                return;
            }
            call.begun = true;
            let own_id = format!("{}_{current}", self.own_id);
            let id = if repeated || !ids::fits_client(&call.id) {
                &own_id
            } else {
                &call.id
            };
            sink.tool_call(id, names.for_client(&call.name));
        }
        sink.tool_input(call.arguments.take());
    }

    /// Sends everything that is left, because the answer has ended or text follows.
    ///
    /// `cut` says that the model ran into its limit, so that the last call may be unfinished. It
    /// stays so, as in Anthropic's own streams with `max_tokens` (in a whole message the input of
    /// such a call is `{}`): an object that was closed for it could be run as if it were complete.
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
            let is_last = self.current + 1 == self.calls.len();
            if let Some(call) = self.calls.get_mut(self.current) {
                let unfinished = cut && is_last && !call.arguments.is_whole();
                if unfinished && call.name.is_empty() {
                    break;
                }
                if call.name.is_empty() {
                    return Err(broken(
                        "the provider sent a tool call without a name".into(),
                    ));
                }
                if !unfinished && !call.arguments.finish() {
                    let name = &call.name;
                    return Err(broken(format!(
                        "the model called {name} with input that is not JSON"
                    )));
                }
            }
            self.send_current(names, sink, true);
            self.current += 1;
        }
        Ok(())
    }
}

/// Another sample of the same request may be better.
fn broken(message: String) -> Refusal {
    Refusal::new(502, message).with_class(ErrorClass::FailedGeneration)
}
