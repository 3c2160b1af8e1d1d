//! The upstream of the benchmark: answers at once, in either dialect, in as many chunks as the name
//! of the model says.
//!
//! `bench-20` is answered with 20 tokens, each written by itself as a provider does;
//! `bench-20-paced` with [`PACE`] between them. The first token (of a paced answer, each) is the time
//! at which it was written, so that a client can tell how long it was on its way.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpListener;
use tokio::time::Sleep;

/// Between two tokens of a paced answer.
pub const PACE: Duration = Duration::from_millis(5);
/// What every token but those with a time says, in turns: LiteLLM takes a hundred equal ones for a
/// model that is stuck.
pub const TOKENS: [&str; 2] = ["word ", "next "];

/// Nanoseconds since the epoch: a clock that two processes share.
pub fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// Serves until it is killed. Prints its address when it listens.
///
/// # Errors
/// Where it can't listen.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        tokio::spawn(async move {
            // A client that leaves in the middle is no news.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(connection), service_fn(answer))
                .await;
        });
    }
}

/// The address that [`serve`] has printed.
///
/// # Errors
/// Where the line is not one.
pub fn address(line: &str) -> Result<SocketAddr> {
    Ok(line.trim().parse()?)
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Tokens>>, Infallible> {
    let dialect = if request.uri().path().ends_with("/messages") {
        &MESSAGES
    } else {
        &CHAT
    };
    let Ok(body) = request.into_body().collect().await else {
        let mut refusal = Response::new(Either::Left(Full::default()));
        *refusal.status_mut() = hyper::StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    let asked = Asked::read(&body.to_bytes());
    let (kind, body) = if asked.stream {
        let body = Either::Right(Tokens::new(dialect, &asked));
        ("text/event-stream", body)
    } else {
        let mut text = format!("@{}@", nanoseconds());
        text.extend(
            TOKENS
                .into_iter()
                .cycle()
                .take(asked.tokens.saturating_sub(1)),
        );
        let whole = dialect.whole.replace("TEXT", &text);
        ("application/json", Either::Left(Full::from(whole)))
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// What a request asks for, found without parsing it.
#[derive(Debug, PartialEq)]
struct Asked {
    tokens: usize,
    paced: bool,
    stream: bool,
}

impl Asked {
    fn read(body: &[u8]) -> Self {
        let after = |key: &str| {
            let found = memmem::find(body, key.as_bytes())?;
            let rest = body.get(found + key.len()..)?;
            let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
            rest.get(space.count()..)
        };
        let model = after("\"bench-").unwrap_or_default();
        let digits = model.iter().take_while(|byte| byte.is_ascii_digit());
        let digits = digits.copied().collect::<Vec<u8>>();
        let tokens = String::from_utf8(digits).unwrap_or_default();
        let rest = model.get(tokens.len()..).unwrap_or_default();
        Self {
            tokens: tokens.parse().unwrap_or(1),
            paced: rest.starts_with(b"-paced"),
            stream: after("\"stream\":").is_some_and(|value| value.starts_with(b"true")),
        }
    }
}

/// How a dialect says things. `TEXT` stands for the text of a token or of the whole answer.
struct Dialect {
    whole: &'static str,
    begin: &'static str,
    token: &'static str,
    end: &'static str,
}

static CHAT: Dialect = Dialect {
    whole: r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1760000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"TEXT"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":20,"total_tokens":1020},"system_fingerprint":"fp_bench","service_tier":"on_demand"}"#,
    begin: concat!(
        r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","system_fingerprint":"fp_bench","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
        "\n\n"
    ),
    token: concat!(
        r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","system_fingerprint":"fp_bench","choices":[{"index":0,"delta":{"content":"TEXT"},"logprobs":null,"finish_reason":null}]}"#,
        "\n\n"
    ),
    end: concat!(
        r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","system_fingerprint":"fp_bench","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","system_fingerprint":"fp_bench","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":20,"total_tokens":1020}}"#,
        "\n\ndata: [DONE]\n\n"
    ),
};

static MESSAGES: Dialect = Dialect {
    whole: r#"{"id":"msg_bench","type":"message","role":"assistant","model":"bench","content":[{"type":"text","text":"TEXT"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1000,"output_tokens":20}}"#,
    begin: concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"id":"msg_bench","type":"message","role":"assistant","model":"bench","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1000,"output_tokens":1}}}"#,
        "\n\nevent: content_block_start\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "\n\n"
    ),
    token: concat!(
        "event: content_block_delta\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"TEXT"}}"#,
        "\n\n"
    ),
    end: concat!(
        "event: content_block_stop\n",
        r#"data: {"type":"content_block_stop","index":0}"#,
        "\n\nevent: message_delta\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":20}}"#,
        "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    ),
};

/// The body of an answer that comes token by token.
struct Tokens {
    dialect: &'static Dialect,
    words: [Bytes; 2],
    tokens: usize,
    paced: bool,
    next: usize,
    /// Whether the last piece was handed over in this same turn: a pause between two makes them two
    /// writes.
    pause: bool,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Tokens {
    fn new(dialect: &'static Dialect, asked: &Asked) -> Self {
        Self {
            dialect,
            words: TOKENS.map(|token| Bytes::from(dialect.token.replace("TEXT", token))),
            tokens: asked.tokens,
            paced: asked.paced,
            next: 0,
            pause: false,
            wait: None,
        }
    }

    fn piece(&mut self) -> Option<Bytes> {
        let number = self.next;
        self.next += 1;
        Some(match number {
            0 => Bytes::from_static(self.dialect.begin.as_bytes()),
            _ if number > self.tokens + 1 => return None,
            _ if number == self.tokens + 1 => Bytes::from_static(self.dialect.end.as_bytes()),
            _ if number == 1 || self.paced => {
                let time = format!("@{}@", nanoseconds());
                Bytes::from(self.dialect.token.replace("TEXT", &time))
            }
            _ => {
                self.words.rotate_left(1);
                let [word, _] = &self.words;
                word.clone()
            }
        })
    }
}

impl Body for Tokens {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::take(&mut self.pause) {
            if self.paced {
                self.wait = Some(Box::pin(tokio::time::sleep(PACE)));
            } else {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if let Some(wait) = &mut self.wait {
            if wait.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.wait = None;
        }
        self.pause = true;
        Poll::Ready(self.piece().map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_found_however_the_gateway_writes_json() {
        let asked = |body: &str| Asked::read(body.as_bytes());
        let paced = Asked {
            tokens: 20,
            paced: true,
            stream: true,
        };
        assert_eq!(
            asked(r#"{"model": "bench-20-paced", "stream": true}"#),
            paced
        );
        assert_eq!(asked(r#"{"stream":true,"model":"bench-20-paced"}"#), paced);
        let whole = Asked {
            tokens: 2000,
            paced: false,
            stream: false,
        };
        assert_eq!(asked(r#"{"model":"bench-2000","stream":false}"#), whole);
        assert_eq!(asked(r#"{"model":"bench-2000"}"#), whole);
    }

    #[test]
    fn an_answer_has_a_beginning_its_tokens_and_an_end() {
        let asked = Asked {
            tokens: 3,
            paced: false,
            stream: true,
        };
        let mut tokens = Tokens::new(&CHAT, &asked);
        let pieces: Vec<Bytes> = std::iter::from_fn(|| tokens.piece()).collect();
        assert_eq!(pieces.len(), 5);
        let all = String::from_utf8(pieces.concat()).unwrap();
        for token in TOKENS {
            assert_eq!(all.matches(token).count(), 1);
        }
        assert_eq!(all.matches('@').count(), 2);
        assert!(all.ends_with("data: [DONE]\n\n"));
    }
}
