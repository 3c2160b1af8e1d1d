//! Waiting for promises, one after the other, with one pair of callbacks for all of them.
//!
//! A `JsFuture` makes a new pair for each promise, and each pair is two functions of JavaScript that
//! the runtime has to make and to watch over. For the chunks of a stream that costs more than what
//! is done with them.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use worker::js_sys::Promise;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::closure::Closure;

type Settled = std::result::Result<JsValue, JsValue>;
type Callback = Closure<dyn FnMut(JsValue)>;

/// What is waited for.
#[derive(Default)]
enum State {
    #[default]
    Nothing,
    Promised(Option<Waker>),
    Settled(Settled),
    /// Nobody waits any more, but a callback is still to come.
    Abandoned,
}

#[derive(Default)]
struct Shared {
    state: RefCell<State>,
    /// They hold this in turn, until the last one has been called.
    callbacks: RefCell<Option<[Callback; 2]>>,
}

/// Waits for one promise at a time.
pub struct Promised(Rc<Shared>);

impl Promised {
    /// Nothing is promised yet.
    pub fn new() -> Self {
        let shared = Rc::new(Shared::default());
        let callback = |settled: fn(JsValue) -> Settled| {
            let shared = AssertUnwindSafe(Rc::clone(&shared));
            let call = move |value| shared.settle(settled(value));
            Callback::own_assert_unwind_safe(call)
        };
        let callbacks = [callback(Ok), callback(Err)];
        shared.callbacks.replace(Some(callbacks));
        Self(shared)
    }

    /// Waits for this promise from now on. The one before must have been polled to its end.
    pub fn begin(&self, promise: &Promise) {
        self.0.state.replace(State::Promised(None));
        if let Some([fulfilled, rejected]) = &*self.0.callbacks.borrow() {
            let _ = promise.then2(fulfilled, rejected);
        }
    }

    /// Whether a promise has been begun whose outcome nobody has got yet.
    pub fn has_begun(&self) -> bool {
        !matches!(*self.0.state.borrow(), State::Nothing)
    }

    /// How the promise was settled, once. Without one, this waits for ever.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Settled> {
        let mut state = self.0.state.borrow_mut();
        match std::mem::take(&mut *state) {
            State::Settled(settled) => Poll::Ready(settled),
            State::Promised(_) => {
                *state = State::Promised(Some(context.waker().clone()));
                Poll::Pending
            }
            other => {
                *state = other;
                Poll::Pending
            }
        }
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        if matches!(*state, State::Promised(_)) {
            *state = State::Abandoned;
        } else {
            drop(state);
            drop(self.0.callbacks.take());
        }
    }
}

impl Shared {
    fn settle(&self, settled: Settled) {
        match self.state.replace(State::Settled(settled)) {
            State::Promised(Some(waker)) => waker.wake(),
            State::Abandoned => drop(self.callbacks.take()),
            _ => {}
        }
    }
}
