//! What happens without a person at hand: prompts that are said at a time ([`schedule`]), and servers that
//! are told when a turn has ended ([`webhook`]). No storage, no network, no clock: times are milliseconds
//! since the epoch, and come from outside.

mod cron;
pub mod schedule;
pub mod webhook;
