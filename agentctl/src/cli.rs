//! The commands and their help.

mod groups;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use protocol::SessionId;
use protocol::terminal::TerminalName;

pub use groups::{Configs, Files, Keys};

const AFTER_HELP: &str = "\
First steps:
  agentctl login --server https://agents.example.com   keep the address and a key for it
  agentctl presets                                     the agents that there are
  agentctl launch code-assistant --prompt 'create a hello world app'
  agentctl ls                                          your sessions
  agentctl chat SESSION                                talk to one of them
  agentctl files get SESSION hello.py                  what it has written

A server on this machine (cargo xtask dev) needs no login.

Environment:
  AGENTCTL_SERVER    the server's address, instead of the profile's
  AGENTCTL_TOKEN     the API key or operator's token, instead of the profile's
  AGENTCTL_PROFILE   the profile
  AGENTCTL_CONFIG    the file that profiles are kept in
  NO_COLOR           no colours

Exit codes:
  0 done   1 error   2 wrong usage   3 the turn failed   4 not found   5 not allowed   130 interrupted";

/// The command line of an Agent Router deployment: launch agents, talk to them, see what they do.
#[derive(Debug, Parser)]
#[command(name = "agentctl", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Write JSON: one object, or one a line for lists and streams; errors as well, to stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// The profile whose server and key are used [env: AGENTCTL_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// The server's address, without a profile http://127.0.0.1:8787; a profile's key is sent to that
    /// profile's server alone [env: AGENTCTL_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Send the key over plain http to another machine, for everybody on the way to read
    #[arg(long, global = true)]
    pub insecure: bool,
}

