//! What was used: by a session, or by all of an account's day by day.

use protocol::event::TurnState;
use protocol::{EventBody, Outcome, SessionId};
use serde_json::{Value, json};

use crate::api::Api;
use crate::cli::Used;
use crate::events::{Ends, Events};
use crate::failure::Failure;
use crate::out::{Out, text, texts};

pub async fn usage(api: &Api, out: Out, given: &Used) -> Result<(), Failure> {
    if let Some(session) = &given.session {
        return of_session(api, out, session).await;
    }
    let mut request = api.get("/api/usage");
    for (name, day) in [("from", &given.from), ("to", &given.to)] {
        if let Some(day) = day {
            request = request.query(&[(name, day)]);
        }
    }
    let told: Value = api.document(request).await?;
    if out.json {
        return out.json(&told);
    }
    let heads = [
        "DAY",
        "TURNS",
        "FAILED",
        "SECONDS",
        "TOKENS IN",
        "CACHED IN",
        "TOKENS OUT",
        "COST",
    ];
    out.list(&days(&told), &heads, row)
}

/// The days, and under them their sum.
fn days(told: &Value) -> Vec<Value> {
    let days = told.get("days").and_then(Value::as_array);
    let mut days = days.cloned().unwrap_or_default();
    let mut total = told.get("total").cloned().unwrap_or_default();
    if let Some(members) = total.as_object_mut() {
        members.insert("day".to_owned(), json!("all"));
        days.push(total);
    }
    days
}

fn row(used: &Value) -> Vec<String> {
    let number = |name: &str| used.get(name).and_then(Value::as_u64).unwrap_or_default();
    let real = |name: &str| used.get(name).and_then(Value::as_f64).unwrap_or_default();
    let cached =
        number("cache_read_input_tokens").saturating_add(number("cache_creation_input_tokens"));
    // Of the turns whose cost is known.
    let cost = match number("unpriced_turns") {
        0 => format!("${:.4}", real("cost_usd")),
        unpriced => format!("${:.4}, {unpriced} unpriced", real("cost_usd")),
    };
    let mut row = texts(used, &["day", "turns", "failed_turns"]);
    row.push(format!("{:.1}", real("seconds")));
    row.push(text(used, "input_tokens"));
    row.push(cached.to_string());
    row.push(text(used, "output_tokens"));
    row.push(cost);
    row
}

/// The sum of what a session's turns have used, as its log says.
async fn of_session(api: &Api, out: Out, session: &SessionId) -> Result<(), Failure> {
    let path = format!("/api/sessions/{session}/events?from=0");
    let ask = move |api: &Api| api.get(&path);
    let mut events = Events::open(api, Box::new(ask), Ends::AtLast, Some(0)).await?;
    let mut sum = Sum::default();
    while let Some(told) = events.next().await? {
        if let Some(event) = &told.event {
            sum.add(&event.body);
        }
    }
    let document = sum.document(session);
    if out.json {
        return out.json(&document);
    }
    let names = [
        "turns",
        "completed",
        "failed",
        "interrupted",
        "model_calls",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cost_usd",
        "seconds",
    ];
    let fields: Vec<_> = names
        .iter()
        .map(|name| (*name, text(&document, name)))
        .collect();
    out.fields(&fields)
}

#[derive(Debug, Default)]
struct Sum {
    turns: u64,
    outcomes: [u64; 3],
    input: u64,
    output: u64,
    cache_read: u64,
    cache_creation: u64,
    calls: u64,
    millis: u64,
    cost: f64,
    /// A turn whose cost nobody knows.
    unpriced: bool,
}

impl Sum {
    fn add(&mut self, body: &EventBody) {
        let EventBody::Status(status) = body else {
            return;
        };
        if status.state != TurnState::Ended {
            return;
        }
        self.turns += 1;
        let [completed, failed, interrupted] = &mut self.outcomes;
        match status.outcome {
            Some(Outcome::Completed) | None => *completed += 1,
            Some(Outcome::Failed) => *failed += 1,
            Some(Outcome::Interrupted) => *interrupted += 1,
        }
        let Some(usage) = &status.usage else { return };
        for (sum, part) in [
            (&mut self.input, usage.input_tokens),
            (&mut self.output, usage.output_tokens),
            (&mut self.cache_read, usage.cache_read_input_tokens),
            (&mut self.cache_creation, usage.cache_creation_input_tokens),
            (&mut self.calls, usage.num_turns),
            (&mut self.millis, usage.duration_ms),
        ] {
            *sum = sum.saturating_add(part);
        }
        match usage.cost_usd {
            Some(cost) => self.cost += cost,
            None => self.unpriced = true,
        }
    }

    fn document(&self, session: &SessionId) -> Value {
        let [completed, failed, interrupted] = self.outcomes;
        json!({
            "session_id": session,
            "turns": self.turns,
            "completed": completed,
            "failed": failed,
            "interrupted": interrupted,
            "model_calls": self.calls,
            "input_tokens": self.input,
            "output_tokens": self.output,
            "cache_read_input_tokens": self.cache_read,
            "cache_creation_input_tokens": self.cache_creation,
            // A part of it is not the sum.
            "cost_usd": (!self.unpriced).then_some(self.cost),
            "seconds": self.millis as f64 / 1000.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accounts_days_and_their_sum() {
        let used = |turns: u64, unpriced: u64| {
            json!({ "turns": turns, "failed_turns": 1, "seconds": 2.25, "input_tokens": 3, "output_tokens": 4,
                "cache_read_input_tokens": 5, "cache_creation_input_tokens": 6, "cost_usd": 0.5,
                "unpriced_turns": unpriced })
        };
        let mut day = used(1, 0);
        day["day"] = json!("2026-11-21");
        let told = json!({ "days": [day], "total": used(2, 1), "sessions": [] });
        let rows: Vec<String> = days(&told).iter().map(|one| row(one).join(" | ")).collect();
        assert_eq!(
            rows,
            [
                "2026-11-21 | 1 | 1 | 2.2 | 3 | 11 | 4 | $0.5000",
                "all | 2 | 1 | 2.2 | 3 | 11 | 4 | $0.5000, 1 unpriced",
            ]
        );
        assert!(days(&json!(null)).is_empty());
    }

    fn ended(outcome: &str, cost: Option<f64>) -> EventBody {
        serde_json::from_value(json!({
            "type": "status", "content": "", "state": "ended", "outcome": outcome, "usage": {
                "input_tokens": 10, "output_tokens": 2, "cost_usd": cost, "duration_ms": 1500, "num_turns": 3 },
        }))
        .unwrap()
    }

    #[test]
    fn what_turns_have_used_is_summed_up() {
        let session = SessionId::parse("s").unwrap();
        let mut sum = Sum::default();
        sum.add(&ended("completed", Some(0.25)));
        sum.add(&ended("failed", Some(0.5)));
        let told = sum.document(&session);
        assert_eq!(
            (&told["turns"], &told["failed"], &told["input_tokens"]),
            (&json!(2), &json!(1), &json!(20))
        );
        assert_eq!(
            (&told["cost_usd"], &told["seconds"]),
            (&json!(0.75), &json!(3.0))
        );
        sum.add(&ended("completed", None));
        assert_eq!(sum.document(&session)["cost_usd"], Value::Null);
    }
}
