//! The router from the outside, without a network: calls in, answers or upstream requests out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod documented;
mod doors;
mod exchanges;
mod hostile;
mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use litellm_router::answer::Answer;
use litellm_router::job::Next;
use litellm_router::serve::{Call, Router, Served};
use litellm_router::upstream::Exchange;
use serde_json::{Value, json};

const CONFIG: &str = "
model_list:
  - {model_name: local/demo, litellm_params: {model: demo/scripted}}
  - {model_name: 'groq/*', litellm_params: {model: 'groq/*'}}
  - {model_name: 'openrouter/*', litellm_params: {model: 'openrouter/*'}}
  - {model_name: 'claude-*', litellm_params: {model: 'anthropic/claude-*'}}
  - {model_name: opus, litellm_params: {model: anthropic/claude-opus-x, api_key: os.environ/OTHER, timeout: 1.5}}
  - {model_name: own, litellm_params: {model: hosted_vllm/qwen, api_base: 'http://10.0.0.1/v1/', extra_headers: {X-Team: os.environ/TEAM}}}
  - {model_name: mocked, litellm_params: {model: groq/x, mock_response: A mocked answer.}}
  - {model_name: limited, litellm_params: {model: groq/x, mock_response: litellm.RateLimitError}}
  - {model_name: too-long, litellm_params: {model: groq/x, mock_response: litellm.ContextWindowExceededError}}
";

/// When every call comes: milliseconds since the epoch.
const NOW: u64 = 1_700_000_000_000;

/// What becomes of a call at first.
enum Outcome {
    Answer(Answer),
    Fetch(Box<Exchange>),
}

struct Client {
    router: Arc<Router>,
    headers: BTreeMap<&'static str, &'static str>,
}

fn client(yaml: &str, secrets: &[(&'static str, &'static str)]) -> Client {
    Client {
        router: Router::new(yaml, &|name| {
            let found = secrets.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .unwrap(),
        headers: BTreeMap::new(),
    }
}

impl Client {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn call(&self, method: &str, path: &str, body: &[u8]) -> Outcome {
        let get = |name: &str| self.headers.get(name).map(|value| (*value).to_owned());
        let call = Call {
            method,
            path,
            header: &get,
            body: body.to_vec().into(),
            entropy: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
            came: NOW,
            now: NOW,
        };
        match self.served(&call) {
            Served::Answer(answer) | Served::Refused(answer, _) => Outcome::Answer(answer),
            Served::Books(account) => {
                let books = self.router.books(&account);
                Outcome::Answer(self.router.answer_with(&account, books, NOW))
            }
            Served::Job(mut job) => match job.first() {
                Next::Send(exchange, _) => Outcome::Fetch(exchange),
                Next::Answer(answer, _) => Outcome::Answer(answer),
                Next::Refuse(refusal) => Outcome::Answer(refusal.answer_for(job.api())),
            },
        }
    }

    fn served(&self, call: &Call) -> Served {
        match self.router.enter(call) {
            Ok(guest) => self.router.serve(call, &guest),
            Err(served) => served,
        }
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        match self.call(method, path, body) {
            Outcome::Answer(answer) => (answer.status, json_of(&answer)),
            Outcome::Fetch(exchange) => panic!("would fetch {}", exchange.url),
        }
    }

    fn ask(&self, model: &str) -> (u16, Value) {
        self.answer("POST", "/v1/messages", &ask(model))
    }

    fn fetch(&self, path: &str, body: &[u8]) -> Box<Exchange> {
        match self.call("POST", path, body) {
            Outcome::Fetch(exchange) => exchange,
            Outcome::Answer(answer) => panic!("answered {}", json_of(&answer)),
        }
    }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(answer.whole().unwrap()).unwrap_or(Value::Null)
}

fn ask(model: &str) -> Vec<u8> {
    json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
        .to_string()
        .into_bytes()
}

fn header<'e>(exchange: &'e Exchange, name: &str) -> Option<&'e str> {
    let mut found = exchange.headers.iter().filter(|(known, _)| known == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} is there twice");
    value
}
