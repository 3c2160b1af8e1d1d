//! Events as a person reads them. Whatever is in them goes through [`harmless`].

use std::collections::HashSet;

use protocol::event::{Status, Usage};
use protocol::{Event, EventBody, Outcome, TurnState};
use serde_json::Value;

use crate::harmless;

/// Characters of a line about a tool.
const LINE: usize = 140;

/// Blocks that are remembered as told in pieces. A turn has a few at once.
const MAX_BLOCKS: usize = 1000;

/// Where a piece of what is told goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The agent's answer: stdout.
    Answer,
    /// All that is told beside it: stderr.
    Aside,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    pub colours: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        match self.colours {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }
}

/// A conversation as it happens: text as it comes, tools in a line each, thinking dimmed.
#[derive(Debug, Default)]
pub struct Talk {
    style: Style,
    /// What others say is told as well.
    pub tells_messages: bool,
    /// Blocks whose pieces were told.
    streamed: HashSet<String>,
    /// Where a line is not at its end.
    open: Option<To>,
}

impl Talk {
    pub fn new(style: Style, tells_messages: bool) -> Self {
        Self {
            style,
            tells_messages,
            ..Self::default()
        }
    }

    /// What is written for an event, in order.
    pub fn told(&mut self, event: &Event) -> Vec<(To, String)> {
        let style = self.style;
        let mut out = Vec::new();
        match &event.body {
            EventBody::UserMessage { content, .. } => {
                if self.tells_messages {
                    let text = format!("> {}", harmless::text(content).replace('\n', "\n> "));
                    self.line(&mut out, style.bold(&text));
                }
            }
            EventBody::Status(status) => self.status(&mut out, status),
            EventBody::Progress { content, place } => {
                if place.parent_tool_use_id.is_none() {
                    self.remember(&place.block);
                    self.piece(&mut out, To::Answer, &harmless::text(content));
                }
            }
            EventBody::Result { content, place } => {
                if place.parent_tool_use_id.is_none() {
                    if !self.streamed.remove(&place.block) {
                        self.piece(&mut out, To::Answer, &harmless::text(content));
                    }
                    self.finish(&mut out);
                }
            }
            EventBody::Thinking {
                content,
                partial,
                place,
            } => {
                if place.parent_tool_use_id.is_none() {
                    let told = match partial {
                        true => {
                            self.remember(&place.block);
                            true
                        }
                        false => !self.streamed.remove(&place.block),
                    };
                    if told {
                        self.thinking(&mut out, &harmless::text(content));
                    }
                    if !partial {
                        self.finish(&mut out);
                    }
                }
            }
            EventBody::ToolUse {
                content,
                tool,
                parent_tool_use_id,
                ..
            } => {
                let line = format!(
                    "{}● {} {}",
                    indent(parent_tool_use_id.as_ref()),
                    style.bold(&harmless::line(tool, 60)),
                    harmless::line(without_name(content, tool), LINE)
                );
                self.line(&mut out, line);
            }
            EventBody::ToolResult {
                content,
                is_error,
                parent_tool_use_id,
                ..
            } => {
                let line = format!(
                    "{}  {}",
                    indent(parent_tool_use_id.as_ref()),
                    answer(style, content, *is_error)
                );
                self.line(&mut out, line);
            }
            EventBody::TodoUpdate { todos, .. } => {
                let done = todos
                    .iter()
                    .filter(|todo| todo.status == "completed")
                    .count();
                let now = todos.iter().find(|todo| todo.status == "in_progress");
                let now = now.map_or(String::new(), |todo| {
                    format!("; now: {}", harmless::line(&todo.content, 80))
                });
                let line = format!("☐ {done} of {} done{now}", todos.len());
                self.line(&mut out, style.dim(&line));
            }
            EventBody::FileChange { .. } => {}
            EventBody::PermissionRequest {
                content,
                request_id,
                tool,
                ..
            } => {
                let line = format!(
                    "? {} asks permission: {} [{}]",
                    harmless::line(tool, 60),
                    harmless::line(without_name(content, tool), LINE),
                    harmless::line(request_id, 60)
                );
                self.line(&mut out, style.yellow(&line));
            }
            EventBody::Question {
                content,
                request_id,
                ..
            } => {
                let line = format!(
                    "? a question: {} [{}]",
                    harmless::line(content, LINE),
                    harmless::line(request_id, 60)
                );
                self.line(&mut out, style.yellow(&line));
            }
            EventBody::PermissionResponse { content, .. } => {
                self.line(
                    &mut out,
                    style.dim(&format!("  {}", harmless::line(content, LINE))),
                );
            }
            EventBody::Egress { content, .. }
            | EventBody::Usage { content, .. }
            | EventBody::SessionLaunched { content, .. } => {
                self.line(&mut out, style.dim(&harmless::line(content, LINE)));
            }
            EventBody::Error { content, .. } => {
                let line = format!("error: {}", harmless::text(content));
                self.line(&mut out, style.red(&line));
            }
            // The whole of it comes with the result.
            EventBody::ToolOutput { .. } | EventBody::Unknown => {}
        }
        out
    }

