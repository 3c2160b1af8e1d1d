//! A call for an answer: from the cache, or by a job that asks somebody.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::about::KeyState;
use super::{Call, Guest, Router, Served};
use crate::answer::{Answer, Body};
use crate::api::Api;
use crate::attempts::{Attempts, Wishes};
use crate::auth::{self, Caller, Credential};
use crate::cache::CacheKey;
use crate::controls::Controls;
use crate::deployment::Target;
use crate::error::Refusal;
use crate::job::{Cached, Job, Next, Request, Trail, What};
use crate::reply::{Identity, Usage, id_from};
use crate::route::Group;
use crate::spend::{Account, Limits};
use crate::upstream::Inbound;

/// Marks a call that has gone through a router which sends everything on, so that none goes in
/// circles.
const WENT_THROUGH: &str = "x-litellm-router-hop";

impl Router {
    pub(super) fn message(
        self: &Arc<Self>,
        call: &Call,
        guest: &Guest,
        query: &str,
        request: &Request,
    ) -> Result<Served, Refusal> {
        let mut cache_key = None;
        if let Some(cache) = &self.cache {
            let caller = &guest.caller;
            let says = |word: &str| {
                let control = (call.header)("cache-control");
                control.is_some_and(|control| control.to_ascii_lowercase().contains(word))
            };
            let cache = || cache.lock().unwrap_or_else(PoisonError::into_inner);
            if caller.is_trusted() && (!request.has_tools() || cache().with_tools()) {
                caller.may_use(&self.keys, request.model())?;
                let beta = (call.header)("anthropic-beta").unwrap_or_default();
                let version = (call.header)("anthropic-version").unwrap_or_default();
                let wished = request.controls();
                // What is done to a body, and where else it goes, depends on who asks.
                let bound = if caller.is_bound(&self.keys) {
                    "bound"
                } else {
                    ""
                };
                let wishes = self.wishes(guest, wished);
                let mut beside = vec![beta.as_str(), &version, bound, query];
                beside.extend(wishes.fallbacks.iter().map(String::as_str));
                let key = CacheKey::of(request.api(), &beside, &call.body);
                if !says("no-cache")
                    && !wished.no_cache
                    && let Some((body, streams)) = cache().get(&key, call.now)
                {
                    let group = self.group(request.model())?;
                    let mut job = self.new_job(call, guest, query, request, What::Message, group);
                    job.trail.cache = Cached::Hit;
                    job.trail.cost = Some(0.0);
                    let answer = kept_answer(body, streams, &key);
                    job.next = Some(Next::Answer(answer, Usage::default()));
                    return Ok(Served::Job(job));
                }
                cache_key = Some(key).filter(|_| !says("no-store") && !wished.no_store);
            }
        }
        let mut job = self.job(call, guest, query, request, What::Message)?;
        if cache_key.is_some() {
            job.trail.cache = Cached::Miss;
        }
        job.cache_key = cache_key;
        Ok(Served::Job(job))
    }

    pub(super) fn job(
        self: &Arc<Self>,
        call: &Call,
        guest: &Guest,
        query: &str,
        request: &Request,
        what: What,
    ) -> Result<Box<Job>, Refusal> {
        if self.config.through_gateway && (call.header)(WENT_THROUGH).is_some() {
            return Err(Refusal::new(
                508,
                "ANTHROPIC_BASE_URL leads this router back to itself; unset it where the router runs",
            )
            .final_());
        }
        let caller = &guest.caller;
        let mut group = self.group(request.model())?;
        caller.may_use(&self.keys, request.model())?;
        if what == What::Count {
            group.targets.retain(|one| self.counts(caller, one));
        }
        self.admit(&guest.accounts, what, call.now)?;
        let mut job = self.new_job(call, guest, query, request, what, group);
        job.trail.accounts.clone_from(&guest.accounts);
        let random = call.entropy as u64;
        let first = job
            .attempts
            .first(self.moment(call.now, random).as_moment());
        // The request is parsed here, so what is asked first is made of it here as well.
        job.next = Some(job.prepare(first, request, call.now, random));
        Ok(job)
    }

