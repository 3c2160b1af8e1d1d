//! The list of a history's points: a text of one line each, to which lines are only added. Whoever may
//! write the agent's home may write it, so what is no line of these says nothing.
//!
//! ```text
//! anew turn-6 it was damaged
//! begin 0123…                   a commit
//! turn-7 4567…
//! turn-8 -                      too much was there to be kept
//! session new                   what stands above is of the session whose workspace this one began with
//! ```

use std::collections::BTreeMap;

use protocol::{Problem, ProblemKind, TurnId};

use super::EMPTY;

/// Letters of a reason that are kept.
const LONGEST_WHY: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    Begin,
    Turn(TurnId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Commit(String),
    /// There was too much.
    Nothing,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Points {
    begin: Option<String>,
    turns: BTreeMap<TurnId, Taken>,
    /// The commit of the last line that has one.
    last: Option<String>,
    /// The turn after which the history began anew, and why.
    anew: Option<(Option<TurnId>, String)>,
}

impl Points {
    pub fn read(text: &str) -> Self {
        let mut points = Self::default();
        for line in text.lines() {
            let Some((name, rest)) = line.split_once(' ') else {
                continue;
            };
            if name == "anew" {
                let (turn, why) = rest.split_once(' ').unwrap_or((rest, ""));
                let why = why.chars().take(LONGEST_WHY).collect();
                points.anew = Some((turn.parse().ok(), why));
                continue;
            }
            if name == "session" {
                points = Self {
                    last: points.last,
                    ..Self::default()
                };
                continue;
            }
            let taken = match rest {
                "-" => Taken::Nothing,
                commit if is_name(commit) => Taken::Commit(commit.to_owned()),
                _ => continue,
            };
            let turn = name.parse::<TurnId>().ok();
            if name != "begin" && turn.is_none() {
                continue;
            }
            if let Taken::Commit(commit) = &taken {
                points.last = Some(commit.clone());
            }
            match (turn, taken) {
                (Some(turn), taken) => {
                    points.turns.insert(turn, taken);
                }
                (None, Taken::Commit(commit)) => points.begin = Some(commit),
                (None, Taken::Nothing) => {}
            }
        }
        points
    }

    /// Whether there are ends of turns.
    pub fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether the session has no begin yet.
    pub fn is_empty(&self) -> bool {
        self.begin.is_none()
    }

    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    pub fn last_turn(&self) -> Option<TurnId> {
        let last = self.turns.keys().next_back().copied();
        last.or_else(|| self.anew.as_ref().and_then(|(turn, _)| *turn))
    }

    /// The commit of a point. A turn that ended before it began left what was there.
    ///
    /// # Errors
    /// 404 where there is no such point, 413 where there was too much.
    pub fn find(&self, point: &Point) -> Result<String, Problem> {
        let begin = || self.begin.clone().unwrap_or_else(|| EMPTY.to_owned());
        let turn = match point {
            Point::Begin => return Ok(begin()),
            Point::Turn(turn) => *turn,
        };
        if let Some((after, why)) = &self.anew
            && after.is_some_and(|after| turn <= after)
            && !self.turns.contains_key(&turn)
        {
            return Err(Problem::new(
                ProblemKind::NotFound,
                format!(
                    "what the workspace was at the end of {turn} is not known any more: its history began anew, as {why}"
                ),
            ));
        }
        let last = self.turns.keys().next_back();
        if last.is_none_or(|last| turn > *last) || turn.0 == 0 {
            let known = match last {
                Some(last) => format!("the last that has ended is {last}"),
                None => "no turn has ended yet".to_owned(),
            };
            return Err(Problem::new(
                ProblemKind::NotFound,
                format!("{turn} has left nothing to compare: {known}"),
            ));
        }
        match self.turns.range(..=turn).next_back() {
            Some((_, Taken::Commit(commit))) => Ok(commit.clone()),
            Some((turn, Taken::Nothing)) => Err(Problem::new(
                ProblemKind::TooLarge,
                format!(
                    "what the workspace was at the end of {turn} was not kept: there was too much of it, or it took too long"
                ),
            )),
            None => Ok(begin()),
        }
    }

    /// What a reader of a diff has to know.
    pub fn note(&self) -> Option<String> {
        let (turn, why) = self.anew.as_ref()?;
        let after = turn.map_or(String::new(), |turn| format!(" after {turn}"));
        Some(format!(
            "The history of the workspace began anew{after}, as {why}"
        ))
    }
}

/// A line of the list.
pub fn line(point: &Point, taken: &Taken) -> String {
    let taken = match taken {
        Taken::Commit(commit) => commit,
        Taken::Nothing => "-",
    };
    match point {
        Point::Begin => format!("begin {taken}\n"),
        Point::Turn(turn) => format!("{turn} {taken}\n"),
    }
}

/// The line after which another session's points stand.
pub const NEW_SESSION: &str = "session new\n";

/// The line with which a list begins that is not the first.
pub fn anew(after: Option<TurnId>, why: &str) -> String {
    let after = after.map_or("-".to_owned(), |turn| turn.to_string());
    let why: String = why
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(LONGEST_WHY)
        .collect();
    format!("anew {after} {why}\n")
}

/// Whether it is an object's name, so that nothing else reaches Git's arguments.
pub fn is_name(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn commit(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn found(points: &Points, turn: u64) -> Result<String, u16> {
        let found = points.find(&Point::Turn(TurnId(turn)));
        found.map_err(|problem| problem.status())
    }

    #[test]
    fn what_was_noted_is_found() {
        let mut text = line(&Point::Begin, &Taken::Commit(commit('0')));
        assert_eq!(found(&Points::read(&text), 1), Err(404), "none has ended");
        text += &line(&Point::Turn(TurnId(2)), &Taken::Commit(commit('2')));
        text += &line(&Point::Turn(TurnId(4)), &Taken::Nothing);
        text += &line(&Point::Turn(TurnId(5)), &Taken::Commit(commit('5')));
        text += "turn-6 aaaa";
        let points = Points::read(&text);
        assert_eq!(points.find(&Point::Begin), Ok(commit('0')));
        assert_eq!(found(&points, 0), Err(404));
        // One that was given up before it began.
        assert_eq!(found(&points, 1), Ok(commit('0')));
        assert_eq!(found(&points, 3), Ok(commit('2')));
        assert_eq!(found(&points, 4), Err(413));
        assert_eq!(found(&points, 5), Ok(commit('5')));
        assert_eq!(found(&points, 6), Err(404), "a torn line is none");
        assert_eq!(points.last(), Some(commit('5').as_str()));
        assert_eq!(points.note(), None);
    }

    #[test]
    fn one_that_began_anew_says_so() {
        let mut text = anew(Some(TurnId(6)), "it was\ndamaged");
        text += &line(&Point::Begin, &Taken::Commit(commit('6')));
        text += &line(&Point::Turn(TurnId(6)), &Taken::Commit(commit('6')));
        text += &line(&Point::Turn(TurnId(7)), &Taken::Commit(commit('7')));
        let points = Points::read(&text);
        assert_eq!(found(&points, 5), Err(404));
        assert_eq!(found(&points, 6), Ok(commit('6')));
        assert_eq!(found(&points, 7), Ok(commit('7')));
        insta::assert_snapshot!(points.note().unwrap(), @"The history of the workspace began anew after turn-6, as it was damaged");
        assert_eq!(points.last_turn(), Some(TurnId(7)));
    }

    #[test]
    fn another_sessions_points_do_not_count() {
        let mut text = line(&Point::Begin, &Taken::Commit(commit('0')));
        text += &line(&Point::Turn(TurnId(1)), &Taken::Commit(commit('1')));
        text += &line(&Point::Turn(TurnId(2)), &Taken::Commit(commit('2')));
        text += NEW_SESSION;
        let points = Points::read(&text);
        assert!(points.is_empty() && !points.has_turns());
        assert_eq!(
            points.last(),
            Some(commit('2').as_str()),
            "it goes on from there"
        );
        text += &line(&Point::Begin, &Taken::Commit(commit('2')));
        text += &line(&Point::Turn(TurnId(1)), &Taken::Commit(commit('3')));
        let points = Points::read(&text);
        assert_eq!(points.find(&Point::Begin), Ok(commit('2')));
        assert_eq!(found(&points, 1), Ok(commit('3')));
        assert_eq!(found(&points, 2), Err(404));
    }

    proptest! {
        #[test]
        fn anything_is_read(text in "(begin|turn-[0-9]{1,3}|anew|session|x)? ?([0-9a-f]{40}|-|.{0,50})\n?.{0,100}", turn in any::<u64>()) {
            let points = Points::read(&text);
            for point in [Point::Begin, Point::Turn(TurnId(turn))] {
                if let Ok(commit) = points.find(&point) {
                    prop_assert!(is_name(&commit));
                }
            }
        }
    }
}