    fn status(&mut self, out: &mut Vec<(To, String)>, status: &Status) {
        let style = self.style;
        match status.state {
            TurnState::Queued if status.position.unwrap_or_default() > 0 => {
                let before = status.position.unwrap_or_default();
                self.line(out, style.dim(&format!("queued, {before} before it")));
            }
            TurnState::Ended => {
                let words = harmless::line(&status.content, LINE);
                let used = status.usage.as_ref().map(used).unwrap_or_default();
                self.line(
                    out,
                    match status.outcome {
                        Some(Outcome::Failed) => style.red(&format!("✗ {words}")),
                        _ => style.dim(&format!("{words}{used}")),
                    },
                );
            }
            _ => {}
        }
    }

    /// Ends a line that is not at its end.
    pub fn finish(&mut self, out: &mut Vec<(To, String)>) {
        if let Some(to) = self.open.take() {
            out.push((to, "\n".to_owned()));
        }
    }

    fn line(&mut self, out: &mut Vec<(To, String)>, line: String) {
        self.finish(out);
        out.push((To::Aside, line + "\n"));
    }

    fn piece(&mut self, out: &mut Vec<(To, String)>, to: To, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.open.is_some_and(|open| open != to) {
            self.finish(out);
        }
        self.open = (!text.ends_with('\n')).then_some(to);
        out.push((to, text.to_owned()));
    }

    fn thinking(&mut self, out: &mut Vec<(To, String)>, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.open == Some(To::Answer) {
            self.finish(out);
        }
        self.open = (!text.ends_with('\n')).then_some(To::Aside);
        out.push((To::Aside, self.style.dim(text)));
    }

    fn remember(&mut self, block: &str) {
        if self.streamed.len() < MAX_BLOCKS {
            self.streamed.insert(block.to_owned());
        }
    }
}

/// A summary begins with the tool's name, which stands before it already.
fn without_name<'a>(content: &'a str, tool: &str) -> &'a str {
    let rest = content.strip_prefix(tool).unwrap_or(content);
    rest.trim_start_matches([':', ' '])
}

fn indent(parent: Option<&String>) -> &'static str {
    parent.map_or("", |_| "  ")
}

fn answer(style: Style, content: &str, is_error: bool) -> String {
    let lines = content.lines().count();
    let first = content.lines().find(|line| !line.trim().is_empty());
    let first = harmless::line(first.unwrap_or("(nothing)"), LINE);
    let more = match lines {
        0 | 1 => String::new(),
        lines => style.dim(&format!(" (+{} lines)", lines - 1)),
    };
    let sign = match is_error {
        true => style.red("✗"),
        false => style.green("✓"),
    };
    format!("{sign} {}{more}", style.dim(&first))
}

