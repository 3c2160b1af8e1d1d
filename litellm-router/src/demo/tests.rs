use serde_json::{Value, json};

use super::*;

fn request(prompt: &str, tools: &[&str], after: Vec<Value>) -> Value {
    let mut messages = vec![
        json!({"role": "user", "content": [
            {"type": "text", "text": "<system-reminder>\nrun `false`\n</system-reminder>"},
            {"type": "text", "text": format!("{prompt}\n")}]}),
        json!({"role": "system", "content": "# Environment\n - Primary working directory: /home/me\n\
            deferred:\nTodoWrite\nWebFetch\n"}),
    ];
    messages.extend(after);
    let tools: Vec<Value> = tools
        .iter()
        .map(|name| json!({"name": name, "input_schema": {"type": "object"}}))
        .collect();
    json!({"model": "local/demo", "messages": messages, "tools": tools})
}

fn next(request: &Value) -> Vec<Part> {
    let body = request.to_string();
    script(&MessagesRequest::parse(body.as_bytes()).unwrap())
}

fn call(id: &str, name: &str) -> Value {
    json!({"role": "assistant", "content": [
        {"type": "text", "text": "I'll do that."},
        {"type": "tool_use", "id": id, "name": name, "input": {}}]})
}

fn result(id: &str, text: &str, is_error: bool) -> Value {
    json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": id, "content": text, "is_error": is_error},
        {"type": "text", "text": "<system-reminder>be brief</system-reminder>"}]})
}

fn tool(parts: &[Part]) -> (&str, &Value) {
    parts
        .iter()
        .find_map(|part| match part {
            Part::Tool { name, input, .. } => Some((name.as_str(), input)),
            _ => None,
        })
        .unwrap_or_else(|| panic!("no tool call in {parts:?}"))
}

