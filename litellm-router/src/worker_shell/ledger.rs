//! What keeps the isolates of this Worker in step: one object for each account, one for the
//! deployments. Nobody waits for them; what they say is known from the next call on.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::wasm_bindgen_futures::JsFuture;
use worker::{
    Delay, DurableObject, Env, Request, Response, Result, State, console_warn, durable_object,
    js_sys, wasm_bindgen, web_sys,
};

use super::host::now;
use crate::ledger::{Deployments, Entry, Report};
use crate::serve::{Booking, Router};
use crate::spend::{Account, Books};

/// The name of the object that knows about the deployments.
const DEPLOYMENTS: &str = "deployments";
/// An object has so long to answer. What a Worker does beside its answers is cut by the platform at 30 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// An isolate tells of its deployments at most this often.
const REPORT_EVERY_MS: u64 = 2_000;
/// Where an object keeps its books.
const BOOKS: &str = "books";

thread_local! {
    static REPORTED: Cell<u64> = const { Cell::new(0) };
    static PROCESS: Cell<u64> = const { Cell::new(0) };
}

/// Tells the ledger what a call has used and how the deployments are doing, and learns from it. An
/// object that does not answer keeps no other from hearing.
pub async fn tell(env: Env, router: Arc<Router>, bookings: Vec<Booking>) {
    join(book(&env, &router, bookings), report(&env, &router)).await;
}

async fn book(env: &Env, router: &Router, bookings: Vec<Booking>) {
    for booking in bookings {
        let entry = Entry {
            spent: booking.spent,
            budget_duration: booking.budget_duration,
            sent: booking.sent,
        };
        let name = booking.account.name();
        match ask::<Books>(env, &name, "book", &entry).await {
            Ok(books) => router.learn(&booking.account, &books),
            // The isolate's own books hold all the same.
            Err(error) => console_warn!("ledger: {error}"),
        }
    }
}

async fn report(env: &Env, router: &Router) {
    let now = now();
    if now.saturating_sub(REPORTED.get()) < REPORT_EVERY_MS {
        return;
    }
    REPORTED.set(now);
    if PROCESS.get() == 0 {
        let mut bits = [0_u8; 8];
        let _ = getrandom::fill(&mut bits);
        // Within what a number of JavaScript holds.
        PROCESS.set(u64::from_le_bytes(bits) >> 11 | 1);
    }
    let report = Report {
        process: PROCESS.get(),
        shares: router.shares(now),
    };
    match ask::<Vec<_>>(env, DEPLOYMENTS, "report", &report).await {
        Ok(shares) => router.learn_shares(&shares, now),
        Err(error) => console_warn!("ledger: {error}"),
    }
}

/// Learns what these accounts have used, which were unknown to this isolate.
pub async fn learn(env: Env, router: Arc<Router>, accounts: Vec<Account>) {
    for account in accounts {
        match books(&env, &account).await {
            Ok(books) => router.learn(&account, &books),
            // Better a call too much than none.
            Err(error) => console_warn!("ledger: {error}"),
        }
    }
}

/// The books of an account, where its object tells them in time.
pub async fn books(env: &Env, account: &Account) -> Result<Books> {
    ask(env, &account.name(), "books", &()).await
}

/// Asks the object of this name, for as long as [`PATIENCE`] lasts.
async fn ask<T: DeserializeOwned>(
    env: &Env,
    name: &str,
    what: &str,
    body: &impl Serialize,
) -> Result<T> {
    let body = serde_json::to_string(body)?;
    let answered = pin!(answered(env, name, what, body));
    let answer = match select(answered, pin!(Delay::from(PATIENCE))).await {
        Either::Left((answer, _)) => answer?,
        Either::Right(_) => return Err("the object does not answer".into()),
    };
    Ok(serde_json::from_slice(&answer)?)
}

async fn answered(env: &Env, name: &str, what: &str, body: String) -> Result<Vec<u8>> {
    let init = web_sys::RequestInit::new();
    init.set_method("POST");
    init.set_body(&body.into());
    let url = format!("http://ledger/{what}");
    let request = web_sys::Request::new_with_str_and_init(&url, &init)?;
    let stub = env.durable_object("LEDGER")?.get_by_name(name)?;
    let answer: web_sys::Response = stub.fetch_with_request(request.into()).await?.into();
    let answer = JsFuture::from(answer.array_buffer()?).await?;
    Ok(js_sys::Uint8Array::new(&answer).to_vec())
}

/// The object. Only this Worker reaches it.
#[durable_object(fetch)]
pub struct SpendLedger {
    state: AssertUnwindSafe<State>,
    deployments: AssertUnwindSafe<RefCell<Deployments>>,
}

impl DurableObject for SpendLedger {
    fn new(state: State, _env: Env) -> Self {
        Self {
            state: AssertUnwindSafe(state),
            deployments: AssertUnwindSafe(RefCell::default()),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let now = now();
        match request.path().as_str() {
            "/report" => {
                let report: Report = serde_json::from_slice(&request.bytes().await?)?;
                Response::from_json(&self.deployments.borrow_mut().hear(report, now))
            }
            "/book" => {
                let entry: Entry = serde_json::from_slice(&request.bytes().await?)?;
                // Nothing is awaited between reading and writing but the storage, which lets nobody
                // else in meanwhile.
                let mut books = self.read().await?;
                entry.book(&mut books, now);
                self.state.storage().put(BOOKS, &books).await?;
                Response::from_json(&books)
            }
            "/books" => Response::from_json(&self.read().await?),
            _ => Response::error("no such question", 404),
        }
    }
}

impl SpendLedger {
    async fn read(&self) -> Result<Books> {
        Ok(self.state.storage().get(BOOKS).await?.unwrap_or_default())
    }
}
