//! The session object: `ClaudeCodeAgent`, named `session-{sessionId}`.
//!
//! It holds the log and carries out what the pure [`Session`](::session::Session) decides:
//!
//! ```text
//! sockets.rs   frames in, events out      streams.rs   the log as NDJSON and SSE
//! log.rs       the SQLite tables          turn.rs      the turn's stream from the sandbox
//! asks.rs      what the agent asks people  agent.rs    what it was launched with
//! door.rs      who may in                  stub.rs     how the Worker's routes ask it
//! chat.rs      turns as the platform's clients read them
//! fork.rs      a session that goes on from one of another's turns
//! family.rs    those that its agent works with
//! index.rs     what its owner's account is told of it, and  reports.rs  of its turns
//! state.rs     its state, as clients are told it          wishes.rs   what is asked of it
//! terminal.rs  shells in its sandbox that people type in
//! ```
//!
//! One way in, [`Object::take`]: step the machine, store events and state, then show the events and
//! carry out the effects. Nothing between the step and the storing waits, so no one sees an event
//! that is not stored. The object may be evicted at any time; while a turn is under way an alarm
//! brings it back, and it goes on from what is stored.
//!
//! It can be deleted when its owner deletes the session; until then it keeps its log.

mod agent;
mod asks;
mod chat;
mod door;
mod family;
mod fork;
mod index;
mod log;
mod reports;
mod sockets;
mod state;
mod streams;
mod stub;
mod terminal;
mod turn;
mod wishes;

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

pub use ::session::Parent;
use ::session::export::Format;
use ::session::{Effect, Input, Report, Session, Step};
use protocol::{Problem, ProblemKind, SessionId, Turn, TurnId};
use serde::de::DeserializeOwned;
use serde_json::json;
use worker::{
    DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage,
    durable_object, wasm_bindgen,
};

use crate::account::Shown;
use crate::answer::{self, Answer, internal};
use crate::limits::{self, Limit};
pub use agent::{Launch, Outbound};
pub use asks::Reply;
pub use door::{ShareWish, Visit};
pub use family::{Child, Family};
pub use fork::fork;
pub use index::STATUSES;
use log::Log;
pub use stub::{
    child_has_begun, connect, delete, describe, events, export, family, fell_asleep, give_child_up,
    interrupt, launch, may, may_open_terminal, may_send_direct, outbound, reached, reply,
    revoke_shares, say, share, state, stop, take_child, ticket, wait,
};
pub use wishes::{Events, Form, Say, Span};

/// How often a session that has a turn under way is woken, should it have been evicted.
const WATCH: Duration = Duration::from_secs(20);

/// How long the account may take to hear of a session that is being deleted.
const TELLING: Duration = Duration::from_secs(5);

/// The close code of a socket whose session was deleted, of those that are free for applications.
const GONE: u16 = 4410;

/// Who the session is, on every request to its object: an object does not know its own name.
const SESSION_ID: &str = "x-session-id";

/// Who asks, and what that needs, as JSON. Only the Worker reaches the object, so it is its word.
const VISIT: &str = "x-visit";

/// The events that a socket wants, as JSON: a request for one has no body.
const WANTED: &str = "x-wanted-events";

#[durable_object]
pub struct ClaudeCodeAgent {
    object: AssertUnwindSafe<Rc<Object>>,
}

