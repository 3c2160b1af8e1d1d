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
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::sandbox::{GATE_IN, GATE_OUT};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::egress::Egress;
use crate::hello;
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
    /// The name by which the Worker is asked, where that is by TLS: nothing else is passed on to it then
    #[arg(long, env = "AGENT_GATE_MODEL_NAME")]
    pub model_name: Option<String>,
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
    let inward = Relay {
        to: options.sandbox.clone(),
        name: None,
        not_from: Some(options.sandbox),
    };
    let outward = Relay {
        to: options.model,
        name: options.model_name,
        not_from: None,
    };
    tokio::spawn(inward.run(listen(GATE_IN).await?));
    tokio::spawn(outward.run(listen(port).await?));
    tokio::spawn(egress.serve(listen(GATE_OUT).await?));
    say(&json!({ "in": GATE_IN, "out": GATE_OUT, "model": port }));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Hands every connection on to another address, bytes as they are.
#[derive(Debug)]
struct Relay {
    to: String,
    /// The name that has to be asked for inside TLS, where it has to be TLS.
    name: Option<String>,
    /// Who is not let in by here, `host:port`: it could take all the places.
    not_from: Option<String>,
}

impl Relay {
    async fn run(self, listener: TcpListener) {
        let relay = Arc::new(self);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok((near, peer)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let relay = Arc::clone(&relay);
            tokio::spawn(async move {
                match tokio::time::timeout(PATIENCE, relay.connect(near, peer)).await {
                    Ok(Ok((mut near, mut far))) => {
                        let _cut = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                    Ok(Err(error)) => tracing::debug!(to = relay.to, %error, "not relayed"),
                    Err(_) => tracing::debug!(to = relay.to, "not relayed in time"),
                }
                drop(place);
            });
        }
    }

    /// Both ends of a connection that may be.
    async fn connect(
        &self,
        mut near: TcpStream,
        peer: SocketAddr,
    ) -> io::Result<(TcpStream, TcpStream)> {
        if let Some(host) = &self.not_from
            && let Ok(mut found) = tokio::net::lookup_host(host).await
            && found.any(|found| found.ip() == peer.ip())
        {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let begun = match &self.name {
            Some(name) => hello::asks_for(&mut near, name).await?,
            None => Vec::new(),
        };
        let mut far = TcpStream::connect(&self.to).await?;
        // A word that waits for more to fill a packet is a word that is late.
        let _slower = (near.set_nodelay(true), far.set_nodelay(true));
        far.write_all(&begun).await?;
        Ok((near, far))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways_and_ends_too() {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = near.local_addr().unwrap();
        let relay = Relay {
            to: far.local_addr().unwrap().to_string(),
            name: None,
            not_from: None,
        };
        tokio::spawn(relay.run(near));
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

    #[tokio::test]
    async fn who_is_not_let_in_and_what_is_no_tls_is_cut() {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = far.local_addr().unwrap().to_string();
        for (name, not_from) in [
            (Some("worker.example".to_owned()), None),
            (None, Some("127.0.0.1:1".to_owned())),
        ] {
            let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = near.local_addr().unwrap();
            let to = to.clone();
            tokio::spawn(Relay { to, name, not_from }.run(near));
            let mut client = TcpStream::connect(at).await.unwrap();
            let _cut = client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let mut told = Vec::new();
            let _cut = client.read_to_end(&mut told).await;
            assert!(told.is_empty());
        }
        let asked = tokio::time::timeout(Duration::from_millis(100), far.accept());
        assert!(asked.await.is_err(), "nobody came through");
    }
}
