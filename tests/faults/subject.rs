//! A session to which faults happen, and the client that stays with it: it comes back whenever its
//! socket is gone, and writes down all that it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use world::{Tab, World, fresh_session};

/// How long a turn, or a client that comes back, may take before it counts as stuck.
pub const STUCK: Duration = Duration::from_secs(120);

/// What went wrong with what must never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Losses {
    pub events: u64,
    pub turns: u64,
    pub lost: u64,
    pub repeated: u64,
    pub out_of_order: u64,
    /// Turns without an end, with more than one, or with something after it.
    pub stuck: u64,
    pub files: u64,
    /// What a tool has done twice.
    pub twice: u64,
}

pub struct Subject {
    pub session: String,
    tab: Option<Tab>,
    /// All events, as they came.
    pub seen: Vec<Value>,
    pub losses: Losses,
    /// The lines that turns which were completed have written into the file.
    written: Vec<String>,
    messages: u64,
}

impl Subject {
    pub fn new(name: &str) -> Self {
        Self {
            session: fresh_session(name),
            tab: None,
            seen: Vec::new(),
            losses: Losses::default(),
            written: Vec::new(),
            messages: 0,
        }
    }

    fn last(&self) -> u64 {
        let last = self.seen.last();
        last.and_then(|event| event["seq"].as_u64()).unwrap_or(0)
    }

    /// Lets the socket go without a word.
    pub fn drop_socket(&mut self) {
        self.tab = None;
    }

