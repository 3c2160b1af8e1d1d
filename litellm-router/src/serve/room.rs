//! Room for bodies that are being read, where a call may vanish without giving its room back: the runtime of
//! a Worker ends calls without a word. So what a body takes up counts no longer than it may take to be read.

use super::{BODY_TIME, LARGEST_BODY};
use crate::error::Refusal;

/// See the module.
#[derive(Debug)]
pub struct Room {
    most: usize,
    bodies: Vec<Body>,
    last: u64,
}

#[derive(Debug)]
struct Body {
    ticket: u64,
    bytes: usize,
    /// Milliseconds since the epoch when it is over in any case.
    until: u64,
}

impl Room {
    /// Room for so many of the largest bodies.
    pub const fn of(bodies: usize) -> Self {
        Self {
            most: bodies * LARGEST_BODY,
            bodies: Vec::new(),
            last: 0,
        }
    }

    /// Lets a body begin. Gives the ticket by which it takes up room.
    pub fn begin(&mut self, now: u64) -> u64 {
        self.bodies.retain(|body| body.until > now);
        self.last += 1;
        self.bodies.push(Body {
            ticket: self.last,
            bytes: 0,
            until: now.saturating_add(BODY_TIME.as_millis() as u64),
        });
        self.last
    }

    /// Takes up room for more of a body.
    ///
    /// # Errors
    /// 503 where there is none.
    pub fn grow(&mut self, ticket: u64, bytes: usize) -> Result<(), Refusal> {
        let taken: usize = self.bodies.iter().map(|body| body.bytes).sum();
        let body = self.bodies.iter_mut().find(|body| body.ticket == ticket);
        match body {
            Some(body) if taken.saturating_add(bytes) <= self.most => {
                body.bytes += bytes;
                Ok(())
            }
            _ => Err(no_room()),
        }
    }

    /// The body is there, or is not waited for any more.
    pub fn end(&mut self, ticket: u64) {
        self.bodies.retain(|body| body.ticket != ticket);
    }
}

/// 503, for a shell that reads as many bodies as it can hold.
pub fn no_room() -> Refusal {
    let words = "too many bodies are under way to this router; try again";
    let mut refusal = Refusal::new(503, words);
    refusal.headers.push(("retry-after".into(), "1".into()));
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_has_its_bound() {
        let mut room = Room::of(2);
        let (one, other) = (room.begin(0), room.begin(0));
        room.grow(one, LARGEST_BODY).unwrap();
        room.grow(other, LARGEST_BODY - 1).unwrap();
        assert_eq!(room.grow(other, 2).unwrap_err().status, 503);
        room.end(one);
        room.grow(other, 1).unwrap();
    }

    #[test]
    fn who_vanishes_leaves_its_room_in_time() {
        let mut room = Room::of(1);
        let gone = room.begin(0);
        room.grow(gone, LARGEST_BODY).unwrap();
        let late = BODY_TIME.as_millis() as u64;
        let next = room.begin(late - 1);
        assert!(room.grow(next, 1).is_err());
        let next = room.begin(late);
        room.grow(next, LARGEST_BODY - 1).unwrap();
        // What has no ticket any more takes no room.
        assert!(room.grow(gone, 1).is_err());
    }
}
