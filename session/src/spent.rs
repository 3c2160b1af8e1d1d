//! What a session's model calls have used, as the router has booked it.

use protocol::event::Usage;
use serde::{Deserialize, Serialize};

/// All calls of the session since ever. The names are those of the router's books.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    pub requests: u64,
    /// Tokens that came from no cache.
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    /// US dollars, of the calls whose price is known.
    pub cost_usd: f64,
    /// Calls whose price is not known.
    pub unpriced_requests: u64,
}

impl Spent {
    /// US dollars for all of it; none where nothing was used, or the price of a call is not known.
    pub fn cost(&self) -> Option<f64> {
        (self.requests > 0 && self.unpriced_requests == 0).then_some(self.cost_usd)
    }

    /// Tells in `usage` what was used since `before`, if anything was. Where the price of one call is
    /// not known, the cost of all is not.
    pub(crate) fn tell(&self, before: &Self, usage: &mut Option<Usage>) {
        // Books that are shorter than they were are others: the router has lost those before.
        if self.requests <= before.requests {
            return;
        }
        let unpriced = self.unpriced_requests > before.unpriced_requests;
        let usage = usage.get_or_insert_default();
        let since = |now: u64, before: u64| now.saturating_sub(before);
        usage.input_tokens = since(self.input_tokens, before.input_tokens);
        usage.output_tokens = since(self.output_tokens, before.output_tokens);
        usage.cache_read_input_tokens = since(self.cache_read_tokens, before.cache_read_tokens);
        usage.cache_creation_input_tokens =
            since(self.cache_write_tokens, before.cache_write_tokens);
        usage.cost_usd = (!unpriced).then(|| (self.cost_usd - before.cost_usd).max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use protocol::sandbox::{Record, TurnEnd};
    use protocol::{Event, EventBody, Outcome, SessionId};

    use super::*;
    use crate::{Input, Session};

    fn spent(requests: u64, cost_usd: f64, unpriced_requests: u64) -> Spent {
        Spent {
            requests,
            input_tokens: 10 * requests,
            output_tokens: 5 * requests,
            cost_usd,
            unpriced_requests,
            ..Spent::default()
        }
    }

    fn usage_in(events: &[Event]) -> Option<Usage> {
        events.iter().find_map(|event| match &event.body {
            EventBody::Status(status) => status.usage,
            _ => None,
        })
    }

    /// A turn of which Claude Code says that it took 1000 tokens, and the router what stands in its
    /// books when it ends.
    fn turn(session: &mut Session, books: Option<Spent>) -> Usage {
        let mut take = |input| session.step(input, 1).unwrap().events;
        take(Input::Message {
            id: "m".to_owned(),
            content: "hi".to_owned(),
            model: None,
            mode: None,
        });
        let turn = session.state.current.as_ref().unwrap().id;
        let end = TurnEnd {
            outcome: Outcome::Completed,
            content: "Completed".to_owned(),
            model: None,
            usage: Some(Usage {
                input_tokens: 1000,
                cost_usd: Some(9.0),
                num_turns: 3,
                ..Usage::default()
            }),
        };
        let record = Record {
            n: 1,
            end: Some(end),
            ..Record::default()
        };
        let record = Input::Record {
            turn,
            record,
            spent: books,
        };
        session.step(record, 1).unwrap();
        let save = Ok(None);
        let ended = session.step(Input::Saved { turn, save }, 1).unwrap();
        usage_in(&ended.events).unwrap()
    }

    #[test]
    fn a_turn_tells_what_the_router_has_booked_since_the_one_before() {
        let mut session = Session::new(SessionId::parse("s").unwrap());
        // Somebody of that name was there before.
        let spent_before = spent(7, 70.0, 7);
        let booked = Input::Booked {
            spent: spent_before,
        };
        assert!(session.step(booked, 1).unwrap().events.is_empty());
        let first = turn(&mut session, Some(spent(9, 70.5, 7)));
        assert_eq!((first.input_tokens, first.output_tokens), (20, 10));
        assert_eq!((first.cost_usd, first.num_turns), (Some(0.5), 3));
        // A call without a price: what all cost is not known.
        let second = turn(&mut session, Some(spent(11, 70.75, 8)));
        assert_eq!((second.input_tokens, second.cost_usd), (20, None));
        // The router is silent: Claude Code's tokens stand, and no cost.
        let third = turn(&mut session, None);
        assert_eq!((third.input_tokens, third.cost_usd), (1000, None));
        // What was booked meanwhile is not lost, and a free call costs nothing.
        let fourth = turn(&mut session, Some(spent(15, 70.75, 8)));
        assert_eq!((fourth.input_tokens, fourth.cost_usd), (40, Some(0.0)));
        let fifth = turn(&mut session, Some(spent(1, 0.5, 0)));
        assert_eq!((fifth.input_tokens, fifth.cost_usd), (1000, None));
        assert_eq!(session.state.spent, Some(spent(1, 0.5, 0)));
    }

    #[test]
    fn calls_are_told_while_the_turn_goes_on() {
        let mut session = Session::new(SessionId::parse("s").unwrap());
        turn(&mut session, Some(spent(2, 0.5, 0)));
        let mut take = |input| session.step(input, 1).unwrap().events;
        take(Input::Message {
            id: "next".to_owned(),
            content: "hi".to_owned(),
            model: None,
            mode: None,
        });
        let turn = protocol::TurnId(2);
        let told = |events: &[Event]| match events {
            [
                Event {
                    body: EventBody::Usage { usage, .. },
                    ..
                },
            ] => Some((usage.num_turns, usage.cost_usd)),
            _ => None,
        };
        let now = |requests, cost| Input::Spent {
            turn,
            spent: spent(requests, cost, 0),
        };
        // Nothing of the turn has come yet.
        assert!(take(now(3, 0.75)).is_empty());
        let record = |n, end| Input::Record {
            turn,
            record: Record {
                n,
                end,
                ..Record::default()
            },
            spent: Some(spent(6, 2.0, 0)),
        };
        take(record(1, None));
        assert_eq!(told(&take(now(3, 0.75))), Some((1, Some(0.25))));
        assert!(take(now(3, 0.75)).is_empty(), "it is told once");
        assert_eq!(told(&take(now(5, 1.75))), Some((2, Some(1.0))));
        let end = TurnEnd {
            outcome: Outcome::Completed,
            content: "Completed".to_owned(),
            model: None,
            usage: None,
        };
        take(record(2, Some(end)));
        assert!(take(now(6, 2.0)).is_empty(), "the end tells it");
        let ended = take(Input::Saved {
            turn,
            save: Ok(None),
        });
        assert_eq!(usage_in(&ended).unwrap().cost_usd, Some(1.5));
    }

    #[test]
    fn without_a_beginning_there_is_no_difference() {
        let mut session = Session::new(SessionId::parse("s").unwrap());
        assert_eq!(turn(&mut session, None).cost_usd, None);
        assert_eq!(turn(&mut session, Some(spent(9, 1.0, 0))).cost_usd, None);
        let next = turn(&mut session, Some(spent(10, 1.5, 0)));
        assert_eq!(next.cost_usd, Some(0.5));
    }
}
