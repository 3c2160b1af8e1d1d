//! What a provider streams in the caller's own dialect.

use serde::Deserialize;
use serde_json::Value;

use super::TokensUsed;
use crate::answer::{Answer, Body};
use crate::api::Api;
use crate::count;
use crate::error::{self, Refusal};
use crate::reply::Usage;
use crate::sse::{Event, LARGEST_EVENT, SseParser};
use crate::translate::incoming::Incoming;
use crate::translate::usage::usage_in;

/// A stream that goes byte for byte to a client that speaks the provider's dialect. It is only
/// watched: for its usage, and for whether it came to its end.
#[derive(Debug)]
pub struct PassedThrough {
    api: Api,
    provider: &'static str,
    parser: SseParser,
    out: Vec<u8>,
    watch: Watch,
    /// The client has not asked for the chunk that tells the usage, and does not get it.
    keeps_usage: bool,
    /// Whether the client has got anything.
    told: bool,
    failed: Option<Refusal>,
    over: bool,
    /// What the call is called here.
    request_id: Option<String>,
    /// What the request has used, where the provider does not tell it.
    input_estimate: u64,
}

/// The most bytes of an event that count as its frame, and not as text.
const LARGEST_FRAME: usize = 512;

/// What a stream has said so far, by the size of its events alone: most of them are not read.
#[derive(Debug, Default)]
struct Streamed {
    events: u64,
    bytes: usize,
    /// Of the smallest, which holds next to nothing but its frame.
    smallest: Option<usize>,
}

impl Streamed {
    fn take(&mut self, data: &[u8]) {
        self.events += 1;
        self.bytes = self.bytes.saturating_add(data.len());
        let smallest = self.smallest.unwrap_or(LARGEST_FRAME);
        self.smallest = Some(smallest.min(data.len()));
    }

    /// An estimate. An event holds one token at least.
    fn tokens(&self) -> u64 {
        let frame = self.smallest.unwrap_or(0) as u64;
        let frames = usize::try_from(frame.saturating_mul(self.events)).unwrap_or(usize::MAX);
        count::of_bytes(self.bytes.saturating_sub(frames)).max(self.events)
    }
}

#[derive(Debug, Default)]
struct Watch {
    usage: Usage,
    /// Whether the provider has told what the whole answer used.
    told_usage: bool,
    streamed: Streamed,
    events: u64,
    /// The answer has come to its end: `message_stop`, or a reason why a chat's model stopped.
    stopped: bool,
    /// `[DONE]` or `message_stop` has come, after which nothing is said
    /// (<https://docs.anthropic.com/en/docs/build-with-claude/streaming>): nobody waits for the end of the
    /// connection.
    done: bool,
    /// The provider has sent an `error` event; the client sees it as it is.
    error: Option<Vec<u8>>,
    /// Whether the last bytes ended an event.
    between: bool,
}

impl Watch {
    fn take(&mut self, event: Event, api: Api) {
        self.events += 1;
        match api {
            Api::Messages => self.message_event(event),
            Api::Chat => self.chunk(event),
        }
    }

    /// Most chunks hold only text, and are not even read.
    fn chunk(&mut self, event: Event) {
        if event.data == b"[DONE]" {
            self.done = true;
            return;
        }
        self.streamed.take(event.data);
        let error = event.name == "error" || has_value(event.data, b"\"error\"");
        if has_value(event.data, b"\"usage\"") || error {
            let value: Value = serde_json::from_slice(event.data).unwrap_or_default();
            if let Some(usage) = usage_in(&value) {
                self.usage = usage;
                self.told_usage = true;
            }
            if error && (event.name == "error" || value.get("error").is_some()) {
                self.error = Some(event.data.to_vec());
            }
        }
        self.stopped |= has_value(event.data, b"\"finish_reason\"");
    }

    fn message_event(&mut self, event: Event) {
        #[derive(Deserialize)]
        struct Told {
            message: Option<Message>,
            usage: Option<TokensUsed>,
        }
        #[derive(Deserialize)]
        struct Message {
            usage: Option<TokensUsed>,
        }
        match event.name {
            "content_block_delta" => self.streamed.take(event.data),
            // Only these two hold usage; deltas, of which there are many, are not even read.
            "message_start" | "message_delta" => {
                let told = serde_json::from_slice::<Told>(event.data).ok();
                let usage = told.and_then(|told| {
                    let within = told.message.and_then(|message| message.usage);
                    within.or(told.usage)
                });
                if let Some(usage) = usage {
                    self.told_usage =
                        event.name == "message_delta" && usage.output_tokens.is_some();
                    usage.update(&mut self.usage);
                }
            }
            "message_stop" => (self.stopped, self.done) = (true, true),
            "error" => self.error = Some(event.data.to_vec()),
            _ => {}
        }
    }
}

/// Whether an event may have the key `quoted` with another value than null and an empty text, which some
/// providers write for null. What stands in a text does not count, because its quotes are escaped there.
fn has_value(data: &[u8], quoted: &[u8]) -> bool {
    memchr::memmem::find_iter(data, quoted).any(|at| {
        let after = data.get(at + quoted.len()..).unwrap_or_default();
        let value = after.trim_ascii_start().strip_prefix(b":");
        value.is_some_and(|value| {
            let value = value.trim_ascii_start();
            !value.starts_with(b"null") && !value.starts_with(b"\"\"")
        })
    })
}

