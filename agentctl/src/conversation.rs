//! Talking to an agent, and following what it does.

use std::io::{IsTerminal, Read};

use protocol::{Event, EventBody, Outcome, SessionId, TurnState};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::api::Api;
use crate::cli::{Attach, Chat, Permissions};
use crate::events::{Ends, Events, Told};
use crate::failure::{About, Failure};
use crate::harmless;
use crate::out::Out;
use crate::questions::Desk;
use crate::render::{Talk, To};

/// Bytes of what is said, with room to hear from the server that it is too much.
const MAX_SAID: u64 = 4 * 1024 * 1024;

/// Something that is said. Sent again with the same id it is the same.
pub struct Message {
    session: SessionId,
    body: Value,
}

impl Message {
    /// # Errors
    /// Where there is no randomness.
    pub fn new(session: SessionId, text: String, model: Option<&str>) -> Result<Self, Failure> {
        let random = getrandom::u64().map_err(|error| Failure::here("random", error))?;
        let mut body = json!({
            "prompt": text,
            "sessionId": session,
            "id": format!("agentctl-{random:016x}"),
        });
        if let (Some(model), Some(members)) = (model, body.as_object_mut()) {
            members.insert("model".to_owned(), json!(model));
        }
        Ok(Self { session, body })
    }

    async fn send(&self, api: &Api) -> Result<Events, Failure> {
        let body = self.body.clone();
        let ask = move |api: &Api| api.post("/agent/message").json(&body);
        Events::open(api, Box::new(ask), Ends::WithTurn, None).await
    }
}

/// What the command line says, `-` for stdin.
///
/// # Errors
/// Where stdin can't be read, or nothing is said.
pub fn said(given: &str) -> Result<String, Failure> {
    let text = match given {
        "-" => {
            let mut text = String::new();
            std::io::stdin().take(MAX_SAID).read_to_string(&mut text)?;
            text
        }
        text => text.to_owned(),
    };
    match text.trim().is_empty() {
        true => Err(Failure::Usage("nothing is said".to_owned())),
        false => Ok(text),
    }
}

