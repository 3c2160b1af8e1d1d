use proptest::prelude::*;
use protocol::options::{DEFAULT_TOOLS, SettingSource};
use serde_json::{Value, json};

use super::*;

fn config(fields: Value) -> Result<Checked, protocol::Problem> {
    let mut all = json!({ "id": "a", "name": "A" });
    if let (Some(all), Some(fields)) = (all.as_object_mut(), fields.as_object()) {
        all.extend(fields.clone());
    }
    AgentConfig::from_value(all)
}

/// The field that is at fault, and the words.
fn refused(fields: Value) -> (String, String) {
    let problem = config(fields.clone()).expect_err(&fields.to_string());
    (problem.field.unwrap_or_default(), problem.detail)
}

#[test]
fn the_presets_are_those_of_the_contract() {
    let of = |id: &str| preset(id).unwrap();
    let ids: Vec<_> = presets().unwrap().iter().map(|preset| &preset.id).collect();
    assert_eq!(
        ids,
        [
            "code-assistant",
            "research-agent",
            "data-analysis",
            "fullstack-team",
            "github-code-review"
        ]
    );
    for (id, tools, limits, turns) in [
        (
            "code-assistant",
            "Bash Read Write Edit Grep Glob Task TodoWrite",
            (2000, 4, 10),
            Some(100),
        ),
        (
            "research-agent",
            "WebFetch WebSearch Read Write Grep TodoWrite",
            (1000, 2, 5),
            None,
        ),
        (
            "data-analysis",
            "Bash Read Write Edit Grep Glob NotebookEdit TodoWrite",
            (2000, 6, 15),
            Some(75),
        ),
        (
            "fullstack-team",
            "Task Read Glob Grep TodoWrite",
            (3000, 6, 10),
            Some(150),
        ),
        (
            "github-code-review",
            "Read Grep Glob TodoWrite",
            (1000, 2, 5),
            None,
        ),
    ] {
        let config = of(id);
        assert_eq!(config.allowed_tools.join(" "), tools, "{id}");
        let is = config.resource_limits.limits().unwrap();
        let gib = |bytes: u64| bytes >> 30;
        assert_eq!(
            (is.cpu_millis, gib(is.memory_bytes), gib(is.storage_bytes)),
            limits,
            "{id}"
        );
        assert_eq!(config.max_turns, turns, "{id}");
        // Nothing in them is understood otherwise than it is written.
        let again = AgentConfig::from_value(json!(config)).unwrap();
        assert_eq!((&again.config, again.warnings), (config, vec![]), "{id}");
    }
    assert_eq!(
        of("code-assistant").setting_sources,
        [SettingSource::Project]
    );
    let out_of_reach: Vec<_> = presets()
        .unwrap()
        .iter()
        .flat_map(|preset| preset.out_of_reach())
        .collect();
    assert_eq!(
        out_of_reach,
        ["WebFetch reaches nothing: egress names no host"],
        "the research agent's, whose owner names what it may read"
    );
    let team = &of("fullstack-team").agents;
    let models: Vec<_> = team
        .iter()
        .map(|(name, agent)| (name.as_str(), agent.model))
        .collect();
    assert_eq!(
        models,
        [
            ("backend", Some(SubModel::Sonnet)),
            ("devops", Some(SubModel::Haiku)),
            ("frontend", Some(SubModel::Sonnet))
        ]
    );
    assert_eq!(
        of("github-code-review")
            .wanted()
            .into_iter()
            .collect::<Vec<_>>(),
        ["GITHUB_TOKEN"]
    );
}

