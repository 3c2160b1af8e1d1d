//! The route table, as data: what can be asked for, and what that needs.
//!
//! A row without `needs` does not compile, and neither does a kind that nobody answers. The tests
//! walk the table with every wrong credential there is.

use access::{Right, Scopes};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Root,
    NewSession,
    Page,
    /// The page on which agents are made; a path behind it names one.
    AgentsPage,
    Health,
    Models,
    Socket,
    AgentMessage,
    AgentState,
    /// The session's log over HTTP.
    Events,
    /// The log as one document.
    Export,
    /// The session itself.
    Session,
    /// What has changed in the session's workspace.
    Diff,
    /// The Git repository in it.
    Repository,
    /// What has changed in one file since its last commit.
    RepositoryDiff,
    Commit,
    Branch,
    Discard,
    /// Another session that goes on from one of its turns.
    Fork,
    /// The answer to what the agent asks.
    Permission,
    /// What the caller may in a session.
    Access,
    /// The session's share links.
    Shares,
    /// One-time tickets for the session's socket.
    Tickets,
    ClaudeCode,
    ClaudeCodeDebug,
    Login,
    Logout,
    /// The API keys of an account.
    Keys,
    Key,
    Audit,
    /// Tools with which agents work with others.
    Mcp,
    /// What an account's sessions have used.
    Usage,
    /// Who is told when a turn has ended.
    Webhooks,
    Webhook,
    /// Something to try a webhook with.
    WebhookPing,
    /// What was sent to a webhook.
    Deliveries,
    /// Prompts that are said at a time.
    Schedules,
    Schedule,
    /// The files of a session's sandbox: a list of them, or a change of names.
    Files,
    /// One of them.
    File,
    /// All of them, packed.
    Zip,
    /// Files for the sandbox, as a form.
    Upload,
    /// A script or style of the UI, named by its content.
    Asset,
    /// What all of this is, for programs and for reading.
    OpenApi,
    Docs,
    /// The agents that come with this deployment.
    Presets,
    /// A whole configuration of an agent, and what one may hold.
    Config,
    ConfigSchema,
    /// The agents that somebody has made.
    CustomConfigs,
    CustomConfig,
    NewConfig,
    /// Where sandboxes may run here.
    Providers,
    /// What runs there, whoever's it is.
    Sandboxes,
    Launch,
    /// The sessions of an account.
    Sessions,
    LaunchedSession,
    Interrupt,
    /// The end of a session, whose log stays.
    Stop,
    Chat,
    /// The same, with the session in the body.
    ChatBeside,
    ToolStream,
    /// What a session's sandbox uses of its machine.
    Resources,
    /// The terminals in a session's sandbox.
    Terminals,
    /// One of them.
    Terminal,
    /// What a sandbox sends whose provider can't intercept its traffic.
    FromSandbox,
}

/// What a caller has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is the same for everybody, and nobody's secret.
    Nothing,
    /// Nothing, in a deployment that can tell people apart, or on this machine.
    SetUp,
    /// To be somebody: an account, or who has a share link.
    Somebody,
    /// This right on the session that the path names, or the body. With `launches`, the session
    /// begins where there is none yet, for who may begin one.
    Session { right: Right, launches: bool },
    /// An account's key for this, or the account itself.
    Scope(Scopes),
    /// The same as the scope `launch`, or a key of one's own for a provider of models, where those are
    /// taken.
    Launch,
    /// To decide about an account's keys, and to read what was done in its name.
    Account,
    /// To be the operator.
    Operator,
    /// The token of a sandbox, which is known where the sandbox is.
    Sandbox,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// `{name}` stands for one part of the path, `{name*}` for all the rest.
    pub path: &'static str,
    pub methods: &'static [&'static str],
    pub kind: Kind,
    pub needs: Need,
}

const GET: &[&str] = &["GET", "HEAD"];
const POST: &[&str] = &["POST"];

const READ: Need = Need::Session {
    right: Right::Read,
    launches: false,
};
/// Opening a session that is new is how a browser begins one.
const OPEN: Need = Need::Session {
    right: Right::Read,
    launches: true,
};
const SAY: Need = Need::Session {
    right: Right::Write,
    launches: true,
};
const WRITE: Need = Need::Session {
    right: Right::Write,
    launches: false,
};
const SHELL: Need = Need::Session {
    right: Right::Shell,
    launches: false,
};
const MANAGE: Need = Need::Session {
    right: Right::Manage,
    launches: false,
};