impl Global {
    /// Takes what the line does not say out of the environment. Not the parser does this: its usage lines
    /// would show what the environment has as if it were wanted.
    pub fn or_environment(&mut self, env: impl Fn(&str) -> Option<String>) {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        self.profile = self.profile.take().or_else(|| env("AGENTCTL_PROFILE"));
        self.server = self.server.take().or_else(|| env("AGENTCTL_SERVER"));
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep a server's address and a key for it
    ///
    /// The key is asked for at the terminal, or read from stdin with --token-stdin, so that it stands
    /// in no list of processes and no history. It is tried, and kept in a file that only you can read.
    Login(Login),
    /// Forget a profile
    Logout,
    /// List the profiles
    Profiles,
    /// Launch an agent in a new session
    ///
    /// Prints the session's id. With --prompt, the agent's answer is streamed as by chat, and the id
    /// goes to stderr.
    #[command(after_help = "\
Examples:
  agentctl launch code-assistant --prompt 'write tests for src/'
  agentctl launch github-code-review --mcp-env GITHUB_TOKEN     (its value from the environment)
  agentctl launch --file agent.yaml --provider-key-env ANTHROPIC_API_KEY
  agentctl launch code-assistant --workspace-from SESSION       (with the files of another session)
  ID=$(agentctl launch code-assistant)")]
    Launch(Launch),
    /// Say something in a session, and follow what comes of it
    ///
    /// The answer's text goes to stdout, all else (tools, thinking, states) to stderr. What the agent
    /// asks for is answered at the terminal. Ctrl-C interrupts the turn; once more leaves, and the turn
    /// goes on. Without TEXT at a terminal, it is a conversation that ends with Ctrl-D.
    Chat(Chat),
    /// Follow a session's log from now on, and answer what its agent asks
    Attach(Attach),
    /// Answer what an agent asks: a permission, a question, a plan
    Answer(Answer),
    /// List your sessions, those that were used last first
    Ls(Ls),
    /// What a session is, and how it stands
    Show(OfSession),
    /// A session's log
    Logs(Logs),
    /// A session's files: ls, get, put, rm, mv, mkdir, zip
    #[command(subcommand)]
    Files(Files),
    /// What has changed in a session's workspace: since it began, or in a turn
    ///
    /// As a unified diff; with --json, a document with each file's patch.
    #[command(after_help = "\
Examples:
  agentctl diff SESSION                  all since the session began
  agentctl diff SESSION 3                what turn 3 has changed
  agentctl diff SESSION --from 3         all since the end of turn 3
  agentctl diff SESSION | git apply      the same changes here")]
    Diff(Diff),
    /// The Git repository in a session's workspace: its branch, what has changed, the last commits
    Git(OfSession),
    /// A shell in a session's sandbox, at this terminal; Ctrl-] leaves it
    ///
    /// The sandbox is woken for it. What its programs print reaches this terminal as it is, with all that a
    /// terminal acts on.
    Shell(AShell),
    /// Stop the turn that the agent is at; the session lives on
    Interrupt(OfSession),
    /// Stop a session: its turns and its sandbox. Its log and files stay, and one that was launched takes no
    /// more messages
    Stop(OfSession),
    /// Delete sessions for good: log, sandbox, files
    Rm(Rm),
    /// Begin another session that goes on from a turn of this one
    Fork(Fork),
    /// The conversation as a document
    Export(Export),
    /// List the agents that come with the server
    Presets,
    /// Agents of your own: ls, get, put, rm
    #[command(subcommand)]
    Configs(Configs),
    /// List the models
    Models,
    /// API keys: ls, create, revoke
    #[command(subcommand)]
    Keys(Keys),
    /// List where sandboxes may run
    Providers,
    /// What a session has used: turns, tokens, cost, time; without a session, all of yours by day
    Usage(Used),
    /// What a session's sandbox uses: processor, memory, disk
    Resources(Resources),
    /// Print a shell's completions
    ///
    /// For bash: source <(agentctl completions bash)
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub struct Login {
    /// Read the key from stdin
    #[arg(long)]
    pub token_stdin: bool,
    /// Keep the address alone, for a server that asks for no key
    #[arg(long, conflicts_with = "token_stdin")]
    pub no_token: bool,
}

#[derive(Debug, Args)]
pub struct Launch {
    /// The agent's id, as presets and configs show it
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub preset: Option<String>,
    /// An agent in YAML or JSON, - for stdin
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A secret for the agent's servers of tools; a NAME alone takes it from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub mcp_env: Vec<String>,
    /// The environment variable with your own key for a provider of models
    #[arg(long, value_name = "VARIABLE")]
    pub provider_key_env: Option<String>,
    /// Where its sandbox is to run, as providers shows; the deployment's default where nothing is said
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// The model that answers, instead of the agent's own
    #[arg(long)]
    pub model: Option<String>,
    /// A session with whose files, as its last turn left them, this one begins
    #[arg(long, value_name = "SESSION", value_parser = session)]
    pub workspace_from: Option<SessionId>,
    /// What to say first, - for stdin
    #[arg(long, short)]
    pub prompt: Option<String>,
    /// Do not wait for what comes of the prompt
    #[arg(long, requires = "prompt")]
    pub no_wait: bool,
    #[command(flatten)]
    pub asks: Asks,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct Asks {
    /// What becomes of what the agent asks permission for; without a terminal, ask leaves it open
    #[arg(long, value_enum, default_value_t = Permissions::Ask)]
    pub permissions: Permissions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Permissions {
    /// Ask here, at the terminal
    Ask,
    /// Allow everything
    Allow,
    /// Deny everything
    Deny,
}

#[derive(Debug, Args)]
pub struct OfSession {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
}

#[derive(Debug, Args)]
pub struct AShell {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// The terminal's name, of the four that a sandbox may have: who comes by the same name sees the same
    #[arg(long, default_value = "1", value_parser = terminal)]
    pub name: TerminalName,
    /// Only to a terminal that is open: nothing is opened, and nothing is woken
    #[arg(long)]
    pub attach: bool,
}

#[derive(Debug, Args)]
pub struct Used {
    /// The session's id, as ls shows it; without, all of the account's sessions by day
    #[arg(value_parser = session)]
    pub session: Option<SessionId>,
    /// The first day, such as 2026-11-21; without, thirty days are told of
    #[arg(long, value_name = "DAY", conflicts_with = "session")]
    pub from: Option<String>,
    /// The last day; without, today
    #[arg(long, value_name = "DAY", conflicts_with = "session")]
    pub to: Option<String>,
}

#[derive(Debug, Args)]
pub struct Chat {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// What to say, - for stdin
    pub text: Option<String>,
    /// The model that answers, from now on
    #[arg(long)]
    pub model: Option<String>,
    #[command(flatten)]
    pub asks: Asks,
}

#[derive(Debug, Args)]
pub struct Attach {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// Begin after this event; 0 is the whole log
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
    #[command(flatten)]
    pub asks: Asks,
}

#[derive(Debug, Args)]
pub struct Answer {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// The request's id, as chat, attach and logs show it
    pub request: String,
    /// What becomes of it
    #[arg(value_enum)]
    pub behavior: Behavior,
    /// Words for the agent, with a refusal
    #[arg(long, short)]
    pub message: Option<String>,
    /// To a question: its text and the chosen answer
    #[arg(long = "to", value_name = "QUESTION=ANSWER")]
    pub answers: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Behavior {
    /// Allow it this once
    Allow,
    /// Allow, and the same is not asked again in this session
    AllowSession,
    /// Deny it
    Deny,
}

#[derive(Debug, Args)]
pub struct Ls {
    /// Those whose id, title or agent holds this
    #[arg(long, short = 'q', value_name = "TEXT")]
    pub search: Option<String>,
    /// Those with this status: starting, running, idle, sleeping, error, stopped
    #[arg(long, hide_possible_values = true,
        value_parser = ["starting", "running", "idle", "sleeping", "error", "stopped"])]
    pub status: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub limit: u64,
    /// Leave out so many
    #[arg(long, default_value_t = 0)]
    pub offset: u64,
    /// All of them, page by page
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// Go on with what comes
    #[arg(long, short)]
    pub follow: bool,
    /// Begin after this event
    #[arg(long, value_name = "SEQ", conflicts_with = "tail")]
    pub from: Option<u64>,
    /// Begin with the last so many events
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub tail: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Rm {
    /// The sessions' ids, as ls shows them
    #[arg(required = true, value_parser = session)]
    pub sessions: Vec<SessionId>,
    /// Do not ask; without a terminal, nothing is deleted without it
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Fork {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// The turn, its number or as in turn-3; without, the last that has ended
    #[arg(long, value_parser = turn)]
    pub turn: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Export {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// What it is written as; without, Markdown, and JSON with --json
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The file to write; without, stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the file
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Markdown,
    Json,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// The turn: its number, or as in turn-3
    #[arg(value_parser = a_turn)]
    pub turn: Option<u64>,
    /// From the end of this turn; 0 is the session's begin
    #[arg(long, value_name = "TURN", conflicts_with = "turn", value_parser = turn)]
    pub from: Option<u64>,
    /// To the end of this turn; without, as it is now
    #[arg(long, value_name = "TURN", conflicts_with = "turn", value_parser = turn)]
    pub to: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Resources {
    /// The session's id, as ls shows it
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// Go on, every few seconds
    #[arg(long, short)]
    pub watch: bool,
}

fn session(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text).map_err(|problem| problem.detail)
}

fn terminal(text: &str) -> Result<TerminalName, String> {
    TerminalName::parse(text).map_err(|problem| problem.detail)
}

/// A turn, by its number or its id.
fn turn(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix("turn-").unwrap_or(text);
    let wrong = |_| "a turn is a number such as 3, or an id such as turn-3".to_owned();
    number.parse().map_err(wrong)
}

/// The same; the first is 1.
fn a_turn(text: &str) -> Result<u64, String> {
    match turn(text)? {
        0 => Err("the first turn is 1".to_owned()),
        turn => Ok(turn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_teaches() {
        let help = Cli::command().render_long_help().to_string();
        insta::assert_snapshot!(help);
    }

    #[test]
    fn everything_has_a_text() {
        fn texts(command: &clap::Command) {
            for argument in command.get_arguments() {
                let of = format!("{} {}", command.get_name(), argument.get_id());
                assert!(argument.get_help().is_some(), "{of}");
            }
            for below in command.get_subcommands() {
                assert!(below.get_about().is_some(), "{}", below.get_name());
                texts(below);
            }
        }
        texts(&Cli::command());
    }

    #[test]
    fn what_does_not_go_together() {
        for line in [
            "agentctl launch",
            "agentctl launch preset --file x",
            "agentctl launch preset --no-wait",
            "agentctl show ../x",
            "agentctl logs s --from 1 --tail 2",
            "agentctl ls --limit 0",
            "agentctl ls --status asleep",
            "agentctl usage s --from 2026-11-01",
            "agentctl rm",
            "agentctl diff s 0",
            "agentctl diff s 1 --from 1",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn the_environment_says_what_the_line_does_not() {
        let env = |name: &str| match name {
            "AGENTCTL_SERVER" => Some("https://of.env".to_owned()),
            _ => Some(String::new()),
        };
        let global = |line: &str| {
            let mut global = Cli::try_parse_from(line.split(' ')).unwrap().global;
            global.or_environment(env);
            (global.server.unwrap(), global.profile)
        };
        assert_eq!(global("agentctl ls"), ("https://of.env".to_owned(), None));
        assert_eq!(
            global("agentctl ls --server https://x --profile p"),
            ("https://x".to_owned(), Some("p".to_owned()))
        );
        for line in ["agentctl launch", "agentctl chat"] {
            let told = Cli::try_parse_from(line.split(' '))
                .unwrap_err()
                .to_string();
            assert!(!told.contains("--server"), "{told}");
        }
    }

    #[test]
    fn turns_are_numbers_or_ids() {
        assert_eq!(
            (turn("3"), turn("turn-3"), turn("0")),
            (Ok(3), Ok(3), Ok(0))
        );
        for wrong in ["", "turn-", "turn 3", "-1", "last", "turn-turn-1"] {
            assert!(turn(wrong).unwrap_err().contains("turn-3"), "{wrong}");
        }
        assert!(a_turn("turn-0").is_err());
    }
}
