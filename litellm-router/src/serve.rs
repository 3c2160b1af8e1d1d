//! The route table, and what becomes of a call.
//!
//! [`Router::serve`] is pure. It returns an answer, or an [`Exchange`]: the request for a provider,
//! which then says what becomes of the provider's response. A shell only carries this out.

use serde_json::json;

use crate::answer::Answer;
use crate::auth::{self, Caller, Credential};
use crate::config::Config;
use crate::count;
use crate::demo;
use crate::error::KeyOwner;
use crate::error::Refusal;
use crate::messages::MessagesRequest;
use crate::mock;
use crate::models;
use crate::providers::Dialect;
use crate::reply::{EventStream, Identity, Message, id_from};
use crate::route::{Deployment, Routes};
use crate::upstream::{Exchange, Target};

/// The largest body that is read, the limit of Anthropic's Messages API.
pub const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// A request, as a shell has read it.
pub struct Call<'a> {
    pub method: &'a str,
    /// Path and query, as they stand in the URL.
    pub path: &'a str,
    /// Reads a header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    pub body: &'a [u8],
    /// Reads a variable or secret of the environment.
    pub secret: &'a dyn Fn(&str) -> Option<String>,
    /// 128 random bits, for the ids of this call.
    pub entropy: u128,
}

/// What is known about a call when it has been routed, for the log. Holds nothing of its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trail {
    pub model: String,
    /// `provider/model`, empty where no deployment was found.
    pub deployment: String,
    pub streams: bool,
}

/// What is to be done with a call.
pub enum Outcome {
    Answer(Answer, Trail),
    Fetch(Box<Exchange>, Trail),
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Answer(refusal.answer(), Trail::default())
    }
}

/// A configuration, ready to serve.
#[derive(Debug)]
pub struct Router {
    config: Config,
    routes: Routes,
}

/// Whether a provider's key is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Here,
    NotNeeded,
    Missing,
}

/// The id of a call, sent as `x-request-id`.
pub fn request_id(entropy: u128) -> String {
    id_from("req_", entropy)
}

