//! A server of tools over its standard input and output (MCP), for the tests.
//!
//! `has` says whether a variable is in its environment, `reveal` says what it holds. With `--mute` it
//! answers nothing.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let mute = std::env::args().any(|argument| argument == "--mute");
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let Some(id) = request.get("id").filter(|_| !mute) else {
            continue;
        };
        let answer = match result(&request) {
            Some(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            None => json!({
                "jsonrpc": "2.0", "id": id,
                "error": { "code": -32601, "message": "there is no such method" },
            }),
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn result(request: &Value) -> Option<Value> {
    let parameters = request.get("params");
    let of = |name: &str| parameters.and_then(|parameters| parameters.get(name));
    let name = || of("arguments")?.get("name")?.as_str();
    let text = |text: String| json!({ "content": [{ "type": "text", "text": text }] });
    match (
        request.get("method")?.as_str()?,
        of("name").and_then(Value::as_str),
    ) {
        ("initialize", _) => Some(json!({
            "protocolVersion": of("protocolVersion"),
            "capabilities": { "tools": {}, "resources": {} },
            "serverInfo": { "name": "tool-server", "version": "1.0.0" },
        })),
        ("tools/list", _) => Some(json!({ "tools": [tool("has"), tool("reveal")] })),
        ("resources/list", _) => {
            Some(json!({ "resources": [{ "uri": "test://one", "name": "one" }] }))
        }
        ("tools/call", Some("has")) => {
            let is_there = std::env::var_os(name()?).is_some();
            Some(text(if is_there { "present" } else { "absent" }.to_owned()))
        }
        ("tools/call", Some("reveal")) => Some(text(std::env::var(name()?).unwrap_or_default())),
        _ => None,
    }
}

fn tool(name: &str) -> Value {
    json!({
        "name": name,
        "description": "Looks at a variable",
        "inputSchema": { "type": "object", "properties": { "name": { "type": "string" } } },
    })
}