impl PassedThrough {
    /// A stream in the dialect of `api` that has not begun.
    /// `keeps_usage`: a chunk that holds nothing but the usage is not for the client.
    pub fn new(provider: &'static str, api: Api, keeps_usage: bool) -> Self {
        Self {
            api,
            provider,
            parser: SseParser::default(),
            out: Vec::new(),
            watch: Watch::default(),
            keeps_usage,
            told: false,
            failed: None,
            over: false,
            request_id: None,
            input_estimate: 0,
        }
    }

    /// The same stream as the answer to a request of so many tokens, for a client that leaves before the
    /// provider has told what was used, or a provider that never does.
    pub fn answering(mut self, input_estimate: u64) -> Self {
        self.input_estimate = input_estimate;
        self
    }

    /// The same stream of a call that has an id, for errors that the router adds.
    pub fn of_call(mut self, request_id: Option<String>) -> Self {
        self.request_id = request_id;
        self
    }
}

/// Watches events, and writes those that are for the client into `out`, where there is one.
fn watching(watch: &mut Watch, api: Api, mut out: Option<&mut Vec<u8>>) -> impl FnMut(Event) {
    move |event| {
        if let Some(out) = &mut out
            && !is_usage_alone(event.data)
        {
            for line in event.data.split(|&byte| byte == b'\n') {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            out.push(b'\n');
        }
        watch.take(event, api);
    }
}

/// Whether a chunk holds no choice, only what was used.
fn is_usage_alone(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Vec<serde::de::IgnoredAny>,
    }
    has_value(data, b"\"usage\"")
        && serde_json::from_slice::<Chunk>(data).is_ok_and(|chunk| chunk.choices.is_empty())
}

impl Incoming for PassedThrough {
    fn push(&mut self, bytes: &[u8]) {
        if self.over {
            return;
        }
        if !self.keeps_usage {
            self.out.extend_from_slice(bytes);
        }
        let (watch, api) = (&mut self.watch, self.api);
        let out = self.keeps_usage.then_some(&mut self.out);
        watch.between = bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n");
        let read = self.parser.push(bytes, &mut watching(watch, api, out));
        // What is kept back until the first event may be comments without end.
        let piles_up = self.watch.events == 0 && self.out.len() > LARGEST_EVENT;
        if read.is_err() || piles_up {
            if piles_up {
                self.out.clear();
            }
            let message = format!("{} sent an event that is too large", self.provider);
            self.fail(Refusal::new(502, message));
        } else if let Some(data) = &self.watch.error {
            let error: Value = serde_json::from_slice(data).unwrap_or_default();
            let status = match error.pointer("/error/type").and_then(Value::as_str) {
                _ if self.api == Api::Chat => {
                    error::status_in(error.get("error").unwrap_or(&error))
                }
                Some("overloaded_error") => 529,
                Some("rate_limit_error") => 429,
                Some("invalid_request_error") => 400,
                _ => 500,
            };
            let said = error::message_in(data);
            self.failed.get_or_insert(Refusal::new(status, said));
            self.over = true;
        } else {
            self.over = self.watch.done;
        }
    }

    fn finish(&mut self) {
        if self.over {
            return;
        }
        let (watch, api) = (&mut self.watch, self.api);
        let out = self.keeps_usage.then_some(&mut self.out);
        let read = self.parser.finish(&mut watching(watch, api, out)).is_ok();
        if read && (self.watch.stopped || self.watch.done) {
            self.over = true;
        } else {
            self.fail(crate::upstream::broke(self.provider));
        }
    }

    fn fail(&mut self, refusal: Refusal) {
        if self.over {
            return;
        }
        self.over = true;
        if self.watch.stopped {
            // All has been said; that the connection did not end well is nobody's loss.
            return;
        }
        // What was cut in the middle of a line must not swallow the event that says so.
        self.out.extend_from_slice(match self.api {
            Api::Messages => b"\n\nevent: error\ndata: ".as_slice(),
            Api::Chat => b"\n\ndata: ",
        });
        let refusal = refusal.of_call(self.request_id.clone());
        let body = refusal.body_for(self.api).to_string();
        self.out.extend_from_slice(body.as_bytes());
        self.out.extend_from_slice(b"\n\n");
        self.failed = Some(refusal);
    }

    fn take(&mut self) -> Vec<u8> {
        // Nothing goes out before the first event is whole, because it may be an error.
        if self.watch.events == 0 && !self.over {
            return Vec::new();
        }
        self.told = true;
        std::mem::take(&mut self.out)
    }

    fn is_done(&self) -> bool {
        self.over
    }

    fn failed(&self) -> Option<&Refusal> {
        self.failed.as_ref()
    }

    fn early_failure(&mut self) -> Option<Refusal> {
        self.failed.clone().filter(|_| !self.told)
    }

    fn is_between_events(&self) -> bool {
        !self.told || (self.watch.between && self.out.is_empty())
    }

    fn usage(&self) -> Usage {
        let mut usage = self.watch.usage;
        let streamed = &self.watch.streamed;
        if !self.watch.told_usage && streamed.events > 0 {
            usage.output_tokens = usage.output_tokens.max(streamed.tokens());
            if self.api == Api::Chat {
                usage.input_tokens = self.input_estimate;
            }
        }
        usage
    }

    fn answer(self: Box<Self>) -> Result<(Answer, Usage), Refusal> {
        match self.failed.clone() {
            Some(refusal) => Err(refusal),
            None => {
                let usage = self.usage();
                Ok((Answer::events(Body::Whole(self.out)), usage))
            }
        }
    }
}
