//! Agents that work with others: the Worker's own server of tools (`/mcp`), for whoever has a key, and for
//! agents whose configuration lets them. An agent reaches the sessions that it has launched, and those that
//! they have; somebody with a key reaches what is the owner's.

use std::time::Duration;

use access::{Caller, Origin, Principal, Right, Scopes, Via, Who};
use futures_util::future::{Either, LocalBoxFuture, join_all, select};
use futures_util::{FutureExt, stream};
use mcp::{Incoming, Tool};
use protocol::{ClaudeCodeOptions, Problem, ProblemKind, SessionId};
use serde_json::{Value, json};
use worker::{Delay, Env, Method, Request, Url};

use crate::account::{self, Search};
use crate::answer::{self, Answer, SSE, internal};
use crate::routes::agents as launches;
use crate::routes::configs;
use crate::session::{self, Child, Family, Form, Launch, Parent, Say, Visit};
use crate::{container, routes};

/// Bytes of a message.
const MAX_BODY: usize = 1024 * 1024;

/// Silence after which a stream that waits says that it is alive.
const QUIET: Duration = Duration::from_secs(15);

/// Generations that are climbed in search of who has launched whom: no configuration allows as many.
const MAX_GENERATIONS: u8 = 8;

/// Bytes of a file or listing, as JSON.
const MAX_TOLD: usize = 1024 * 1024;

/// Entries of a listing: as the description of the tool says.
const MAX_ENTRIES: usize = 500;

/// Sessions of a list.
const PAGE: u64 = 100;

/// Who uses the tools.
#[derive(Clone)]
pub enum Asker {
    /// Somebody with a key.
    Person(Caller),
    /// The agent of a session, known by where its call comes from.
    Agent(SessionId),
}

/// Answers a message of the Model Context Protocol.
pub async fn serve(mut request: Request, env: &Env, asker: Asker) -> Answer {
    let header = |name: &str| request.headers().get(name).ok().flatten();
    if let Some(revision) = header("mcp-protocol-version")
        && !mcp::speaks(&revision)
    {
        return Err(Problem::bad_request(
            "this MCP-Protocol-Version is not spoken here",
        ));
    }
    let streams = header("accept").is_some_and(|accept| accept.contains(SSE));
    let body = routes::body(&mut request, MAX_BODY).await?;
    match mcp::read(&body, env!("CARGO_PKG_VERSION")) {
        Incoming::Nothing => Ok(answer::empty(202)),
        Incoming::Answer(status, answer) => answer::json(status, &answer),
        Incoming::Call { id, tool } => {
            let waits = matches!(tool, Tool::WaitForAgents { .. });
            let env = env.clone();
            let call = async move {
                let said = call(&env, asker, tool).await;
                mcp::answered(&id, &said)
            };
            if waits && streams {
                return stream_of(call.boxed_local());
            }
            answer::json(200, &call.await)
        }
    }
}

/// An answer that takes its time, with signs of life before it.
fn stream_of(call: LocalBoxFuture<'static, Value>) -> Answer {
    let pieces = stream::unfold(Some(call), |call| async move {
        match select(call?, Delay::from(QUIET)).await {
            Either::Left((said, _)) => {
                let event = format!("event: message\ndata: {said}\n\n");
                Some((Ok::<_, worker::Error>(event.into_bytes()), None))
            }
            Either::Right((_, call)) => Some((Ok(b": waiting\n\n".to_vec()), Some(call))),
        }
    });
    answer::stream_of(SSE)
        .and_then(|builder| builder.from_stream(Box::pin(pieces)))
        .map_err(|error| internal("mcp", &error))
}

/// What a tool says.
async fn call(env: &Env, asker: Asker, tool: Tool) -> Result<Value, Problem> {
    let desk = Desk::open(env, asker).await?;
    desk.principal.may(needs(&tool))?;
    match tool {
        Tool::ListAgents {} => desk.list_agents().await,
        Tool::LaunchAgent { agent, message } => desk.launch(&agent, message).await,
        Tool::SendMessage {
            session_id,
            message,
        } => {
            desk.reaches(&session_id).await?;
            desk.within_budget().await?;
            desk.say(&session_id, message).await
        }
        Tool::WaitForAgents {
            session_ids,
            timeout_seconds,
        } => {
            let waits = session_ids.iter().map(|id| desk.wait(id, timeout_seconds));
            let told = join_all(waits).await;
            if told.iter().all(Result::is_err) {
                let refused: Result<Vec<_>, _> = told.into_iter().collect();
                return refused.map(Value::from);
            }
            Ok(json!({ "sessions": all_of(&session_ids, told) }))
        }
        Tool::ListSessions {} => desk.list_sessions().await,
        Tool::StopAgent { session_id } => {
            desk.reaches(&session_id).await?;
            let visit = desk.visit(Right::Write);
            answer::told(session::interrupt(env, &session_id, &visit).await?).await
        }
        Tool::ListFiles { session_id, path } | Tool::ReadFile { session_id, path } => {
            desk.read(&session_id, &path).await
        }
    }
}

