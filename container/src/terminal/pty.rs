//! A pseudo-terminal (pty(7)), and a shell on it.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use protocol::terminal::Size;
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use crate::launch::Setup;
use crate::processes::{Children, MARK, OWN_PROGRAM};

/// The subcommand behind [`become_shell`].
pub const ON_TERMINAL: &str = "on-terminal";

/// The shells that are looked for, the best first.
const SHELLS: [&str; 3] = ["/bin/bash", "/usr/bin/bash", "/bin/sh"];

/// The end of a terminal that programs are not at: what they print is read from it, what is typed is written
/// to it.
#[derive(Debug)]
pub struct Pty(AsyncFd<OwnedFd>);

impl Pty {
    /// Opens one of this size. Returns the programs' end with it.
    ///
    /// # Errors
    /// Those of the machine, which may have no more of them.
    fn open(size: Size) -> io::Result<(Self, OwnedFd)> {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        unlockpt(&own)?;
        tcsetwinsize(&own, cells(size))?;
        let path = ptsname(&own, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = rustix::fs::open(path, flags, Mode::empty())?;
        rustix::io::ioctl_fionbio(&own, true)?;
        #[expect(
            deprecated,
            reason = "its descriptor stays what it is, which is all that what comes after asks for, unsafely"
        )]
        let own = AsyncFd::new(own)?;
        Ok((Self(own), theirs))
    }

    /// What was printed; nothing more comes where that is no byte, or an error: no program has it open.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *buffer)?));
            if let Ok(read) = read {
                return read;
            }
        }
    }

    /// Types these bytes, as fast as they are read.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            if let Ok(written) = ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                bytes = bytes.get(written?..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Gives it another size; whoever runs in front hears of it (SIGWINCH).
    pub fn resize(&self, size: Size) -> io::Result<()> {
        Ok(tcsetwinsize(self.0.get_ref(), cells(size))?)
    }
}

fn cells(size: Size) -> Winsize {
    Winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Starts a shell in the workspace, on a terminal of this size. `mark` is in the environment of all that it
/// starts.
///
/// # Errors
/// Those of the start.
pub fn start(
    setup: &Setup,
    size: Size,
    mark: &str,
    children: &Children,
) -> io::Result<(Pty, Child)> {
    let (pty, theirs) = Pty::open(size)?;
    let shell = SHELLS
        .into_iter()
        .find(|shell| Path::new(shell).exists())
        .ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(OWN_PROGRAM);
    command
        .arg0("agent-server")
        .arg(ON_TERMINAL)
        .arg(std::process::id().to_string())
        .arg(shell)
        .env_clear()
        .envs(environment(setup, shell, mark))
        .current_dir(&setup.workspace)
        .stdin(Stdio::from(theirs.try_clone()?))
        .stdout(Stdio::from(theirs.try_clone()?))
        .stderr(Stdio::from(theirs));
    // The command has the programs' end open, and goes with the end of this function.
    Ok((pty, children.spawn(&mut command)?))
}

/// The whole environment of a shell: that of the agent's own commands without all that is the agent's. The
/// agent's way to its model is not in it, nor what its launch has added: there may be secrets in both.
fn environment<'a>(setup: &'a Setup, shell: &str, mark: &str) -> Vec<(&'a str, OsString)> {
    let mut variables: Vec<(&str, OsString)> = vec![
        ("PATH", setup.path.clone()),
        ("HOME", setup.home.clone().into()),
        ("TMPDIR", std::env::temp_dir().into()),
        ("SHELL", shell.into()),
        ("LANG", "C.UTF-8".into()),
        ("TERM", "xterm-256color".into()),
        ("COLORTERM", "truecolor".into()),
        (MARK, mark.into()),
    ];
    for (name, value) in &setup.egress {
        variables.push((name, value.into()));
    }
    variables
}

/// Becomes a program whose terminal is this process's standard input, in a session of its own. It is killed
/// when `parent` dies, which has started this process. Returns only where that fails.
pub fn become_shell(parent: u32, program: &[OsString]) -> io::Error {
    let own = || -> io::Result<()> {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        Ok(())
    };
    match own() {
        // A shell that somebody types in does not heed SIGTERM.
        Ok(()) => crate::processes::end_with(parent, Signal::KILL, program),
        Err(error) => error,
    }
}
