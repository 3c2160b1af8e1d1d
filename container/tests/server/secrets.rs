//! Secrets that a turn is given are in nothing that is said of it.

use protocol::options::Launch;
use serde_json::{Value, json};

use crate::upstream::Reply;
use crate::world::{Records, World, turn_request};

const PLAIN: &str = "hunter2-of-the-tool-server";
const QUOTED: &str = "pa\"ss\\wörd'42";

/// Texts by which a secret would be known.
const SHOWN: [&str; 4] = ["hunter2-of", "ss\\\\w", "rd'42", "r2-of-the"];

fn request(turn: u64, prompt: &str) -> Value {
    let launch = Launch {
        mcp_config: Some(json!({"mcpServers": {"own": {
            "command": env!("CARGO_BIN_EXE_tool-server"),
            "env": {"PLAIN": PLAIN, "QUOTED": QUOTED},
        }}})),
        allowed_tools: ["Bash", "Read", "mcp__own"].map(str::to_owned).to_vec(),
        default_tools: false,
        ..Launch::default()
    };
    let mut request = turn_request(turn, json!({"prompt": prompt}));
    let fields = serde_json::to_value(launch).unwrap();
    let turn = request["turn"].as_object_mut().unwrap();
    turn.extend(fields.as_object().unwrap().clone());
    request["secrets"] = json!([PLAIN, QUOTED]);
    request
}

/// All lines of an answer.
async fn lines(mut records: Records) -> String {
    let mut lines = String::new();
    while let Some(line) = records.line().await {
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

#[track_caller]
fn assert_masked(lines: &str, at_least: usize) {
    for shown in SHOWN {
        assert!(!lines.contains(shown), "{shown} in {lines}");
    }
    let masked = lines.matches("[secret]").count();
    assert!(masked >= at_least, "{masked} in {lines}");
}

#[tokio::test]
async fn they_are_masked_in_all_that_is_said() {
    let world = World::new().await;
    let bash = |command: &str| Reply::Call("Bash", json!({"command": command}));
    world.script(
        "tell",
        vec![
            Reply::Call("mcp__own__reveal", json!({"name": "PLAIN"})),
            Reply::Call("mcp__own__reveal", json!({"name": "QUOTED"})),
            bash(&format!(
                "printf %s '{PLAIN}' | tee told; echo; echo '{{\"a\": \"{PLAIN}\"}}' >&2"
            )),
            bash(
                r#"python3 -c 'import json; print(json.dumps({"k": "pa\"ss\\w\u00f6rd\x2742"}))'"#,
            ),
            Reply::Pieces(vec![
                "It is hun",
                "ter2-of-the-",
                "tool-server and pa\"s",
                "s\\wö",
                "rd'42, hunter2",
            ]),
        ],
    );
    let told = lines(world.send(&request(1, "script:tell")).await).await;
    // The commands, their outputs, the words, and the transcript's lines.
    assert_masked(&told, 12);
    assert!(
        told.contains("It is [secret] and [secret], hunter2"),
        "{told}"
    );
    // What was masked for people was done as the agent wanted it.
    assert_eq!(
        std::fs::read_to_string(world.workspace().join("told")).unwrap(),
        PLAIN
    );
    // The model has seen the value: it is people and logs that it is kept from.
    assert!(world.upstream.last_conversation().contains(PLAIN));

    // What failed, and a turn that was not given them.
    world.script(
        "refuse",
        vec![Reply::Refuse(400, "no hunter2-of-the-tool-server here")],
    );
    let failed = lines(world.send(&request(2, "script:refuse")).await).await;
    assert_masked(&failed, 1);
    assert!(failed.contains("\"outcome\":\"failed\""), "{failed}");
    let read = vec![
        Reply::Call("Read", json!({"file_path": world.workspace().join("told")})),
        Reply::Say("Read"),
    ];
    world.script("read", read);
    let later = world
        .send(&turn_request(3, json!({"prompt": "script:read"})))
        .await;
    assert_masked(&lines(later).await, 1);

    // A request beside the session.
    let options = json!({"prompt": "script:read", "stream": true});
    let direct = Records::of(world.post("/", &options).await);
    assert_masked(&lines(direct).await, 1);
}
