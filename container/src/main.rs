//! The command line of the agent-server.

use std::ffi::OsString;
use std::process::ExitCode;

use agent_server::alone::{ALONE, alone};
use agent_server::processes::{WITH_PARENT, end_with_parent};
use agent_server::terminal::{ON_TERMINAL, become_shell};
use agent_server::token::hide;
use agent_server::{gate, host, serve};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Drives Claude Code for the sessions of Agent Router.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve one session's sandbox. Each option has its variable; the token for the model comes by
    /// AGENT_MODEL_TOKEN alone.
    Serve(serve::Options),
    /// Offer sandboxes on this machine, each a folder and a server of its own, for a laptop without
    /// containers. Whoever asks needs the token of AGENT_HOST_TOKEN.
    Host(host::Options),
    /// Be the gate of a sandbox whose network leads nowhere else.
    Gate(gate::Options),
    /// Become a program that ends when its parent does.
    #[command(name = WITH_PARENT, hide = true)]
    WithParent {
        parent: u32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<OsString>,
    },
    /// Become a program that starts no other.
    #[command(name = ALONE, hide = true)]
    Alone {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<OsString>,
    },
    /// Become a program whose terminal is the standard input.
    #[command(name = ON_TERMINAL, hide = true)]
    OnTerminal {
        parent: u32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let level = EnvFilter::try_from_env("AGENT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(level)
        .with_writer(std::io::stderr)
        .init();
    let mut command = Cli::parse().command;
    match &command {
        Command::WithParent { parent, program } => {
            return failed(&end_with_parent(*parent, program));
        }
        Command::OnTerminal { parent, program } => return failed(&become_shell(*parent, program)),
        Command::Alone { program } => return failed(&alone(program)),
        Command::Serve(_) | Command::Host(_) | Command::Gate(_) => {}
    }
    hide();
    let taken = match &mut command {
        Command::Serve(options) => options.take_token(),
        Command::Host(options) => options.take_token(),
        Command::Gate(_)
        | Command::WithParent { .. }
        | Command::Alone { .. }
        | Command::OnTerminal { .. } => Ok(()),
    };
    if let Err(error) = taken {
        return failed(&error);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let result = runtime.block_on(async {
        match command {
            Command::Serve(options) => serve::serve(options).await,
            Command::Host(options) => host::host(options).await,
            Command::Gate(options) => gate::gate(options).await,
            Command::WithParent { .. } | Command::Alone { .. } | Command::OnTerminal { .. } => {
                Ok(())
            }
        }
    });
    // The wait for its standard input can't be ended from here.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &std::io::Error) -> ExitCode {
    tracing::error!(%error);
    ExitCode::FAILURE
}
