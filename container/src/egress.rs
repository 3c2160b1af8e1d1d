//! The way out of the sandbox: a proxy on this machine that all programs in it are told of by the usual
//! variables. It lets through what the agent's configuration names, answers everything else with words
//! that an agent understands, and tells the session of both.
//!
//! It is no wall. Where the sandbox has one, that is the platform's, or a gate ([`crate::gate`]), and what
//! goes through here meets it afterwards; on a machine without, a program that does not ask for the proxy
//! is not held up.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::EgressDecision;
use protocol::egress::allows;
use protocol::event::EventBody;
use protocol::sandbox::Record;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;

use crate::hello;
use crate::mask::Secrets;
use crate::turn_log::TurnLog;

/// How long a host may take to accept a connection, and a client to send a request's head.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections at a time.
const MAX_CONNECTIONS: usize = 256;

/// Hosts that are told of in a turn.
const MAX_HOSTS: usize = 100;

/// Headers that are for this proxy and not for the host (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
];

type Body = BoxBody<Bytes, hyper::Error>;

/// What may be reached, and who is told of it.
#[derive(Debug)]
pub struct Egress {
    policy: Mutex<Policy>,
    secrets: Arc<Secrets>,
    way: Way,
}

/// How a host is reached that may be.
#[derive(Debug, Default)]
enum Way {
    /// As this machine reaches it.
    #[default]
    Direct,
    /// Through another proxy, `host:port`, which decides anew.
    Through(String),
    /// Only at public addresses: a name may point into the network that this machine is in.
    Public,
}

#[derive(Debug, Default)]
struct Policy {
    /// As [`protocol::egress::hosts`] gives them.
    hosts: Vec<String>,
    log: Option<Arc<TurnLog>>,
    told: BTreeSet<(String, bool)>,
}

impl Egress {
    /// A way out that nothing is allowed yet. `secrets` are shown to nobody, also not as the name of a
    /// host.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self {
            policy: Mutex::default(),
            secrets,
            way: Way::Direct,
        }
    }

    /// The same, where everything leaves through another proxy, `host:port`.
    #[must_use]
    pub fn through(mut self, gate: Option<String>) -> Self {
        self.way = gate.map_or(Way::Direct, Way::Through);
        self
    }

    /// A way out to these hosts, as [`protocol::egress::hosts`] gives them, at public addresses alone. It
    /// tells nobody.
    pub fn public(hosts: Vec<String>) -> Self {
        Self {
            policy: Mutex::new(Policy {
                hosts,
                ..Policy::default()
            }),
            secrets: Arc::default(),
            way: Way::Public,
        }
    }

    /// What is shown to nobody.
    pub fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets)
    }

    /// Begins to listen. Returns where.
    ///
    /// # Errors
    /// Those of the machine.
    pub async fn listen(self: &Arc<Self>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(Arc::clone(self).serve(listener));
        Ok(address)
    }

    /// From now on a turn's agent is at work, which may reach these hosts.
    pub fn begin(&self, hosts: &[String], log: &Arc<TurnLog>) {
        *self.policy() = Policy {
            hosts: hosts.to_vec(),
            log: Some(Arc::clone(log)),
            told: BTreeSet::new(),
        };
    }

    fn policy(&self) -> MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a host may be reached. The turn that runs is told, once for each.
    fn decide(&self, host: &str) -> bool {
        let mut policy = self.policy();
        let allowed = allows(&policy.hosts, host);
        let host = self.secrets.mask().text(host).to_ascii_lowercase();
        if policy.told.len() < MAX_HOSTS && policy.told.insert((host.clone(), allowed)) {
            let decision = match allowed {
                true => EgressDecision::Allowed,
                false => EgressDecision::Denied,
            };
            let event = EventBody::Egress {
                content: decision.told(&host),
                host,
                decision,
            };
            if let Some(log) = &policy.log {
                // Where it is full, the turn fails for that, and says so.
                let _full = log.add(Record {
                    events: vec![event],
                    ..Record::default()
                });
            }
        }
        allowed
    }

    /// Answers what comes to a listener, for good.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let egress = Arc::clone(&self);
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let egress = Arc::clone(&egress);
                    async move { Ok::<_, Infallible>(egress.answer(request).await) }
                });
                let mut server = hyper::server::conn::http1::Builder::new();
                server
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .preserve_header_case(true);
                let connection = server.serve_connection(TokioIo::new(stream), answer);
                // A client that goes away is no matter.
                let _gone = connection.with_upgrades().await;
                drop(place);
            });
        }
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        if !matches!(self.way, Way::Public) {
            return TcpStream::connect((host, port)).await;
        }
        // Looked up once: what is asked and what is connected to is the same.
        let found = lookup_host((host, port)).await?;
        let public: Vec<SocketAddr> = found.filter(|found| is_public(found.ip())).collect();
        match public.is_empty() {
            true => Err(io::Error::other("it has no public address")),
            false => TcpStream::connect(&*public).await,
        }
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let Some((host, port)) = target(&request) else {
            return said(
                StatusCode::BAD_REQUEST,
                "This is a proxy: it takes CONNECT host:port, and requests whose address is whole.",
            );
        };
        if !self.decide(&host) {
            return said(
                StatusCode::FORBIDDEN,
                &format!(
                    "This sandbox may not reach {host}. What it may reach is named in its agent's \
                     configuration, under egress."
                ),
            );
        }
        if let Way::Through(gate) = &self.way {
            return through(request, gate, &host, port).await;
        }
        let stream = match tokio::time::timeout(PATIENCE, self.connect(&host, port)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let words = format!("{host} can't be reached: {error}.");
                return said(StatusCode::BAD_GATEWAY, &words);
            }
            Err(_) => {
                let words = format!("{host} does not answer.");
                return said(StatusCode::GATEWAY_TIMEOUT, &words);
            }
        };
        // A word that waits for more to fill a packet is a word that is late.
        let _slower = stream.set_nodelay(true);
        if request.method() == Method::CONNECT {
            // Behind a wall it has to be the host that was decided about, and not its neighbour.
            let name = matches!(self.way, Way::Public).then_some(host);
            tokio::spawn(async move {
                if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
                    let relayed = relay(TokioIo::new(upgraded), stream, name.as_deref()).await;
                    if let Err(error) = relayed {
                        tracing::debug!(%error, "a connection was cut");
                    }
                }
            });
            return Response::new(nothing());
        }
        match pass(request, &host, stream).await {
            Ok(response) => response.map(BodyExt::boxed),
            Err(error) => said(
                StatusCode::BAD_GATEWAY,
                &format!("{host} did not answer as it should: {error}."),
            ),
        }
    }
}