/// What is told of several sessions, and why nothing is of some: one that is gone hides nothing of the others.
fn all_of(ids: &[SessionId], told: Vec<Result<Value, Problem>>) -> Vec<Value> {
    let told = told.into_iter().zip(ids).map(|(told, id)| {
        told.unwrap_or_else(|problem| json!({ "session_id": id, "error": problem.detail }))
    });
    told.collect()
}

/// The scope that a tool needs besides the one that opens this server: that of the route which does the same.
fn needs(tool: &Tool) -> Scopes {
    match tool {
        Tool::ListAgents {}
        | Tool::ListSessions {}
        | Tool::WaitForAgents { .. }
        | Tool::ListFiles { .. }
        | Tool::ReadFile { .. } => Scopes::READ,
        Tool::SendMessage { .. } | Tool::StopAgent { .. } => Scopes::WRITE,
        // That a session may begin, and that something may be said in it, its door looks at.
        Tool::LaunchAgent { .. } => Scopes::LAUNCH,
    }
}

/// One who uses the tools, and what that lets it do.
struct Desk<'a> {
    env: &'a Env,
    caller: Caller,
    principal: Principal,
    /// The session whose agent it is, and how it stands.
    agent: Option<(SessionId, Family)>,
}

impl<'a> Desk<'a> {
    async fn open(env: &'a Env, asker: Asker) -> Result<Self, Problem> {
        let id = match asker {
            Asker::Person(caller) => {
                let principal = routes::known(&caller)?.clone();
                return Ok(Self {
                    env,
                    caller,
                    principal,
                    agent: None,
                });
            }
            Asker::Agent(id) => id,
        };
        let family = session::family(env, &id).await?;
        let (Some(owner), Some(_)) = (&family.owner, &family.orchestration) else {
            return Err(Problem::new(
                ProblemKind::Forbidden,
                "this agent's configuration does not let it work with others (orchestration)",
            ));
        };
        let principal = Principal {
            owner: owner.clone(),
            via: Via::Agent(id.clone()),
            scopes: Scopes::of_names(["read", "write", "launch"].into_iter()),
            until: None,
        };
        let caller = Caller {
            who: Who::Known(principal.clone()),
            origin: Origin {
                address: String::new(),
                request_id: format!("agent:{id}"),
            },
        };
        Ok(Self {
            env,
            caller,
            principal,
            agent: Some((id, family)),
        })
    }

    fn visit(&self, right: Right) -> Visit {
        Visit {
            caller: self.caller.clone(),
            right,
            launches: false,
        }
    }

    /// # Errors
    /// 403 for a session that an agent has not launched, nor one of those that it has. Whether somebody with a
    /// key may in, the session says itself.
    async fn reaches(&self, id: &SessionId) -> Result<(), Problem> {
        let Some((own, _)) = &self.agent else {
            return Ok(());
        };
        let mut at = id.clone();
        for _ in 0..MAX_GENERATIONS {
            let parent = session::family(self.env, &at).await?.parent;
            match parent {
                Some(parent) if parent.session_id == *own => return Ok(()),
                Some(parent) => at = parent.session_id,
                None => break,
            }
        }
        Err(Problem::new(
            ProblemKind::Forbidden,
            format!("{id} is no session that you have launched"),
        ))
    }

    /// # Errors
    /// 429 where an agent and those that it has launched have cost what they may, or one that is above it and
    /// all below that one.
    async fn within_budget(&self) -> Result<(), Problem> {
        let Some((_, own)) = &self.agent else {
            return Ok(());
        };
        let mut at = own.clone();
        for generation in 0..=MAX_GENERATIONS {
            if let Some(most) = at.orchestration.as_ref().and_then(|it| it.max_cost_usd) {
                let cost = cost(self.env, &at, MAX_GENERATIONS).await?;
                if cost >= most {
                    let whose = match generation {
                        0 => "you and your agents",
                        _ => "all agents that work on this together",
                    };
                    return Err(Problem::new(
                        ProblemKind::TooManyRequests,
                        format!(
                            "{whose} have cost {cost:.4} US dollars of {most}; finish with what there is"
                        ),
                    ));
                }
            }
            let Some(parent) = &at.parent else { break };
            at = match session::family(self.env, &parent.session_id).await {
                Ok(parent) => parent,
                // One that was deleted bounds nothing any more.
                Err(problem) if problem.kind == ProblemKind::NotFound => break,
                Err(problem) => return Err(problem),
            };
        }
        Ok(())
    }

