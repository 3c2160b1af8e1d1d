//! A program that starts no other and speaks to nobody: the kernel refuses it.
//!
//! Git runs what a repository's configuration names, in more places than anybody has listed. So where it is run on
//! a repository of somebody's, it is not only told not to: it can't.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

/// The subcommand behind [`alone`].
pub const ALONE: &str = "alone";

/// Set in the flags of `clone` for a thread, and not for a process (clone(2)).
const CLONE_THREAD: u64 = 0x0001_0000;

/// Becomes another program, which from then on starts no process and opens no socket. Threads it may have. Returns
/// only where that fails.
pub fn alone(program: &[OsString]) -> io::Error {
    if let Err(error) = wall_off() {
        return error;
    }
    match program.split_first() {
        Some((program, arguments)) => std::process::Command::new(program).args(arguments).exec(),
        None => io::Error::other("no program"),
    }
}

fn wall_off() -> io::Result<()> {
    let failed = |error: &dyn std::fmt::Display| {
        io::Error::other(format!("the program can't be walled off here: {error}"))
    };
    let process = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(CLONE_THREAD),
        0,
    )
    .and_then(|no_thread| SeccompRule::new(vec![no_thread]))
    .map_err(|error| failed(&error))?;
    // What is refused is told to be unknown: where `clone3` is, whose flags can't be seen, threads are made by
    // `clone`.
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::from([
        (libc::SYS_clone, vec![process]),
        (libc::SYS_clone3, Vec::new()),
        (libc::SYS_socket, Vec::new()),
    ]);
    #[cfg(target_arch = "x86_64")]
    for older in [libc::SYS_fork, libc::SYS_vfork] {
        refused.insert(older, Vec::new());
    }
    let unknown = u32::try_from(libc::ENOSYS).map_err(|error| failed(&error))?;
    let machine = std::env::consts::ARCH
        .try_into()
        .map_err(|error: BackendError| failed(&error))?;
    let filter = SeccompFilter::new(
        refused,
        SeccompAction::Allow,
        SeccompAction::Errno(unknown),
        machine,
    );
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(|error| failed(&error))?;
    apply_filter(&program).map_err(|error| failed(&error))
}