const fn row(path: &'static str, methods: &'static [&'static str], kind: Kind, needs: Need) -> Row {
    Row {
        path,
        methods,
        kind,
        needs,
    }
}

/// Every route. Of two that fit a path the first counts.
pub const TABLE: &[Row] = &[
    row("/", GET, Kind::Root, Need::SetUp),
    row("/demo", GET, Kind::NewSession, Need::SetUp),
    row("/demo/", GET, Kind::NewSession, Need::SetUp),
    row("/demo/health", GET, Kind::Health, Need::Nothing),
    row("/health", GET, Kind::Health, Need::Nothing),
    row("/demo/models", GET, Kind::Models, Need::Somebody),
    row("/demo/ws/{session}", &["GET"], Kind::Socket, OPEN),
    // The page is a shell without anything of the session in it.
    row("/demo/{session}", GET, Kind::Page, Need::SetUp),
    row("/agents", GET, Kind::AgentsPage, Need::SetUp),
    row("/agents/{id}", GET, Kind::AgentsPage, Need::SetUp),
    row("/agent/message", POST, Kind::AgentMessage, SAY),
    row("/agent/{session}/state", GET, Kind::AgentState, READ),
    row(
        "/api/sessions/{session}/events",
        &["GET"],
        Kind::Events,
        READ,
    ),
    row("/api/sessions/{session}/export", GET, Kind::Export, READ),
    row("/api/sessions/{session}/diff", GET, Kind::Diff, READ),
    row(
        "/api/sessions/{session}/repository",
        GET,
        Kind::Repository,
        READ,
    ),
    row(
        "/api/sessions/{session}/repository/diff",
        GET,
        Kind::RepositoryDiff,
        READ,
    ),
    row(
        "/api/sessions/{session}/repository/commit",
        POST,
        Kind::Commit,
        WRITE,
    ),
    row(
        "/api/sessions/{session}/repository/branch",
        POST,
        Kind::Branch,
        WRITE,
    ),
    row(
        "/api/sessions/{session}/repository/discard",
        POST,
        Kind::Discard,
        WRITE,
    ),
    row(
        "/api/sessions/{session}",
        &["DELETE"],
        Kind::Session,
        MANAGE,
    ),
    row("/api/sessions/{session}/fork", POST, Kind::Fork, WRITE),
    row(
        "/api/sessions/{session}/permissions/{request*}",
        POST,
        Kind::Permission,
        WRITE,
    ),
    row("/api/sessions/{session}/access", GET, Kind::Access, READ),
    row(
        "/api/sessions/{session}/shares",
        &["GET", "POST", "DELETE"],
        Kind::Shares,
        MANAGE,
    ),
    row("/api/sessions/{session}/tickets", POST, Kind::Tickets, OPEN),
    row(
        "/api/sessions/{session}/terminals",
        GET,
        Kind::Terminals,
        SHELL,
    ),
    row(
        "/api/sessions/{session}/terminals/{terminal*}",
        &["GET", "DELETE"],
        Kind::Terminal,
        SHELL,
    ),
    row("/claude-code", POST, Kind::ClaudeCode, SAY),
    row(
        "/claude-code/debug",
        GET,
        Kind::ClaudeCodeDebug,
        Need::Operator,
    ),
    row("/api/files/{session}", GET, Kind::Files, READ),
    row("/api/files/{session}", POST, Kind::Files, WRITE),
    row("/api/files/{session}/download", POST, Kind::Zip, READ),
    row("/api/files/{session}/upload", POST, Kind::Upload, WRITE),
    row("/api/files/{session}/{path*}", GET, Kind::File, READ),
    row(
        "/api/files/{session}/{path*}",
        &["PUT", "DELETE"],
        Kind::File,
        WRITE,
    ),
    // Both look at what is shown themselves: it is what they are about.
    row("/api/login", POST, Kind::Login, Need::SetUp),
    row("/api/logout", POST, Kind::Logout, Need::SetUp),
    row("/api/keys", &["GET", "POST"], Kind::Keys, Need::Account),
    row("/api/keys/{id}", &["DELETE"], Kind::Key, Need::Account),
    row("/api/audit", GET, Kind::Audit, Need::Account),
    row("/mcp", POST, Kind::Mcp, Need::Scope(Scopes::LAUNCH)),
    row("/api/usage", GET, Kind::Usage, Need::Scope(Scopes::READ)),
    row(
        "/api/webhooks",
        &["GET", "POST"],
        Kind::Webhooks,
        Need::Account,
    ),
    row(
        "/api/webhooks/{id}",
        &["DELETE"],
        Kind::Webhook,
        Need::Account,
    ),
    row(
        "/api/webhooks/{id}/ping",
        POST,
        Kind::WebhookPing,
        Need::Account,
    ),
    row(
        "/api/webhooks/{id}/deliveries",
        GET,
        Kind::Deliveries,
        Need::Account,
    ),
    row(
        "/api/schedules",
        &["GET"],
        Kind::Schedules,
        Need::Scope(Scopes::READ),
    ),
    row(
        "/api/schedules",
        POST,
        Kind::Schedules,
        Need::Scope(Scopes::WRITE),
    ),
    row(
        "/api/schedules/{id}",
        &["PUT", "DELETE"],
        Kind::Schedule,
        Need::Scope(Scopes::WRITE),
    ),
    row(
        "/api/configs",
        GET,
        Kind::Presets,
        Need::Scope(Scopes::READ),
    ),
    row(
        "/api/configs/",
        GET,
        Kind::Presets,
        Need::Scope(Scopes::READ),
    ),
    row(
        "/api/configs/schema.json",
        GET,
        Kind::ConfigSchema,
        Need::Nothing,
    ),
    row(
        "/api/configs/custom",
        POST,
        Kind::NewConfig,
        Need::Scope(Scopes::LAUNCH),
    ),
    row(
        "/api/configs/custom/list",
        GET,
        Kind::CustomConfigs,
        Need::Scope(Scopes::READ),
    ),
    row(
        "/api/configs/custom/{id}",
        &["PUT", "DELETE"],
        Kind::CustomConfig,
        Need::Scope(Scopes::LAUNCH),
    ),
    row(
        "/api/configs/{id}",
        GET,
        Kind::Config,
        Need::Scope(Scopes::READ),
    ),
    row(
        "/api/providers",
        GET,
        Kind::Providers,
        Need::Scope(Scopes::READ),
    ),
    row(
        "/api/sandboxes",
        &["GET", "DELETE"],
        Kind::Sandboxes,
        Need::Operator,
    ),
    row("/api/agents/launch", POST, Kind::Launch, Need::Launch),
    row(
        "/api/agents/sessions",
        GET,
        Kind::Sessions,
        Need::Scope(Scopes::READ),
    ),
    row(
        "/api/agents/sessions/{session}",
        GET,
        Kind::LaunchedSession,
        READ,
    ),
    row(
        "/api/agents/sessions/{session}",
        &["DELETE"],
        Kind::LaunchedSession,
        MANAGE,
    ),
    row(
        "/api/agents/sessions/{session}/interrupt",
        POST,
        Kind::Interrupt,
        WRITE,
    ),
    row(
        "/api/agents/sessions/{session}/stop",
        POST,
        Kind::Stop,
        WRITE,
    ),
    row("/api/agents/chat", POST, Kind::ChatBeside, WRITE),
    row("/api/agents/{session}/chat", POST, Kind::Chat, WRITE),
    row(
        "/api/tools/{session}/stream",
        &["GET"],
        Kind::ToolStream,
        READ,
    ),
    row("/api/resources/{session}", &["GET"], Kind::Resources, READ),
    row("/assets/{name}", GET, Kind::Asset, Need::Nothing),
    row("/api/openapi.json", GET, Kind::OpenApi, Need::Nothing),
    row("/api/docs", GET, Kind::Docs, Need::Nothing),
    row(
        "/sandbox/{session}/{path*}",
        &["GET", "HEAD", "POST"],
        Kind::FromSandbox,
        Need::Sandbox,
    ),
];

/// What a path stands for.
#[derive(Debug)]
pub enum Sought<'a> {
    /// The row, the part of the path that the row has a name for, and the rest.
    Found(&'static Row, &'a str, &'a str),
    /// The path is there, with these methods.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

/// The row of a method and a path.
pub fn find<'a>(method: &str, path: &'a str) -> Sought<'a> {
    let mut methods = Vec::new();
    let mut named = false;
    for row in TABLE {
        // A path that is named is not one of those that stand for any.
        if named && row.path != path {
            continue;
        }
        let Some((name, rest)) = fits(row.path, path) else {
            continue;
        };
        if row.methods.contains(&method) {
            return Sought::Found(row, name, rest);
        }
        methods.extend(row.methods);
        named |= !row.path.contains('{');
    }
    if methods.is_empty() {
        Sought::Nothing
    } else {
        Sought::OtherMethods(methods)
    }
}

