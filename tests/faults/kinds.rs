//! The kinds of faults, each as a round on a session: something happens at a random moment, and the
//! session has to work again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use serde_json::json;
use world::{Tab, World};

use crate::report::Row;
use crate::subject::{STUCK, Subject};
use crate::{Options, Random};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Workerd,
    AgentServer,
    Sandbox,
    ClaudeCode,
    Sockets,
    SlowClient,
    Storage,
    Upstream,
    TwoClients,
    ManySessions,
}

/// Sessions that work at the same time, at most.
const MANY: u64 = 50;

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Workerd,
        Self::AgentServer,
        Self::Sandbox,
        Self::ClaudeCode,
        Self::Sockets,
        Self::SlowClient,
        Self::Storage,
        Self::Upstream,
        Self::TwoClients,
        Self::ManySessions,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Workerd => "workerd",
            Self::AgentServer => "agent-server",
            Self::Sandbox => "sandbox",
            Self::ClaudeCode => "claude-code",
            Self::Sockets => "sockets",
            Self::SlowClient => "slow-client",
            Self::Storage => "storage",
            Self::Upstream => "upstream",
            Self::TwoClients => "two-clients",
            Self::ManySessions => "many-sessions",
        }
    }

    /// What a round is.
    pub fn title(self) -> &'static str {
        match self {
            Self::Workerd => "`kill -9` of the session Worker's workerd in mid-turn, and its start",
            Self::AgentServer => "`kill -9` of the agent-server in mid-turn; the disk stays",
            Self::Sandbox => "`kill -9` of the agent-server in mid-turn; its disk is gone",
            Self::ClaudeCode => "`kill -9` of Claude Code in mid-turn",
            Self::Sockets => "a turn streams, and the client's socket is dropped again and again",
            Self::SlowClient => "a turn streams to a client that reads nothing until it is over",
            Self::Storage => "writes of the log or of the state fail for a while in mid-turn",
            Self::Upstream => "the provider answers 429 or 500, cuts its answer, or hangs",
            Self::TwoClients => {
                "two clients send three messages each at once, one of them the same"
            }
            Self::ManySessions => "sessions that begin and work at the same time",
        }
    }

    /// Whether its rounds take down what others need.
    pub fn needs_a_stack(self) -> bool {
        self == Self::Workerd
    }
}

/// The rounds of a kind. One that fails counts as a turn that is stuck, and the next have another session.
pub async fn run(kind: Kind, world: &World, options: &Options, share: Option<Duration>) -> Row {
    let mut random = Random::of(options.seed, kind);
    let mut row = Row::of(kind);
    let begin = Instant::now();
    if kind == Kind::ManySessions {
        many(world, options.rounds.min(MANY), &mut row).await;
        return row;
    }
    let mut subject = Subject::new(kind.name());
    for number in 0..options.rounds {
        if share.is_some_and(|share| begin.elapsed() > share) {
            break;
        }
        let done = round(kind, world, &mut subject, number, &mut random, &mut row).await;
        subject = after(done, kind, number, world, subject, &mut row).await;
    }
    finish(world, subject, &mut row).await;
    row
}

/// The same for workerd itself, which takes its stack with it.
pub async fn run_alone(
    kind: Kind,
    world: &mut World,
    options: &Options,
    share: Option<Duration>,
) -> Row {
    let mut random = Random::of(options.seed, kind);
    let mut row = Row::of(kind);
    let begin = Instant::now();
    let mut subject = Subject::new(kind.name());
    for number in 0..options.rounds {
        if share.is_some_and(|share| begin.elapsed() > share) {
            break;
        }
        let done = async {
            let line = format!("line-{number}");
            let turn = subject.begin_writing(world, &line).await?;
            random.wait_below(1500).await;
            world.stack.kill("worker").await;
            // What is measured begins when it may answer again: its start is the machine's.
            world.stack.start_workers().await?;
            let back = Instant::now();
            subject.end_writing(world, &turn, &line).await?;
            subject.works_again(world).await?;
            row.recovered.push(back.elapsed());
            Ok(())
        };
        let done = done.await;
        subject = after(done, kind, number, world, subject, &mut row).await;
    }
    finish(world, subject, &mut row).await;
    row
}

