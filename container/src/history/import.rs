//! The words of git-fast-import(1).

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A file's content.
pub fn blob(content: &[u8]) -> Vec<u8> {
    let mut words = format!("blob\ndata {}\n", content.len()).into_bytes();
    words.extend_from_slice(content);
    words.push(b'\n');
    words
}

/// The begin of a commit that builds on another, where there is one.
pub fn commit(after: Option<&str>, seconds: u64) -> Vec<u8> {
    let mut words =
        format!("commit refs/heads/now\ncommitter agent-server <> {seconds} +0000\ndata 0\n");
    if let Some(after) = after {
        words += &format!("from {after}\n");
    }
    words.into_bytes()
}

/// Something is gone.
pub fn delete(path: &Path) -> Vec<u8> {
    let mut words = b"D ".to_vec();
    quote(path, &mut words);
    words
}

/// Something is there.
pub fn put(path: &Path, mode: &str, name: &str) -> Vec<u8> {
    let mut words = format!("M {mode} {name} ").into_bytes();
    quote(path, &mut words);
    words
}

pub const DONE: &[u8] = b"done\n";

/// Whatever bytes it has, it is one path.
fn quote(path: &Path, into: &mut Vec<u8>) {
    into.push(b'"');
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'"' | b'\\' => into.extend([b'\\', *byte]),
            b'\n' => into.extend(b"\\n"),
            byte => into.push(*byte),
        }
    }
    into.extend(b"\"\n");
}
