//! Who asks: what a request shows (the crate `access`), looked up where it is known.
//!
//! Without an operator's token and without Cloudflare Access there is no way to tell people apart, so
//! such a deployment serves this machine alone: requests to a loopback name. In any case a page of
//! another origin gets nothing, also through a name that it had point here.

mod team;

use access::{
    ApiKey, Asked, Caller, Origin, Principal, Scopes, ShareToken, Shown, Via, Who, secret,
};
use protocol::{Problem, ProblemKind};
use worker::Env;

use crate::account;
use crate::limits::{self, Limit};

/// Header in which Cloudflare Access says who has signed in there.
const ACCESS_ASSERTION: &str = "cf-access-jwt-assertion";

/// How this deployment tells people apart.
pub struct Admission<'a> {
    env: &'a Env,
    operator_token: Option<String>,
    team: Option<access::jwt::Team>,
}

impl<'a> Admission<'a> {
    /// # Errors
    /// 503 where Cloudflare Access is set up wrongly.
    pub fn of(env: &'a Env) -> Result<Self, Problem> {
        let secret = |name: &str| env.secret(name).ok().map(|value| value.to_string());
        let var = |name: &str| env.var(name).ok().map(|value| value.to_string());
        let team = match (var("ACCESS_TEAM_DOMAIN"), var("ACCESS_AUD")) {
            (None, None) => None,
            (domain, audience) => Some(access::jwt::Team::new(
                &domain.unwrap_or_default(),
                &audience.unwrap_or_default(),
            )?),
        };
        Ok(Self {
            env,
            operator_token: secret("OPERATOR_TOKEN").filter(|token| !token.is_empty()),
            team,
        })
    }

    /// Whether nobody is asked who it is.
    fn is_open(&self) -> bool {
        self.operator_token.is_none() && self.team.is_none()
    }

    /// Whether this deployment serves whoever asks, in principle.
    ///
    /// # Errors
    /// 503 where it can't tell people apart and is not asked by its own machine.
    pub fn set_up(&self, asked: &Asked) -> Result<(), Problem> {
        if self.is_open() && !asked.is_loopback() {
            return Err(Problem::new(
                ProblemKind::NotConfigured,
                "this deployment has no authentication and serves its own machine alone; \
                 set one with: npx wrangler secret put OPERATOR_TOKEN",
            ));
        }
        Ok(())
    }

    /// Who asks. `header` reads a header of the request.
    ///
    /// # Errors
    /// 401 where nobody is known by what is shown, 429 after too many of those, 503 where nobody can
    /// be known.
    pub async fn caller(
        &self,
        asked: &Asked<'_>,
        header: &impl Fn(&str) -> Option<String>,
        request_id: &str,
    ) -> Result<Caller, Problem> {
        self.set_up(asked)?;
        let origin = origin(header, request_id);
        let who = match asked.shown()? {
            Shown::Token(token) => self.holder(token).await,
            // One that is left from another deployment on this machine says nothing.
            Shown::Cookie(_) if self.is_open() => Ok(Who::Known(Principal::loopback())),
            Shown::Cookie(token) if ApiKey::looks_like(token) => match self.holder(token).await {
                // One that has ended does not stand in the way of who has signed in elsewhere.
                Err(problem)
                    if self.team.is_some() && problem.kind == ProblemKind::Unauthenticated =>
                {
                    self.nothing_shown(header).await
                }
                who => who,
            },
            Shown::Ticket(ticket) if secret::from_hex::<32>(ticket).is_some() => {
                Ok(Who::Ticket(ticket.to_owned()))
            }
            Shown::Ticket(_) => Err(refused("this is no ticket")),
            Shown::Nothing | Shown::Cookie(_) => self.nothing_shown(header).await,
        };
        match who {
            Ok(who) => Ok(Caller { who, origin }),
            Err(problem) if problem.kind == ProblemKind::Unauthenticated => {
                if asked.shown()? != Shown::Nothing {
                    limits::take(self.env, Limit::WrongKeys, &origin.key()).await?;
                }
                Err(problem)
            }
            Err(problem) => Err(problem),
        }
    }

    async fn nothing_shown(
        &self,
        header: &impl Fn(&str) -> Option<String>,
    ) -> Result<Who, Problem> {
        if self.is_open() {
            return Ok(Who::Known(Principal::loopback()));
        }
        if let (Some(team), Some(token)) = (&self.team, header(ACCESS_ASSERTION)) {
            return team::principal(team, &token).await.map(Who::Known);
        }
        Err(refused(
            "send a key as Authorization: Bearer, or sign in at /demo",
        ))
    }

    /// Whoever has a token.
    ///
    /// # Errors
    /// 401 where it is nobody's.
    pub async fn holder(&self, token: &str) -> Result<Who, Problem> {
        if let Some(operator) = &self.operator_token
            && secret::equal(token.as_bytes(), operator.as_bytes())
        {
            return Ok(Who::Known(Principal::operator()));
        }
        if ShareToken::looks_like(token) {
            ShareToken::parse(token)?;
            return Ok(Who::Link(token.to_owned()));
        }
        if !ApiKey::looks_like(token) {
            if self.takes_own_keys() && is_plausible(token) {
                return Ok(Who::Known(Principal::own_key(token)?));
            }
            return Err(refused("nobody is known by this token"));
        }
        let known = account::holder(self.env, &ApiKey::parse(token)?, token).await?;
        // A browser's key for the operator's token is worth as much as that token still is.
        if known.principal.scopes.has(Scopes::OPERATOR)
            && known.parent.as_deref() != self.operator_fingerprint().as_deref()
        {
            return Err(account::unknown_key());
        }
        Ok(Who::Known(known.principal))
    }

    /// Who launches with a key that is shown in no other place, and whether it is for a provider of
    /// models: this deployment's own are for itself.
    ///
    /// # Errors
    /// 401 where it is nobody's.
    pub async fn launcher(&self, key: &str, origin: Origin) -> Result<(Caller, bool), Problem> {
        let who = self.holder(key).await?;
        let is_own = matches!(&who, Who::Known(principal) if principal.via == Via::OwnKey);
        Ok((Caller { who, origin }, is_own))
    }

    /// Whether who has a key for a provider of models is known by it.
    pub fn takes_own_keys(&self) -> bool {
        let accepts = self.env.var("ACCEPT_PROVIDER_KEYS");
        self.is_open() || accepts.is_ok_and(|value| value.to_string() == "true")
    }

    /// What tells whether the operator's token is still the same, and is no secret itself.
    pub fn operator_fingerprint(&self) -> Option<String> {
        let token = self.operator_token.as_deref()?;
        let hash = secret::hash(&[b"agent-router operator", token.as_bytes()]);
        Some(secret::name(&hash))
    }
}

/// From where a request comes. What is no address is none: it goes into logs.
pub fn origin(header: &impl Fn(&str) -> Option<String>, request_id: &str) -> Origin {
    let address = header("cf-connecting-ip").and_then(|text| text.parse().ok());
    Origin {
        address: address.map_or_else(String::new, |address: std::net::IpAddr| address.to_string()),
        request_id: request_id.to_owned(),
    }
}

/// Whether this may be a key for a provider of models. Short ones would be guessed.
fn is_plausible(key: &str) -> bool {
    (16..=1000).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn refused(why: &str) -> Problem {
    Problem::new(ProblemKind::Unauthenticated, why)
}