    /// The next event, whatever happens to the socket meanwhile.
    pub async fn next(&mut self, world: &World) -> Result<Value> {
        let begin = Instant::now();
        loop {
            if begin.elapsed() > STUCK {
                bail!("no event came: {}", self.tail());
            }
            let Some(tab) = &mut self.tab else {
                match world.tab(&self.session, Some(self.last())).await {
                    Ok(tab) => self.tab = Some(tab),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
                continue;
            };
            let frame = tokio::time::timeout(Duration::from_secs(20), tab.next()).await;
            match frame {
                Ok(Ok(frame)) if frame["seq"].is_u64() && frame.get("snapshot").is_none() => {
                    self.note(&frame);
                    return Ok(frame);
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => self.tab = None,
            }
        }
    }

    fn note(&mut self, event: &Value) {
        let (seq, last) = (event["seq"].as_u64().unwrap_or(0), self.last());
        if seq > last + 1 {
            self.losses.lost += seq - last - 1;
        } else if seq <= last {
            match self.seen.contains(event) {
                true => self.losses.repeated += 1,
                false => self.losses.out_of_order += 1,
            }
        }
        self.seen.push(event.clone());
    }

    pub async fn until(&mut self, world: &World, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let begin = Instant::now();
        while begin.elapsed() < STUCK {
            let event = self.next(world).await?;
            if wanted(&event) {
                return Ok(event);
            }
        }
        bail!("it did not come: {}", self.tail())
    }

    /// Says something as a client with an outbox does: with one id, until it is stored. Gives its turn.
    pub async fn say(&mut self, world: &World, content: &str, model: &str) -> Result<String> {
        self.messages += 1;
        let id = format!("message-{}", self.messages);
        let message =
            json!({ "type": "user_message", "content": content, "id": id, "model": model });
        let begin = Instant::now();
        while begin.elapsed() < STUCK {
            let sent = match &mut self.tab {
                Some(tab) => tab.send(message.clone()).await.is_ok(),
                None => false,
            };
            if !sent {
                self.tab = world.tab(&self.session, Some(self.last())).await.ok();
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let stored = async {
                loop {
                    let event = self.next(world).await?;
                    if event["id"] == id.as_str() {
                        let turn = event["turn_id"].as_str();
                        return turn.map(str::to_owned).context("no turn");
                    }
                }
            };
            // Where the socket was gone meanwhile, it is sent again.
            if let Ok(turn) = tokio::time::timeout(Duration::from_secs(5), stored).await {
                self.losses.turns += 1;
                return turn;
            }
        }
        bail!("it was not stored: {}", self.tail())
    }

    /// Waits for the end of a turn.
    pub async fn end(&mut self, world: &World, turn: &str) -> Result<Value> {
        let is_end = |event: &Value| event["state"] == "ended" && event["turn_id"] == turn;
        if let Some(end) = self.seen.iter().find(|event| is_end(event)) {
            return Ok(end.clone());
        }
        self.until(world, is_end).await
    }

    /// A turn of the demo model that writes a line into a file, and takes a while.
    pub async fn begin_writing(&mut self, world: &World, line: &str) -> Result<String> {
        let content = format!("run `echo {line} >> lines; sleep 0.6; echo {line}`");
        self.say(world, &content, "local/demo").await
    }

    /// Its end; what is completed has to be there from now on.
    pub async fn end_writing(&mut self, world: &World, turn: &str, line: &str) -> Result<()> {
        let end = self.end(world, turn).await?;
        if end["outcome"] == "completed" {
            self.written.push(line.to_owned());
        }
        Ok(())
    }

    /// Another turn has to be completed, and find what was written.
    pub async fn works_again(&mut self, world: &World) -> Result<()> {
        let turn = self
            .say(world, "run `cat lines || true`", "local/demo")
            .await?;
        let end = self.end(world, &turn).await?;
        if end["outcome"] != "completed" {
            bail!("the turn after a fault is not completed: {}", self.tail());
        }
        let output = self.seen.iter().rev();
        let output = output
            .into_iter()
            .find(|event| event["type"] == "tool_result");
        let output = output
            .and_then(|event| event["content"].as_str())
            .unwrap_or_default();
        for line in &self.written {
            let times = output.lines().filter(|found| found == line).count() as u64;
            self.losses.files += u64::from(times == 0);
            self.losses.twice += times.saturating_sub(1);
        }
        // What was missed once is not counted again.
        self.written
            .retain(|line| output.lines().filter(|found| found == line).count() == 1);
        Ok(())
    }

    /// Reads the whole log once more, as a client does that comes for the first time, and compares.
    pub async fn compare(&mut self, world: &World) -> Result<()> {
        let mut other = world.tab(&self.session, Some(0)).await?;
        let snapshot = other.next().await?;
        let seq = snapshot["seq"].as_u64().context("no seq")?;
        while self.last() < seq {
            self.next(world).await?;
        }
        while (other.events.len() as u64) < self.last() {
            other.next().await?;
        }
        self.losses.events = other.events.len() as u64;
        for (place, event) in other.events.iter().enumerate() {
            self.losses.out_of_order += u64::from(event["seq"].as_u64() != Some(place as u64 + 1));
        }
        let seen: BTreeMap<u64, &Value> = self
            .seen
            .iter()
            .map(|event| (event["seq"].as_u64().unwrap_or(0), event))
            .collect();
        for event in &other.events {
            let mine = seen.get(&event["seq"].as_u64().unwrap_or(0));
            self.losses.lost += u64::from(mine.is_none_or(|mine| *mine != event));
        }
        let (mut open, mut ended, mut said) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for event in &other.events {
            let Some(turn) = event["turn_id"].as_str() else {
                continue;
            };
            self.losses.stuck += u64::from(ended.contains(turn));
            if event["type"] == "user_message" {
                open.insert(turn);
                let again = !said.insert(event["id"].as_str().unwrap_or_default());
                self.losses.repeated += u64::from(again);
            }
            if event["state"] == "ended" {
                open.remove(turn);
                ended.insert(turn);
            }
        }
        self.losses.stuck += open.len() as u64;
        Ok(())
    }

    pub fn tail(&self) -> String {
        let last = self.seen.iter().rev().take(12).rev();
        let lines = last.map(|event| {
            let content: String = event["content"]
                .as_str()
                .unwrap_or("")
                .chars()
                .take(120)
                .collect();
            format!(
                "\n  {} {} {} {} {content:?}",
                event["seq"], event["turn_id"], event["type"], event["state"]
            )
        });
        format!("{}{}", self.session, lines.collect::<String>())
    }
}