fn used(usage: &Usage) -> String {
    let mut used = format!(
        " in {:.1} s, {} tokens in, {} out",
        usage.duration_ms as f64 / 1000.0,
        usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens,
        usage.output_tokens
    );
    if let Some(cost) = usage.cost_usd {
        used += &format!(", ${cost:.4}");
    }
    used
}

/// An event as an entry of the log; none for pieces of what follows as a whole.
pub fn entry(style: Style, event: &Event) -> Option<String> {
    let (kind, text) = match &event.body {
        EventBody::Progress { .. }
        | EventBody::Thinking { partial: true, .. }
        | EventBody::ToolOutput { .. } => return None,
        EventBody::UserMessage { content, .. } => (style.bold("user"), harmless::text(content)),
        EventBody::Status(status) => {
            let outcome = status
                .outcome
                .map(|outcome| format!("{outcome:?}").to_lowercase());
            let state = outcome.unwrap_or_else(|| format!("{:?}", status.state).to_lowercase());
            let text = format!("{state}: {}", harmless::text(&status.content));
            (style.dim("status"), text.into())
        }
        EventBody::Result { content, .. } => ("agent".to_owned(), harmless::text(content)),
        EventBody::Thinking { content, .. } => {
            let text = style.dim(&harmless::text(content));
            (style.dim("thinking"), text.into())
        }
        EventBody::ToolUse { content, tool, .. } => {
            let tool = harmless::line(tool, 60);
            let text = harmless::line(without_name(content, &tool), LINE);
            (style.bold("tool"), format!("{tool} {text}").into())
        }
        EventBody::ToolResult {
            content, is_error, ..
        } => (
            "result".to_owned(),
            answer(style, content, *is_error).into(),
        ),
        EventBody::FileChange { content, .. } => {
            (style.dim("file"), harmless::line(content, LINE).into())
        }
        EventBody::TodoUpdate { content, .. } => (style.dim("todo"), harmless::text(content)),
        EventBody::PermissionRequest {
            content,
            request_id,
            ..
        }
        | EventBody::Question {
            content,
            request_id,
            ..
        } => {
            let text = harmless::line(content, LINE);
            let id = harmless::line(request_id, 60);
            (style.yellow("asks"), format!("{text} [{id}]").into())
        }
        EventBody::PermissionResponse { content, .. } => {
            (style.yellow("answer"), harmless::line(content, LINE).into())
        }
        EventBody::Egress { content, .. } => {
            (style.dim("egress"), harmless::line(content, LINE).into())
        }
        EventBody::Usage { content, .. } => {
            (style.dim("usage"), harmless::line(content, LINE).into())
        }
        EventBody::SessionLaunched { content, .. } => {
            (style.dim("launch"), harmless::line(content, LINE).into())
        }
        EventBody::Error { content, .. } => (style.red("error"), harmless::text(content)),
        EventBody::Unknown => return None,
    };
    let head = format!("{:>5} {}", event.seq, clock(event.timestamp));
    Some(line(style, &head, &kind, &text))
}

/// An event that this program does not know yet.
pub fn unknown(style: Style, seq: u64, value: &Value) -> String {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = harmless::line(text("type"), 30);
    line(
        style,
        &format!("{seq:>5}         "),
        &kind,
        &harmless::text(text("content")),
    )
}

fn line(style: Style, head: &str, kind: &str, text: &str) -> String {
    let text = text.trim_end().replace('\n', "\n               ");
    format!("{} {kind}: {text}\n", style.dim(head))
}

