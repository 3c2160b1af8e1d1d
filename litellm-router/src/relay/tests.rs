//! What is booked of a call whose client has left, in a shell that is told so.

use std::sync::Mutex;
use std::vec;

use futures_util::FutureExt;
use futures_util::future::{Pending, pending};

use super::*;
use crate::job::Trail;
use crate::serve::{Call, Served};

/// A client that has left, before a provider that refuses, or whose connection is cut with the client's.
struct Left {
    refuses: bool,
    trails: Mutex<Vec<Trail>>,
}

struct NoHeaders;

impl Headers for NoHeaders {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

impl Host for Left {
    type Headers = NoHeaders;
    type Body = stream::Iter<vec::IntoIter<Result<Bytes, Broken>>>;
    type Sleep = Pending<()>;

    fn now(&self) -> u64 {
        1_700_000_000_000
    }
    fn random(&self) -> u64 {
        0
    }
    fn sleep(&self, _: u64) -> Pending<()> {
        pending()
    }
    async fn send(&self, _: &Exchange) -> Result<Response<Self>, Broken> {
        if !self.refuses {
            return Err(Broken);
        }
        Ok(Response {
            status: 500,
            headers: NoHeaders,
            body: stream::iter(vec![Ok(Bytes::from_static(b"{}"))]),
        })
    }
    fn drain(&self, _: Self::Body) {}
    fn client_left(&self) -> bool {
        true
    }
    fn record(&self, _: &Arc<Router>, record: &Record, _: Vec<Booking>) {
        self.trails.lock().unwrap().push(record.trail.clone());
    }
}

#[test]
fn a_provider_that_has_refused_has_used_nothing_though_the_client_has_left() {
    let yaml = "model_list: [{model_name: m, litellm_params: {model: groq/x, api_key: k}}]";
    let router = Router::new(yaml, &|_| None).unwrap();
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    for (refuses, counts) in [(true, false), (false, true)] {
        let call = Call {
            method: "POST",
            path: "/v1/messages",
            header: &|_| None,
            body: Bytes::from_static(body.as_bytes()),
            entropy: 1,
            came: 1_700_000_000_000,
            now: 1_700_000_000_000,
        };
        let guest = router.enter(&call).ok().unwrap();
        let Served::Job(job) = router.serve(&call, &guest) else {
            panic!("it is answered without anybody");
        };
        let host = Arc::new(Left {
            refuses,
            trails: Mutex::default(),
        });
        let relayed = run(Arc::clone(&host), job, "req_1".into());
        assert!(relayed.now_or_never().is_some());
        let trails = host.trails.lock().unwrap();
        let [trail] = trails.as_slice() else {
            panic!("{trails:?}");
        };
        assert_eq!(trail.usage.input_tokens > 0, counts, "{trail:?}");
    }
}
