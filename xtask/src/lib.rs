//! Every chore of the project, as a library: the end-to-end tests start the same stack that
//! `cargo xtask dev` starts.
//!
//! | module | purpose |
//! | --- | --- |
//! | [`tools`] | what has to be installed, in which version, and installing it |
//! | [`build`] | the Workers, the agent-server, the UI and what the sandbox's image is made of |
//! | [`wasm`] | the Workers' Wasm without names, and within its budget |
//! | [`docs`] | the reader's page of the API |
//! | [`stack`] | both Workers and what they need, running |
//! | [`docker`] | sandboxes on this machine's Docker engine |
//! | [`keys`] | API keys of a deployment |
//! | [`bench`] | the model router measured beside others |
//! | [`test`] | every test there is |
//! | [`process`] | child processes that end with their parent |

pub mod bench;
pub mod build;
pub mod docker;
pub mod docs;
pub mod keys;
pub mod process;
pub mod stack;
pub mod test;
pub mod tools;
pub mod wasm;

use std::path::{Path, PathBuf};

/// The project's root folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Tells the person at the terminal what is being done.
pub fn say(what: &str) {
    eprintln!("\x1b[1;36m▸\x1b[0m {what}");
}