async fn after(
    done: Result<()>,
    kind: Kind,
    number: u64,
    world: &World,
    subject: Subject,
    row: &mut Row,
) -> Subject {
    row.rounds += 1;
    match done {
        Ok(()) => {
            eprintln!("{} {number}", kind.name());
            subject
        }
        Err(error) => {
            eprintln!("{} {number}: {error:#}", kind.name());
            row.stuck(&format!("round {number}: {error}"));
            finish(world, subject, row).await;
            Subject::new(kind.name())
        }
    }
}

/// Compares what the session's client has seen with the log, and looks for processes.
async fn finish(world: &World, mut subject: Subject, row: &mut Row) {
    if subject.seen.is_empty() {
        return;
    }
    if let Err(error) = subject.compare(world).await {
        eprintln!("{}: {error:#}", subject.session);
        row.failures
            .push(format!("the log could not be read again: {error}"));
    }
    row.processes += too_many(world, &subject.session).await;
    row.add(&subject.losses);
}

/// Processes of a session beside its one agent-server and its one Claude Code, which may be about to
/// take another's place.
async fn too_many(world: &World, session: &str) -> u64 {
    let begin = Instant::now();
    loop {
        let beside = ["agent-server", "claude"].map(|name| {
            let processes = world.processes_in_sandbox(session, name);
            processes.map_or(0, |all| all.len().saturating_sub(1)) as u64
        });
        let beside = beside.iter().sum();
        if beside == 0 || begin.elapsed() > Duration::from_secs(10) {
            return beside;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn round(
    kind: Kind,
    world: &World,
    subject: &mut Subject,
    number: u64,
    random: &mut Random,
    row: &mut Row,
) -> Result<()> {
    let line = format!("line-{number}");
    match kind {
        Kind::AgentServer | Kind::Sandbox | Kind::ClaudeCode | Kind::Storage => {
            let turn = subject.begin_writing(world, &line).await?;
            // The first turn of a session waits for its sandbox.
            let here = |event: &serde_json::Value| {
                event["state"] == "running" || event["state"] == "ended"
            };
            subject.until(world, here).await?;
            random.wait_below(1200).await;
            let fault = Instant::now();
            match kind {
                Kind::AgentServer => world.kill_in_sandbox(&subject.session, "agent-server")?,
                Kind::Sandbox => world.lose_sandbox(&subject.session)?,
                // Between two turns there may be none for a moment.
                Kind::ClaudeCode => drop(world.kill_in_sandbox(&subject.session, "claude")),
                _ => storage_fails(world, &subject.session, random).await?,
            }
            subject.end_writing(world, &turn, &line).await?;
            subject.works_again(world).await?;
            row.recovered.push(fault.elapsed());
        }
        Kind::Sockets => sockets(world, subject, random, row).await?,
        Kind::SlowClient => slow_client(world, subject, random, row).await?,
        Kind::Upstream => {
            let way = ["429", "500", "cut", "hang"][random.below(4) as usize];
            let turn = subject.say(world, "hi", &format!("scripted/{way}")).await?;
            let end = subject.end(world, &turn).await?;
            ensure!(end["outcome"] == "failed", "{way}: {end}");
            let over = Instant::now();
            let turn = subject.begin_writing(world, &line).await?;
            subject.end_writing(world, &turn, &line).await?;
            row.recovered.push(over.elapsed());
            subject.works_again(world).await?;
        }
        Kind::TwoClients => two_clients(world, subject, number, random, row).await?,
        Kind::Workerd | Kind::ManySessions => {}
    }
    Ok(())
}

async fn storage_fails(world: &World, session: &str, random: &mut Random) -> Result<()> {
    let what = ["INSERT ON log", "UPDATE ON session"][random.below(2) as usize];
    let trigger = format!(
        "CREATE TRIGGER fails BEFORE {what} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    );
    world.sql(session, &trigger).await?;
    random.wait_below(800).await;
    world.sql(session, "DROP TRIGGER fails").await
}

async fn sockets(
    world: &World,
    subject: &mut Subject,
    random: &mut Random,
    row: &mut Row,
) -> Result<()> {
    let turn = subject
        .say(world, "stream 60 words every 20 ms", "local/demo")
        .await?;
    let begin = Instant::now();
    loop {
        let stays = random.below(12);
        for _ in 0..=stays {
            let event = subject.next(world).await?;
            if event["state"] == "ended" && event["turn_id"] == turn.as_str() {
                return Ok(());
            }
        }
        ensure!(
            begin.elapsed() < STUCK,
            "it does not end: {}",
            subject.tail()
        );
        subject.drop_socket();
        row.drops += 1;
        random.wait_below(60).await;
        let back = Instant::now();
        let event = subject.next(world).await?;
        row.recovered.push(back.elapsed());
        if event["state"] == "ended" && event["turn_id"] == turn.as_str() {
            return Ok(());
        }
    }
}

async fn slow_client(
    world: &World,
    subject: &mut Subject,
    random: &mut Random,
    row: &mut Row,
) -> Result<()> {
    let turn = subject.say(world, "hi", "scripted/text").await?;
    subject.end(world, &turn).await?;
    let before = subject.seen.len();
    let mut slow = world
        .narrow_tab(&subject.session, Some(before as u64))
        .await?;
    // From one output to more than a socket may have unread.
    let outputs = vec!["run `seq 1 30000`"; 1 + random.below(11) as usize];
    let turn = subject
        .say(world, &outputs.join(" and "), "local/demo")
        .await?;
    subject.end(world, &turn).await?;
    let wanted = &subject.seen[before..];
    let begin = Instant::now();
    let mut seen = Vec::new();
    while seen.len() < wanted.len() {
        ensure!(begin.elapsed() < STUCK, "it does not get all of it");
        if slow.next().await.is_ok() {
            seen.append(&mut slow.events);
        } else {
            // It was closed for want of reading.
            row.drops += 1;
            let from = before + seen.len();
            slow = world.tab(&subject.session, Some(from as u64)).await?;
        }
    }
    let same = seen.iter().zip(wanted).filter(|(a, b)| a == b);
    row.losses.lost += (wanted.len() - same.count()) as u64;
    row.recovered.push(begin.elapsed());
    Ok(())
}

async fn two_clients(
    world: &World,
    subject: &mut Subject,
    number: u64,
    random: &mut Random,
    row: &mut Row,
) -> Result<()> {
    let turn = subject.say(world, "hi", "scripted/text").await?;
    subject.end(world, &turn).await?;
    let mut first = world.tab(&subject.session, None).await?;
    let mut second = world.tab(&subject.session, None).await?;
    let begin = Instant::now();
    let order = random.below(3);
    let send = async |tab: &mut Tab, who: &str| -> Result<()> {
        for place in 0..3 {
            let id = match place == order {
                true => format!("both-{number}"),
                false => format!("{who}-{number}-{place}"),
            };
            let message = json!({ "type": "user_message", "content": "hi", "id": id, "model": "scripted/text" });
            tab.send(message).await?;
        }
        Ok(())
    };
    let (one, other) = tokio::join!(send(&mut first, "one"), send(&mut second, "other"));
    one.and(other)?;
    let ended = |event: &serde_json::Value| event["state"] == "ended";
    for _ in 0..5 {
        subject.until(world, ended).await?;
        subject.losses.turns += 1;
    }
    row.recovered.push(begin.elapsed());
    Ok(())
}

async fn many(world: &World, sessions: u64, row: &mut Row) {
    let all = (0..sessions).map(|number| async move {
        let mut subject = Subject::new(Kind::ManySessions.name());
        let begin = Instant::now();
        let line = format!("line-{number}");
        let done = async {
            let turn = subject.begin_writing(world, &line).await?;
            subject.end_writing(world, &turn, &line).await?;
            let took = begin.elapsed();
            subject.works_again(world).await?;
            Ok::<_, anyhow::Error>(took)
        };
        let done = done.await;
        (subject, done)
    });
    for (number, (subject, done)) in join_all(all).await.into_iter().enumerate() {
        row.rounds += 1;
        match done {
            Ok(took) => row.recovered.push(took),
            Err(error) => {
                eprintln!("many-sessions {number}: {error:#}");
                row.stuck(&format!("session {number}: {error}"));
            }
        }
        finish(world, subject, row).await;
    }
}

/// Ends a stack, and counts what is left of it.
pub async fn end(world: World) -> u64 {
    let data = world.data().to_owned();
    world.stack.stop().await;
    let begin = Instant::now();
    loop {
        let left = world::processes_of(&data);
        if left.is_empty() || begin.elapsed() > Duration::from_secs(10) {
            for process in &left {
                eprintln!("left over: {process}");
            }
            return left.len() as u64;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