/// Whether a path is as the pattern says, with the parts that stand for `{name}` and `{name*}`.
fn fits<'a>(pattern: &str, path: &'a str) -> Option<(&'a str, &'a str)> {
    let (mut name, mut left) = ("", Some(path.strip_prefix('/')?));
    for wanted in pattern.strip_prefix('/')?.split('/') {
        let here = left?;
        if wanted.ends_with("*}") {
            return Some((name, here));
        }
        let (part, rest) = match here.split_once('/') {
            Some((part, rest)) => (part, Some(rest)),
            None => (here, None),
        };
        if wanted.starts_with('{') {
            name = part;
        } else if wanted != part {
            return None;
        }
        left = rest;
    }
    left.is_none().then_some((name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_contract() {
        for (method, path, kind, name, rest) in [
            ("GET", "/", Kind::Root, "", ""),
            ("GET", "/demo", Kind::NewSession, "", ""),
            ("HEAD", "/demo/", Kind::NewSession, "", ""),
            ("GET", "/demo/s1", Kind::Page, "s1", ""),
            ("GET", "/agents", Kind::AgentsPage, "", ""),
            ("GET", "/agents/new", Kind::AgentsPage, "new", ""),
            ("GET", "/demo/health", Kind::Health, "", ""),
            ("GET", "/demo/models", Kind::Models, "", ""),
            ("GET", "/demo/ws/s1", Kind::Socket, "s1", ""),
            ("POST", "/agent/message", Kind::AgentMessage, "", ""),
            ("GET", "/agent/s1/state", Kind::AgentState, "s1", ""),
            ("GET", "/api/sessions/s1/events", Kind::Events, "s1", ""),
            ("GET", "/api/sessions/s1/diff", Kind::Diff, "s1", ""),
            (
                "GET",
                "/api/sessions/s1/repository",
                Kind::Repository,
                "s1",
                "",
            ),
            (
                "POST",
                "/api/sessions/s1/repository/commit",
                Kind::Commit,
                "s1",
                "",
            ),
            ("DELETE", "/api/sessions/s1/shares", Kind::Shares, "s1", ""),
            (
                "POST",
                "/api/sessions/s1/permissions/ask-1",
                Kind::Permission,
                "s1",
                "ask-1",
            ),
            (
                "GET",
                "/api/sessions/s1/terminals",
                Kind::Terminals,
                "s1",
                "",
            ),
            (
                "DELETE",
                "/api/sessions/s1/terminals/main",
                Kind::Terminal,
                "s1",
                "main",
            ),
            ("POST", "/claude-code", Kind::ClaudeCode, "", ""),
            ("GET", "/claude-code/debug", Kind::ClaudeCodeDebug, "", ""),
            (
                "GET",
                "/assets/index-abc.js",
                Kind::Asset,
                "index-abc.js",
                "",
            ),
            ("DELETE", "/api/keys/k1", Kind::Key, "k1", ""),
            ("GET", "/api/files/s1", Kind::Files, "s1", ""),
            ("GET", "/api/files/s1/", Kind::File, "s1", ""),
            ("GET", "/api/files/s1/a/b%2f", Kind::File, "s1", "a/b%2f"),
            (
                "GET",
                "/api/files/s1/download",
                Kind::File,
                "s1",
                "download",
            ),
            ("POST", "/api/files/s1/download", Kind::Zip, "s1", ""),
            ("PUT", "/api/files/s1/upload", Kind::File, "s1", "upload"),
            ("POST", "/api/files/s1/upload", Kind::Upload, "s1", ""),
            (
                "POST",
                "/sandbox/s1/v1/messages/count_tokens",
                Kind::FromSandbox,
                "s1",
                "v1/messages/count_tokens",
            ),
        ] {
            match find(method, path) {
                Sought::Found(row, found, left) => {
                    assert_eq!((row.kind, found, left), (kind, name, rest), "{path}");
                }
                other => panic!("{method} {path}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_there() {
        for path in [
            "",
            "demo",
            "/nothing",
            "/demo/s1/more",
            "/demo/ws/s1/x",
            "/agent",
            "/agent/s1/state/",
            "/claude-code/",
            "//demo",
            "/api/keys/k1/x",
            "/assets",
            "/assets/a/b",
            "/sandbox/s1",
            "/api/sessions/s1/permissions",
        ] {
            assert!(matches!(find("GET", path), Sought::Nothing), "{path}");
        }
        for (method, path, wanted) in [
            ("POST", "/demo/health", &["GET", "HEAD"][..]),
            ("TRACE", "/api/keys", &["GET", "POST"]),
            ("OPTIONS", "/agent/message", &["POST"]),
        ] {
            match find(method, path) {
                Sought::OtherMethods(methods) => assert_eq!(methods, wanted, "{path}"),
                other => panic!("{method} {path}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_needs_nothing_is_little() {
        let open = TABLE.iter().filter(|row| row.needs == Need::Nothing);
        let open: Vec<_> = open.map(|row| row.path).collect();
        assert_eq!(
            open,
            [
                "/demo/health",
                "/health",
                "/api/configs/schema.json",
                "/assets/{name}",
                "/api/openapi.json",
                "/api/docs"
            ]
        );
    }
}
