//! What the outside can ask, and who answers.

mod account;
mod agent;
pub mod agents;
mod automation;
mod claude_code;
pub mod configs;
mod demo;
mod events;
mod files;
mod permissions;
mod resources;
mod sandbox;
mod sharing;
pub mod table;
mod terminals;
mod usage;

use access::{Asked, Caller, Pass, Right, Scopes, ShareToken, Who};
use protocol::{Problem, ProblemKind, SessionId};
use worker::{Env, Headers, Method, Request, Response, Result, Url};

use crate::admission::{self, Admission};
use crate::answer::{self, Answer, internal};
use crate::orchestration::{self, Asker};
use crate::session::{self, Visit};
use table::{Kind, Need, Sought};

/// Answers every request, with an `x-request-id`.
///
/// # Errors
/// Where the platform itself fails; the platform answers 500 then.
pub async fn answer(request: Request, env: Env) -> Result<Response> {
    let id = format!("req_{}", crate::random::hex::<12>()?);
    let answered = match dispatch(request, &env, &id).await {
        Ok(response) => response,
        Err(problem) => answer::problem(&problem)?,
    };
    let mut answered = answer::with_open_headers(answered)?;
    answered.headers_mut().set("x-request-id", &id)?;
    answered
        .headers_mut()
        .set("x-content-type-options", "nosniff")?;
    Ok(answered)
}

