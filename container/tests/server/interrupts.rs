//! Interrupting, and what is left afterwards: nothing that was interrupted, all that was not.

use std::time::Duration;

use protocol::Outcome;
use protocol::event::EventBody;
use serde_json::json;

use crate::upstream::Reply;
use crate::world::{World, eventually, processes_with};

/// Far sooner than what was interrupted would have ended; how fast it is, is for a quiet machine to say.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_running_command_ends_within_a_second_and_leaves_nothing() {
    let world = World::new().await;
    world.script(
        "sleep",
        vec![Reply::Call(
            "Bash",
            json!({"command": "setsid sleep 77001 & for i in $(seq 60); do sleep 1.0077; done"}),
        )],
    );
    let pid = world.claude_pid().await;
    let records = world.begin(1, json!({"prompt": "script:sleep"})).await;
    eventually("the command runs", || {
        !processes_with("sleep\x0077001").is_empty() && !processes_with("1.0077").is_empty()
    })
    .await;
    let took = world.interrupt(1).await;
    assert!(took < SOON, "{took:?}");
    assert_eq!(processes_with("77001"), [0_u32; 0]);
    assert_eq!(processes_with("1.0077"), [0_u32; 0]);
    let turn = records.rest().await;
    assert_eq!(turn.outcome(), Outcome::Interrupted);
    assert_eq!(turn.error(), None);
    assert_eq!(turn.outputs(), ["Interrupted"]);
    // Claude Code obeyed: it is the same process, and the next turn works.
    world.turn(2, "hello").await.completed();
    assert_eq!(world.claude_pid().await, pid);
}

#[tokio::test]
async fn what_an_earlier_turn_put_into_the_background_lives_on() {
    let world = World::new().await;
    world.script(
        "server",
        vec![
            Reply::Call(
                "Bash",
                json!({"command": "setsid sleep 77002 >/dev/null 2>&1 </dev/null & echo started"}),
            ),
            Reply::Say("It runs"),
        ],
    );
    world.script(
        "sleep",
        vec![
            Reply::Call(
                "Bash",
                json!({"command": "setsid sleep 77003 >/dev/null 2>&1 </dev/null & echo started"}),
            ),
            Reply::Call(
                "Bash",
                json!({"command": "while true; do sleep 0.77004; done"}),
            ),
        ],
    );
    world.turn(1, "script:server").await.completed();
    assert_eq!(processes_with("77002").len(), 1);
    let records = world.begin(2, json!({"prompt": "script:sleep"})).await;
    eventually("the command runs", || !processes_with("0.77004").is_empty()).await;
    world.interrupt(2).await;
    assert_eq!(records.rest().await.outcome(), Outcome::Interrupted);
    assert_eq!(processes_with("77002").len(), 1);
    assert_eq!(processes_with("77003").len(), 1);
    assert_eq!(processes_with("0.77004").len(), 0);
    drop(world);
    // The sandbox's end is the end of all of it.
    assert_eq!(processes_with("77002").len(), 0);
    assert_eq!(processes_with("77003").len(), 0);
}

#[tokio::test]
async fn a_model_that_hangs() {
    let world = World::new().await;
    world.script("hang", vec![Reply::Hang]);
    let mut records = world.begin(1, json!({"prompt": "script:hang"})).await;
    records
        .until(|event| matches!(event, EventBody::Status(_)))
        .await;
    let took = world.interrupt(1).await;
    assert!(took < SOON, "{took:?}");
    assert_eq!(records.rest().await.outcome(), Outcome::Interrupted);
    world.turn(2, "hello").await.completed();
}

#[tokio::test]
async fn a_process_that_does_not_obey() {
    let world = World::new().await;
    world.script(
        "sleep",
        vec![Reply::Call(
            "Bash",
            json!({"command": "while true; do sleep 0.77005; done"}),
        )],
    );
    world.turn(1, "my name is Ada").await.completed();
    let pid = world.claude_pid().await;
    let records = world.begin(2, json!({"prompt": "script:sleep"})).await;
    eventually("the command runs", || !processes_with("0.77005").is_empty()).await;
    let stopped = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
    let took = world.interrupt(2).await;
    assert!(took < SOON, "{took:?}");
    assert_eq!(records.rest().await.outcome(), Outcome::Interrupted);
    assert_eq!(processes_with("0.77005").len(), 0);
    world.turn(3, "hello").await.completed();
    assert_ne!(world.claude_pid().await, pid);
    assert!(world.upstream.last_conversation().contains("Ada"));
}

#[tokio::test]
async fn a_turn_that_has_not_come_yet_does_not_start() {
    let world = World::new().await;
    world.interrupt(3).await;
    let turn = world.turn(3, "hello").await;
    assert_eq!(turn.outcome(), Outcome::Interrupted);
    assert_eq!(world.upstream.requests().len(), 0);
    world.turn(4, "hello").await.completed();
    // One that is over stays as it was.
    world.interrupt(4).await;
    world.interrupt(1).await;
    world.turn(5, "hello").await.completed();
}