#[test]
fn json_and_yaml_mean_the_same() {
    let yaml = "id: a\nname: \"A \\u00e9\"\nallowed_tools: [Bash(git log:*), Read]\nmax_turns: 3\n";
    let json =
        r#"{"id":"a","name":"A \u00e9","allowed_tools":["Bash(git log:*)","Read"],"max_turns":3}"#;
    assert_eq!(
        AgentConfig::read(yaml).unwrap(),
        AgentConfig::read(json).unwrap()
    );
    let wrong = AgentConfig::read("id: a\nname: [\n").unwrap_err();
    assert!(wrong.detail.contains("line"), "{}", wrong.detail);
    let wrong = AgentConfig::read("{\"id\":").unwrap_err();
    assert!(wrong.detail.contains("not valid JSON"), "{}", wrong.detail);
    assert_eq!(AgentConfig::read("- a\n").unwrap_err().status(), 400);
    assert_eq!(
        AgentConfig::read(&" ".repeat(300_000))
            .unwrap_err()
            .status(),
        413
    );
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    for (fields, field) in [
        (json!({ "id": "" }), "id"),
        (json!({ "id": "A b" }), "id"),
        (json!({ "id": "a".repeat(65) }), "id"),
        (json!({ "id": 3 }), "id"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": "a\nb" }), "name"),
        (json!({ "version": "" }), "version"),
        (json!({ "description": "x".repeat(4001) }), "description"),
        (json!({ "allowed_tools": "Bash" }), "allowed_tools"),
        (
            json!({ "allowed_tools": ["Read", "Sudo"] }),
            "allowed_tools[1]",
        ),
        (
            json!({ "allowed_tools": ["Bash,Write"] }),
            "allowed_tools[0]",
        ),
        (json!({ "allowed_tools": ["Bash(rm"] }), "allowed_tools[0]"),
        (json!({ "allowed_tools": ["mcp__"] }), "allowed_tools[0]"),
        (json!({ "allowed_tools": [1] }), "allowed_tools[0]"),
        (
            json!({ "system_prompt": { "type": "preset", "preset": "other" } }),
            "system_prompt",
        ),
        (json!({ "system_prompt": "a\0b" }), "system_prompt"),
        (
            json!({ "mcp_servers": { "a b": { "command": "x" } } }),
            "mcp_servers",
        ),
        (
            json!({ "mcp_servers": { "a__b": { "command": "x" } } }),
            "mcp_servers",
        ),
        (
            json!({ "mcp_servers": { "s": {} } }),
            "mcp_servers.s.command",
        ),
        (
            json!({ "mcp_servers": { "s": { "type": "http" } } }),
            "mcp_servers.s.url",
        ),
        (
            json!({ "mcp_servers": { "s": { "url": "file:///etc" } } }),
            "mcp_servers.s.url",
        ),
        (
            json!({ "mcp_servers": { "s": { "url": "https://" } } }),
            "mcp_servers.s.url",
        ),
        (
            json!({ "mcp_servers": { "s": { "url": "https://a", "command": "x" } } }),
            "mcp_servers.s.command",
        ),
        (
            json!({ "mcp_servers": { "s": { "url": "https://a", "headers": { "a b": "c" } } } }),
            "mcp_servers.s.headers",
        ),
        (
            json!({ "mcp_servers": { "s": { "url": "https://a", "headers": { "a": "b\r\nc" } } } }),
            "mcp_servers.s.headers.a",
        ),
        (
            json!({ "mcp_servers": { "s": { "command": "x", "cwd": "/" } } }),
            "mcp_servers.s.cwd",
        ),
        (json!({ "permission_mode": "root" }), "permission_mode"),
        (
            json!({ "agents": { "x": { "description": "d", "prompt": "" } } }),
            "agents.x.prompt",
        ),
        (
            json!({ "agents": { "x": { "description": "d" } } }),
            "agents.x",
        ),
        (
            json!({ "agents": { "x": { "description": "d", "prompt": "p", "model": "gpt" } } }),
            "agents.x.model",
        ),
        (
            json!({ "agents": { "x": { "description": "d", "prompt": "p", "tools": ["No"] } } }),
            "agents.x.tools[0]",
        ),
        (
            json!({ "resource_limits": { "cpu_quota": 0 } }),
            "resource_limits.cpu_quota",
        ),
        (
            json!({ "resource_limits": { "cpu_quota": -1 } }),
            "resource_limits.cpu_quota",
        ),
        (
            json!({ "resource_limits": { "memory_limit": "lots" } }),
            "resource_limits.memory_limit",
        ),
        (
            json!({ "resource_limits": { "memory_limit": "1k" } }),
            "resource_limits.memory_limit",
        ),
        (
            json!({ "resource_limits": { "gpu": 1 } }),
            "resource_limits.gpu",
        ),
        (json!({ "max_turns": 0 }), "max_turns"),
        (json!({ "max_turns": 1001 }), "max_turns"),
        (json!({ "max_turns": "many" }), "max_turns"),
        (json!({ "model": "a b" }), "model"),
        (json!({ "cwd": "/etc" }), "cwd"),
        (json!({ "cwd": "../x" }), "cwd"),
        (json!({ "env": { "1A": "x" } }), "env"),
        (json!({ "env": { "PATH": "/x" } }), "env.PATH"),
        (json!({ "env": { "ld_preload": "/x" } }), "env.ld_preload"),
        (
            json!({ "env": { "ANTHROPIC_BASE_URL": "http://evil" } }),
            "env.ANTHROPIC_BASE_URL",
        ),
        (
            json!({ "setting_sources": ["everywhere"] }),
            "setting_sources[0]",
        ),
    ] {
        let (at, words) = refused(fields.clone());
        assert_eq!(at, field, "{fields}: {words}");
        assert!(words.contains(field.split('.').next().unwrap()), "{words}");
    }
}

#[test]
fn what_other_versions_say_is_understood_and_told() {
    let checked = config(json!({
        "allowed_tools": ["MultiEdit", "Edit", "TodoRead", "Agent", "Bash(git:*)", "mcp__nobody__x"],
        "colour": "blue",
        "description": null,
    }))
    .unwrap();
    assert_eq!(
        checked.config.allowed_tools,
        ["Edit", "Task", "Bash(git:*)", "mcp__nobody__x"]
    );
    let told = checked.warnings.join("\n");
    for words in [
        "MultiEdit is called Edit",
        "TodoRead",
        "Agent is called Task",
        "nobody",
        "colour",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn a_launch_is_what_the_configuration_says() {
    let config = config(json!({
        "allowed_tools": ["Read", "Bash(git log:*)", "mcp__two__only"],
        "mcp_servers": {
            "one": { "command": "server", "args": ["--key=${KEY}"], "env": { "A": "${A_TOKEN}", "B": "b" } },
            "two": { "url": "https://two.example/mcp", "headers": { "authorization": "Bearer ${TWO}" } },
        },
        "agents": { "helper": { "description": "d", "prompt": "p", "tools": ["Grep"], "model": "haiku" } },
        "system_prompt": { "type": "preset", "preset": "claude_code", "append": "More." },
        "permission_mode": "plan",
        "max_turns": 7,
        "env": { "GREETING": "hello" },
        "setting_sources": ["project"],
        "cwd": "sub/./folder",
    }))
    .unwrap()
    .config;
    let launch = config.launch();
    assert_eq!(
        launch.allowed_tools,
        [
            "Read",
            "Bash(git log:*)",
            "mcp__two__only",
            "Task",
            "Grep",
            "mcp__one",
            "ListMcpResourcesTool",
            "ReadMcpResourceTool"
        ]
    );
    let tools = launch.tools.clone().unwrap();
    assert_eq!(
        tools,
        [
            "AskUserQuestion",
            "Bash",
            "ExitPlanMode",
            "Grep",
            "ListMcpResourcesTool",
            "Read",
            "ReadMcpResourceTool",
            "Task"
        ]
    );
    assert_eq!(launch.system_prompt, None);
    assert_eq!(launch.append_system_prompt.as_deref(), Some("More."));
    assert_eq!(
        (launch.max_turns, launch.cwd.as_str()),
        (7, "/workspace/sub/folder")
    );
    assert_eq!(launch.agents.as_ref().unwrap()["helper"]["model"], "haiku");
    assert!(!launch.default_tools);

    let env = json!({ "KEY": "key-secret", "A_TOKEN": "a-secret", "TWO": "short" });
    let credentials = config.credentials(Some(&env)).unwrap();
    let launched = credentials.into_launch(launch.clone());
    let servers = &launched.launch.mcp_config.unwrap()["mcpServers"];
    assert_eq!(servers["one"]["args"][0], "--key=key-secret");
    assert_eq!(servers["one"]["env"], json!({ "A": "a-secret", "B": "b" }));
    assert_eq!(servers["two"]["headers"]["authorization"], "Bearer short");
    assert_eq!(launched.secrets, ["a-secret", "key-secret"]);
    // Nothing of it is in what is kept.
    assert!(!json!(launch).to_string().contains("a-secret"));
}

#[test]
fn secrets_go_where_they_are_asked_for() {
    let with = |servers: Value, env: Value| {
        let config = config(json!({ "mcp_servers": servers })).unwrap().config;
        let credentials = config.credentials(Some(&env))?;
        Ok::<_, protocol::Problem>(credentials.into_launch(config.launch()).launch)
    };
    let field = |servers: Value, env: Value| with(servers, env).unwrap_err().field.unwrap();
    let one = json!({ "s": { "command": "x" } });
    let launch = with(one.clone(), json!({ "TOKEN": "t" })).unwrap();
    let env = |launch: &protocol::options::Launch| {
        launch.mcp_config.as_ref().unwrap()["mcpServers"]["s"]["env"].clone()
    };
    assert_eq!(env(&launch), json!({ "TOKEN": "t" }));
    let launch = with(one.clone(), json!({ "s": { "TOKEN": "t" } })).unwrap();
    assert_eq!(env(&launch), json!({ "TOKEN": "t" }));
    assert_eq!(field(json!({}), json!({ "TOKEN": "t" })), "mcp_env.TOKEN");
    let asks = json!({ "s": { "command": "x", "env": { "A": "${TOKEN}" } } });
    assert_eq!(field(asks.clone(), json!({})), "mcp_env.TOKEN");
    assert_eq!(field(asks.clone(), json!([])), "mcp_env");
    assert_eq!(field(asks.clone(), json!({ "TOKEN": "" })), "mcp_env.TOKEN");
    assert_eq!(
        field(asks.clone(), json!({ "TOKEN": "a\nb" })),
        "mcp_env.TOKEN"
    );
    assert_eq!(field(asks, json!({ "TOKEN": 3 })), "mcp_env.TOKEN");
    assert_eq!(field(one, json!({ "a-b": "x" })), "mcp_env.a-b");
}

#[test]
fn who_names_no_tools_has_the_usual_ones() {
    let launch = config(json!({})).unwrap().config.launch();
    assert_eq!(launch.allowed_tools, DEFAULT_TOOLS);
    assert!(launch.default_tools && launch.tools.is_none());
}

proptest! {
    #[test]
    fn whatever_is_written_is_accepted_or_refused(text in ".{0,200}") {
        let _ = AgentConfig::read(&text);
        let _ = AgentConfig::read(&format!("{{{text}"));
    }

    /// What is accepted stays as it is when it is read again.
    #[test]
    fn what_is_accepted_is_stable(
        tools in proptest::collection::vec("[A-Z][a-z]{0,6}|Bash|Read|MultiEdit|mcp__a__b", 0..6),
        turns in 0_u64..1100,
        cwd in "[a-z./]{0,12}",
        value in "[ -~]{0,20}",
    ) {
        let fields = json!({
            "allowed_tools": tools, "max_turns": turns, "cwd": cwd, "env": { "X": value },
            "mcp_servers": { "s": { "command": "x", "args": [value] } },
        });
        if let Ok(checked) = config(fields) {
            let again = AgentConfig::from_value(json!(checked.config)).unwrap();
            prop_assert_eq!(&again.config, &checked.config);
            prop_assert_eq!(again.config.launch(), checked.config.launch());
        }
    }
}

/// The checked-in schema is the one that the types make: `UPDATE_SCHEMA=1 cargo test -p agents` writes it.
#[test]
fn the_schema_is_that_of_the_types() {
    let schema = schemars::schema_for!(AgentConfig);
    let made = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(kept, made, "write it anew with UPDATE_SCHEMA=1");
    let fields = schema.as_value()["properties"].as_object().unwrap();
    let fields: Vec<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(fields, config::FIELDS);
}

#[test]
fn what_egress_leaves_out_of_reach() {
    let of = |url: &str, egress: &[&str]| {
        let fields = json!({
            "id": "a", "name": "a", "egress": egress,
            "mcp_servers": {"s": {"type": "http", "url": url}},
        });
        AgentConfig::from_value(fields)
            .unwrap()
            .config
            .out_of_reach()
    };
    let told = of("https://mcp.example.com:8443/x", &["registries"]);
    assert_eq!(
        told,
        ["mcp_servers.s will not be reached: egress does not name mcp.example.com"]
    );
    for (url, egress) in [
        ("https://mcp.example.com:8443/x", "mcp.example.com"),
        ("https://user@MCP.example.com?x=@evil", "*.example.com"),
        ("http://127.0.0.1:9/", "registries"),
        ("http://[::1]:9/", "registries"),
    ] {
        assert_eq!(of(url, &[egress]), [""; 0], "{url}");
    }
    for (place, bad) in ["https://a.com", "10.0.0.1", "*", "router.internal", ""]
        .into_iter()
        .enumerate()
    {
        let (field, words) = refused(json!({"id": "a", "name": "a", "egress": [bad]}));
        assert_eq!(field, "egress[0]", "{place}: {words}");
    }
}
