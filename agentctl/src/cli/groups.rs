//! The commands that are groups of commands.

use std::path::PathBuf;

use clap::Subcommand;
use protocol::SessionId;

use super::session;

#[derive(Debug, Subcommand)]
pub enum Files {
    /// List what is in the workspace, or in a folder of it
    Ls {
        /// The session's id, as ls shows it
        #[arg(value_parser = session)]
        session: SessionId,
        /// The folder in the workspace; without, all of it
        #[arg(default_value = "")]
        path: String,
        /// How many folders deep
        #[arg(long)]
        depth: Option<u64>,
        /// Also what .gitignore names
        #[arg(long)]
        ignored: bool,
    },
    /// Get a file
    Get {
        /// The session's id, as ls shows it
        #[arg(value_parser = session)]
        session: SessionId,
        /// The path in the workspace
        path: String,
        /// A file or a folder that is there; - is stdout; without, the file's own name here
        to: Option<PathBuf>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Put a file into the workspace
    Put {
        /// The session's id, as ls shows it
        #[arg(value_parser = session)]
        session: SessionId,
        /// The file, - for stdin
        file: PathBuf,
        /// Its path in the workspace; with / at the end, a folder; without, its own name
        path: Option<String>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Remove a file or folder
    Rm {
        /// The session's id, as ls shows it
        #[arg(value_parser = session)]
        session: SessionId,
        /// The path in the workspace
        path: String,
        /// A folder with all that is in it
        #[arg(long, short)]
        recursive: bool,
    },
    /// Move or rename
    Mv {
        /// The session's id, as ls shows it
        #[arg(value_parser = session)]
        session: SessionId,
        /// What is moved, its path in the workspace
        from: String,
        /// Its new path
        to: String,
        /// Replace what is there
        #[arg(long)]
        force: bool,
    },
    /// Make a folder
    Mkdir {
        /// The session's id, as ls shows it
        #[arg(value_parser = session)]
        session: SessionId,
        /// The path in the workspace
        path: String,
    },
    /// Get the workspace, or a folder of it, as a ZIP
    Zip {
        /// The session's id, as ls shows it
        #[arg(value_parser = session)]
        session: SessionId,
        /// The folder in the workspace; without, all of it
        #[arg(default_value = "")]
        path: String,
        /// The file to write, - for stdout; without, SESSION.zip here
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Leave out what .gitignore names
        #[arg(long)]
        without_ignored: bool,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Configs {
    /// List your own
    Ls,
    /// A whole configuration, as JSON
    Get {
        /// Its id, as presets and configs ls show it
        id: String,
    },
    /// Keep a configuration, in YAML or JSON
    Put {
        /// The file, - for stdin
        file: PathBuf,
        /// Replace the one that has its id
        #[arg(long, value_name = "ID")]
        replace: Option<String>,
    },
    /// Remove one of your own
    Rm {
        /// Its id, as configs ls shows it
        id: String,
    },
    /// The JSON Schema of a configuration
    Schema,
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List the keys that hold
    Ls {
        /// Whose keys; others than your own need the operator's token
        #[arg(long)]
        owner: Option<String>,
    },
    /// Make a key; it is printed once
    Create {
        /// What it is for
        #[arg(long, default_value = "")]
        name: String,
        /// What it may: read, write, launch, admin
        #[arg(long, value_delimiter = ',', default_value = "read,write,launch")]
        scopes: Vec<String>,
        /// After so many days it ends; without, it holds until it is revoked
        #[arg(long)]
        days: Option<u64>,
        /// Whose it is; others than your own need the operator's token
        #[arg(long)]
        owner: Option<String>,
    },
    /// Revoke a key, at once
    Revoke {
        /// Its id, as keys ls shows it
        id: String,
        /// Whose it is; others than your own need the operator's token
        #[arg(long)]
        owner: Option<String>,
    },
}
