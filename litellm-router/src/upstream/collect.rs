//! A response that is read whole: what becomes of it.

use crate::answer::{Answer, Body};
use crate::api::Api;
use crate::error::{self, KeyOwner, Refusal};
use crate::pass_through;
use crate::reply::Usage;
use crate::translate::completion::Terms;
use crate::translate::from_messages;
use crate::translate::incoming::Incoming;
use crate::translate::response;

/// A response that has to be whole before it can be answered.
pub struct Collect {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) provider: &'static str,
    pub(super) key_owner: KeyOwner,
    pub(super) how: How,
}

pub(super) enum How {
    /// An error of a provider that speaks the caller's dialect: its very words are the answer.
    VerbatimError(Api),
    Verbatim(Api),
    /// Not followed: it would take the key elsewhere.
    Redirect,
    Refused(Terms),
    RefusedMessage,
    Whole(Terms),
    WholeMessage(from_messages::Terms),
    /// A provider that streams although it was not asked to.
    Events(Box<dyn Incoming>),
}

impl Collect {
    /// Whether the provider refuses.
    pub fn is_error(&self) -> bool {
        matches!(
            self.how,
            How::Redirect | How::VerbatimError(_) | How::Refused(_) | How::RefusedMessage
        )
    }

    /// The answer and what it has used, from the whole body.
    ///
    /// # Errors
    /// What the provider refuses, or what is wrong with its answer.
    pub fn answer(self, body: &[u8]) -> Result<(Answer, Usage), Refusal> {
        let (mut answer, usage) = match self.how {
            How::VerbatimError(api) => {
                let refusal = error::from_provider(
                    self.provider,
                    self.status,
                    body,
                    self.key_owner,
                    self.headers.clone(),
                );
                // OpenAI's words on a key quote it, and this one is not the caller's.
                // And a 401 would make a client drop a login that is fine.
                let is_ours = self.key_owner == KeyOwner::Router;
                let is_about_it = match api {
                    Api::Chat => matches!(self.status, 401..=403),
                    Api::Messages => self.status == 401,
                };
                // The page of some proxy on the way is in nobody's dialect.
                if (is_ours && is_about_it) || !pass_through::is_object(body) {
                    return Err(refusal);
                }
                let verbatim = Answer {
                    status: self.status,
                    headers: self.headers,
                    body: Body::Whole(body.to_vec()),
                };
                return Err(refusal.verbatim(verbatim));
            }
            How::Redirect => {
                return Err(error::from_provider(
                    self.provider,
                    self.status,
                    body,
                    self.key_owner,
                    self.headers,
                ));
            }
            How::Verbatim(_) if !pass_through::is_object(body) => {
                let words = format!("{} answered with something that is not JSON", self.provider);
                return Err(Refusal::new(502, words));
            }
            How::Verbatim(api) => {
                let answer = Answer {
                    status: self.status,
                    headers: Vec::new(),
                    body: Body::Whole(body.to_vec()),
                };
                (answer, pass_through::usage_of(body, api))
            }
            How::Whole(terms) => response::translate(body, terms)?,
            How::WholeMessage(terms) => from_messages::translate(body, terms)?,
            How::RefusedMessage => {
                return Err(from_messages::refusal(
                    self.provider,
                    self.status,
                    body,
                    self.key_owner,
                    self.headers,
                ));
            }
            How::Refused(terms) => {
                return response::refused(self.status, body, self.headers, terms);
            }
            How::Events(mut stream) => {
                stream.push(body);
                stream.finish();
                stream.answer()?
            }
        };
        answer.headers.extend(self.headers);
        Ok((answer, usage))
    }
}