/// The time of day in UTC.
fn clock(millis: u64) -> String {
    let seconds = millis / 1000 % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn turn() -> Vec<Event> {
        [
            json!({ "type": "user_message", "content": "make\nit", "id": "m" }),
            json!({ "type": "status", "state": "queued", "content": "Queued", "position": 2 }),
            json!({ "type": "status", "state": "running", "content": "Running" }),
            json!({ "type": "thinking", "content": "hm ", "partial": true, "block": "t" }),
            json!({ "type": "thinking", "content": "so", "partial": true, "block": "t" }),
            json!({ "type": "thinking", "content": "hm so", "block": "t" }),
            json!({ "type": "progress", "content": "I wri", "block": "a" }),
            json!({ "type": "progress", "content": "te\x1b[2J it.", "block": "a" }),
            json!({ "type": "result", "content": "I write\x1b[2J it.", "block": "a" }),
            json!({ "type": "tool_use", "content": "Bash: ls \x1b]0;x\x07", "tool": "Bash", "tool_use_id": "1", "input": {} }),
            json!({ "type": "progress", "content": "of a sub-agent", "block": "z", "parent_tool_use_id": "1" }),
            json!({ "type": "tool_result", "content": "\na\r\nb\nc", "tool_use_id": "1", "is_error": false }),
            json!({ "type": "tool_use", "content": "Read: x", "tool": "Read", "tool_use_id": "2", "input": {}, "parent_tool_use_id": "1" }),
            json!({ "type": "tool_result", "content": "no such file", "tool_use_id": "2", "is_error": true, "parent_tool_use_id": "1" }),
            json!({ "type": "todo_update", "content": "", "todos": [
                { "content": "one", "status": "completed" }, { "content": "two", "status": "in_progress" } ] }),
            json!({ "type": "permission_request", "content": "Bash: rm -rf x", "tool": "Bash", "request_id": "ask-1", "input": {} }),
            json!({ "type": "permission_response", "content": "Denied", "request_id": "ask-1", "behavior": "deny" }),
            json!({ "type": "error", "content": "it broke", "code": "internal" }),
            json!({ "type": "result", "content": "Done.\n", "block": "b" }),
            json!({ "type": "status", "state": "ended", "content": "Completed", "outcome": "completed", "usage": {
                "input_tokens": 3, "output_tokens": 4, "duration_ms": 5123, "num_turns": 1, "cost_usd": 0.5 } }),
        ]
        .into_iter()
        .zip(1_u64..)
        .map(|(body, seq)| {
            let mut fields = json!({ "seq": seq, "session_id": "s", "turn_id": "turn-1", "timestamp": 86_399_000 });
            fields.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            serde_json::from_value(fields).unwrap()
        })
        .collect()
    }

    #[test]
    fn a_conversation() {
        let mut talk = Talk::new(Style::default(), true);
        let told: Vec<_> = turn().iter().flat_map(|event| talk.told(event)).collect();
        let of = |wanted: To| -> String {
            let of = told.iter().filter(|(to, _)| *to == wanted);
            of.map(|(_, text)| text.as_str()).collect()
        };
        assert_eq!(of(To::Answer), "I write␛[2J it.\nDone.\n");
        insta::assert_snapshot!(
            told.iter()
                .map(|(_, text)| text.as_str())
                .collect::<String>()
        );
        assert!(talk.streamed.is_empty() && talk.open.is_none());
    }

    #[test]
    fn a_log() {
        let told = turn();
        let told: String = told
            .iter()
            .filter_map(|event| entry(Style::default(), event))
            .collect();
        insta::assert_snapshot!(told);
        let new = json!({ "type": "new\x1b", "content": "a\nb" });
        assert_eq!(
            unknown(Style::default(), 7, &new),
            "    7          new␛: a\n               b\n"
        );
    }

    #[test]
    fn colours_are_the_only_escapes() {
        let style = Style { colours: true };
        let mut talk = Talk::new(style, true);
        let mut all = String::new();
        for event in turn() {
            all.extend(talk.told(&event).into_iter().map(|(_, text)| text));
            all.extend(entry(style, &event));
        }
        for part in all.split('\x1b').skip(1) {
            let (code, _) = part.strip_prefix('[').unwrap().split_once('m').unwrap();
            assert!(
                matches!(code, "0" | "1" | "2" | "31" | "32" | "33"),
                "{part:?}"
            );
        }
        assert!(
            !all.replace('\x1b', "")
                .chars()
                .any(|c| c.is_control() && c != '\n')
        );
    }
}