fn text(parts: &[Part]) -> String {
    parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

const ALL: [&str; 5] = ["Bash", "Write", "Read", "Edit", "Agent"];

#[test]
fn hello_world_is_written_run_and_shown() {
    let ask = "Create a Hello World app in Python";
    let first = next(&request(ask, &ALL, vec![]));
    assert_eq!(
        tool(&first),
        (
            "Write",
            &json!({"file_path": "/home/me/hello.py", "content": "print(\"Hello, world!\")\n"})
        )
    );
    assert_eq!(text(&first), "I'll create hello.py and run it.");

    let mut past = vec![call("a", "Write"), result("a", "File created", false)];
    let second = next(&request(ask, &ALL, past.clone()));
    assert_eq!(tool(&second).0, "Bash");
    assert_eq!(tool(&second).1["command"], "python3 hello.py");

    past.extend([call("b", "Bash"), result("b", "Hello from the tool", false)]);
    let third = next(&request(ask, &ALL, past));
    assert!(
        text(&third).ends_with("```\nHello from the tool\n```"),
        "{third:?}"
    );
}

#[test]
fn a_second_prompt_starts_anew_with_other_ids() {
    let past = vec![
        call("a", "Bash"),
        result("a", "x", false),
        json!({"role": "user", "content": "run `echo 2`"}),
    ];
    let first = next(&request("run `echo 1`", &ALL, vec![]));
    let second = next(&request("run `echo 1`", &ALL, past));
    assert_eq!(tool(&second).1["command"], "echo 2");
    let id = |parts: &[Part]| {
        parts.iter().find_map(|part| match part {
            Part::Tool { id, .. } => Some(id.clone()),
            _ => None,
        })
    };
    assert_ne!(id(&first), id(&second));
    assert!(id(&second).unwrap().ends_with("_2"));
}

#[test]
fn commands_run_exactly_and_in_order() {
    let ask = "please run `echo \"a  b\"` and then `pwd`";
    assert_eq!(
        tool(&next(&request(ask, &ALL, vec![]))).1["command"],
        "echo \"a  b\""
    );
    let past = vec![call("a", "Bash"), result("a", "a  b", false)];
    assert_eq!(
        tool(&next(&request(ask, &ALL, past.clone()))).1["command"],
        "pwd"
    );
    let past = [past, vec![call("b", "Bash"), result("b", "/w", false)]].concat();
    let said = text(&next(&request(ask, &ALL, past)));
    assert_eq!(
        said,
        "Output of `echo \"a  b\"`:\n\n```\na  b\n```\n\nOutput of `pwd`:\n\n```\n/w\n```"
    );
}

#[test]
fn files_are_written_read_and_changed() {
    let parts = next(&request("write `hi there` to `a/b.txt`", &ALL, vec![]));
    assert_eq!(
        tool(&parts),
        (
            "Write",
            &json!({"file_path": "/home/me/a/b.txt", "content": "hi there\n"})
        )
    );
    let parts = next(&request("read /etc/hosts.conf.", &ALL, vec![]));
    assert_eq!(
        tool(&parts),
        ("Read", &json!({"file_path": "/etc/hosts.conf"}))
    );
    let parts = next(&request("create notes.md", &ALL, vec![]));
    assert_eq!(tool(&parts).1["file_path"], "/home/me/notes.md");
    let ask = "replace `a` with `b` in `f.txt`";
    assert_eq!(tool(&next(&request(ask, &ALL, vec![]))).0, "Read");
    let past = vec![call("a", "Read"), result("a", "1\ta", false)];
    assert_eq!(
        tool(&next(&request(ask, &ALL, past))),
        (
            "Edit",
            &json!({"file_path": "/home/me/f.txt", "old_string": "a", "new_string": "b"})
        )
    );
    assert_eq!(
        tool(&next(&request("list the files", &ALL, vec![]))).1["command"],
        "ls -la"
    );
}

#[test]
fn a_todo_list_uses_the_tool_that_there_is() {
    let ask = "make a todo list for a birthday party";
    let parts = next(&request(ask, &["TodoWrite"], vec![]));
    assert_eq!(tool(&parts).1["todos"].as_array().unwrap().len(), 3);
    assert_eq!(
        tool(&parts).1["todos"][0]["content"],
        "Find out what a birthday party needs"
    );
    let parts = next(&request(ask, &["ToolSearch"], vec![]));
    assert_eq!(tool(&parts).1["query"], "select:TodoWrite");
    let past = vec![call("s", "ToolSearch"), result("s", "", false)];
    assert_eq!(
        tool(&next(&request(ask, &["ToolSearch"], past))).0,
        "TodoWrite"
    );
}

#[test]
fn a_sub_agent_gets_the_rest_of_the_prompt() {
    let parts = next(&request("Ask a sub-agent to run `date`", &ALL, vec![]));
    assert_eq!(tool(&parts).0, "Agent");
    assert_eq!(tool(&parts).1["prompt"], "run `date`");
    let parts = next(&request("Ask a sub-agent to run `date`", &["Task"], vec![]));
    assert_eq!(tool(&parts).0, "Task");
}

#[test]
fn another_agent_is_launched_and_waited_for() {
    let names = ["mcp__agents__launch_agent", "mcp__agents__wait_for_agents"];
    let prompt = "Ask the agent my-helper to say hello";
    let first = next(&request(prompt, &names, Vec::new()));
    let wanted = json!({"agent": "my-helper", "message": "say hello"});
    assert_eq!(tool(&first), (names[0], &wanted));
    let mut after = vec![
        call("t1", names[0]),
        result("t1", r#"{"session_id":"s-1","turn_id":"turn-1"}"#, false),
    ];
    let second = next(&request(prompt, &names, after.clone()));
    assert_eq!(tool(&second), (names[1], &json!({"session_ids": ["s-1"]})));
    after.extend([call("t2", names[1]), result("t2", "hello", false)]);
    assert!(text(&next(&request(prompt, &names, after))).contains("hello"));
}

#[test]
fn a_tool_that_is_missing_is_named() {
    let said = text(&next(&request("run `ls`", &["Read"], vec![])));
    assert!(
        said.contains("the tool Bash, which is not allowed"),
        "{said}"
    );
}

#[test]
fn an_error_of_a_tool_ends_the_script() {
    let past = vec![call("a", "Write"), result("a", "permission denied", true)];
    let parts = next(&request("hello world", &ALL, past));
    assert!(text(&parts).contains("permission denied"));
    assert_eq!(parts.len(), 1);
}

#[test]
fn only_the_report_of_a_sub_agent_is_quoted() {
    let past = vec![
        call("a", "Agent"),
        result(
            "a",
            "[notice] The report follows:\n  It is\n    late.\nagentId: 7\n<usage>1</usage>",
            false,
        ),
    ];
    let said = text(&next(&request("ask a sub-agent to look", &ALL, past)));
    assert_eq!(said, "The sub-agent answered:\n\nIt is\n  late.");
}

#[test]
fn words_are_counted_and_paced() {
    let parts = next(&request("stream 3 words every 5 ms", &ALL, vec![]));
    assert_eq!(
        parts,
        [Part::Words {
            count: 3,
            every_ms: 5
        }]
    );
    let parts = next(&request("stream 999999 words", &ALL, vec![]));
    assert_eq!(
        parts,
        [Part::Words {
            count: 100_000,
            every_ms: 20
        }]
    );

    let mut body = request("stream 3 words every 5ms", &[], vec![]);
    body["stream"] = true.into();
    let body = body.to_string();
    let (answer, _) = answer(
        &MessagesRequest::parse(body.as_bytes()).unwrap(),
        reply(true),
    )
    .unwrap();
    let Body::Paced(pieces) = answer.body else {
        panic!("not paced")
    };
    let pieces: Vec<Piece> = pieces.collect();
    assert_eq!(
        pieces.iter().map(|piece| piece.wait_ms).collect::<Vec<_>>(),
        [0, 5, 5, 0]
    );
    let all = pieces
        .iter()
        .flat_map(|piece| piece.bytes.clone())
        .collect();
    let all = String::from_utf8(all).unwrap();
    assert_eq!(all.matches("text_delta").count(), 3);
    assert!(all.contains(r#""text":" word3""#));
    assert!(all.ends_with("data: {\"type\":\"message_stop\"}\n\n"));
}

fn reply(streams: bool) -> Reply {
    let identity = crate::reply::Identity {
        id: "msg".into(),
        model: "local/demo".into(),
    };
    Reply::new(identity, streams, 1)
}

#[test]
fn a_message_whose_answer_was_stopped_is_not_answered_again() {
    let mut body = request("list the files", &ALL, vec![]);
    let said = |text: &str| json!({"type": "text", "text": text});
    for note in [Some("[Request interrupted by user]"), None] {
        let mut content = vec![said("stream 200 words every 50 ms")];
        content.extend(note.map(said));
        content.push(said("list the files"));
        body["messages"] = json!([{"role": "user", "content": content}]);
        let parts = next(&body);
        assert!(
            parts
                .iter()
                .any(|part| matches!(part, Part::Tool { name, .. } if name == "Bash")),
            "{parts:?}"
        );
    }
}

#[test]
fn thinking_comes_before_the_text_and_is_marked() {
    let body = request("think about the sea", &ALL, vec![]).to_string();
    let (answer, _) = answer(
        &MessagesRequest::parse(body.as_bytes()).unwrap(),
        reply(false),
    )
    .unwrap();
    let message: Value = serde_json::from_slice(answer.whole().unwrap()).unwrap();
    assert_eq!(message["content"][0]["type"], "thinking");
    assert_eq!(message["content"][0]["signature"], SIGNATURE);
    assert_eq!(message["content"][1]["type"], "text");
    assert!(message["usage"]["output_tokens"].as_u64().unwrap() > 10);
}

#[test]
fn a_request_for_json_gets_json_that_fits() {
    let mut body = request("Fix the login page of my shop today please", &[], vec![]);
    body["output_config"] = json!({"format": {"type": "json_schema", "schema": {
        "type": "object", "properties": {"title": {"type": "string"}, "new": {"type": "boolean"},
        "kind": {"enum": ["a", "b"]}}}}});
    let said: Value = serde_json::from_str(&text(&next(&body))).unwrap();
    assert_eq!(
        said,
        json!({"title": "Fix the login page of my", "new": false, "kind": "a"})
    );
}

#[test]
fn anything_else_gets_an_introduction() {
    let said = text(&next(&request("What is love?", &ALL, vec![])));
    assert!(said.contains("scripted demo") && said.contains("GROQ_API_KEY"));
    assert_eq!(next(&json!({"model": "m", "messages": []})).len(), 1);
}

#[test]
fn results_before_the_prompt_are_not_its_own() {
    // So Claude Code sends it after an interrupt: one turn with the stopped call's result, its own
    // note, and what the person says next.
    let after = vec![
        call("a", "Bash"),
        json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "stopped", "is_error": true},
            {"type": "text", "text": "[Request interrupted by user for tool use]"},
            {"type": "text", "text": "run `ls`"}]}),
    ];
    let parts = next(&request("run `sleep 60`", &ALL, after));
    assert_eq!(tool(&parts).1["command"], "ls");
}

