//! litellm-router outside of Cloudflare: the same router behind hyper.

mod connection;
mod host;
pub mod log;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use axum::serve::{Listener, ListenerExt};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use litellm_router::answer::{self, Answer, Piece};
use litellm_router::error::Refusal;
use litellm_router::relay::{self, Host, Relayed};
use litellm_router::serve::{self, BODY_TIME, Call, Guest, LARGEST_BODY, Router, Served};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use connection::Patient;
use host::NativeHost;

/// How long a connection may stay without a request's whole head. Clients keep connections that
/// nothing is sent on for up to 90 s, and would meet its end with a request.
const HEAD_TIME: Duration = Duration::from_secs(120);

/// How long a client may take none of what is sent to it.
const WRITE_TIME: Duration = Duration::from_secs(120);

/// How long a connection may keep silent.
#[derive(Clone, Copy)]
struct Patience {
    /// See [`HEAD_TIME`].
    head: Duration,
    /// See [`WRITE_TIME`].
    write: Duration,
}

const PATIENCE: Patience = Patience {
    head: HEAD_TIME,
    write: WRITE_TIME,
};

/// So many bytes of bodies may be in each of the [`Rooms`] at a time that have not come to their end.
const BODIES_UNDER_WAY: usize = 4 * LARGEST_BODY;

struct Shell {
    router: Arc<Router>,
    host: Arc<NativeHost>,
    rooms: Rooms,
    /// A permit for each connection that may be open.
    places: Arc<Semaphore>,
}

/// Room for bodies under way: a permit for each byte. Whoever can connect can fill that of strangers,
/// so those whose key the router knows have a room of their own.
struct Rooms {
    known: Semaphore,
    strangers: Semaphore,
}

impl Rooms {
    fn new() -> Self {
        Self {
            known: Semaphore::new(BODIES_UNDER_WAY),
            strangers: Semaphore::new(BODIES_UNDER_WAY),
        }
    }

    fn of(&self, guest: &Guest) -> &Semaphore {
        if guest.is_known() {
            &self.known
        } else {
            &self.strangers
        }
    }
}

/// Serves `router` on `listener` until `stop` is ready. Calls under way then have so long to come to
/// their end; what is left is cut.
///
/// # Errors
/// TLS could not be set up.
pub async fn run(
    router: Arc<Router>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> anyhow::Result<()> {
    let shell = Arc::new(Shell {
        router,
        host: Arc::new(NativeHost::new()?),
        rooms: Rooms::new(),
        places: Arc::new(Semaphore::new(connection::most())),
    });
    let connections = listen(shell, listener, stop, PATIENCE).await;
    let ended = tokio::time::timeout(grace, connections.shutdown()).await;
    if ended.is_err() {
        tracing::warn!("calls that were still under way are cut");
    }
    Ok(())
}

/// Takes connections until `stop` is ready. Where as many are open as may be, the next one waits.
async fn listen(
    shell: Arc<Shell>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    patience: Patience,
) -> GracefulShutdown {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(patience.head);
    let mut listener = without_delay(listener);
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&shell.places).acquire_owned().await;
            let (connection, _) = listener.accept().await;
            (connection, place)
        };
        let (connection, place) = tokio::select! {
            next = next => next,
            () = &mut stop => return connections,
        };
        let shell = Arc::clone(&shell);
        let service = service_fn(move |request: Request<Incoming>| {
            let shell = Arc::clone(&shell);
            async move { Ok::<_, Infallible>(handle(shell, request.map(Body::new)).await) }
        });
        let connection = Patient::new(connection, patience.write);
        let connection = http.serve_connection(TokioIo::new(connection), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection has failed");
            }
            drop(place);
        });
    }
}

/// Nagle's algorithm and delayed acknowledgements together hold back the last event of a stream for
/// 40 ms.
fn without_delay(
    listener: TcpListener,
) -> impl Listener<Io = tokio::net::TcpStream, Addr = std::net::SocketAddr> {
    listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    })
}

