use super::*;

fn setup() -> Setup {
    Setup {
        claude: "/opt/claude/claude".into(),
        workspace: "/workspace".into(),
        home: "/home/agent".into(),
        model_url: "http://router.internal".into(),
        model_token: Secret::new("the-token"),
        model: "m".into(),
        max_retries: 2,
        api_timeout_ms: 600_000,
        path: "/bin".into(),
        egress: vec![("HTTP_PROXY", "http://127.0.0.1:1".to_owned())],
    }
}

fn start(launch: Launch) -> Start {
    Start {
        launch,
        model: "groq/some-model".to_owned(),
        conversation: Conversation::New("11111111-1111-4111-8111-111111111111".to_owned()),
        cwd: "/workspace".into(),
        add_dir: vec!["/workspace/more".into()],
        kept: true,
    }
}

#[test]
fn every_value_is_behind_its_flag() {
    let launch = Launch {
        system_prompt: Some("--dangerously-skip-permissions".to_owned()),
        append_system_prompt: Some("more\nlines".to_owned()),
        mcp_config: Some(json!({"mcpServers": {"s": {"command": "key=hunter2"}}})),
        additional_args: vec!["--effort=high".to_owned()],
        disallowed_tools: vec!["WebFetch".to_owned()],
        tools: Some(vec!["Bash".to_owned(), "Read".to_owned()]),
        ..Launch::default()
    };
    insta::assert_debug_snapshot!(start(launch).arguments(), @r#"
    [
        "-p",
        "--input-format=stream-json",
        "--output-format=stream-json",
        "--verbose",
        "--await-initialize",
        "--setting-sources=user",
        "--model=groq/some-model",
        "--permission-mode=acceptEdits",
        "--max-turns=10",
        "--tools=Bash,Read",
        "--allowedTools=Read,Glob,Grep,Task,TodoWrite",
        "--disallowedTools=WebFetch",
        "--system-prompt=--dangerously-skip-permissions",
        "--append-system-prompt=more\nlines",
        "--permission-prompt-tool=stdio",
        "--add-dir=/workspace/more",
        "--session-id=11111111-1111-4111-8111-111111111111",
        "--strict-mcp-config",
        "--include-partial-messages",
        "--allow-dangerously-skip-permissions",
        "--session-mirror",
        "--effort=high",
    ]
    "#);
}

#[test]
fn servers_of_tools_are_named_where_nobody_else_reads() {
    let launch = Launch {
        mcp_config: Some(json!({"mcpServers": {
            "a": {"command": "x"}, "b": {"url": "y", "alwaysLoad": false}, "c": 7,
        }})),
        agents: Some(json!({"helper": {"prompt": "p"}})),
        ..Launch::default()
    };
    let wanted = json!({
        "subtype": "initialize",
        "mcpServers": {
            "a": {"command": "x", "alwaysLoad": true}, "b": {"url": "y", "alwaysLoad": false},
            "c": 7,
        },
        "agents": {"helper": {"prompt": "p"}},
    });
    assert_eq!(start(launch).initialize(&setup()), wanted);
}

#[test]
fn one_that_works_with_others_has_the_server_for_it() {
    let launch = Launch {
        orchestrates: true,
        ..Launch::default()
    };
    let wanted = json!({
        "subtype": "initialize",
        "mcpServers": { "agents": {
            "type": "http", "url": "http://router.internal/mcp", "alwaysLoad": true,
            "headers": { "authorization": "Bearer the-token" },
        }},
    });
    assert_eq!(start(launch).initialize(&setup()), wanted);
    let alone = start(Launch::default()).initialize(&setup());
    assert_eq!(alone, json!({ "subtype": "initialize" }));
}

#[test]
fn a_workspaces_own_settings_only_where_the_launch_says_so() {
    let flags = |sources: &[SettingSource]| {
        let arguments = start(Launch {
            setting_sources: sources.to_vec(),
            ..Launch::default()
        })
        .arguments();
        let sources = arguments.iter().find_map(|argument| {
            let argument = argument.to_str().unwrap();
            argument
                .strip_prefix("--setting-sources=")
                .map(str::to_owned)
        });
        let strict = arguments
            .iter()
            .any(|argument| argument == "--strict-mcp-config");
        (sources.unwrap(), strict)
    };
    use SettingSource::{Local, Project, User};
    assert_eq!(flags(&[]), ("user".to_owned(), true));
    assert_eq!(flags(&[Local, Local]), ("user,local".to_owned(), true));
    assert_eq!(
        flags(&[Local, Project, User]),
        ("user,project,local".to_owned(), false)
    );
}

#[test]
fn variables_of_the_launch_do_not_change_ours() {
    let env = [
        ("HOME", "/elsewhere"),
        ("GREETING", "hello"),
        ("AGENT_RUN", "x"),
    ];
    let launch = Launch {
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Launch::default()
    };
    let (start, setup) = (start(launch), setup());
    let variables = start.environment(&setup, "mark");
    let of = |wanted: &str| -> Vec<_> {
        let found = variables.iter().filter(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.to_str().unwrap()).collect()
    };
    assert_eq!(of("HOME"), ["/home/agent"]);
    assert_eq!(of("AGENT_RUN"), ["mark"]);
    assert_eq!(of("GREETING"), ["hello"]);
}

#[test]
fn the_token_is_the_only_secret_and_is_not_printed() {
    let setup = setup();
    let start = start(Launch::default());
    let holding: Vec<_> = start
        .environment(&setup, "mark")
        .into_iter()
        .filter(|(_, value)| value == "the-token")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(holding, ["ANTHROPIC_AUTH_TOKEN"]);
    assert!(!format!("{setup:?} {start:?}").contains("the-token"));
}

#[test]
fn aliases_follow_the_model_that_there_is() {
    let haiku = |start: &Start| {
        start
            .environment(&setup(), "mark")
            .into_iter()
            .find(|(name, _)| *name == "ANTHROPIC_DEFAULT_HAIKU_MODEL")
            .map(|(_, value)| value)
    };
    let mut start = start(Launch::default());
    assert_eq!(haiku(&start), Some("groq/some-model".into()));
    start.model = "anthropic/claude-sonnet-4-5".to_owned();
    assert_eq!(haiku(&start), None);
    start.launch.fast_model = Some("fast".to_owned());
    assert_eq!(haiku(&start), Some("fast".into()));
}

#[test]
fn what_needs_another_process() {
    let started = Launch::default();
    let mut running = Running {
        model: Some("a".to_owned()),
        mode: Some(started.permission_mode),
        allow: None,
    };
    let with = |edit: fn(&mut Launch)| {
        let mut wanted = Launch::default();
        edit(&mut wanted);
        change(&started, &running, &wanted, "b")
    };
    let switch = |mode| Change::Switch { model: true, mode };
    assert_eq!(with(|_| {}), switch(None));
    assert_eq!(
        with(|launch| launch.permission_mode = PermissionMode::Plan),
        switch(Some(PermissionMode::Plan))
    );
    assert_eq!(with(|launch| launch.continue_session = false), switch(None));
    assert_eq!(
        with(|launch| launch.permission_mode = PermissionMode::BypassPermissions),
        switch(Some(PermissionMode::BypassPermissions))
    );
    assert_eq!(with(|launch| launch.max_turns = 3), Change::Restart);
    assert_eq!(
        with(|launch| launch.system_prompt = Some("x".to_owned())),
        Change::Restart
    );
    running.model = Some("b".to_owned());
    let neither = Change::Switch {
        model: false,
        mode: None,
    };
    assert_eq!(change(&started, &running, &started, "b"), neither);
    let unknown = Running {
        model: None,
        mode: None,
        allow: None,
    };
    assert_eq!(
        change(&started, &unknown, &started, "b"),
        switch(Some(started.permission_mode))
    );
}

#[test]
fn what_changes_something_is_allowed_by_the_mode() {
    let rules = ["Bash(ls *)".to_owned()];
    let all = ["Bash", "Write", "Edit", "Bash(ls *)"];
    use PermissionMode::{AcceptEdits, BypassPermissions, Default, Plan};
    assert_eq!(allow(true, AcceptEdits, &rules), all);
    assert_eq!(allow(true, BypassPermissions, &rules), all);
    for mode in [Default, Plan] {
        assert_eq!(allow(true, mode, &rules), rules);
    }
    assert_eq!(allow(false, AcceptEdits, &rules), rules);
}

#[test]
fn the_models_address_without_the_rest() {
    assert_eq!(setup().model_host(), "router.internal");
}