impl Router {
    /// Reads a configuration.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub fn new(yaml: &str) -> Result<Self, String> {
        let config = Config::parse(yaml)?;
        let routes = Routes::new(&config);
        Ok(Self { config, routes })
    }

    /// One line for every key of the configuration that has no effect.
    pub fn warnings(&self) -> &[String] {
        &self.config.warnings
    }

    /// Serves one call.
    pub fn serve(&self, call: &Call) -> Outcome {
        let (path, query) = call.path.split_once('?').unwrap_or((call.path, ""));
        let reads = matches!(call.method, "GET" | "HEAD");
        let posts = call.method == "POST";
        let (allowed, allow) = match path {
            "/" | "/health" | "/health/liveliness" | "/health/liveness" | "/health/readiness"
            | "/worker-health" | "/v1/models" => (reads, "GET, HEAD"),
            "/v1/messages" | "/v1/messages/count_tokens" => (posts, "POST"),
            _ if path.starts_with("/v1/models/") => (reads, "GET, HEAD"),
            _ => return Refusal::new(404, "there is nothing at this path").into(),
        };
        if !allowed {
            let mut refusal = Refusal::new(405, format!("this path takes {allow} only"));
            refusal.headers.push(("allow".into(), allow.into()));
            return refusal.into();
        }
        if posts && (call.header)("origin").is_some() {
            let words = "calls from web pages are not accepted; call the router from a server";
            return Refusal::new(403, words).into();
        }
        if call.body.len() > LARGEST_BODY {
            return too_large().into();
        }
        let available = |name: &str| self.is_available(name, call);
        match path {
            "/v1/messages" => self.messages(call),
            "/v1/messages/count_tokens" => self.count_tokens(call),
            "/v1/models" => plain(models::list(
                &self.routes,
                &self.config.models,
                query,
                &available,
            )),
            "/worker-health" | "/" => plain(self.worker_health(call)),
            "/health" | "/health/liveliness" | "/health/liveness" | "/health/readiness" => {
                plain(Answer::json(200, &json!({"status": "healthy"})))
            }
            _ => {
                let name = path.strip_prefix("/v1/models/").unwrap_or_default();
                let name = models::percent_decoded(name);
                models::one(&self.routes, &self.config.models, &name, &available)
                    .map_or_else(Outcome::from, plain)
            }
        }
    }

    fn messages(&self, call: &Call) -> Outcome {
        let request = match MessagesRequest::parse(call.body) {
            Ok(request) => request,
            Err(refusal) => return refusal.into(),
        };
        let mut trail = Trail {
            model: request.model.chars().take(200).collect(),
            deployment: String::new(),
            streams: request.streams(),
        };
        match self.message(call, &request, &mut trail) {
            Ok(Outcome::Answer(answer, _)) => Outcome::Answer(answer, trail),
            Ok(Outcome::Fetch(exchange, _)) => Outcome::Fetch(exchange, trail),
            Err(refusal) => Outcome::Answer(refusal.answer(), trail),
        }
    }

    fn message(
        &self,
        call: &Call,
        request: &MessagesRequest,
        trail: &mut Trail,
    ) -> Result<Outcome, Refusal> {
        let deployment = self.deployment(&request.model)?;
        trail.deployment = format!("{}/{}", deployment.provider.name, deployment.model);
        let caller = self.caller(call);
        let identity = Identity {
            id: id_from("msg_", call.entropy),
            model: request.model.to_string(),
        };
        let params = self.params(&deployment);
        let mocked = params.and_then(|params| params.mock_response.as_deref());
        if mocked.is_some() || deployment.provider.dialect == Dialect::Demo {
            caller.may_call_keyless(self.master_key(call).is_some())?;
            return Ok(plain(match mocked {
                Some(mocked) => mock_answer(mocked, request, identity)?,
                None => demo::answer(request, identity),
            }));
        }
        self.check_master_key(call)?;
        let credential = self.credential(&caller, &deployment, call)?;
        let query = query_of(call.path);
        let target = self.target(&deployment, credential, call)?;
        let exchange = Exchange::message(target, request, call.body, query, call.header, identity)?;
        Ok(Outcome::Fetch(Box::new(exchange), Trail::default()))
    }

    fn count_tokens(&self, call: &Call) -> Outcome {
        self.tokens(call).unwrap_or_else(Outcome::from)
    }

    /// Anthropic counts for its own models, if there is a key; else the count is an estimate, which
    /// says so.
    fn tokens(&self, call: &Call) -> Result<Outcome, Refusal> {
        let request = MessagesRequest::parse(call.body)?;
        let deployment = self.deployment(&request.model)?;
        let caller = self.caller(call);
        let mocked = self
            .params(&deployment)
            .is_some_and(|params| params.mock_response.is_some());
        if deployment.provider.dialect == Dialect::Anthropic
            && !mocked
            && let Ok(credential) = self.credential(&caller, &deployment, call)
        {
            let target = self.target(&deployment, credential, call)?;
            let query = query_of(call.path);
            let exchange = Exchange::count(target, &request, call.body, query, call.header)?;
            return Ok(Outcome::Fetch(Box::new(exchange), Trail::default()));
        }
        let count = json!({"input_tokens": count::of_request(&request), "estimate": true});
        Ok(plain(Answer::json(200, &count)))
    }

    /// The deployment that answers for a model: the first of its group.
    fn deployment(&self, model: &str) -> Result<Deployment, Refusal> {
        self.routes
            .find(model)
            .and_then(|group| group.deployments.into_iter().next())
            .ok_or_else(|| models::unknown(&self.routes, model))
    }

    fn params(&self, deployment: &Deployment) -> Option<&crate::config::Params> {
        let entry = self.config.models.get(deployment.entry)?;
        Some(&entry.litellm_params)
    }

    /// The configuration's master key, or the variable LITELLM_MASTER_KEY where it names none.
    fn master_key(&self, call: &Call) -> Option<String> {
        let Some(setting) = self.config.master_key.as_deref() else {
            return self.config.variable("LITELLM_MASTER_KEY", call.secret);
        };
        // A master key whose variable is missing must not open the door: nobody can present "".
        let value = self.config.resolve(setting, call.secret);
        Some(value.unwrap_or_default())
    }

    /// # Errors
    /// 500 where a master key is configured but not set: the real one, which its holders present,
    /// would be taken for a provider's key and sent to one.
    fn check_master_key(&self, call: &Call) -> Result<(), Refusal> {
        if self.master_key(call).is_some_and(|key| key.is_empty()) {
            return Err(Refusal::new(
                500,
                "general_settings.master_key names a variable that is not set in the router; set it, or \
                 take the entry out",
            ));
        }
        Ok(())
    }

    fn caller(&self, call: &Call) -> Caller {
        Caller::of(call.header, self.master_key(call).as_deref())
    }

    fn credential(
        &self,
        caller: &Caller,
        deployment: &Deployment,
        call: &Call,
    ) -> Result<Option<Credential>, Refusal> {
        let params = self.params(deployment);
        let found = auth::credential(
            caller,
            deployment.provider,
            params.and_then(|params| params.api_key.as_deref()),
            params.is_some_and(|params| params.api_base.is_some()),
            self.master_key(call).is_some(),
            &self.config,
            call.secret,
        );
        found.map_err(|mut refusal| {
            if *caller != Caller::Unknown {
                let served = self.providers(&[Key::Here, Key::NotNeeded], call);
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

    fn target(
        &self,
        deployment: &Deployment,
        credential: Option<Credential>,
        call: &Call,
    ) -> Result<Target, Refusal> {
        let entry = self.config.models.get(deployment.entry);
        let params = entry.map(|entry| &entry.litellm_params);
        let info = entry.and_then(|entry| entry.model_info.as_ref());
        let resolve = |setting: &String| self.config.resolve(setting, call.secret);
        let api_base = params
            .and_then(|params| params.api_base.as_ref())
            .map_or(Some(deployment.provider.api_base.to_owned()), resolve)
            .filter(|base| !base.is_empty())
            .ok_or_else(|| {
                Refusal::new(
                    500,
                    format!(
                        "the deployment {}/{} has no api_base",
                        deployment.provider.name, deployment.model
                    ),
                )
            })?;
        // The router's secrets are for those who may use its keys.
        let own_key = credential
            .as_ref()
            .is_some_and(|key| key.owner == KeyOwner::Caller);
        let extra_headers = params
            .and_then(|params| params.extra_headers.as_ref())
            .into_iter()
            .flatten()
            .filter(|(_, value)| !(own_key && value.starts_with("os.environ/")))
            .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), resolve(value)?)))
            .collect();
        Ok(Target {
            provider: deployment.provider,
            model: deployment.model.clone(),
            api_base,
            credential,
            extra_headers,
            timeout_s: params
                .and_then(|params| params.timeout)
                .or(self.config.timeout),
            stream_timeout_s: params
                .and_then(|params| params.stream_timeout)
                .or(self.config.stream_timeout),
            max_output_tokens: info.and_then(|info| info.max_output_tokens),
            vision: info.and_then(|info| info.supports_vision) != Some(false),
        })
    }

    /// Whether a call to this model would find what it needs with the router's own keys.
    fn is_available(&self, name: &str, call: &Call) -> bool {
        let Ok(deployment) = self.deployment(name) else {
            return false;
        };
        let params = self.params(&deployment);
        deployment.provider.dialect == Dialect::Demo
            || params.is_some_and(|params| params.mock_response.is_some())
            || auth::credential(
                &Caller::Trusted,
                deployment.provider,
                params.and_then(|params| params.api_key.as_deref()),
                params.is_some_and(|params| params.api_base.is_some()),
                false,
                &self.config,
                call.secret,
            )
            .is_ok()
    }

    /// The providers of the model list whose state of keys is wanted, each once, in its order.
    fn providers(&self, wanted: &[Key], call: &Call) -> Vec<&'static str> {
        let mut names = Vec::new();
        for entry in &self.config.models {
            let params = &entry.litellm_params;
            let (provider, _) = crate::providers::split(&params.model);
            if provider.dialect == Dialect::Demo || params.mock_response.is_some() {
                continue;
            }
            let key = match auth::credential(
                &Caller::Trusted,
                provider,
                params.api_key.as_deref(),
                params.api_base.is_some(),
                false,
                &self.config,
                call.secret,
            ) {
                Ok(Some(_)) => Key::Here,
                Ok(None) => Key::NotNeeded,
                Err(_) => Key::Missing,
            };
            if wanted.contains(&key) && !names.contains(&provider.name) {
                names.push(provider.name);
            }
        }
        names
    }

    fn worker_health(&self, call: &Call) -> Answer {
        Answer::json(
            200,
            &json!({
                "status": "healthy",
                "service": "litellm-router",
                "version": env!("CARGO_PKG_VERSION"),
                "available_providers": self.providers(&[Key::Here, Key::NotNeeded, Key::Missing], call),
                "internal_keys": self.providers(&[Key::Here], call),
                "config_warnings": self.config.warnings,
            }),
        )
    }
}

/// 413, for a shell that stops reading as well.
pub fn too_large() -> Refusal {
    Refusal::new(
        413,
        format!(
            "the body is larger than {} MiB",
            LARGEST_BODY / (1024 * 1024)
        ),
    )
}

fn query_of(path: &str) -> &str {
    path.split_once('?').map_or("", |(_, query)| query)
}

fn plain(answer: Answer) -> Outcome {
    Outcome::Answer(answer, Trail::default())
}

fn mock_answer(
    response: &str,
    request: &MessagesRequest,
    identity: Identity,
) -> Result<Answer, Refusal> {
    let input_tokens = count::of_request(request);
    if request.streams() {
        let mut events = EventStream::new(identity, input_tokens);
        mock::play(response, input_tokens, &mut events)?;
        let body = crate::answer::Body::Whole(events.take());
        return Ok(Answer::events(body));
    }
    let mut message = Message::new(identity);
    mock::play(response, input_tokens, &mut message)?;
    Ok(message.answer())
}