async fn dispatch(request: Request, env: &Env, request_id: &str) -> Answer {
    let url = request
        .url()
        .map_err(|_| Problem::bad_request("the URL can't be read"))?;
    let method = request.method().to_string();
    let (row, name, rest) = match table::find(&method, url.path()) {
        Sought::Found(row, name, rest) => (row, name, rest),
        Sought::OtherMethods(methods) => return method_not_allowed(&methods),
        Sought::Nothing => {
            return Err(Problem::new(
                ProblemKind::NotFound,
                "there is nothing at this path; the UI is at /demo",
            ));
        }
    };
    let shown = Shown::of(request.headers());
    let origin = url.origin().ascii_serialization();
    let asked = shown.asked(&url, &origin, &method, row.kind);
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let admission = Admission::of(env)?;
    let caller = match row.needs {
        Need::Nothing | Need::Sandbox => None,
        Need::SetUp => {
            asked.from_own_page()?;
            admission.set_up(&asked)?;
            None
        }
        Need::Launch => {
            asked.from_own_page()?;
            match admission.caller(&asked, &header, request_id).await {
                // The key for a provider of models may be in the body.
                Err(problem)
                    if problem.kind == ProblemKind::Unauthenticated
                        && asked.shown()? == access::Shown::Nothing =>
                {
                    None
                }
                caller => Some(caller?),
            }
        }
        Need::Somebody | Need::Scope(_) | Need::Session { .. } | Need::Account | Need::Operator => {
            asked.from_own_page()?;
            Some(admission.caller(&asked, &header, request_id).await?)
        }
    };
    let known_caller = caller;
    let caller = || {
        let known = known_caller.as_ref();
        known.ok_or_else(|| internal("routes", &"nobody"))
    };
    // What every route on a session hands to it: who asks, and the right that the table says.
    let visit = || match row.needs {
        Need::Session { right, launches } => Ok(Visit {
            caller: caller()?.clone(),
            right,
            launches,
        }),
        _ => Err(internal("routes", &"no right")),
    };
    match row.needs {
        Need::Account => known(caller()?)?.may(Scopes::ADMIN)?,
        Need::Scope(scope) => known(caller()?)?.may(scope)?,
        Need::Operator => known(caller()?)?.may_operate()?,
        Need::Somebody => be_somebody(env, caller()?).await?,
        Need::Nothing | Need::SetUp | Need::Session { .. } | Need::Sandbox | Need::Launch => {}
    }
    match row.kind {
        Kind::Root => redirect("/demo"),
        Kind::NewSession => {
            let id = SessionId::from_random(
                crate::random::bytes().map_err(|error| internal("random", &error))?,
            );
            redirect(&format!("/demo/{id}"))
        }
        Kind::Page => {
            SessionId::parse(name)?;
            demo::page(env).await
        }
        Kind::AgentsPage => demo::page(env).await,
        Kind::Health => demo::health(env).await,
        Kind::Asset => demo::asset(env, url.path()).await,
        Kind::OpenApi => demo::openapi(env).await,
        Kind::Docs => demo::docs(env).await,
        Kind::Models => answer::json(200, &crate::models::menu(env).await?),
        Kind::Socket => demo::socket(&request, &url, env, name, &visit()?, &asked).await,
        Kind::AgentMessage => agent::message(request, env, &visit()?).await,
        Kind::AgentState => session::state(env, &SessionId::parse(name)?, &visit()?).await,
        Kind::Events => {
            let id = SessionId::parse(name)?;
            events::events(&request, &url, env, &id, &visit()?).await
        }
        Kind::Export => events::export(&url, env, &SessionId::parse(name)?, &visit()?).await,
        Kind::Session => session::delete(env, &SessionId::parse(name)?, &visit()?).await,
        Kind::Fork => {
            let (id, visit) = (SessionId::parse(name)?, visit()?);
            // Who may not even look hears that, and not what a fork takes.
            session::may(env, &id, &visit).await?;
            known(caller()?)?.may(Scopes::LAUNCH)?;
            agents::fork(request, env, &id, &visit).await
        }
        Kind::Permission => {
            let id = SessionId::parse(name)?;
            permissions::answer(request, env, &id, rest, &visit()?).await
        }
        Kind::Files
        | Kind::File
        | Kind::Zip
        | Kind::Upload
        | Kind::Diff
        | Kind::Repository
        | Kind::RepositoryDiff
        | Kind::Commit
        | Kind::Branch
        | Kind::Discard => {
            let id = SessionId::parse(name)?;
            files::pass(&request, &url, env, &id, row.kind, rest, &visit()?).await
        }
        Kind::Access => sharing::access(env, &SessionId::parse(name)?, &visit()?).await,
        Kind::Shares => sharing::shares(request, env, &SessionId::parse(name)?, &visit()?).await,
        Kind::Tickets => session::ticket(env, &SessionId::parse(name)?, &visit()?).await,
        Kind::ClaudeCode => claude_code::run(request, env, &visit()?).await,
        Kind::ClaudeCodeDebug => claude_code::debug(&url, env).await,
        Kind::Login => {
            let from = admission::origin(&header, request_id);
            account::login(request, env, &admission, &asked, from).await
        }
        Kind::Logout => account::logout(env, &admission, &asked, &header, request_id).await,
        Kind::Keys => account::keys(request, &url, env, caller()?).await,
        Kind::Key => account::revoke(&url, env, caller()?, name).await,
        Kind::Presets => configs::presets(),
        Kind::ConfigSchema => configs::schema(),
        Kind::Config => configs::get(env, known(caller()?)?, name).await,
        Kind::CustomConfigs => configs::customs(env, known(caller()?)?).await,
        Kind::NewConfig => {
            let caller = caller()?;
            configs::put(request, env, caller, known(caller)?, None).await
        }
        Kind::CustomConfig => {
            let caller = caller()?;
            configs::custom(request, env, caller, known(caller)?, name).await
        }
        Kind::Launch => {
            let nothing = asked.shown()? == access::Shown::Nothing;
            let origin = admission::origin(&header, request_id);
            agents::launch(
                request,
                env,
                &admission,
                known_caller.clone(),
                nothing,
                origin,
            )
            .await
        }
        Kind::Providers => agents::providers(env),
        Kind::Sandboxes => agents::sandboxes(env, request.method() == Method::Delete).await,
        Kind::Sessions => agents::sessions(&url, env, known(caller()?)?).await,
        Kind::LaunchedSession => {
            let id = SessionId::parse(name)?;
            match request.method() {
                Method::Delete => agents::remove(env, &id, &visit()?).await,
                _ => session::describe(env, &id, &visit()?).await,
            }
        }
        Kind::Interrupt => session::interrupt(env, &SessionId::parse(name)?, &visit()?).await,
        Kind::Stop => agents::stop(env, &SessionId::parse(name)?, &visit()?).await,
        Kind::Chat => agents::chat(request, env, &visit()?, Some(SessionId::parse(name)?)).await,
        Kind::ChatBeside => agents::chat(request, env, &visit()?, None).await,
        Kind::Resources => {
            resources::resources(&request, env, &SessionId::parse(name)?, &visit()?).await
        }
        Kind::Terminals => terminals::list(env, &SessionId::parse(name)?, &visit()?).await,
        Kind::Terminal => {
            let (id, visit) = (SessionId::parse(name)?, visit()?);
            match request.method() {
                Method::Delete => terminals::close(env, &id, rest, &visit).await,
                _ => terminals::open(&request, &url, env, &id, rest, &visit, &asked).await,
            }
        }
        Kind::ToolStream => agents::tools(&request, env, &SessionId::parse(name)?, &visit()?).await,
        Kind::Mcp => orchestration::serve(request, env, Asker::Person(caller()?.clone())).await,
        Kind::Audit => account::audit(&url, env, caller()?).await,
        Kind::Usage => usage::usage(&url, env, known(caller()?)?).await,
        Kind::Webhooks => automation::webhooks(request, env, caller()?).await,
        Kind::Webhook => automation::delete_webhook(env, caller()?, name).await,
        Kind::WebhookPing => automation::ping(env, caller()?, name).await,
        Kind::Deliveries => automation::deliveries(env, caller()?, name).await,
        Kind::Schedules => automation::schedules(request, env, caller()?).await,
        Kind::Schedule => automation::schedule(request, env, caller()?, name).await,
        // The sandbox's own token is checked where it is known.
        Kind::FromSandbox => {
            let path = format!("/{rest}");
            sandbox::forward(request, env, &SessionId::parse(name)?, &path).await
        }
    }
}

