//! Histories of a session under a scheduler that a seed repeats: people, an object with its storage, a
//! sandbox and the network between them, with everything going wrong that can. After each step what
//! must be true is held against it; in the end the world heals, and nothing may be left.
//!
//! ```text
//! SIMULATION_SEED=123 cargo test -p session histories -- --nocapture     one history, step by step
//! SIMULATION_HISTORIES=1000000 cargo test -p session histories           more of them
//! ```

mod chance;
mod client;
mod examples;
mod ledger;
mod network;
mod object;
mod sandbox;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

/// How many histories a test run goes through.
const HISTORIES: u64 = 100_000;

/// One history: how many events and how many turns it has come to.
fn history(seed: u64, trace: bool) -> (u64, u64) {
    let mut world = World::of(seed);
    world.trace = trace.then(Vec::new);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..20 + world.chance.below(140) {
            world.step();
        }
        world.heal();
    }));
    for line in world.trace.iter().flatten() {
        println!("{line}");
    }
    if let Err(panic) = lived {
        println!(
            "\nseed {seed} fails; to see it: SIMULATION_SEED={seed} cargo test -p session histories -- --nocapture\n"
        );
        std::panic::resume_unwind(panic);
    }
    let messages = &world.object.messages;
    for client in &world.clients {
        assert_eq!(client.seen, world.object.seq(), "every client has it all");
    }
    assert_eq!(messages.len() as u64, world.object.session.state.last_turn);
    (world.object.seq(), messages.len() as u64)
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("the variable is a number"))
}

#[test]
fn histories() {
    if let Some(seed) = number("SIMULATION_SEED") {
        history(seed, true);
        return;
    }
    let histories = number("SIMULATION_HISTORIES").unwrap_or(HISTORIES);
    let begin = std::time::Instant::now();
    let (next, events, turns) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= histories {
                        return;
                    }
                    let (seq, said) = history(seed, false);
                    events.fetch_add(seq, Ordering::Relaxed);
                    turns.fetch_add(said, Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{histories} histories, {turns:?} turns, {events:?} events in {:?}",
        begin.elapsed()
    );
    assert!(turns.into_inner() > histories, "there are turns in them");
}

#[test]
fn a_seed_repeats_its_history() {
    for seed in 0..50 {
        assert_eq!(history(seed, false), history(seed, false));
    }
}