impl DurableObject for ClaudeCodeAgent {
    fn new(state: State, env: Env) -> Self {
        Self {
            object: AssertUnwindSafe(Rc::new(Object::new(state, env))),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match self.object.answer(request).await {
            Ok(response) => Ok(response),
            Err(problem) => answer::problem(&problem),
        }
    }

    async fn websocket_message(
        &self,
        socket: WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<()> {
        self.object.frame(&socket, message).await;
        Ok(())
    }

    async fn websocket_close(
        &self,
        socket: WebSocket,
        code: usize,
        _reason: String,
        _clean: bool,
    ) -> Result<()> {
        self.object.closed(&socket, code);
        Ok(())
    }

    async fn websocket_error(&self, socket: WebSocket, _error: worker::Error) -> Result<()> {
        self.object.closed(&socket, 1011);
        Ok(())
    }

    async fn alarm(&self) -> Result<Response> {
        self.object.watch().await;
        Response::empty()
    }
}

/// The object behind the class, shared with the tasks that it starts.
struct Object {
    platform: State,
    env: Env,
    log: Log,
    doors: door::Doors,
    agents: agent::Agents,
    /// None until somebody has begun it.
    session: RefCell<Option<Session>>,
    /// Which of the tasks that read a turn's stream is the one that counts.
    reader: Cell<u64>,
    /// Whether that task is alive.
    reading: Cell<bool>,
    /// Whether a turn is being given to the sandbox, which may still be starting.
    opening: Cell<bool>,
    /// The turn whose end is being saved.
    saving_turn: Cell<Option<TurnId>>,
    /// What a turn has done until now is being saved.
    saving: Cell<bool>,
    /// Those who wait for the log to grow.
    followers: streams::Followers,
    floods: sockets::Floods,
    default_model: RefCell<Option<String>>,
    /// What the index was told last.
    told_index: RefCell<Option<Shown>>,
    /// The router is being asked what the turn has used until now.
    asking_spent: Cell<bool>,
    /// The account is being told of turns that have ended.
    reporting: Cell<bool>,
    /// Held while a message is taken, which may wait for the router: messages keep their order.
    taking: futures_util::lock::Mutex<()>,
}

impl Object {
    fn new(platform: State, env: Env) -> Self {
        let log = Log::new(platform.storage());
        // Answered by the platform, so that a beating heart wakes nobody.
        match worker::worker_sys::WebSocketRequestResponsePair::new(
            r#"{"type":"ping"}"#,
            r#"{"type":"pong"}"#,
        ) {
            Ok(pair) => platform.set_websocket_auto_response(&pair),
            Err(error) => drop(internal("pong", &worker::Error::from(error))),
        }
        let mut session = log.load().unwrap_or_else(|error| {
            internal("log", &error);
            None
        });
        if let Some(session) = &mut session {
            session.patience = asks::patience(&env);
        }
        let storage = platform.storage();
        let doors = door::Doors::load(&storage, session.is_some());
        let agents = agent::Agents::new(&storage);
        if let Some(session) = &session {
            agents.load(&env, &session.id);
        }
        Self {
            platform,
            env,
            log,
            doors,
            agents,
            session: RefCell::new(session),
            reader: Cell::new(0),
            reading: Cell::new(false),
            opening: Cell::new(false),
            saving_turn: Cell::new(None),
            saving: Cell::new(false),
            followers: streams::Followers::default(),
            floods: sockets::Floods::default(),
            default_model: RefCell::new(None),
            told_index: RefCell::new(None),
            asking_spent: Cell::new(false),
            reporting: Cell::new(false),
            taking: futures_util::lock::Mutex::new(()),
        }
    }

    async fn answer(self: &Rc<Self>, mut request: Request) -> Answer {
        let id = request
            .headers()
            .get(SESSION_ID)
            .ok()
            .flatten()
            .unwrap_or_default();
        let path = request.path();
        // What other objects ask, and no caller's request.
        match path.as_str() {
            "/outbound" => return answer::json(200, &self.outbound()),
            "/reached" => {
                let (host, decision) = asked_for(&mut request).await?;
                self.take(vec![Input::Egress { host, decision }])?;
                return Ok(answer::empty(204));
            }
            "/log-up-to" => return self.log_up_to(asked_for(&mut request).await?),
            "/family" => return answer::json(200, &self.family()?),
            "/child" => {
                self.take_child(asked_for(&mut request).await?)?;
                return Ok(answer::empty(204));
            }
            "/child-has-begun" => {
                self.child_has_begun(asked_for(&mut request).await?)?;
                return Ok(answer::empty(204));
            }
            "/give-child-up" => {
                self.give_child_up(asked_for(&mut request).await?)?;
                return Ok(answer::empty(204));
            }
            "/asleep" => {
                self.fell_asleep();
                return Ok(answer::empty(204));
            }
            _ => {}
        }
        let visit = request.headers().get(VISIT).ok().flatten();
        let visit: Visit = serde_json::from_slice(visit.unwrap_or_default().as_bytes())
            .map_err(|error| internal("visit", &error))?;
        let is_socket = matches!(path.as_str(), "/socket" | "/terminal");
        if matches!(visit.caller.who, access::Who::Ticket(_)) && !is_socket {
            return Err(Problem::new(
                ProblemKind::Unauthenticated,
                "a ticket opens a WebSocket of the session, and nothing else",
            ));
        }
        let id = SessionId::parse(&id)?;
        if path == "/say" {
            let say = asked_for(&mut request).await?;
            return self.answer_message(&id, &visit, say).await;
        }
        if path == "/direct" {
            let model: Option<String> = asked_for(&mut request).await?;
            let pass = self.admit_message(&id, &visit, model.as_deref()).await?;
            limits::count(&self.env, Limit::Messages, &pass).await?;
            self.record(&pass, "direct message");
            return answer::json(200, &pass);
        }
        let pass = self.admit(&id, &visit).await?;
        self.take_up();
        match path.as_str() {
            "/socket" => {
                let wanted = request.headers().get(WANTED).ok().flatten();
                let (wanted, warm) = serde_json::from_slice(wanted.unwrap_or_default().as_bytes())
                    .map_err(|error| internal("socket", &error))?;
                limits::count(&self.env, Limit::Sockets, &pass).await?;
                self.accept_socket(pass, wanted, warm)
            }
            "/terminal" => {
                if asked_for(&mut request).await? {
                    limits::count(&self.env, Limit::Sockets, &pass).await?;
                    self.may_open_terminal().await?;
                    self.record(&pass, "terminal");
                }
                answer::json(200, &pass)
            }
            "/reply" => {
                let event = self.reply(asked_for(&mut request).await?, &pass)?;
                self.record(&pass, "answer");
                Ok(event)
            }
            "/events" => self.answer_with_events(pass, &asked_for(&mut request).await?),
            "/export" => {
                let markdown = asked_for(&mut request).await?;
                self.export(
                    pass,
                    if markdown {
                        Format::Markdown
                    } else {
                        Format::Json
                    },
                )
            }
            "/launch" => {
                self.launch(asked_for(&mut request).await?)?;
                Ok(answer::empty(204))
            }
            "/fork" => {
                let wish: fork::Wish = asked_for(&mut request).await?;
                let is_owner = match (&visit.caller.who, self.owner()) {
                    (access::Who::Known(principal), Some(owner)) => principal.owner == owner,
                    _ => false,
                };
                let fork = self.fork(&fork::Wish { is_owner, ..wish })?;
                self.record(&pass, "fork");
                answer::json(200, &fork)
            }
            "/begin-as" => {
                self.begin_as(asked_for(&mut request).await?).await?;
                Ok(answer::empty(204))
            }
            "/interrupt" => {
                let step = self.take(vec![Input::Interrupt { turn: None }])?;
                let interrupted = !step.events.is_empty();
                if interrupted {
                    self.record(&pass, "interrupt");
                }
                answer::json(200, &json!({ "interrupted": interrupted }))
            }
            "/wait" => {
                let seconds: u64 = asked_for(&mut request).await?;
                self.wait(Duration::from_secs(seconds)).await
            }
            "/stop" => {
                let status = self.stop().await?;
                self.record(&pass, "stop");
                answer::json(200, &status)
            }
            "/describe" => self.describe_launch().await,
            "/delete" => self.delete(&pass).await.map(|()| answer::empty(204)),
            "/state" => self.state().await,
            "/may" => answer::json(200, &pass),
            "/share" => match asked_for::<Option<ShareWish>>(&mut request).await? {
                Some(wish) => answer::json(201, &self.share(&pass, &wish)?),
                None => answer::json(200, &self.list_shares()?),
            },
            "/unshare" => self.revoke_shares(&pass).map(|()| answer::empty(204)),
            "/ticket" => answer::json(201, &self.ticket(&pass)?),
            _ => Err(Problem::new(
                ProblemKind::NotFound,
                "no such path in a session",
            )),
        }
    }

    /// Lets in who sends a message for a model. No session begins with one that nobody can answer.
    async fn admit_message(
        self: &Rc<Self>,
        id: &SessionId,
        visit: &Visit,
        model: Option<&str>,
    ) -> std::result::Result<access::Pass, Problem> {
        if self.owner().is_none()
            && visit.launches
            && let Some(model) = model
        {
            // Who may begin none hears that, and asks the router nothing.
            let now = worker::Date::now().as_millis();
            access::Door::begin(&visit.caller, visit.right, now)?;
            crate::models::check(&self.env, model).await?;
        }
        let pass = self.admit(id, visit).await?;
        self.take_up();
        Ok(pass)
    }

    /// Takes one message over HTTP, and answers with its turn.
    async fn answer_message(self: &Rc<Self>, id: &SessionId, visit: &Visit, say: Say) -> Answer {
        let pass = self
            .admit_message(id, visit, say.turn.model.as_deref())
            .await?;
        limits::count(&self.env, Limit::Messages, &pass).await?;
        let said = self.say(say.id, say.turn).await?;
        self.record(&pass, "message");
        self.answer_with_turn(pass, say.form, said, say.after).await
    }

    /// Takes one message: stores it and its turn, once for each `id`. Returns where it is in the log.
    async fn say(
        self: &Rc<Self>,
        id: Option<String>,
        turn: Turn,
    ) -> std::result::Result<Said, Problem> {
        let _in_order = self.taking.lock().await;
        let mut turn = turn;
        if let Some(agent) = self.agents.get() {
            if agent.has_ended() {
                return Err(Problem::new(
                    ProblemKind::Conflict,
                    "this session has ended: somebody has stopped it, or nobody used it for long; its log and \
                     files are kept, and a new one can be launched with workspace_from",
                ));
            }
            turn.launch = agent.config.launch();
        }
        #[cfg(feature = "panics")]
        panic_where_told(&turn.prompt, "at once");
        let id = match id {
            Some(id) => id,
            None => crate::random::hex::<16>().map_err(|error| internal("random", &error))?,
        };
        if let Some(said) = self
            .log
            .message(&id)
            .map_err(|error| internal("log", &error))?
        {
            return Ok(said);
        }
        let asked = serde_json::to_string(&turn).map_err(|error| internal("say", &error))?;
        if asked.len() > log::MAX_REQUEST {
            return Err(Problem::new(
                ProblemKind::TooLarge,
                "the message is too large to keep; put long material into a file",
            ));
        }
        self.check_model(&turn).await?;
        let (content, model, mode) = (turn.prompt.clone(), turn.model.clone(), turn.mode);
        #[cfg(feature = "panics")]
        let told = content.clone();
        let step = self.take_with(
            vec![Input::Message {
                id: id.clone(),
                content,
                model,
                mode,
            }],
            |log, step| {
                let Some(first) = step.events.first() else {
                    return Ok(());
                };
                log.keep_turn(&id, first, &asked)?;
                #[cfg(feature = "panics")]
                panic_where_told(&told, "while it is stored");
                Ok(())
            },
        )?;
        let first = step
            .events
            .first()
            .ok_or_else(|| internal("say", &"no event"))?;
        Ok(Said {
            seq: first.seq,
            turn: first.turn_id.ok_or_else(|| internal("say", &"no turn"))?,
        })
    }

    /// # Errors
    /// Where a message names a model that can't be called, and that the session has not used until now.
    async fn check_model(&self, turn: &Turn) -> std::result::Result<(), Problem> {
        let Some(model) = &turn.model else {
            return Ok(());
        };
        let known = {
            let session = self.session.borrow();
            let session = session.as_ref();
            session.is_some_and(|session| session.state.model.as_ref() == Some(model))
        };
        // Whoever brings a key knows what it is good for.
        if known
            || self
                .agents
                .get()
                .is_some_and(|agent| agent.model_key().is_some())
        {
            return Ok(());
        }
        crate::models::check(&self.env, model).await
    }

    fn with_session<T>(&self, read: impl FnOnce(&Session) -> T) -> std::result::Result<T, Problem> {
        self.session
            .borrow()
            .as_ref()
            .map(read)
            .ok_or_else(|| internal("session", &"unnamed"))
    }

    fn take(self: &Rc<Self>, inputs: Vec<Input>) -> std::result::Result<Step, Problem> {
        self.take_with(inputs, |_, _| Ok(()))
    }

    /// Steps the session, stores what came of it (and what `store` adds), shows it, and carries out
    /// what is to be done. All of the inputs' events become one entry of the log.
    fn take_with(
        self: &Rc<Self>,
        inputs: Vec<Input>,
        store: impl FnOnce(&Log, &Step) -> Result<()>,
    ) -> std::result::Result<Step, Problem> {
        let now = worker::Date::now().as_millis();
        let lines;
        let expiry = self.with_session(Session::next_expiry)?;
        let step = {
            let mut session = self.session.borrow_mut();
            let session = session
                .as_mut()
                .ok_or_else(|| internal("session", &"unnamed"))?;
            // In a copy: whatever fails or panics on the way, nothing of it has happened then.
            let mut next = session.clone();
            let mut all = Step::default();
            for input in inputs {
                let step = next.step(input, now)?;
                all.events.extend(step.events);
                all.effects.extend(step.effects);
            }
            let stored = log::lines_of(&all.events).and_then(|lines| {
                let log = &self.log;
                log.transaction(|| {
                    log.append(&all.events, &lines, &session.state, &next)?;
                    log.keep_reports(&all.events)?;
                    store(log, &all)
                })?;
                Ok(lines)
            });
            match stored {
                Ok(stored) => {
                    *session = next;
                    lines = stored;
                }
                Err(error) => {
                    internal("log", &error);
                    return Err(Problem::new(
                        ProblemKind::Internal,
                        "the session could not store this, and has kept nothing of it; try again",
                    ));
                }
            }
            all
        };
        self.show(&lines);
        for effect in &step.effects {
            self.carry_out(effect.clone());
        }
        self.watch_sooner(expiry);
        self.tell_index();
        if step.events.iter().any(|event| Report::of(event).is_some()) {
            self.tell_account();
        }
        Ok(step)
    }

    /// Shows events, as their JSON, to everybody who is connected.
    fn show(&self, lines: &[String]) {
        if !lines.is_empty() {
            self.send_to_all(lines);
            self.followers.wake();
        }
    }

    fn carry_out(self: &Rc<Self>, effect: Effect) {
        let object = Rc::clone(self);
        match effect {
            Effect::Start { .. } | Effect::Attach { .. } => {
                self.reader.set(self.reader.get() + 1);
                let reader = self.reader.get();
                self.reading.set(true);
                let alive = ReaderAlive(Rc::clone(self), reader);
                self.platform.wait_until(AssertUnwindSafe(async move {
                    let _alive = alive;
                    object.set_watch().await;
                    object.read_turn(reader).await;
                }));
            }
            Effect::Save { turn } => {
                if self.saving_turn.replace(Some(turn)) == Some(turn) {
                    return; // It is being saved.
                }
                self.platform.wait_until(AssertUnwindSafe(async move {
                    object.set_watch().await;
                    object.save(turn).await;
                    if object.saving_turn.get() == Some(turn) {
                        object.saving_turn.set(None);
                    }
                }));
            }
            Effect::Interrupt { turn } => self.platform.wait_until(AssertUnwindSafe(async move {
                object.tell_interrupt(turn).await;
            })),
            Effect::Answer { request_id } => {
                self.platform.wait_until(AssertUnwindSafe(async move {
                    object.tell_answer(&request_id).await;
                }));
            }
            Effect::Settings { turn, change } => {
                self.platform.wait_until(AssertUnwindSafe(async move {
                    object.tell_settings(turn, change).await;
                }));
            }
            Effect::Acknowledge { turn, n } => {
                self.platform.wait_until(AssertUnwindSafe(async move {
                    object.tell_acknowledge(turn, n).await;
                }))
            }
        }
    }

    async fn set_watch(&self) {
        if let Err(error) = self.platform.storage().set_alarm(self.next_watch()).await {
            internal("alarm", &error);
        }
    }

    /// The alarm: takes up a turn that nobody reads any more, and watches one that somebody does.
    async fn watch(self: &Rc<Self>) {
        self.expire();
        self.tell_account();
        if self.reading.get() || self.saving_turn.get().is_some() {
            self.retell();
            self.set_watch().await;
            return;
        }
        self.take_up();
        if self.reading.get() {
            return;
        }
        match self.until_idle_end() {
            None => {}
            Some(Duration::ZERO) => self.end_idle().await,
            Some(left) => {
                if let Err(error) = self.platform.storage().set_alarm(left).await {
                    internal("alarm", &error);
                }
            }
        }
    }

    /// Takes up the turn that was under way when this object was evicted.
    fn take_up(self: &Rc<Self>) {
        let lost = self.with_session(Session::reattach).ok().flatten();
        if let Some(effect) = lost.filter(|_| !self.reading.get()) {
            self.carry_out(effect);
            self.retell();
        }
    }

    /// The model that answers a turn which names none.
    async fn model(&self) -> std::result::Result<String, Problem> {
        if let Some(model) = self.with_session(|session| session.state.model.clone())? {
            return Ok(model);
        }
        if let Some(model) = self.default_model.borrow().clone() {
            return Ok(model);
        }
        let model = crate::models::default_model(&self.env).await?;
        *self.default_model.borrow_mut() = Some(model.clone());
        Ok(model)
    }

    /// Deletes the session for good: its sandbox with all that was saved of it, then its log. What was
    /// done to it stays in its owner's audit log.
    ///
    /// # Errors
    /// Where a part of it can't be deleted. The session is there then, so that it may be tried again.
    async fn delete(self: &Rc<Self>, pass: &access::Pass) -> std::result::Result<(), Problem> {
        self.record(pass, "delete");
        // What its turns have used is known also when it is gone.
        if let Err(problem) = answer::within(TELLING, "the account", self.report()).await {
            internal("report", &problem.detail);
        }
        self.wipe().await
    }

    async fn wipe(self: &Rc<Self>) -> std::result::Result<(), Problem> {
        let failed = |error: worker::Error| internal("delete", &error);
        // Nobody reads its turn any more.
        self.reader.set(self.reader.get() + 1);
        self.reading.set(false);
        self.sandbox()?.delete().await?;
        if let (Some(owner), Ok(id)) = (self.owner(), self.with_session(|it| it.id.clone())) {
            crate::account::forget_session(&self.env, &owner, &id).await?;
        }
        let storage = self.platform.storage();
        storage.delete_alarm().await.map_err(failed)?;
        storage.delete_all().await.map_err(failed)?;
        // From here on nothing waits: who comes next meets a session that has never been.
        *self.session.borrow_mut() = None;
        self.doors.forget();
        self.agents.forget();
        self.told_index.replace(None);
        self.log.load().map_err(failed)?;
        for socket in self.platform.get_websockets() {
            let _ = socket.close(Some(GONE), Some("the session was deleted"));
        }
        self.followers.wake();
        Ok(())
    }
}

/// What the Worker's routes ask of this object.
async fn asked_for<T: DeserializeOwned>(request: &mut Request) -> std::result::Result<T, Problem> {
    let failed = |error: worker::Error| internal("request", &error);
    let body = request.bytes().await.map_err(failed)?;
    serde_json::from_slice(&body).map_err(|error| internal("request", &error))
}

/// In a build of the tests: a message can make its session panic.
#[cfg(feature = "panics")]
#[expect(clippy::panic, reason = "it is what this build is for")]
fn panic_where_told(prompt: &str, place: &str) {
    if prompt == format!("panic {place}") {
        panic!("told to panic {place}");
    }
}

/// Says, when the task that reads a turn's stream is over, however it ends, that it is.
struct ReaderAlive(Rc<Object>, u64);

impl Drop for ReaderAlive {
    fn drop(&mut self) {
        let Self(object, reader) = self;
        if object.reader.get() == *reader {
            object.reading.set(false);
        }
    }
}

/// Says for its life, however that ends, that something is being done of which one at a time is enough.
struct UnderWay<'a>(&'a Cell<bool>);

impl<'a> UnderWay<'a> {
    /// None where it is being done already.
    fn begin(done: &'a Cell<bool>) -> Option<Self> {
        (!done.replace(true)).then(|| Self(done))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Where a message is in the log.
#[derive(Debug, Clone, Copy)]
struct Said {
    seq: u64,
    turn: TurnId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_ends_however_it_ends() {
        let reporting = Cell::new(false);
        let telling = UnderWay::begin(&reporting);
        assert!(telling.is_some() && UnderWay::begin(&reporting).is_none());
        assert!(reporting.get(), "a second one takes nothing from the first");
        drop(telling);
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let _telling = UnderWay::begin(&reporting);
            panic!("it panics");
        }));
        assert!(ended.is_err() && !reporting.get());
    }
}