async fn handle(shell: Arc<Shell>, request: Request<Body>) -> Response {
    let entropy = host::entropy();
    let id = serve::request_id(entropy);
    let came = host::now();
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        let value = head.headers.get(name)?;
        // One that is no text is there all the same.
        Some(value.to_str().unwrap_or_default().to_owned())
    };
    // It may be held while nothing is waited for, and not longer: so there is one before its body is
    // there, and one after.
    let call = |body: Bytes, now: u64| Call {
        method: head.method.as_str(),
        path: head.uri.path_and_query().map_or("/", |path| path.as_str()),
        header: &header,
        body,
        entropy,
        came,
        now,
    };
    let (for_page, entered) = {
        let call = call(Bytes::new(), came);
        (
            shell.router.headers_for_page(&call),
            shell.router.enter(&call),
        )
    };
    let served = match entered {
        Err(served) => served,
        Ok(guest) => {
            // What else is served has no body, and anybody may ask for some of it.
            let body = match head.method {
                Method::POST => read_body(body, BODY_TIME, shell.rooms.of(&guest)).await,
                _ => Ok(Bytes::new()),
            };
            match body {
                Ok(body) => shell.router.serve(&call(body, host::now()), &guest),
                Err(refusal) => {
                    let call = call(Bytes::new(), host::now());
                    shell.router.refuse(&call, Some(&guest), refusal)
                }
            }
        }
    };
    let respond = |mut answer: Answer| {
        answer.headers.extend(for_page.iter().cloned());
        respond(answer, &id)
    };
    let job = match served {
        Served::Answer(answer) => return respond(answer),
        Served::Refused(answer, record) => {
            shell.host.record(&shell.router, &record, Vec::new());
            return respond(answer);
        }
        Served::Books(account) => {
            let books = shell.router.books(&account);
            return respond(shell.router.answer_with(&account, books, host::now()));
        }
        Served::Job(job) => job,
    };
    match relay::run(Arc::clone(&shell.host), job, id.clone()).await {
        Relayed::Answer(answer) => respond(answer),
        Relayed::Stream(mut headers, words) => {
            headers.extend(for_page);
            let words = words.map(|bytes| Ok::<_, Infallible>(Bytes::from(bytes)));
            response(200, headers, &id, Body::from_stream(words))
        }
    }
}

/// Reads a body that has so long to come, where there is room for it.
async fn read_body(body: Body, time: Duration, room: &Semaphore) -> Result<Bytes, Refusal> {
    let told = body.size_hint().lower();
    if told > LARGEST_BODY as u64 {
        return Err(serve::too_large());
    }
    let read = tokio::time::timeout(time, collected(body.into_data_stream(), room));
    let Ok(read) = read.await else {
        return Err(serve::too_slow(time));
    };
    read
}

/// The bytes of a body. They take up room until all are there.
async fn collected(mut body: BodyDataStream, room: &Semaphore) -> Result<Bytes, Refusal> {
    let mut taken = room.try_acquire_many(0).ok();
    let mut read = BytesMut::new();
    let mut first = Bytes::new();
    while let Some(chunk) = body.next().await {
        let cut = |_| Refusal::new(400, "the body could not be read to its end");
        let chunk = chunk.map_err(cut)?;
        if read.len() + first.len() + chunk.len() > LARGEST_BODY {
            return Err(serve::too_large());
        }
        let bytes = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        match (room.try_acquire_many(bytes), &mut taken) {
            (Ok(more), Some(taken)) => taken.merge(more),
            _ => return Err(serve::no_room()),
        }
        if read.is_empty() && first.is_empty() {
            // Most bodies are of one piece, which need not be copied.
            first = chunk;
            continue;
        }
        read.extend_from_slice(&std::mem::take(&mut first));
        read.extend_from_slice(&chunk);
    }
    Ok(if read.is_empty() {
        first
    } else {
        read.freeze()
    })
}

fn respond(answer: Answer, id: &str) -> Response {
    let body = match answer.body {
        answer::Body::Whole(bytes) => Body::from(bytes),
        answer::Body::Paced(pieces) => Body::from_stream(paced(pieces)),
    };
    response(answer.status, answer.headers, id, body)
}

/// Sends each piece when its time has come.
fn paced(
    pieces: Box<dyn Iterator<Item = Piece> + Send>,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.next()?;
        if piece.wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(piece.wait_ms.into())).await;
        }
        Some((Ok(Bytes::from(piece.bytes)), pieces))
    })
}

