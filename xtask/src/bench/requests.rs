//! What is asked: requests as coding agents send them, the same in every run.

use serde_json::{Value, json};

/// A small request: a system prompt and ten tools, 4 kB.
pub fn small(model: &str, stream: bool) -> String {
    let mut words = Words(1);
    let tools: Vec<Value> = (0..10)
        .map(|number| tool(&mut words, number, 30, 2))
        .collect();
    json!({
        "model": model,
        "max_tokens": 1024,
        "stream": stream,
        "system": words.prose(400),
        "messages": [{"role": "user", "content": words.prose(100)}],
        "tools": tools,
    })
    .to_string()
}

/// A request as large as the first one of Claude Code, 76 kB: a system prompt of 15 kB in cached
/// blocks, 25 tools with long descriptions and schemas, a reminder before the user's words.
pub fn large(model: &str, stream: bool) -> String {
    let mut words = Words(2);
    let tools: Vec<Value> = (0..25)
        .map(|number| tool(&mut words, number, 960, 6))
        .collect();
    let cached = json!({"type": "ephemeral"});
    json!({
        "model": model,
        "max_tokens": 32000,
        "temperature": 1,
        "stream": stream,
        "metadata": {"user_id": "user_bench_account__session_00000000-0000-4000-8000-000000000000"},
        "system": [
            {"type": "text", "text": words.prose(120), "cache_control": cached},
            {"type": "text", "text": words.prose(14_900), "cache_control": cached},
        ],
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": format!("<system-reminder>\n{}\n</system-reminder>", words.prose(8_200))},
            {"type": "text", "text": words.prose(300), "cache_control": cached},
        ]}],
        "tools": tools,
    })
    .to_string()
}

fn tool(words: &mut Words, number: usize, description: usize, parameters: usize) -> Value {
    let properties: serde_json::Map<String, Value> = (0..parameters)
        .map(|place| {
            let description = words.prose(description / 20);
            let schema = match place % 6 {
                0 => json!({"type": "string", "description": description}),
                1 => json!({"type": "integer", "minimum": 0, "description": description}),
                2 => json!({"type": "boolean", "default": false, "description": description}),
                3 => json!({"type": "string", "enum": ["content", "files", "count"],
                    "description": description}),
                4 => json!({"type": "array", "items": {"type": "string"}, "description": description}),
                _ => json!({"type": "array", "description": description, "items": {
                    "type": "object",
                    "properties": {"path": {"type": "string"}, "line": {"type": "integer"}},
                    "required": ["path"],
                    "additionalProperties": false,
                }}),
            };
            (format!("parameter_{place}"), schema)
        })
        .collect();
    json!({
        "name": format!("Tool{number}"),
        "description": words.prose(description),
        "input_schema": {
            "type": "object",
            "properties": properties,
            "required": ["parameter_0"],
            "additionalProperties": false,
            "$schema": "http://json-schema.org/draft-07/schema#",
        },
    })
}

/// Text like that of prompts: sentences, lists, quotes and code, all of it escaped in JSON here and
/// there. The state is that of a linear congruential generator.
struct Words(u64);

impl Words {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % below.max(1)
    }

    fn word(&mut self) -> &'static str {
        const WORDS: [&str; 24] = [
            "the",
            "file",
            "a",
            "command",
            "reads",
            "before",
            "`path`",
            "user",
            "never",
            "result",
            "of",
            "when",
            "writes",
            "\"exact\"",
            "each",
            "must",
            "test",
            "in",
            "`--flag`",
            "and",
            "output",
            "to",
            "line",
            "é—ß",
        ];
        let place = self.next(WORDS.len());
        WORDS.get(place).copied().unwrap_or_default()
    }

    /// About so many bytes.
    fn prose(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            text.push_str(self.word());
            text.push_str(match self.next(12) {
                0 => ".\n",
                1 => ".\n- ",
                2 => ", ",
                _ => " ",
            });
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_size_that_they_are_called_by() {
        let size = small("bench-20", true).len();
        assert!((3_800..4_400).contains(&size), "{size}");
        let size = large("bench-20", true).len();
        assert!((74_000..78_000).contains(&size), "{size}");
    }

    #[test]
    fn they_are_the_same_in_every_run() {
        assert_eq!(large("bench-20", true), large("bench-20", true));
    }
}
