//! What keeps several processes in step: the books of each account, and how the deployments are
//! doing. The platform's shell gives each account, and the deployments together, an object of their
//! own; here is what such an object does, without the object.
//!
//! Nobody waits for it: a process tells it after a call and hears what the others have told.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::balance::Share;
use crate::spend::{Books, Spending};

/// Processes that are remembered at a time; each that is alive tells again within a minute.
const PROCESSES: usize = 1_000;
const MINUTE_MS: u64 = 60_000;

/// A call for an account's books.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub spent: Spending,
    pub budget_duration: Option<u64>,
    /// How many requests it was to providers.
    #[serde(default)]
    pub sent: u32,
}

impl Entry {
    /// Books this call.
    pub fn book(&self, books: &mut Books, now: u64) {
        books.book(&self.spent, self.budget_duration, now);
        books.count(self.sent.max(1).into());
    }
}

/// What one process says of the deployments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// A random number that stands for the process.
    pub process: u64,
    pub shares: Vec<Share>,
}

/// What all processes say of the deployments.
#[derive(Debug, Default)]
pub struct Deployments {
    reports: HashMap<u64, (u64, Vec<Share>)>,
}

impl Deployments {
    /// Takes a report and returns what all other processes together say.
    pub fn hear(&mut self, report: Report, now: u64) -> Vec<Share> {
        self.reports
            .retain(|_, (heard, _)| now.saturating_sub(*heard) < MINUTE_MS);
        let process = report.process;
        if self.reports.len() < PROCESSES || self.reports.contains_key(&process) {
            self.reports.insert(process, (now, report.shares));
        }
        let minute = now / MINUTE_MS;
        let mut together: HashMap<&str, Share> = HashMap::new();
        let others = self.reports.iter().filter(|(other, _)| **other != process);
        for share in others.flat_map(|(_, (_, shares))| shares) {
            let sum = together.entry(&share.id).or_insert_with(|| Share {
                id: share.id.clone(),
                minute,
                ..Share::default()
            });
            sum.cooled_until = sum.cooled_until.max(share.cooled_until);
            if share.minute == minute {
                sum.requests = sum.requests.saturating_add(share.requests);
                sum.tokens = sum.tokens.saturating_add(share.tokens);
            }
        }
        together.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn report(process: u64, requests: u64, cooled_until: u64, now: u64) -> Report {
        Report {
            process,
            shares: vec![Share {
                id: "d".into(),
                cooled_until,
                minute: now / MINUTE_MS,
                requests,
                tokens: requests * 10,
            }],
        }
    }

    #[test]
    fn each_process_hears_what_the_others_do() {
        let mut deployments = Deployments::default();
        assert_eq!(deployments.hear(report(1, 3, 0, NOW), NOW), []);
        deployments.hear(report(2, 4, NOW + 5_000, NOW), NOW);
        let heard = deployments.hear(report(3, 1, 0, NOW), NOW);
        assert_eq!((heard[0].requests, heard[0].tokens), (7, 70));
        assert_eq!(heard[0].cooled_until, NOW + 5_000);
        // A later report takes the place of the earlier one.
        deployments.hear(report(1, 5, 0, NOW), NOW);
        let heard = deployments.hear(report(3, 1, 0, NOW), NOW);
        assert_eq!(heard[0].requests, 9);
        // What is long ago, and who has not been heard for long, does not count.
        let later = NOW + MINUTE_MS - 1;
        let heard = deployments.hear(report(3, 1, 0, later), later);
        assert_eq!(heard[0].requests, 0);
        let later = NOW + MINUTE_MS;
        assert_eq!(deployments.hear(report(9, 1, 0, later), later).len(), 1);
    }
}
