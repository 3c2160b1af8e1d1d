//! The gate of a sandbox: a process outside of it, in a container of its own, with a foot in the sandbox's
//! network, out of which nothing else leads.
//!
//! | port | what |
//! | --- | --- |
//! | [`GATE_IN`] | what comes to the sandbox: to its server, as it is |
//! | [`GATE_OUT`] | a proxy to the hosts that the session may reach, at public addresses ([`crate::egress`]) |
//! | that of the Worker | what the sandbox says to its model: to the Worker, as it is |
//!
//! It holds no secret: the first and the last carry tokens that it does not know, the last mostly inside
//! TLS. What it says to anybody in the sandbox, somebody else's machine could say as well.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use protocol::sandbox::{GATE_IN, GATE_OUT};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::egress::Egress;
use crate::serve::say;

/// Connections at a time, in each direction.
const MAX_CONNECTIONS: usize = 256;

/// How long the other side may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The sandbox's server
    #[arg(long, env = "AGENT_GATE_SANDBOX", default_value = "sandbox:3000")]
    pub sandbox: String,
    /// Where model calls go: the Worker, as host:port. The sandbox finds it at the same port of the gate
    #[arg(long, env = "AGENT_GATE_MODEL")]
    pub model: String,
    /// The hosts that the sandbox may reach besides, with commas between them
    #[arg(long, env = "AGENT_GATE_HOSTS", value_delimiter = ',')]
    pub hosts: Vec<String>,
}

/// Relays until it is told to end.
///
/// # Errors
/// Where it can't listen, or the model's address has no port.
pub async fn gate(options: Options) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let port = options.model.rsplit_once(':').map(|(_, port)| port.parse());
    let Some(Ok(port)) = port else {
        return Err(io::Error::other("AGENT_GATE_MODEL must be host:port"));
    };
    let listen = |port: u16| TcpListener::bind(("0.0.0.0", port));
    let hosts = options.hosts.into_iter().filter(|host| !host.is_empty());
    let egress = Arc::new(Egress::public(hosts.collect()));
    tokio::spawn(relay(listen(GATE_IN).await?, options.sandbox));
    tokio::spawn(relay(listen(port).await?, options.model));
    tokio::spawn(egress.serve(listen(GATE_OUT).await?));
    say(&json!({ "in": GATE_IN, "out": GATE_OUT, "model": port }));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Hands every connection on to another address, bytes as they are.
async fn relay(listener: TcpListener, to: String) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((mut near, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let to = to.clone();
        tokio::spawn(async move {
            let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect(&to));
            match connecting.await {
                Ok(Ok(mut far)) => {
                    // A word that waits for more to fill a packet is a word that is late.
                    let _slower = (near.set_nodelay(true), far.set_nodelay(true));
                    let _cut = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
                Ok(Err(error)) => tracing::debug!(to, %error, "not reached"),
                Err(_) => tracing::debug!(to, "not reached in time"),
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways_and_ends_too() {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = near.local_addr().unwrap();
        tokio::spawn(relay(near, far.local_addr().unwrap().to_string()));
        let mut client = TcpStream::connect(at).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut server, _) = far.accept().await.unwrap();
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");
        server.write_all(b"bye").await.unwrap();
        drop(server);
        let mut told = String::new();
        client.read_to_string(&mut told).await.unwrap();
        assert_eq!(told, "bye");
    }
}
