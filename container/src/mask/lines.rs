//! Claude Code's lines without secrets. What says what a line is stays as it came, so that a secret with
//! the name of a field hides no end of a turn.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{MASKED, Mask};
use crate::wire::{Block, Content, ControlRequest, Kind, Message};

impl Mask {
    /// Replaces secrets in all of a message that people may be shown, but for pieces of text, which
    /// [`super::Pieces`] are for, and its `raw` form.
    pub fn message(&self, message: &mut Message) {
        if self.is_empty() {
            return;
        }
        match &mut message.kind {
            Kind::Init(init) => {
                for error in init.mcp_server_errors.iter_mut().flatten() {
                    self.string(&mut error.message);
                }
            }
            Kind::Assistant(line) => self.blocks(&mut line.message.content),
            Kind::User(line) => match &mut line.message.content {
                Content::Text(text) => self.string(text),
                Content::Blocks(blocks) => self.blocks(blocks),
            },
            Kind::Result(result) => {
                self.maybe(&mut result.result);
                result
                    .errors
                    .iter_mut()
                    .for_each(|error| self.string(error));
            }
            Kind::ControlRequest(request) => self.request(request),
            Kind::ControlResponse(answer) => self.maybe(&mut answer.response.error),
            Kind::Mirror(mirror) => mirror.entries.iter_mut().for_each(|entry| self.raw(entry)),
            Kind::ApiRetry(_)
            | Kind::CompactBoundary
            | Kind::StreamEvent(_)
            | Kind::ControlCancel(_)
            | Kind::ModeChanged(_)
            | Kind::Lifecycle(_)
            | Kind::ThinkingTokens
            | Kind::Other => {}
        }
    }

    /// A line of JSON.
    pub fn raw(&self, raw: &mut Box<RawValue>) {
        let Cow::Owned(masked) = self.json(raw.get()) else {
            return;
        };
        let masked = RawValue::from_string(masked);
        let masked = masked.or_else(|_| RawValue::from_string(format!("{MASKED:?}")));
        if let Ok(masked) = masked {
            *raw = masked;
        }
    }

    fn string(&self, text: &mut String) {
        if let Cow::Owned(masked) = self.text(text) {
            *text = masked;
        }
    }

    fn maybe(&self, text: &mut Option<String>) {
        text.iter_mut().for_each(|text| self.string(text));
    }

    fn blocks(&self, blocks: &mut [Block]) {
        for block in blocks {
            self.maybe(&mut block.text);
            self.maybe(&mut block.thinking);
            // A model may call what is not there by any name.
            self.maybe(&mut block.name);
            for raw in [&mut block.input, &mut block.content] {
                raw.iter_mut().for_each(|raw| self.raw(raw));
            }
        }
    }

    fn request(&self, request: &mut ControlRequest) {
        let asked = &mut request.request;
        self.string(&mut asked.tool_name);
        self.maybe(&mut asked.decision_reason);
        if let Some(input) = &mut asked.input {
            let given = input.clone();
            self.raw(input);
            if given.get() != input.get() {
                asked.given = Some(given);
            }
        }
        for suggestion in asked.permission_suggestions.iter_mut().flatten() {
            // A rule with something else in it would allow something else.
            suggestion.rules.retain(|rule| {
                let content = rule.content.as_deref().unwrap_or_default();
                matches!(self.text(content), Cow::Borrowed(_))
            });
            let folders = &mut suggestion.directories;
            folders.retain(|folder| matches!(self.text(folder), Cow::Borrowed(_)));
        }
    }
}