/// Hands bytes on both ways; where a name is given, of TLS for that name alone.
async fn relay(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut host: TcpStream,
    name: Option<&str>,
) -> io::Result<()> {
    if let Some(name) = name {
        let begun = hello::asks_for(&mut client, name).await?;
        host.write_all(&begun).await?;
    }
    tokio::io::copy_bidirectional(&mut client, &mut host).await?;
    Ok(())
}

/// Hands a request to another proxy.
async fn through(request: Request<Incoming>, gate: &str, host: &str, port: u16) -> Response<Body> {
    let passed = async {
        let stream = TcpStream::connect(gate).await?;
        let _slower = stream.set_nodelay(true);
        pass_to_gate(request, stream, host, port)
            .await
            .map_err(io::Error::other)
    };
    match passed.await {
        Ok(response) => response,
        Err(error) => said(
            StatusCode::BAD_GATEWAY,
            &format!("{host} can't be reached: the sandbox's way out does not answer: {error}."),
        ),
    }
}

async fn pass_to_gate(
    mut request: Request<Incoming>,
    stream: TcpStream,
    host: &str,
    port: u16,
) -> hyper::Result<Response<Body>> {
    let mut client = hyper::client::conn::http1::Builder::new();
    client.preserve_header_case(true);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    if request.method() != Method::CONNECT {
        for name in HOP_BY_HOP {
            request.headers_mut().remove(HeaderName::from_static(name));
        }
        let response = sender.send_request(request.map(BodyExt::boxed)).await?;
        return Ok(response.map(BodyExt::boxed));
    }
    let mut connect = Request::new(nothing());
    *connect.method_mut() = Method::CONNECT;
    let target = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    *connect.uri_mut() = target.parse::<Uri>().unwrap_or_default();
    if let Ok(target) = HeaderValue::from_str(&target) {
        connect.headers_mut().insert(HOST, target);
    }
    let mut response = sender.send_request(connect).await?;
    if response.status() != StatusCode::OK {
        return Ok(response.map(BodyExt::boxed));
    }
    tokio::spawn(async move {
        let both = tokio::join!(
            hyper::upgrade::on(&mut request),
            hyper::upgrade::on(&mut response)
        );
        if let (Ok(client), Ok(gate)) = both {
            let (mut client, mut gate) = (TokioIo::new(client), TokioIo::new(gate));
            let _cut = tokio::io::copy_bidirectional(&mut client, &mut gate).await;
        }
    });
    Ok(Response::new(nothing()))
}

fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// Whether an address is one of the internet's, and none of a machine, of its network, or of what a
/// provider of machines keeps for them (169.254.169.254).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a, b & 0xc0) == (100, 64)
                || (a, b & 0xfe) == (198, 18))
        }
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_public(v4),
            None => {
                let [first, ..] = v6.segments();
                // Of all there are, 2000::/3 is what is given out.
                first & 0xe000 == 0x2000
            }
        },
    }
}

/// The address of the older internet that one of the newer stands for.
fn embedded(address: Ipv6Addr) -> Option<IpAddr> {
    let octets = address.octets();
    let v4 = |from: usize| {
        let octets: [u8; 4] = octets.get(from..from + 4)?.try_into().ok()?;
        Some(IpAddr::from(octets))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, ..] => v4(12),
        [0x2002, ..] => v4(2),
        _ => None,
    }
}

/// The host that a request is for, and the port.
fn target(request: &Request<Incoming>) -> Option<(String, u16)> {
    let uri = request.uri();
    let connects = request.method() == Method::CONNECT;
    if !connects && uri.scheme_str() != Some("http") {
        return None;
    }
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16();
    Some((host.to_owned(), port.or((!connects).then_some(80))?))
}

/// Sends a plain request on, bodies as streams.
async fn pass(
    mut request: Request<Incoming>,
    host: &str,
    stream: TcpStream,
) -> hyper::Result<Response<Incoming>> {
    let mut client = hyper::client::conn::http1::Builder::new();
    client.preserve_header_case(true);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let host = match request.uri().port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let path = request.uri().path_and_query();
    let path = path.map_or_else(|| "/".to_owned(), ToString::to_string);
    *request.uri_mut() = path.parse::<Uri>().unwrap_or_default();
    let headers = request.headers_mut();
    for name in HOP_BY_HOP {
        headers.remove(HeaderName::from_static(name));
    }
    // What was decided is about the address, so the host hears no other name.
    if let Ok(host) = HeaderValue::from_str(&host) {
        headers.insert(HOST, host);
    }
    sender.send_request(request).await
}

fn said(status: StatusCode, words: &str) -> Response<Body> {
    let body = Full::from(format!("{words}\n")).map_err(|never| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The authority by which the platform opens TLS on its way out, where it does
/// (<https://developers.cloudflare.com/containers/platform-details/outbound-traffic/>).
const PLATFORM_AUTHORITY: &str = "/etc/cloudflare/certs/cloudflare-containers-ca.crt";

/// Where a Debian keeps the authorities that it trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Writes a file of all authorities that programs in the sandbox are to trust: the system's and the
/// platform's; none where the platform has none.
pub fn authorities() -> Option<PathBuf> {
    let platform = std::fs::read(PLATFORM_AUTHORITY).ok()?;
    let mut all = std::fs::read(SYSTEM_AUTHORITIES).unwrap_or_default();
    all.push(b'\n');
    all.extend(platform);
    let path = std::env::temp_dir().join("authorities.pem");
    std::fs::write(&path, all).ok()?;
    Some(path)
}

/// The variables by which programs find the proxy and trust the platform. What is said to the model and
/// on this machine itself goes past it.
pub fn variables(
    proxy: SocketAddr,
    model_host: &str,
    authorities: Option<&Path>,
) -> Vec<(&'static str, String)> {
    let proxy = format!("http://{proxy}");
    let model = model_host.split(':').next().unwrap_or_default();
    let past = format!("localhost,127.0.0.1,::1,{model}");
    let mut variables: Vec<(&'static str, String)> =
        ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]
            .map(|name| (name, proxy.clone()))
            .to_vec();
    variables.extend(["NO_PROXY", "no_proxy"].map(|name| (name, past.clone())));
    if let Some(path) = authorities {
        let path = path.to_string_lossy();
        // Node adds this one to its own; the others know no others beside it.
        variables.push(("NODE_EXTRA_CA_CERTS", PLATFORM_AUTHORITY.to_owned()));
        for name in [
            "CARGO_HTTP_CAINFO",
            "CURL_CA_BUNDLE",
            "GIT_SSL_CAINFO",
            "PIP_CERT",
            "REQUESTS_CA_BUNDLE",
            "SSL_CERT_FILE",
        ] {
            variables.push((name, path.to_string()));
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::is_public;

    #[test]
    fn addresses_inside_are_not_public() {
        for public in [
            "1.1.1.1",
            "140.82.112.3",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.17.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:a00:1::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
    }
}
