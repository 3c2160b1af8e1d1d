//! Pages of the log: how many of its events are read at a time, forward and back.
//!
//! The log is kept in rows of one event a line. A page ends within a row where it is full, so that
//! its size does not depend on how the events happened to be stored.

use serde::Deserialize;

/// A row of the log as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Row {
    /// `seq` of its first event.
    pub seq: u64,
    /// One event a line.
    pub events: String,
}

/// Some events of the log, in ascending order and without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Each event as its JSON, with its `seq`.
    pub events: Vec<(u64, String)>,
    /// There are more in the direction of reading.
    pub more: bool,
}

impl Page {
    /// The events as their JSON.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|(_, line)| line.as_str())
    }

    /// `seq` of the first event.
    pub fn first(&self) -> Option<u64> {
        self.events.first().map(|(seq, _)| *seq)
    }

    /// `seq` of the last event.
    pub fn last(&self) -> Option<u64> {
        self.events.last().map(|(seq, _)| *seq)
    }
}

/// How much a page may hold. Where it may hold events at all, one is in it, however large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub events: usize,
    pub bytes: usize,
}

/// The events after `from`, out of the rows that hold them, oldest first.
///
/// # Errors
/// The first of the rows'.
pub fn after<E>(
    rows: impl IntoIterator<Item = Result<Row, E>>,
    from: u64,
    size: Size,
) -> Result<Page, E> {
    let mut page = Filling::of(size);
    for row in rows {
        let row = row?;
        for (seq, line) in (row.seq..).zip(row.events.split('\n')) {
            if seq > from && !page.takes(seq, line) {
                return Ok(page.filled);
            }
        }
    }
    Ok(page.filled)
}

/// The newest events before `before`, out of the rows that hold them, newest first.
///
/// # Errors
/// The first of the rows'.
pub fn before<E>(
    rows: impl IntoIterator<Item = Result<Row, E>>,
    before: u64,
    size: Size,
) -> Result<Page, E> {
    let mut page = Filling::of(size);
    'rows: for row in rows {
        let row = row?;
        let lines: Vec<(u64, &str)> = (row.seq..).zip(row.events.split('\n')).collect();
        for (seq, line) in lines.into_iter().rev() {
            if seq < before && !page.takes(seq, line) {
                break 'rows;
            }
        }
    }
    page.filled.events.reverse();
    Ok(page.filled)
}

/// A page while it is filled.
struct Filling {
    filled: Page,
    bytes: usize,
    size: Size,
}

impl Filling {
    fn of(size: Size) -> Self {
        Self {
            filled: Page::default(),
            bytes: 0,
            size,
        }
    }

    /// Adds an event where there is room for it; else there is more than this page.
    fn takes(&mut self, seq: u64, line: &str) -> bool {
        let events = &mut self.filled.events;
        let fits = self.bytes + line.len() <= self.size.bytes || events.is_empty();
        if !fits || events.len() >= self.size.events {
            self.filled.more = true;
            return false;
        }
        self.bytes += line.len();
        events.push((seq, line.to_owned()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A log whose events have these sizes, in rows that hold so many.
    fn log(sizes: &[usize], rows: &[usize]) -> Vec<Row> {
        let mut lines = sizes.iter().map(|size| "x".repeat(*size));
        let (mut stored, mut seq) = (Vec::new(), 1);
        for held in rows.iter().copied().chain(std::iter::repeat(1)) {
            let held: Vec<String> = lines.by_ref().take(held).collect();
            if held.is_empty() {
                return stored;
            }
            let events = held.join("\n");
            stored.push(Row { seq, events });
            seq += held.len() as u64;
        }
        stored
    }

    /// What the database gives for [`after`]: the row that holds the next event, and all later ones.
    fn from_next(log: &[Row], from: u64) -> Vec<Result<Row, ()>> {
        let place = log.partition_point(|row| row.seq <= from + 1).max(1) - 1;
        log.iter().skip(place).cloned().map(Ok).collect()
    }

    fn down_from(log: &[Row], before: u64) -> Vec<Result<Row, ()>> {
        let older = log.iter().rev().filter(|row| row.seq < before);
        older.cloned().map(Ok).collect()
    }

    fn logs() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Size)> {
        let sizes = prop::collection::vec(1..60_usize, 0..60);
        let rows = prop::collection::vec(1..9_usize, 0..60);
        let size = (1..20_usize, 1..200_usize).prop_map(|(events, bytes)| Size { events, bytes });
        (sizes, rows, size)
    }

    fn check_size(page: &Page, size: Size) {
        let bytes: usize = page.events.iter().map(|(_, line)| line.len()).sum();
        assert!(page.events.len() <= size.events.max(1));
        assert!(page.events.len() == 1 || bytes <= size.bytes, "{page:?}");
    }

    proptest! {
        #[test]
        fn forward_each_event_comes_once((sizes, rows, size) in logs(), from in 0..70_u64) {
            let log = log(&sizes, &rows);
            let (mut from, mut seen) = (from, Vec::new());
            let wanted: Vec<u64> = (from + 1..=sizes.len() as u64).collect();
            loop {
                let page = after(from_next(&log, from), from, size).unwrap();
                let Some(last) = page.last() else { break };
                check_size(&page, size);
                assert_eq!(page.more, last < sizes.len() as u64);
                for (seq, line) in &page.events {
                    assert_eq!(line.len(), sizes[*seq as usize - 1]);
                    seen.push(*seq);
                }
                from = last;
            }
            assert_eq!(seen, wanted);
        }

        #[test]
        fn backward_each_event_comes_once((sizes, rows, size) in logs(), newest in 0..70_u64) {
            let log = log(&sizes, &rows);
            let (mut next, mut seen) = (Some(newest), Vec::new());
            while let Some(at) = next {
                let page = before(down_from(&log, at), at, size).unwrap();
                next = page.first().filter(|_| page.more);
                if !page.events.is_empty() {
                    check_size(&page, size);
                    assert_eq!(page.more, page.first() > Some(1));
                }
                seen.splice(0..0, page.events.iter().map(|(seq, _)| *seq));
            }
            let held = (sizes.len() as u64).min(newest.saturating_sub(1));
            assert_eq!(seen, (1..=held).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_event_that_is_larger_than_a_page_is_a_page() {
        let log = log(&[5, 500, 5], &[3]);
        let size = Size {
            events: 10,
            bytes: 100,
        };
        let page = after(from_next(&log, 1), 1, size).unwrap();
        assert_eq!(
            (page.first(), page.last(), page.more),
            (Some(2), Some(2), true)
        );
        let page = before(down_from(&log, 3), 3, size).unwrap();
        assert_eq!(
            (page.first(), page.last(), page.more),
            (Some(2), Some(2), true)
        );
    }

    #[test]
    fn a_page_for_nothing_is_empty() {
        let log = log(&[5, 5], &[2]);
        let size = Size {
            events: 0,
            bytes: 100,
        };
        let page = before(down_from(&log, 3), 3, size).unwrap();
        assert!(page.events.is_empty() && page.more);
    }

    #[test]
    fn what_can_not_be_read_is_told() {
        let size = Size {
            events: 10,
            bytes: 100,
        };
        assert_eq!(after([Err("disk")], 0, size), Err("disk"));
        assert_eq!(before([Err("disk")], 9, size), Err("disk"));
    }
}
