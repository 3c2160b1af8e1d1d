//! Many sandboxes on one machine, for a laptop without containers.

use std::io;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where to listen; only on this machine
    #[arg(long, env = "AGENT_HOST_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// The folder with the sandboxes
    #[arg(long, env = "AGENT_HOST_DATA")]
    pub data: PathBuf,
}

/// # Errors
pub async fn host(_options: Options) -> io::Result<()> {
    Ok(())
}