    async fn list_agents(&self) -> Result<Value, Problem> {
        let mut all = agents::presets()?.to_vec();
        all.extend(account::configs(self.env, &self.principal.owner).await?);
        let told = all.iter().filter(|config| self.may_launch(&config.id));
        let told = told.map(|config| {
            json!({ "agent": config.id, "name": config.name, "description": config.description })
        });
        Ok(json!({ "agents": told.collect::<Vec<_>>() }))
    }

    fn may_launch(&self, config_id: &str) -> bool {
        let orchestration = self
            .agent
            .as_ref()
            .and_then(|it| it.1.orchestration.as_ref());
        let named = orchestration.map_or(&[][..], |it| it.agents.as_slice());
        named.is_empty() || named.iter().any(|named| named == config_id)
    }

    async fn launch(&self, config_id: &str, message: Option<String>) -> Result<Value, Problem> {
        let refused = |words: String| Err(Problem::new(ProblemKind::Forbidden, words));
        let mut parent = None;
        let (mut model_key, mut provider) = (None, None);
        if let Some((id, family)) = &self.agent {
            if !self.may_launch(config_id) {
                return refused(format!("this agent may not launch {config_id}"));
            }
            let Some(levels) = family.levels.checked_sub(1) else {
                return refused(
                    "this agent was launched by one, and may launch none itself".into(),
                );
            };
            self.within_budget().await?;
            // With its key, and where its own sandbox runs.
            let own = session::outbound(self.env, id).await?;
            (model_key, provider) = (own.model_key, own.provider);
            parent = Some(Parent {
                session_id: id.clone(),
                levels,
            });
        }
        let config = configs::find(self.env, &self.principal, config_id).await?;
        let credentials = config.credentials(None)?;
        let launch = Launch {
            config,
            credentials,
            model_key,
            parent,
            provider,
        };
        let id = launches::fresh_id()?;
        // First, so that there is never one that its parent does not know of.
        if let Some((own, _)) = &self.agent {
            session::take_child(self.env, own, &id).await?;
        }
        let begun = launches::begin(self.env, &self.caller, &id, launch, None).await;
        if let Some((own, _)) = &self.agent {
            let told = match &begun {
                Ok(()) => {
                    let child = Child {
                        id: id.clone(),
                        config_id: config_id.to_owned(),
                    };
                    session::child_has_begun(self.env, own, &child).await
                }
                Err(_) => self.take_back(own, &id).await,
            };
            if let Err(problem) = told {
                internal("launch", &format!("{id} of {own}: {}", problem.detail));
            }
        }
        begun?;
        match message {
            Some(message) => self.say(&id, message).await,
            None => Ok(json!({ "session_id": id })),
        }
    }

    /// Deletes what a launch that has failed may have left. Where that fails, its parent still knows of it.
    async fn take_back(&self, own: &SessionId, id: &SessionId) -> Result<(), Problem> {
        let mut visit = self.visit(Right::Manage);
        // What an agent may not do with a session, its owner may, whose session this is.
        visit.caller.who = Who::Known(Principal {
            scopes: Scopes::own(),
            ..self.principal.clone()
        });
        let deleted = session::delete(self.env, id, &visit).await?;
        match answer::done(deleted).await {
            Err(problem) if problem.kind != ProblemKind::NotFound => Err(problem),
            _ => session::give_child_up(self.env, own, id).await,
        }
    }

    async fn say(&self, id: &SessionId, message: String) -> Result<Value, Problem> {
        let mut options = ClaudeCodeOptions::default();
        options.prompt = Some(message);
        let say = Say {
            session_id: id.clone(),
            id: None,
            turn: options.into_turn()?,
            form: Form::Accepted,
            after: 0,
        };
        answer::told(session::say(self.env, &self.visit(Right::Write), &say).await?).await
    }

    async fn wait(&self, id: &SessionId, seconds: u64) -> Result<Value, Problem> {
        self.reaches(id).await?;
        let visit = self.visit(Right::Read);
        answer::told(session::wait(self.env, id, &visit, seconds).await?).await
    }

