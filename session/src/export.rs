//! A session's log as one document that stands for itself: JSON for programs, Markdown for people.
//! Written piece by piece, as the log is read.

use protocol::event::{Outcome, TurnState};
use protocol::{Event, EventBody, SessionId};
use serde_json::Value;

/// What the document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `{"session_id", "events": […]}`, the events as every stream has them.
    Json,
    Markdown,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Markdown => "text/markdown; charset=utf-8",
        }
    }

    /// The end of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Markdown => "md",
        }
    }

    /// What stands before the first event.
    pub fn begin(self, session: &SessionId) -> String {
        match self {
            Self::Json => format!("{{\"session_id\":{:?},\"events\":[", session.as_str()),
            Self::Markdown => format!("# {session}\n"),
        }
    }

    /// An event, by its line of the log. One that is not understood is left out of what is for people.
    pub fn event(self, seq: u64, line: &str) -> String {
        match self {
            Self::Json if seq == 1 => format!("\n{line}"),
            Self::Json => format!(",\n{line}"),
            Self::Markdown => {
                let event = serde_json::from_str::<Event>(line).ok();
                event.map_or_else(String::new, |event| markdown(&event.body))
            }
        }
    }

    /// What stands after the last event.
    pub fn end(self) -> &'static str {
        match self {
            Self::Json => "\n]}\n",
            Self::Markdown => "",
        }
    }
}

/// What of an event belongs into a conversation that is read later: pieces that come whole again, and
/// where a turn stands, do not.
fn markdown(body: &EventBody) -> String {
    match body {
        EventBody::UserMessage { content, .. } => format!("\n## You\n\n{}\n", content.trim()),
        EventBody::Result { content, .. } => format!("\n{}\n", content.trim()),
        EventBody::Thinking {
            content,
            partial: false,
            ..
        } => folded("Thinking", content.trim()),
        EventBody::ToolUse { content, input, .. } => {
            folded(content, &fenced("json", &pretty(input)))
        }
        EventBody::ToolResult {
            content,
            is_error,
            cut_bytes,
            ..
        } => {
            let cut = match cut_bytes {
                0 => String::new(),
                bytes => format!("\n… and {bytes} bytes more"),
            };
            let title = if *is_error { "Failed" } else { "Output" };
            folded(title, &fenced("", &format!("{content}{cut}")))
        }
        EventBody::PermissionRequest { content, .. } | EventBody::Question { content, .. } => {
            format!("\n*Asked: {}*\n", in_a_line(content))
        }
        EventBody::PermissionResponse { content, .. } => {
            format!("\n*Answered: {}*\n", in_a_line(content))
        }
        EventBody::Error { content, .. } => format!("\n> **Error**: {}\n", in_a_line(content)),
        EventBody::Status(status) if status.state == TurnState::Ended => match status.outcome {
            Some(Outcome::Interrupted) => "\n*Interrupted*\n".to_owned(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn in_a_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Something that a reader opens. Its title is shown as the text that it is.
fn folded(title: &str, content: &str) -> String {
    let title = in_a_line(title)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!("\n<details><summary>{title}</summary>\n\n{content}\n\n</details>\n")
}

/// A block of code that nothing in it can end.
fn fenced(language: &str, content: &str) -> String {
    let mut longest = 2;
    let mut run = 0;
    for character in content.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    format!("{fence}{language}\n{}\n{fence}", content.trim_end())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log() -> Vec<String> {
        let bodies = [
            json!({"type": "user_message", "content": "make it\n", "id": "m"}),
            json!({"type": "status", "content": "Queued", "state": "queued"}),
            json!({"type": "thinking", "content": "Hm", "partial": true, "block": "a"}),
            json!({"type": "thinking", "content": "Hm.", "block": "a"}),
            json!({"type": "progress", "content": "I'll", "block": "b"}),
            json!({"type": "result", "content": "I'll do it.", "block": "b"}),
            json!({"type": "tool_use", "content": "Bash: ls </summary>", "tool": "Bash", "tool_use_id": "t", "input": {"command": "ls"}}),
            json!({"type": "tool_result", "content": "a\n```\n</details>", "tool_use_id": "t", "is_error": false, "cut_bytes": 7}),
            json!({"type": "error", "content": "it broke\nhere", "code": "internal"}),
            json!({"type": "status", "content": "Interrupted", "state": "ended", "outcome": "interrupted"}),
        ];
        let lines = bodies.into_iter().enumerate().map(|(place, mut body)| {
            body["seq"] = json!(place + 1);
            body["session_id"] = json!("s");
            body["turn_id"] = json!("turn-1");
            body["timestamp"] = json!(1);
            body.to_string()
        });
        lines.collect()
    }

    fn written(format: Format, lines: &[String]) -> String {
        let mut all = format.begin(&SessionId::parse("s").unwrap());
        for (place, line) in lines.iter().enumerate() {
            all += &format.event(place as u64 + 1, line);
        }
        all + format.end()
    }

    #[test]
    fn json_is_the_whole_log() {
        for count in [0, 1, 10] {
            let lines = &log()[..count];
            let value: Value = serde_json::from_str(&written(Format::Json, lines)).unwrap();
            assert_eq!(value["session_id"], "s");
            let events = value["events"].as_array().unwrap();
            assert_eq!(events.len(), count);
            for (event, line) in events.iter().zip(lines) {
                assert_eq!(*event, serde_json::from_str::<Value>(line).unwrap());
            }
        }
    }

    #[test]
    fn markdown_is_the_conversation() {
        insta::assert_snapshot!(written(Format::Markdown, &log()), @r###"
        # s

        ## You

        make it

        <details><summary>Thinking</summary>

        Hm.

        </details>

        I'll do it.

        <details><summary>Bash: ls &lt;/summary&gt;</summary>

        ```json
        {
          "command": "ls"
        }
        ```

        </details>

        <details><summary>Output</summary>

        ````
        a
        ```
        </details>
        … and 7 bytes more
        ````

        </details>

        > **Error**: it broke here

        *Interrupted*
        "###);
    }
}
