//! The server in a session's sandbox: it takes the session's turns, drives Claude Code over
//! stream-json, and hands on what happens as records that can be asked for again.
//!
//! | part | purpose |
//! | --- | --- |
//! | [`http`] | the routes, as `protocol::sandbox` describes them |
//! | `guard` | who may ask: nobody's browser, and who has the token |
//! | [`token`] | the token, kept from the agents beside it |
//! | [`agent`], [`drive`] | the turns of the session, one at a time |
//! | [`kept`] | the one process that they run on: brought up, switched, put down |
//! | [`direct`] | requests beside the session, each with a process of its own |
//! | [`claude`], [`lines`], [`wire`] | one process: its lines, what they are, how it ends |
//! | [`egress`] | the way out of the sandbox, and who is told of it |
//! | [`gate`] | the gate in a sandbox's wall, where containers have one |
//! | `hello` | the name that is asked for inside TLS, where there is a wall |
//! | [`launch`], [`workspace`], [`conversations`] | with what, where and with which past it is started |
//! | [`disk`] | the sandbox's files, saved outside of it and restored onto a new disk |
//! | [`history`] | what the workspace was at the end of each turn, and what has changed since |
//! | [`repository`], [`alone`] | the person's own Git repository, and Git where it can run nothing else |
//! | [`watcher`] | which files change while a turn runs, told as they do |
//! | `live_output` | what a command prints while it runs |
//! | [`files`] | the workspace's files, for whoever looks at them from outside |
//! | [`terminal`] | shells that people type in, and who looks at them |
//! | [`translate`] | lines as events; pure |
//! | [`mask`] | secrets, replaced in all that is said; pure |
//! | `asks` | what Claude Code asks of a person, and what it is answered; pure |
//! | [`turn_log`] | a turn's records until they are acknowledged |
//! | [`processes`] | who descends from whom, and ending what is left behind |
//! | [`host`] | many such servers on one machine, for a laptop without containers |
//!
//! The agent-server knows nothing of Workers, of who may ask what, and of any key.

pub mod agent;
pub mod alone;
mod asks;
pub mod claude;
pub mod conversations;
pub mod direct;
pub mod disk;
pub mod drive;
pub mod egress;
pub mod files;
pub mod gate;
mod guard;
mod hello;
pub mod history;
pub mod host;
pub mod http;
pub mod kept;
pub mod launch;
pub mod lines;
mod live_output;
pub mod mask;
pub mod processes;
pub mod repository;
mod resources;
pub mod serve;
pub mod terminal;
pub mod token;
pub mod translate;
pub mod turn_log;
pub mod watcher;
pub mod wire;
pub mod workspace;