    async fn list_sessions(&self) -> Result<Value, Problem> {
        let Some((_, family)) = &self.agent else {
            let search = Search {
                limit: PAGE,
                ..Search::default()
            };
            return account::sessions(self.env, &self.principal.owner, &search).await;
        };
        let told = join_all(family.children.iter().map(|id| self.wait(id, 0))).await;
        let mut told = all_of(&family.children, told);
        for fields in told.iter_mut().filter_map(Value::as_object_mut) {
            fields.remove("answer");
        }
        Ok(json!({ "sessions": told }))
    }

    /// A text, or what is in a folder. Of a sandbox that sleeps it is read where it was saved.
    ///
    /// # Errors
    /// 400 for a picture, 413 for what is longer than a model is told.
    async fn read(&self, id: &SessionId, path: &str) -> Result<Value, Problem> {
        self.reaches(id).await?;
        session::may(self.env, id, &self.visit(Right::Read)).await?;
        let url = Url::parse("http://sandbox.internal/files");
        let mut url = url.map_err(|error| internal("mcp", &error))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path.split('/').filter(|part| !part.is_empty()));
        }
        let request = Request::new(url.as_str(), Method::Get);
        let request = request.map_err(|error| internal("mcp", &error))?;
        let address = format!("{}?limit={MAX_ENTRIES}", url.path());
        let sandbox = container::of(self.env, id)?;
        let told = answer::done(sandbox.files(&request, &address).await?).await?;
        // What comes as it is has that; what is told of it has not.
        if told.headers().has("content-disposition").unwrap_or(true) {
            return Err(Problem::bad_request(format!("{path} is no text")));
        }
        let words = "this is longer than can be told here; name a folder or file below it, or have its agent tell a part of it";
        answer::told_up_to(MAX_TOLD, told, words).await
    }
}

/// What a session and all below it have cost.
fn cost<'a>(
    env: &'a Env,
    family: &'a Family,
    generations: u8,
) -> LocalBoxFuture<'a, Result<f64, Problem>> {
    async move {
        let mut all = family.cost_usd;
        for child in family.children.iter().filter(|_| generations > 0) {
            match session::family(env, child).await {
                Ok(child) => all += cost(env, &child, generations - 1).await?,
                // One that was deleted is counted no more.
                Err(problem) if problem.kind == ProblemKind::NotFound => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(all)
    }
    .boxed_local()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::table::{Need, Sought, find};

    #[test]
    fn one_that_is_gone_hides_nothing_of_the_others() {
        let ids = ["a", "b"].map(|id| SessionId::parse(id).unwrap());
        let gone = Err(Problem::new(ProblemKind::NotFound, "gone"));
        let told = all_of(&ids, vec![gone, Ok(json!({ "session_id": "b" }))]);
        let expected = [
            json!({ "session_id": "a", "error": "gone" }),
            json!({ "session_id": "b" }),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_tool_needs_what_its_route_needs() {
        let session_id = SessionId::parse("s").unwrap();
        let path = String::new();
        for (tool, method, route) in [
            (Tool::ListAgents {}, "GET", "/api/configs"),
            (Tool::ListSessions {}, "GET", "/api/agents/sessions"),
            (
                Tool::WaitForAgents {
                    session_ids: Vec::new(),
                    timeout_seconds: 0,
                },
                "GET",
                "/api/agents/sessions/s",
            ),
            (
                Tool::ListFiles {
                    session_id: session_id.clone(),
                    path: path.clone(),
                },
                "GET",
                "/api/files/s",
            ),
            (
                Tool::ReadFile {
                    session_id: session_id.clone(),
                    path,
                },
                "GET",
                "/api/files/s/a",
            ),
            (
                Tool::SendMessage {
                    session_id: session_id.clone(),
                    message: String::new(),
                },
                "POST",
                "/api/agents/s/chat",
            ),
            (
                Tool::StopAgent { session_id },
                "POST",
                "/api/agents/sessions/s/interrupt",
            ),
        ] {
            let Sought::Found(row, ..) = find(method, route) else {
                panic!("{route}");
            };
            let needed = match row.needs {
                Need::Scope(scope) => scope,
                Need::Session { right, .. } => match right {
                    Right::Read => Scopes::READ,
                    Right::Write | Right::Shell => Scopes::WRITE,
                    Right::Manage => Scopes::ADMIN,
                },
                other => panic!("{route}: {other:?}"),
            };
            assert_eq!(needs(&tool), needed, "{route}");
        }
    }
}
