//! A saved workspace, read without a sandbox: what the archives of a save's chain say together, as a tree,
//! and where in them a file's content stands.
//!
//! | part | purpose |
//! | --- | --- |
//! | [`tar`] | an archive's entries, from pieces of its bytes |
//! | [`tree`] | what they make together |
//! | [`kinds`] | what a file is, for the names that are common |
//!
//! What is read here was written by the sandbox (`container/src/disk`), and its word is hostile: whatever
//! it is, nothing panics, and nothing is kept but what limits allow. This crate knows nothing of buckets,
//! and has no gzip of its own.

pub mod kinds;
pub mod tar;
pub mod tree;

/// Why an archive can't be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is no archive of this kind.
    Broken,
    /// It holds more than is kept in memory.
    TooMuch,
}
