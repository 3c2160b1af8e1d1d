//! What has changed in a session's workspace.

use protocol::TurnId;
use protocol::diff::{self, BEGIN, NOW};
use serde_json::Value;

use crate::api::Api;
use crate::cli::Diff;
use crate::failure::Failure;
use crate::files::{Download, Target};
use crate::out::Out;

/// What has changed: the document, or the unified diff, which is not all in memory at any time.
pub async fn diff(api: &Api, out: Out, given: &Diff) -> Result<(), Failure> {
    let point = |turn: u64| match turn {
        0 => BEGIN.to_owned(),
        turn => TurnId(turn).to_string(),
    };
    let asked = given.turn;
    let (from, to) = match asked {
        Some(turn) => (Some(turn - 1), Some(turn)),
        None => (given.from, given.to),
    };
    let from = from.map_or(BEGIN.to_owned(), point);
    let to = to.map_or(NOW.to_owned(), point);
    let request = api.get(&format!("/api/sessions/{}/diff", given.session));
    let request = request.query(&[("from", from), ("to", to)]);
    let told = |failure| match (failure, asked) {
        (Failure::Told(mut problem, status), Some(turn)) => {
            problem.detail = of_turn(&problem.detail, turn);
            Failure::Told(problem, status)
        }
        (failure, _) => failure,
    };
    if out.json {
        let document: Value = api.document(request).await.map_err(told)?;
        return out.json(&document);
    }
    let request = request.header("accept", diff::TEXT);
    let answer = api.open(request).await.map_err(told)?;
    let download = Download::to(Target::Stdout, out)?;
    download.receive(api, answer).await.map(drop)
}

/// What a server says of the turn before, where its end is the begin of what was asked for and is not
/// there: then the turn that was asked for is not there either.
fn of_turn(detail: &str, turn: u64) -> String {
    let before = format!("{} has left nothing", TurnId(turn.saturating_sub(1)));
    match detail.strip_prefix(&before) {
        Some(rest) => format!("{} has left nothing{rest}", TurnId(turn)),
        None => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_that_was_asked_for_is_named() {
        let told = "turn-98 has left nothing to compare: the last that has ended is turn-4";
        assert_eq!(
            of_turn(told, 99),
            "turn-99 has left nothing to compare: the last that has ended is turn-4"
        );
        assert_eq!(of_turn(told, 98), told);
        assert_eq!(of_turn(told, 9), told);
    }
}