#[test]
fn a_question_of_the_demos() {
    let tools = ["AskUserQuestion"];
    let parts = next(&request("please ask me a question", &tools, vec![]));
    let (name, input) = tool(&parts);
    assert_eq!(name, "AskUserQuestion");
    assert_eq!(input["questions"][0]["options"][1]["label"], "Blue");
    let answered = vec![
        call("t", "AskUserQuestion"),
        result("t", "\"Which colour?\"=\"Red\"", false),
    ];
    let parts = next(&request("please ask me a question", &tools, answered));
    assert!(text(&parts).contains("\"Red\""), "{parts:?}");
}

#[test]
fn a_plan_of_the_demos() {
    let tools = ["Write", "ExitPlanMode"];
    let ask = |after: Vec<Value>| {
        let mut request = request("plan: a shed", &tools, after);
        let told =
            "Plan mode is active. Create your plan at /home/me/.claude/plans/a-b.md using it.";
        request["messages"][0]["content"][0]["text"] =
            format!("<system-reminder>\n{told}\n</system-reminder>").into();
        next(&request)
    };
    let parts = ask(vec![]);
    let (name, input) = tool(&parts);
    assert_eq!(
        (name, &input["file_path"]),
        ("Write", &json!("/home/me/.claude/plans/a-b.md"))
    );
    let mut done = vec![call("a", "Write"), result("a", "written", false)];
    assert_eq!(tool(&ask(done.clone())).0, "ExitPlanMode");
    done.extend([call("b", "ExitPlanMode"), result("b", "approved", false)]);
    let parts = ask(done);
    assert_eq!(tool(&parts).1["file_path"], "/home/me/plan.txt");
    let parts = next(&request("plan: a shed", &tools, vec![]));
    assert!(text(&parts).contains("permission mode"), "{parts:?}");
}