/// The headers that say who asks.
struct Shown {
    origin: Option<String>,
    authorization: Option<String>,
    cookie: Option<String>,
    protocols: Option<String>,
    fetch_site: Option<String>,
    fetch_mode: Option<String>,
    upgrade: bool,
}

impl Shown {
    fn of(headers: &Headers) -> Self {
        let header = |name: &str| headers.get(name).ok().flatten();
        Self {
            origin: header("origin"),
            authorization: header("authorization"),
            cookie: header("cookie"),
            protocols: header("sec-websocket-protocol"),
            fetch_site: header("sec-fetch-site"),
            fetch_mode: header("sec-fetch-mode"),
            upgrade: header("upgrade").is_some(),
        }
    }

    fn asked<'a>(&'a self, url: &'a Url, origin: &'a str, method: &str, kind: Kind) -> Asked<'a> {
        let is_page = matches!(
            kind,
            Kind::Root | Kind::NewSession | Kind::Page | Kind::AgentsPage
        );
        Asked {
            host: url.host_str().unwrap_or_default(),
            origin,
            query: url.query().unwrap_or_default(),
            origin_header: self.origin.as_deref(),
            authorization: self.authorization.as_deref(),
            cookie: self.cookie.as_deref(),
            protocols: self.protocols.as_deref(),
            fetch_site: self.fetch_site.as_deref(),
            opens_page: is_page && self.fetch_mode.as_deref() == Some("navigate"),
            acts: self.upgrade || !matches!(method, "GET" | "HEAD"),
        }
    }
}

/// The account of somebody who has one.
///
/// # Errors
/// 403 for who has a share link or a ticket alone.
pub fn known(caller: &Caller) -> std::result::Result<&access::Principal, Problem> {
    match &caller.who {
        Who::Known(principal) => Ok(principal),
        Who::Link(_) | Who::Ticket(_) => Err(Problem::new(
            ProblemKind::Forbidden,
            "a share link or a ticket opens one session, and nothing else",
        )),
    }
}

/// Lets everybody through who is known, and who has a true share link.
async fn be_somebody(env: &Env, caller: &Caller) -> std::result::Result<(), Problem> {
    let Who::Link(token) = &caller.who else {
        return known(caller).map(drop);
    };
    let visit = Visit {
        caller: caller.clone(),
        right: Right::Read,
        launches: false,
    };
    let session = ShareToken::parse(token)?.session;
    session::may(env, &session, &visit).await.map(|_: Pass| ())
}

fn method_not_allowed(methods: &[&str]) -> Answer {
    let allowed = methods.join(", ");
    let problem = Problem::new(
        ProblemKind::MethodNotAllowed,
        format!("this path takes {allowed}"),
    );
    let open = |response: Response| {
        let mut response = response;
        response.headers_mut().set("allow", &allowed)?;
        Ok(response)
    };
    answer::problem(&problem)
        .and_then(open)
        .map_err(|error| internal("allow", &error))
}

fn redirect(to: &str) -> Answer {
    Response::builder()
        .with_status(302)
        .with_header("location", to)
        .and_then(|builder| builder.with_header("cache-control", "no-store"))
        .map(worker::ResponseBuilder::empty)
        .map_err(|error| internal("redirect", &error))
}

/// The body of a request, up to `limit` bytes.
///
/// # Errors
/// 413 for a larger one.
pub async fn body(request: &mut Request, limit: usize) -> std::result::Result<Vec<u8>, Problem> {
    let too_large = || {
        Problem::new(
            ProblemKind::TooLarge,
            format!("the body is larger than {limit} bytes; put long material into a file"),
        )
    };
    let declared = request.headers().get("content-length").ok().flatten();
    if declared
        .and_then(|text| text.parse::<usize>().ok())
        .is_some_and(|bytes| bytes > limit)
    {
        return Err(too_large());
    }
    let Ok(stream) = request.stream() else {
        return Ok(Vec::new());
    };
    let body = answer::up_to(limit, stream).await;
    let body = body.map_err(|_| Problem::bad_request("the body was cut"))?;
    body.ok_or_else(too_large)
}
