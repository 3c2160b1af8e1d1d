//! The tokens of this server's own, kept from the agents that run beside it.
//!
//! What a process was started with as its environment every process of the same user can read, for as
//! long as it runs (`/proc/<pid>/environ`), whatever it does with its variables later. So a server that
//! was given a token there becomes the same program anew, without it: the token comes by its standard
//! input then.

use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::stdio::dup2_stdin;

use crate::launch::Secret;
use crate::processes::OWN_PROGRAM;

/// The flag of a server whose token is the first line of its standard input.
pub const TOKEN_FROM_STDIN: &str = "--token-from-stdin";

/// Bytes of a token.
const MAX_TOKEN: u64 = 4096;

/// Keeps other programs of this user away from what this process holds: its memory, and what `/proc`
/// shows of it. Those that may do everything (root) are not kept away.
pub fn hide() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "other programs of this user can look into this one");
    }
}

/// The token: the first line of the standard input, where `from_stdin` says so, else the variable's,
/// of which nothing is left then. None where it is empty or not there. To be called before anything
/// else is done, since it may begin this program anew.
///
/// # Errors
/// Where the input can't be read, or the program can't be begun anew.
pub fn take(variable: &str, from_stdin: bool, stdin_is_needed: bool) -> io::Result<Option<Secret>> {
    if from_stdin {
        let mut line = String::new();
        io::stdin().lock().take(MAX_TOKEN).read_line(&mut line)?;
        return Ok(some(line.trim_end_matches('\n')));
    }
    let token = std::env::var(variable).unwrap_or_default();
    let Some(token) = some(&token) else {
        return Ok(None);
    };
    if token.reveal().len() as u64 >= MAX_TOKEN || token.reveal().contains('\n') {
        return Err(io::Error::other(format!(
            "{variable} must be one line of less than {MAX_TOKEN} bytes"
        )));
    }
    if stdin_is_needed {
        tracing::warn!(
            variable,
            "agents of this user can read this server's token; give it by {TOKEN_FROM_STDIN}"
        );
        return Ok(Some(token));
    }
    Err(begin_anew(variable, &token))
}

fn some(token: &str) -> Option<Secret> {
    (!token.is_empty()).then(|| Secret::new(token))
}

/// Returns only where that fails.
fn begin_anew(variable: &str, token: &Secret) -> io::Error {
    let to_stdin = || -> io::Result<()> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // It fits into the pipe, so nobody has to read yet.
        let mut write = std::fs::File::from(write);
        writeln!(write, "{}", token.reveal())?;
        Ok(dup2_stdin(&read)?)
    };
    if let Err(error) = to_stdin() {
        return error;
    }
    let mut arguments = std::env::args_os();
    Command::new(OWN_PROGRAM)
        .arg0(arguments.next().unwrap_or_else(|| "agent-server".into()))
        .args(arguments)
        .arg(TOKEN_FROM_STDIN)
        .env_remove(variable)
        .exec()
}
