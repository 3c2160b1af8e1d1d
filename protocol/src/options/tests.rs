use super::*;
use serde_json::json;

fn turn(body: Value) -> Result<Turn, Problem> {
    ClaudeCodeOptions::from_slice(body.to_string().as_bytes())?.into_turn()
}

#[test]
fn the_defaults() {
    let turn = turn(json!({"message": "hi"})).unwrap();
    insta::assert_json_snapshot!(turn, @r#"
    {
      "prompt": "hi",
      "model": null,
      "fast_model": null,
      "max_turns": 10,
      "permission_mode": "acceptEdits",
      "system_prompt": null,
      "append_system_prompt": null,
      "allowed_tools": [
        "Bash",
        "Read",
        "Write",
        "Edit",
        "Glob",
        "Grep",
        "Task",
        "TodoWrite"
      ],
      "default_tools": true,
      "disallowed_tools": [],
      "permission_prompt_tool": null,
      "mcp_config": null,
      "cwd": "/workspace",
      "add_dir": [],
      "additional_args": [],
      "resume_session_id": null,
      "continue_session": true
    }
    "#);
}

#[test]
fn every_problem_names_its_field() {
    for (body, field, words) in [
        (json!({}), "prompt", "no prompt"),
        (json!({"prompt": " \n"}), "prompt", "empty"),
        (
            json!({"prompt": "x".repeat(MAX_PROMPT + 1)}),
            "prompt",
            "limit is 1048576",
        ),
        (json!({"prompt": 7}), "prompt", "expected a string"),
        (
            json!({"prompt": "x", "maxTurns": "many"}),
            "maxTurns",
            "expected u64",
        ),
        (
            json!({"prompt": "x", "maxTurns": 0}),
            "maxTurns",
            "from 1 to 1000",
        ),
        (
            json!({"prompt": "x", "maxTurns": -1}),
            "maxTurns",
            "invalid value",
        ),
        (
            json!({"prompt": "x", "permissionMode": "yolo"}),
            "permissionMode",
            "acceptEdits",
        ),
        (
            json!({"prompt": "x", "allowedTools": 7}),
            "allowedTools",
            "list of strings",
        ),
        (
            json!({"prompt": "x", "allowedTools": ["a\nb"]}),
            "allowedTools",
            "control",
        ),
        (json!({"prompt": "x", "cwd": "/etc"}), "cwd", "/workspace"),
        (
            json!({"prompt": "x", "cwd": "/workspace-evil"}),
            "cwd",
            "/workspace",
        ),
        (
            json!({"prompt": "x", "cwd": "a/../../etc"}),
            "cwd",
            "/workspace",
        ),
        (
            json!({"prompt": "x", "addDir": ["/workspace/a", "/"]}),
            "addDir",
            "/workspace",
        ),
        (
            json!({"prompt": "x", "executable": "sh"}),
            "executable",
            "not accepted",
        ),
        (
            json!({"prompt": "x", "executableArgs": []}),
            "executableArgs",
            "not accepted",
        ),
        (
            json!({"prompt": "x", "pathToClaudeCodeExecutable": "/bin/sh"}),
            "pathToClaudeCodeExecutable",
            "not accepted",
        ),
        (
            json!({"prompt": "x", "additionalArgs": ["--settings={}"]}),
            "additionalArgs",
            "does not accept",
        ),
        (
            json!({"prompt": "x", "additionalArgs": ["--effort", "high"]}),
            "additionalArgs",
            "--name=value",
        ),
        (
            json!({"prompt": "x", "model": "a b"}),
            "model",
            "model's name",
        ),
        (
            json!({"prompt": "x", "model": "--help"}),
            "model",
            "model's name",
        ),
        (
            json!({"prompt": "x", "systemPrompt": "a\0"}),
            "systemPrompt",
            "NUL",
        ),
        (
            json!({"prompt": "x", "mcpConfig": "not json"}),
            "mcpConfig",
            "mcpServers",
        ),
        (
            json!({"prompt": "x", "mcpConfig": {"mcpServers": 1}}),
            "mcpConfig",
            "mcpServers",
        ),
        (
            json!({"prompt": "x", "resumeSessionId": "../x"}),
            "resumeSessionId",
            "UUID",
        ),
        (
            json!({"prompt": "x", "permissionPromptTool": "stdio"}),
            "permissionPromptTool",
            "MCP",
        ),
        (
            json!({"messages": [{"role": "system", "content": "x"}]}),
            "messages",
            "role user",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image"}]}]}),
            "messages",
            "type text",
        ),
    ] {
        let shown = body.to_string().chars().take(80).collect::<String>();
        let problem = turn(body).expect_err(&shown);
        assert_eq!(problem.field.as_deref(), Some(field), "{shown}: {problem}");
        assert!(problem.detail.contains(words), "{shown}: {problem}");
        assert!(matches!(problem.status(), 400 | 413), "{shown}");
    }
}

#[test]
fn what_is_not_json() {
    for body in [
        "",
        "{",
        "{\"prompt\":\"x\"} extra",
        "\"x\"",
        "[]",
        "nul",
        "{\"prompt\":\"\\ud800\"}",
    ] {
        let problem = ClaudeCodeOptions::from_slice(body.as_bytes()).expect_err(body);
        assert_eq!(problem.status(), 400, "{body}");
    }
    let deep = format!(
        "{{\"mcpConfig\":{}1{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    assert_eq!(
        ClaudeCodeOptions::from_slice(deep.as_bytes())
            .unwrap_err()
            .status(),
        400
    );
    let large = vec![b' '; MAX_BODY + 1];
    assert_eq!(
        ClaudeCodeOptions::from_slice(&large).unwrap_err().status(),
        413
    );
}

#[test]
fn older_forms_are_understood() {
    let turn = turn(json!({
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        "inputFormat": "stream-json",
        "allowedTools": "Bash(git log:*, git diff:*), Read",
        "dangerouslySkipPermissions": true,
        "systemPrompt": "",
        "cwd": "src/./lib/..",
        "mcpConfig": "{\"files\":{\"command\":\"mcp-files\"}}",
        "unknown": {"field": 1}
    }))
    .unwrap();
    assert_eq!(turn.prompt, "a\n\nb");
    assert_eq!(
        turn.launch.allowed_tools,
        ["Bash(git log:*, git diff:*)", "Read"]
    );
    assert_eq!(
        turn.launch.permission_mode,
        PermissionMode::BypassPermissions
    );
    assert_eq!(turn.launch.system_prompt, None);
    assert_eq!(turn.launch.cwd, "/workspace/src");
    assert_eq!(
        turn.launch.mcp_config,
        Some(json!({"mcpServers": {"files": {"command": "mcp-files"}}}))
    );
}

proptest::proptest! {
    #[test]
    fn no_path_leaves_the_workspace(path in "(/workspace)?[/.a-z]{0,40}") {
        if let Ok(path) = workspace_path("cwd", &path) {
            assert!(path == WORKSPACE || path.starts_with("/workspace/"));
            assert!(!path.split('/').any(|part| part == ".." || part == "."));
        }
    }

    #[test]
    fn nothing_panics(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = ClaudeCodeOptions::from_slice(&body).map(ClaudeCodeOptions::into_turn);
    }
}
