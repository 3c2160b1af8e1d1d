//! What an agent's configuration says reaches Claude Code.

use std::collections::BTreeSet;

use agents::KNOWN_TOOLS;
use protocol::options::{Launch, SettingSource};
use serde_json::json;

use crate::upstream::{Reply, tools};
use crate::world::World;

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn with_tools(names: &[&str]) -> Launch {
    Launch {
        tools: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..Launch::default()
    }
}

#[tokio::test]
async fn there_are_the_tools_that_are_named_and_no_others() {
    let world = World::new().await;
    let launch = with_tools(&["Read", "TodoWrite"]);
    world.launch(1, "hello", launch).await.completed();
    assert_eq!(world.upstream.last_tools(), names(&["Read", "TodoWrite"]));
    // The model asks for another all the same.
    world.script(
        "write",
        vec![
            Reply::Call("Write", json!({"file_path": "made", "content": "x"})),
            Reply::Say("Tried"),
        ],
    );
    let launch = with_tools(&["Read"]);
    let turn = world.launch(2, "script:write", launch).await.completed();
    assert!(turn.outputs()[0].contains("No such tool"), "{turn:?}");
    assert!(!world.workspace().join("made").exists());
    world.launch(3, "hello", with_tools(&[])).await.completed();
    assert_eq!(world.upstream.last_tools(), names(&[]));
}

#[tokio::test]
async fn the_tools_that_a_configuration_may_name_are_claude_codes_own() {
    let world = World::new().await;
    // Those that read what servers offer are there with servers alone.
    let known: Vec<&str> = KNOWN_TOOLS
        .into_iter()
        .filter(|name| !name.ends_with("McpResource") && !name.ends_with("McpResources"))
        .collect();
    world
        .launch(1, "hello", with_tools(&known))
        .await
        .completed();
    let mut offered = world.upstream.last_tools();
    // The one tool with a name for the model and another for people.
    assert!(offered.remove("Agent"));
    offered.insert("Task".to_owned());
    // Some are offered later, and then by name alone.
    let said = world.upstream.last_conversation();
    offered.extend(
        known
            .iter()
            .filter(|name| said.contains(&format!("\\n{name}\\n")))
            .map(|name| (*name).to_owned()),
    );
    assert_eq!(offered, names(&known));
}

#[tokio::test]
async fn an_agent_that_it_calls_runs_with_its_own_prompt_and_tools() {
    let world = World::new().await;
    let call = json!({
        "subagent_type": "tester", "description": "Test it", "prompt": "script:inner",
    });
    world.script(
        "outer",
        vec![Reply::Call("Agent", call), Reply::Say("Whole")],
    );
    world.script(
        "inner",
        vec![
            Reply::Call("Bash", json!({"command": "touch inner"})),
            Reply::Say("Inner done"),
        ],
    );
    let launch = Launch {
        agents: Some(json!({"tester": {
            "description": "Tests things", "prompt": "You are the tester of this project.",
            "tools": ["Bash"],
        }})),
        tools: Some(vec![
            "Task".to_owned(),
            "Read".to_owned(),
            "Bash".to_owned(),
        ]),
        ..Launch::default()
    };
    let turn = world.launch(1, "script:outer", launch).await.completed();
    assert_eq!(turn.said().last().unwrap(), "Whole");
    assert!(
        turn.outputs()
            .iter()
            .any(|output| output.contains("Inner done"))
    );
    assert!(world.workspace().join("inner").exists());
    let requests = world.upstream.requests();
    let mut of_the_tester = requests.iter().filter(|request| {
        request["system"]
            .to_string()
            .contains("the tester of this project")
    });
    let request = of_the_tester.next().unwrap();
    assert_eq!(tools(request), names(&["Bash"]));
    assert_eq!(of_the_tester.count(), 1);
}

#[tokio::test]
async fn its_variables_reach_what_it_runs_but_change_nothing_of_ours() {
    let world = World::new().await;
    world.script(
        "env",
        vec![
            Reply::Call(
                "Bash",
                json!({"command": "echo \"$GREETING $AGENT_RUN $HOME\""}),
            ),
            Reply::Say("Seen"),
        ],
    );
    let env = [
        ("GREETING", "bonjour"),
        ("AGENT_RUN", "mine"),
        ("HOME", "/nowhere"),
    ];
    let launch = Launch {
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Launch::default()
    };
    let turn = world.launch(1, "script:env", launch).await.completed();
    let seen = &turn.outputs()[0];
    assert!(seen.starts_with("bonjour "), "{seen}");
    assert!(
        !seen.contains("mine") && !seen.contains("/nowhere"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_workspaces_own_settings_count_only_where_the_launch_says_so() {
    let world = World::new().await;
    let workspace = world.workspace();
    std::fs::create_dir_all(workspace.join(".claude")).unwrap();
    std::fs::write(workspace.join("CLAUDE.md"), "The word is xylophone.\n").unwrap();
    std::fs::write(workspace.join("CLAUDE.local.md"), "The word is bassoon.\n").unwrap();
    for (file, made) in [
        ("settings.json", "hooked"),
        ("settings.local.json", "local"),
    ] {
        let hook = json!({"hooks": [{"type": "command", "command": format!("touch {made}")}]});
        let settings = json!({"hooks": {"UserPromptSubmit": [hook]}});
        std::fs::write(workspace.join(".claude").join(file), settings.to_string()).unwrap();
    }
    let servers = json!({"mcpServers": {"theirs": {"command": "touch", "args": ["served"]}}});
    std::fs::write(workspace.join(".mcp.json"), servers.to_string()).unwrap();

    // One conversation: what it did not know before it hears as soon as it may.
    use SettingSource::{Local, Project};
    for (turn, sources, expected) in [
        (1, vec![], [false, false, false, false, false]),
        (2, vec![Project], [true, false, true, false, true]),
        (3, vec![Local, Project], [true, true, true, true, true]),
        (4, vec![], [false, false, false, false, false]),
    ] {
        for made in ["hooked", "local", "served"] {
            let _not_there = std::fs::remove_file(workspace.join(made));
        }
        let before = world.upstream.requests().len();
        let launch = Launch {
            setting_sources: sources.clone(),
            continue_session: turn != 4,
            ..Launch::default()
        };
        world.launch(turn, "hello", launch).await.completed();
        let request = world.upstream.requests()[before].to_string();
        let seen = [
            request.contains("xylophone"),
            request.contains("bassoon"),
            workspace.join("hooked").exists(),
            workspace.join("local").exists(),
            workspace.join("served").exists(),
        ];
        assert_eq!(seen, expected, "{sources:?}");
    }
}