/// Says something, or whatever somebody at the terminal says one after the other.
pub async fn chat(api: &Api, out: Out, given: &Chat) -> Result<(), Failure> {
    // Speaking would begin a session that is not there.
    let path = format!("/api/agents/sessions/{}", given.session);
    let about: Value = api.document(api.get(&path)).await?;
    let model = given.model.as_deref();
    let message = |text| Message::new(given.session.clone(), text, model);
    let at_terminal = std::io::stdin().is_terminal() && !out.json;
    if given.text.is_some() || !at_terminal {
        let text = said(given.text.as_deref().unwrap_or("-"))?;
        return turn(api, out, message(text)?, given.asks.permissions).await;
    }
    let title = crate::out::text(&about, "title");
    out.say(&format!("{} {title}", given.session));
    out.say("Ctrl-C interrupts a turn; Ctrl-D leaves");
    let mut room = Room::new(api, out, &given.session, given.asks.permissions)?;
    loop {
        out.write(To::Aside, &out.aside_style().bold("> "))?;
        let line = tokio::select! {
            _ = room.interrupts.recv() => return Err(Failure::Interrupted),
            line = room.lines.next() => line,
        };
        let Some(line) = line else {
            out.say("");
            return Ok(());
        };
        if line.trim().is_empty() {
            continue;
        }
        let events = message(line)?.send(api).await?;
        // A turn that fails is told; the conversation goes on.
        match room.follow(events).await {
            Ok(()) | Err(Failure::TurnFailed) => {}
            Err(Failure::Interrupted) if !room.leaves => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// Says something, and follows the turn to its end.
pub async fn turn(
    api: &Api,
    out: Out,
    message: Message,
    permissions: Permissions,
) -> Result<(), Failure> {
    let mut room = Room::new(api, out, &message.session, permissions)?;
    let events = tokio::select! {
        _ = room.interrupts.recv() => return Err(Failure::Interrupted),
        events = message.send(api) => events?,
    };
    room.follow(events).await
}

/// Says something, and goes when it is in the log.
pub async fn leave(api: &Api, message: &Message) -> Result<(), Failure> {
    message.send(api).await?.next().await.map(drop)
}

/// Follows a session until whoever follows leaves.
pub async fn attach(api: &Api, out: Out, given: &Attach) -> Result<(), Failure> {
    let session = given.session.clone();
    let begin = given
        .from
        .map_or("tail=0".to_owned(), |from| format!("from={from}"));
    let ask = move |api: &Api| {
        api.get(&format!(
            "/api/sessions/{session}/events?follow=true&{begin}"
        ))
    };
    let mut events = Events::open(api, Box::new(ask), Ends::Never, given.from).await?;
    events.begin_at_the_end();
    let mut room = Room::new(api, out, &given.session, given.asks.permissions)?;
    room.talk.tells_messages = true;
    room.only_watches = true;
    room.follow(events).await
}

/// Lines that somebody types. They are read from when the first is wanted.
#[derive(Default)]
pub struct Lines {
    lines: Option<mpsc::Receiver<String>>,
}

impl Lines {
    /// The next line; none at the end. May be dropped and called again.
    pub async fn next(&mut self) -> Option<String> {
        let lines = self.lines.get_or_insert_with(|| {
            let (sender, lines) = mpsc::channel(1);
            std::thread::spawn(move || {
                for line in std::io::stdin().lines().map_while(Result::ok) {
                    if sender.blocking_send(line).is_err() {
                        return;
                    }
                }
            });
            lines
        });
        lines.recv().await
    }
}

/// Where a conversation takes place: a session, and a terminal with somebody before it, or nobody.
struct Room {
    api: Api,
    out: Out,
    session: SessionId,
    talk: Talk,
    desk: Desk,
    lines: Lines,
    interrupts: Signal,
    only_watches: bool,
    /// Whoever is here wants to leave, not to interrupt alone.
    leaves: bool,
}

impl Room {
    fn new(
        api: &Api,
        out: Out,
        session: &SessionId,
        permissions: Permissions,
    ) -> Result<Self, Failure> {
        let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Ok(Self {
            api: api.clone(),
            out,
            session: session.clone(),
            talk: Talk::new(out.aside_style(), false),
            desk: Desk::new(permissions, somebody && !out.json, out.aside_style()),
            lines: Lines::default(),
            interrupts: signal(SignalKind::interrupt())?,
            only_watches: false,
            leaves: false,
        })
    }

    /// Tells what comes, asks what is to be asked, and gives how it ended.
    async fn follow(&mut self, mut events: Events) -> Result<(), Failure> {
        let mut interrupted = false;
        let mut outcome = Ok(());
        loop {
            // Only when all that has come was told: somebody else may have answered.
            if events.is_idle()
                && let Some(prompt) = self.desk.prompt()
            {
                self.finish_line()?;
                self.out.write(To::Aside, &prompt)?;
            }
            tokio::select! {
                biased;
                _ = self.interrupts.recv() => {
                    self.finish_line()?;
                    if self.only_watches || interrupted {
                        self.leaves = true;
                        return Err(Failure::Interrupted);
                    }
                    interrupted = true;
                    self.interrupt();
                }
                line = self.lines.next(), if self.desk.waits() => match line {
                    Some(line) => {
                        if let Some((request, answer)) = self.desk.take(&line) {
                            self.answer(&request, &answer).await;
                        }
                    }
                    None => self.desk.nobody_answers(),
                },
                told = events.next() => {
                    let Some(told) = told? else {
                        return outcome;
                    };
                    if let Some(ended) = self.tell(&told).await? {
                        outcome = ended;
                    }
                }
            }
        }
    }

    /// Tells an event, and gives how the turn ended, if it did.
    async fn tell(&mut self, told: &Told) -> Result<Option<Result<(), Failure>>, Failure> {
        if self.out.json {
            self.out.json_text(&told.json)?;
        }
        let Some(event) = &told.event else {
            return Ok(None);
        };
        if !self.out.json {
            for (to, text) in self.talk.told(event) {
                self.out.write(to, &text)?;
            }
        }
        if let Some((request, answer)) = self.desk.note(event) {
            self.answer(&request, &answer).await;
        }
        Ok(outcome(event))
    }

    fn finish_line(&mut self) -> Result<(), Failure> {
        let mut end = Vec::new();
        self.talk.finish(&mut end);
        end.iter()
            .try_for_each(|(to, text)| self.out.write(*to, text))
    }

    /// Asks for the turn's end, while its events go on.
    fn interrupt(&self) {
        self.out
            .say("interrupting; Ctrl-C once more leaves, and the turn goes on");
        let (api, out) = (self.api.clone(), self.out);
        let path = format!("/api/agents/sessions/{}/interrupt", self.session);
        tokio::spawn(async move {
            if let Err(failure) = api.open(api.ask(Method::POST, &path)).await
                && let Some(words) = failure.words(About::Sessions)
            {
                out.say(&words);
            }
        });
    }

    async fn answer(&mut self, request: &str, answer: &Value) {
        let sent = crate::questions::send(&self.api, &self.session, request, answer).await;
        if let Err(failure) = sent
            && let Some(words) = failure.words(About::Requests)
        {
            self.out.say(&harmless::text(&words));
        }
    }
}

/// How the turn of an event ended, if it did with that.
fn outcome(event: &Event) -> Option<Result<(), Failure>> {
    let EventBody::Status(status) = &event.body else {
        return None;
    };
    if status.state != TurnState::Ended {
        return None;
    }
    Some(match status.outcome {
        Some(Outcome::Failed) => Err(Failure::TurnFailed),
        Some(Outcome::Interrupted) => Err(Failure::Interrupted),
        _ => Ok(()),
    })
}