#[tokio::test]
async fn interrupted_at_once() {
    let world = World::new().await;
    let records = world.begin(1, json!({"prompt": "hello"})).await;
    let took = world.interrupt(1).await;
    assert!(took < SOON, "{took:?}");
    let turn = records.rest().await;
    assert_eq!(turn.outcome(), Outcome::Interrupted);
    world.turn(2, "hello").await.completed();
}

/// Sends a signal to Claude Code.
fn signal(pid: u64, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn interrupted_before_the_process_has_another_model_or_mode() {
    let world = World::new().await;
    // It is not ready in the first round, and is in the second.
    for (turn, model) in [(1, "other/model"), (3, "third/model")] {
        let pid = loop {
            if let Some(pid) = world.debug().await["claude"]["pid"].as_u64() {
                break pid;
            }
        };
        signal(pid, rustix::process::Signal::STOP);
        let options = json!({"prompt": "hello", "model": model, "permissionMode": "plan"});
        let records = world.begin(turn, options.clone()).await;
        while world.debug().await["agent"] != "busy" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.interrupt(turn).await;
        assert_eq!(records.rest().await.outcome(), Outcome::Interrupted);
        signal(pid, rustix::process::Signal::CONT);
        let next = world.begin(turn + 1, options).await.rest().await;
        next.completed();
        let requests = world.upstream.requests();
        let last = requests.last().unwrap();
        assert_eq!(last["model"], model);
        assert!(last["messages"].to_string().contains("Plan mode"), "{last}");
        assert_eq!(world.claude_pid().await, pid);
    }
}

#[tokio::test]
async fn mcp_servers_end_with_the_agent_that_they_serve() {
    let world = World::new().await;
    world.script(
        "server",
        vec![
            Reply::Call(
                "Bash",
                json!({"command": "setsid sleep 77021 >/dev/null 2>&1 </dev/null & echo started"}),
            ),
            Reply::Say("It runs"),
        ],
    );
    // One that does not end when its input is closed.
    let hello = json!({"jsonrpc": "2.0", "id": 0, "result": {
        "protocolVersion": "2024-11-05", "capabilities": {},
        "serverInfo": {"name": "deaf", "version": "1"},
    }});
    // The first that it is asked is whether it speaks a protocol without such a greeting.
    let no = json!({"jsonrpc": "2.0", "id": "server-discover-probe-1", "error": {
        "code": -32601, "message": "Method not found",
    }});
    let script = format!("read l; echo '{no}'; read l; echo '{hello}'; exec sleep 77020");
    let servers = json!({"mcpServers": {"deaf": {"command": "sh", "args": ["-c", script]}}});
    let options = json!({"prompt": "script:server", "mcpConfig": servers});
    world.begin(1, options).await.rest().await.completed();
    assert_eq!(processes_with("sleep\x0077020").len(), 1);
    let pid = world.claude_pid().await;
    signal(pid, rustix::process::Signal::KILL);
    eventually("the MCP server has ended", || {
        processes_with("sleep\x0077020").is_empty()
    })
    .await;
    // What a tool has put into the background is another matter.
    assert_eq!(processes_with("sleep\x0077021").len(), 1);
}

#[tokio::test]
async fn the_servers_end_is_that_of_what_an_earlier_agent_left_in_the_background() {
    let mut world = World::new().await;
    world.script(
        "server",
        vec![
            Reply::Call(
                "Bash",
                json!({"command": "setsid sleep 77022 >/dev/null 2>&1 </dev/null & echo started"}),
            ),
            Reply::Say("It runs"),
        ],
    );
    world.turn(1, "script:server").await.completed();
    let pid = world.claude_pid().await;
    let options = json!({"prompt": "hello", "maxTurns": 3});
    world.begin(2, options).await.rest().await.completed();
    assert_ne!(world.claude_pid().await, pid);
    assert_eq!(processes_with("sleep\x0077022").len(), 1);
    world.stop().await;
    assert_eq!(processes_with("sleep\x0077022").len(), 0);
}

#[tokio::test]
async fn what_multiplies_in_the_background_is_ended_and_said() {
    let world = World::new().await;
    world.script(
        "many",
        vec![
            Reply::Call(
                "Bash",
                json!({"command": "for n in $(seq 300); do sleep 77005 >/dev/null 2>&1 </dev/null & done; echo started"}),
            ),
            Reply::Say("They run"),
        ],
    );
    let turn = world.turn(1, "script:many").await.completed();
    let (_, words) = turn.error().unwrap();
    assert!(words.contains("256 processes"), "{words}");
    assert_eq!(processes_with("77005"), [] as [u32; 0]);
}
