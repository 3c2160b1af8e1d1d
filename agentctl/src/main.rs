//! `agentctl`: the command line of an Agent Router deployment. It speaks the same HTTP as any other
//! client, and has nothing that those have not.

mod api;
mod cli;
mod configs;
mod conversation;
mod diff;
mod events;
mod failure;
mod files;
mod harmless;
mod keys;
mod launch;
mod login;
mod out;
mod profile;
mod questions;
mod render;
mod repository;
mod sessions;
mod shell;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio::signal::unix::{SignalKind, signal};

use api::Api;
use cli::{Cli, Command};
use failure::{About, Failure};
use out::Out;
use profile::Profiles;

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    cli.global.or_environment(|name| std::env::var(name).ok());
    let out = Out::new(cli.global.json);
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| {
            let done = runtime.block_on(run(&cli, out));
            // A thread that waits for a line of the terminal waits for ever.
            runtime.shutdown_background();
            done
        });
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    let about = About::from(&cli.command);
    if out.json {
        let json = failure.json(about).to_string();
        out.say(&harmless::json(&json));
    } else if let Some(words) = failure.words(about) {
        out.say(&words);
    }
    ExitCode::from(failure.exit_code())
}

async fn run(cli: &Cli, out: Out) -> Result<(), Failure> {
    // Those that talk have a use of their own for Ctrl-C.
    if matches!(cli.command, Command::Chat(_) | Command::Launch(_)) {
        return carry_out(cli, out).await;
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        // What is dropped here takes its unfinished files with it.
        _ = interrupt.recv() => Err(Failure::Interrupted),
        _ = terminate.recv() => Err(Failure::Interrupted),
        done = carry_out(cli, out) => done,
    }
}

async fn carry_out(cli: &Cli, out: Out) -> Result<(), Failure> {
    let path = profile::path()?;
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "agentctl", &mut script);
            return out.bytes(&script);
        }
        Command::Login(given) => return login::login(&cli.global, given, &path, out).await,
        Command::Logout => return login::logout(&cli.global, &path, out),
        Command::Profiles => return login::list(&cli.global, &path, out),
        _ => {}
    }
    let token = login::token_of_environment();
    let api = Api::new(Profiles::load(&path)?.target(&cli.global, token)?)?;
    match &cli.command {
        Command::Launch(given) => launch::launch(&api, out, given).await,
        Command::Chat(given) => conversation::chat(&api, out, given).await,
        Command::Attach(given) => conversation::attach(&api, out, given).await,
        Command::Answer(given) => questions::answer(&api, out, given).await,
        Command::Ls(given) => sessions::list(&api, out, given).await,
        Command::Show(given) => sessions::show(&api, out, &given.session).await,
        Command::Logs(given) => sessions::logs(&api, out, given).await,
        Command::Files(given) => files::run(&api, out, given).await,
        Command::Diff(given) => diff::diff(&api, out, given).await,
        Command::Git(given) => repository::show(&api, out, &given.session).await,
        Command::Shell(given) => shell::shell(&api, out, given).await,
        Command::Interrupt(given) => sessions::interrupt(&api, out, &given.session).await,
        Command::Stop(given) => sessions::stop(&api, out, &given.session).await,
        Command::Rm(given) => sessions::remove(&api, out, given).await,
        Command::Fork(given) => sessions::fork(&api, out, given).await,
        Command::Export(given) => sessions::export(&api, out, given).await,
        Command::Usage(given) => usage::usage(&api, out, given).await,
        Command::Resources(given) => sessions::resources(&api, out, given).await,
        Command::Presets => configs::presets(&api, out).await,
        Command::Configs(given) => configs::run(&api, out, given).await,
        Command::Models => configs::models(&api, out).await,
        Command::Providers => configs::providers(&api, out).await,
        Command::Keys(given) => keys::run(&api, out, given).await,
        Command::Login(_) | Command::Logout | Command::Profiles | Command::Completions { .. } => {
            Ok(())
        }
    }
}