    /// A job of which nothing is done yet, and for which nobody pays.
    pub(super) fn new_job(
        self: &Arc<Self>,
        call: &Call,
        guest: &Guest,
        query: &str,
        request: &Request,
        what: What,
        group: Group,
    ) -> Box<Job> {
        let caller = &guest.caller;
        let session = (call.header)("x-claude-code-session-id");
        let affinity = session.as_ref().map(|session| {
            let mut hasher = DefaultHasher::new();
            session.hash(&mut hasher);
            // Who brings a key along moves nobody else's conversation.
            if let Caller::OwnKey(own) = caller {
                own.token.hash(&mut hasher);
            }
            hasher.finish()
        });
        let own_key = matches!(caller, Caller::OwnKey(_));
        // It is the same for all that are asked: they keep to the first's provider and address.
        let first = group.targets.first();
        let instead = first.is_some_and(|first| !caller.brings_key_to(&first.deployment));
        let is_bound = caller.is_bound(&self.keys);
        let trail = Trail {
            model: request.model().chars().take(200).collect(),
            group: group.name.clone(),
            session: session.map(|session| session.chars().take(200).collect()),
            streams: request.streams(),
            began: call.now,
            counts: what == What::Message,
            api: request.api(),
            route: match (request.api(), what) {
                (Api::Chat, _) => "/v1/chat/completions",
                (Api::Messages, What::Message) => "/v1/messages",
                (Api::Messages, What::Count) => "/v1/messages/count_tokens",
            },
            ..Trail::default()
        };
        let attempts = Attempts::new(
            request.model(),
            group,
            affinity,
            own_key,
            &self.config.routing,
            call.now,
        )
        .with_routers_key(instead)
        .wishing(self.wishes(guest, request.controls()))
        // Another group may not be able to count.
        .within_group(what == What::Count);
        Box::new(Job {
            router: Arc::clone(self),
            what,
            caller: caller.clone(),
            inbound: Inbound {
                body: call.body.clone(),
                query: query.to_owned(),
                anthropic_version: (call.header)("anthropic-version"),
                anthropic_beta: (call.header)("anthropic-beta"),
                accept: (call.header)("accept"),
                // A gateway may well be LiteLLM, which reads them: some choose another model.
                own_keys: request.controls().any && (!self.config.through_gateway || is_bound),
                is_bound,
                identity: self.identity_headers(call, caller),
            },
            identity: Identity {
                id: id_from(request.id_prefix(), call.entropy),
                model: request.model().to_owned(),
            },
            attempts,
            trail,
            max_tokens: None,
            cache_key: None,
            next: None,
        })
    }

    /// What a caller may wish: only models that are configured, and that it may call.
    /// Who has limits is tried for less often than the configuration has it, but not more often.
    pub(super) fn wishes(&self, guest: &Guest, controls: &Controls) -> Wishes {
        let mut fallbacks = controls.fallbacks.clone();
        fallbacks.retain(|name| {
            guest.caller.may_use(&self.keys, name).is_ok() && self.routes.find(name).is_some()
        });
        let has_limits = |account: &Account| *self.limits_of(account) != Limits::NONE;
        let most = match guest.accounts.iter().any(has_limits) {
            true => self.config.routing.retries,
            false => u32::MAX,
        };
        Wishes {
            retries: controls.num_retries.map(|wished| wished.min(most)),
            fallbacks,
        }
    }

    /// Who calls, in the words of Claude Code and of this project, for a gateway that comes after this
    /// one. Providers do not get them.
    pub(super) fn identity_headers(&self, call: &Call, caller: &Caller) -> Vec<(String, String)> {
        const IDENTITY: [&str; 4] = [
            "x-claude-code-session-id",
            "x-claude-code-agent-id",
            "x-claude-code-parent-agent-id",
            SESSION,
        ];
        const SESSION: &str = "x-agent-router-session";
        if !self.config.through_gateway {
            return Vec::new();
        }
        let is_believed = caller.is_believed();
        let told = IDENTITY
            .iter()
            // Who does not call for sessions cannot name one.
            .filter(|name| is_believed || **name != SESSION)
            .filter_map(|name| Some(((*name).to_owned(), (call.header)(name)?)));
        told.chain([(WENT_THROUGH.to_owned(), "1".to_owned())])
            .collect()
    }

    pub(crate) fn keep(&self, key: CacheKey, answer: Vec<u8>, streams: bool, now: u64) {
        if let Some(cache) = &self.cache {
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            // Without the room that it has grown into.
            let answer = answer.into_boxed_slice();
            cache.put(key, answer.into(), streams, now);
        }
    }

    pub(crate) fn credential(
        &self,
        caller: &Caller,
        target: &Target,
    ) -> Result<Option<Credential>, Refusal> {
        let found = auth::credential(caller, target, &self.keys);
        found.map_err(|mut refusal| {
            if *caller != Caller::Unknown {
                let served = self.providers(&[KeyState::Here, KeyState::NotNeeded]);
                let served = if served.is_empty() {
                    "this router has no key for any provider".to_owned()
                } else {
                    format!("this router can serve {}", served.join(", "))
                };
                refusal.message = format!(
                    "{}; {served}. Send your own as `Authorization: Bearer` or `x-api-key`, or \
                     choose a model of those.",
                    refusal.message
                );
            }
            refusal
        })
    }
}

/// An answer that was given before.
fn kept_answer(body: Bytes, streams: bool, key: &CacheKey) -> Answer {
    let body = Body::Whole(body.to_vec());
    let answer = if streams {
        Answer::events(body)
    } else {
        Answer {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body,
        }
    };
    answer.with_header("x-litellm-cache-key", key.name())
}