fn response(status: u16, headers: Vec<(String, String)>, id: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let all = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([("x-request-id", id)]);
    // Anthropic's SDKs read this name; a provider's own id comes first.
    let named = headers.iter().any(|(name, _)| name == "request-id");
    let all = all.chain((!named).then_some(("request-id", id)));
    for (name, value) in all {
        // A provider's header that HTTP does not allow is not worth the answer.
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn s17_small_packets_are_not_held_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = without_delay(listener);
        let client = TcpStream::connect(address);
        let (accepted, client) = tokio::join!(listener.accept(), client);
        assert!(accepted.0.nodelay().unwrap());
        // What the system does by itself is the other way.
        assert!(!client.unwrap().nodelay().unwrap());
    }

    /// The other end of a connection that this process holds both ends of.
    #[cfg(target_os = "linux")]
    fn other_end(of: &TcpStream) -> Option<std::net::TcpStream> {
        use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

        let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let mut sockets = open.filter_map(|entry| {
            let entry = entry.ok()?;
            let target = std::fs::read_link(entry.path()).ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            let is_socket = target.to_str()?.starts_with("socket:");
            is_socket
                .then(|| pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).ok())?
                .map(std::net::TcpStream::from)
        });
        let wanted = of.local_addr().unwrap();
        sockets.find(|socket| socket.peer_addr().is_ok_and(|peer| peer == wanted))
    }

    fn shell(yaml: &str) -> Arc<Shell> {
        Arc::new(Shell {
            router: Router::new(yaml, &|_| None).unwrap(),
            host: Arc::new(NativeHost::new().unwrap()),
            rooms: Rooms::new(),
            places: Arc::new(Semaphore::new(1)),
        })
    }

    /// A router that listens, and somebody who is connected to it and has sent this.
    async fn connected(yaml: &str, head_time: Duration, sends: &str) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Patience {
            head: head_time,
            ..PATIENCE
        };
        let listening = listen(shell(yaml), listener, std::future::pending(), patience);
        tokio::spawn(listening);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sends.as_bytes()).await.unwrap();
        client
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn s17_the_server_itself_holds_no_small_packets_back() {
        let request = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
        let mut client = connected("", HEAD_TIME, request).await;
        // When it has answered, it has taken the connection.
        assert!(client.read(&mut [0; 512]).await.unwrap() > 0);
        let served = other_end(&client).expect("the server's end is in this process");
        assert!(served.nodelay().unwrap());
        assert!(!client.nodelay().unwrap());
    }

    #[tokio::test]
    async fn half_a_head_holds_no_connection_for_ever() {
        let half = "POST /v1/messages HTTP/1.1\r\nhost:";
        let mut client = connected("", Duration::from_millis(50), half).await;
        let mut said = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut said));
        ended.await.expect("it is ended").unwrap();
        assert!(said.is_empty(), "{said:?}");
    }

    #[tokio::test]
    async fn a_body_has_so_long_to_come_and_no_longer() {
        let never = stream::pending::<Result<Bytes, Infallible>>();
        let begun = stream::iter([Ok(Bytes::from_static(b"{"))]).chain(never);
        let time = Duration::from_millis(10);
        let room = Semaphore::new(10);
        let refusal = read_body(Body::from_stream(begun), time, &room).await;
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.status, 408);
        assert!(refusal.message.contains("0.01 s"), "{}", refusal.message);
        let whole = read_body(Body::from("{}"), time, &room).await;
        assert_eq!(whole.unwrap(), "{}");
    }

    #[tokio::test]
    async fn bodies_under_way_have_so_much_room_and_no_more() {
        let pieces = |pieces: &[&'static str]| {
            let pieces: Vec<_> = pieces
                .iter()
                .map(|piece| Bytes::from_static(piece.as_bytes()))
                .collect();
            stream::iter(pieces.into_iter().map(Ok::<_, Infallible>))
        };
        let room = Semaphore::new(10);
        let never = stream::pending();
        let begun = Body::from_stream(pieces(&["1234", "567"]).chain(never));
        let mut waiting = std::pin::pin!(read_body(begun, BODY_TIME, &room));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert_eq!(room.available_permits(), 3);
        let refusal = read_body(Body::from("1234"), BODY_TIME, &room).await;
        assert_eq!(refusal.unwrap_err().status, 503);
        let fits = Body::from_stream(pieces(&["1", "2", "3"]));
        assert_eq!(read_body(fits, BODY_TIME, &room).await.unwrap(), "123");
        assert_eq!(room.available_permits(), 3);
    }

    #[tokio::test]
    async fn the_bodies_of_strangers_take_no_room_from_callers_with_a_key() {
        let yaml = "general_settings: {master_key: sk-master, keys: [{name: a, key: sk-a}]}\n\
                    model_list: [{model_name: d, litellm_params: {model: demo/scripted}}]";
        let shell = shell(yaml);
        let ask = async |headers: &[(&str, &str)], body: Body| {
            let mut request = Request::post("/v1/messages");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(body).unwrap();
            handle(Arc::clone(&shell), request).await.status().as_u16()
        };
        // A stranger has begun as many bodies as there is room for, and goes on with none.
        let strangers = u32::try_from(BODIES_UNDER_WAY).unwrap();
        let filled = shell.rooms.strangers.try_acquire_many(strangers).unwrap();
        let question = r#"{"model": "d", "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}]}"#;
        let stranger = [("x-api-key", "their-own")];
        assert_eq!(ask(&stranger, Body::from(question)).await, 503);
        let vouched = [
            ("x-api-key", "sk-master"),
            ("x-agent-router-provider-key", "sk-ant-alice"),
        ];
        for known in [&vouched[..1], &vouched, &[("x-api-key", "sk-a")]] {
            assert_eq!(ask(known, Body::from(question)).await, 200, "{known:?}");
        }
        drop(filled);
        // Theirs takes of their own room.
        let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        let begun = Body::from_stream(begun.chain(stream::pending()));
        let mut waiting = std::pin::pin!(ask(&stranger, begun));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert_eq!(shell.rooms.known.available_permits(), BODIES_UNDER_WAY);
        let left = shell.rooms.strangers.available_permits();
        assert_eq!(left, BODIES_UNDER_WAY - 1);
    }

    #[tokio::test]
    async fn a_body_is_waited_for_where_one_is_read_and_nowhere_else() {
        let request = "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{";
        let mut client = connected("", HEAD_TIME, request).await;
        let mut said = [0; 12];
        client.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"HTTP/1.1 200");
    }

    const SCRIPTED: &str = "model_list: [{model_name: d, litellm_params: {model: demo/scripted}}]";

    /// A stream of this model's, as its caller writes it.
    fn asked_to(says: &str) -> Vec<u8> {
        let body = format!(
            r#"{{"model": "d", "max_tokens": 999999, "stream": true,
            "messages": [{{"role": "user", "content": "{says}"}}]}}"#
        );
        let head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length";
        format!("{head}: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[tokio::test]
    async fn who_reads_nothing_holds_no_call_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shell = shell(SCRIPTED);
        let patience = Patience {
            write: Duration::from_millis(50),
            ..PATIENCE
        };
        tokio::spawn(listen(shell, listener, std::future::pending(), patience));
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1_024).unwrap();
        let mut client = socket.connect(address).await.unwrap();
        // More than lies between the two of them.
        let asked = asked_to("stream 90000 words every 0ms");
        client.write_all(&asked).await.unwrap();
        assert!(client.read(&mut [0; 512]).await.unwrap() > 0);
        // There is one place, which another gets when this one is given up.
        let mut other = TcpStream::connect(address).await.unwrap();
        let asked = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
        other.write_all(asked).await.unwrap();
        let mut said = [0; 12];
        let answered = other.read_exact(&mut said);
        let answered = tokio::time::timeout(Duration::from_secs(60), answered);
        answered.await.expect("it is given up").unwrap();
        assert_eq!(&said, b"HTTP/1.1 200");
        drop(client);
    }

    #[tokio::test]
    async fn so_many_connections_are_open_and_the_next_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listening = listen(shell(""), listener, std::future::pending(), PATIENCE);
        tokio::spawn(listening);
        let ask = async || {
            let mut client = TcpStream::connect(address).await.unwrap();
            let request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
            client.write_all(request).await.unwrap();
            client
        };
        let mut first = ask().await;
        assert!(first.read(&mut [0; 512]).await.unwrap() > 0);
        let mut second = ask().await;
        let mut seen = [0; 12];
        let short = tokio::time::timeout(Duration::from_millis(200), second.read_exact(&mut seen));
        assert!(short.await.is_err(), "it has been taken");
        drop(first);
        second.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"HTTP/1.1 200");
    }

    #[tokio::test]
    async fn a_call_that_is_under_way_at_a_stop_ends_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new(SCRIPTED, &|_| None).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let grace = Duration::from_secs(600);
        let running = tokio::spawn(run(router, listener, stopped, grace));
        let mut client = TcpStream::connect(address).await.unwrap();
        let asked = asked_to("stream 20 words every 20ms");
        client.write_all(&asked).await.unwrap();
        let mut said = vec![0; 512];
        let begun = client.read(&mut said).await.unwrap();
        said.truncate(begun);
        stop.send(()).unwrap();
        client.read_to_end(&mut said).await.unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("event: message_stop"), "{said}");
        // Chunked, it ends in a chunk of nothing.
        assert!(said.ends_with("\r\n0\r\n\r\n"), "{said}");
        // Nothing is left to wait for.
        let ended = tokio::time::timeout(Duration::from_secs(20), running);
        ended.await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stop_waits_for_calls_but_not_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new(SCRIPTED, &|_| None).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let grace = Duration::from_millis(300);
        let running = tokio::spawn(run(router, listener, stopped, grace));
        let mut client = TcpStream::connect(address).await.unwrap();
        let asked = asked_to("stream 90000 words every 1000ms");
        client.write_all(&asked).await.unwrap();
        let mut seen = [0; 512];
        assert!(client.read(&mut seen).await.unwrap() > 0);
        stop.send(()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), running);
        ended.await.unwrap().unwrap().unwrap();
    }
}
