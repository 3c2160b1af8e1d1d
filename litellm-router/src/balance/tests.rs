use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::route::Routes;

const NOW: u64 = 1_700_000_000_000;

struct World {
    balance: Balance,
    targets: Vec<Target>,
    routing: Routing,
    random: u64,
}

/// A group `g` of deployments with these parameters.
fn world(settings: &str, params: &[&str]) -> World {
    let list: String = params
        .iter()
        .enumerate()
        .map(|(n, params)| {
            format!("- {{model_name: g, litellm_params: {{model: groq/{n}, {params}}}}}\n")
        })
        .collect();
    let yaml = format!("router_settings: {{{settings}}}\nmodel_list:\n{list}");
    let config = Config::parse(&yaml).unwrap();
    let routes = Routes::new(&config, &|_| None);
    World {
        balance: Balance::new(params.len()),
        targets: routes.find("g").unwrap().targets,
        routing: config.routing,
        random: 0,
    }
}

impl World {
    fn choose(&mut self, session: Option<u64>, failed: &[usize]) -> Result<usize, NoneAvailable> {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let chosen = self.balance.choose(
            &self.targets,
            Asking {
                session,
                failed,
                own_key: false,
            },
            &self.routing,
            NOW,
            self.random,
        )?;
        let entry = chosen.deployment.entry;
        if let Some(session) = session {
            self.balance.settle(session, entry);
        }
        Ok(entry)
    }

    fn shares(&mut self) -> HashMap<usize, u32> {
        let mut shares = HashMap::new();
        for _ in 0..1_000 {
            *shares.entry(self.choose(None, &[]).unwrap()).or_default() += 1;
        }
        shares
    }

    fn failed(&mut self, entry: usize, class: ErrorClass) {
        let size = self.targets.len();
        let outcome = Outcome::Failed(class, None);
        self.balance.heard(entry, outcome, size, &self.routing, NOW);
    }
}

#[test]
fn simple_shuffle_goes_by_weight_then_rpm_then_evenly() {
    let shares = world("", &["weight: 9", "weight: 1, rpm: 1000", "rpm: 5"]).shares();
    assert!(shares[&0] > 800 && shares[&1] > 50, "{shares:?}");
    assert!(!shares.contains_key(&2), "{shares:?}");
    let shares = world("", &["rpm: 1", "rpm: 3"]).shares();
    assert!((600..900).contains(&shares[&1]), "{shares:?}");
    let shares = world("", &["tpm: 0", "", ""]).shares();
    assert!(
        shares.values().all(|n| (230..430).contains(n)),
        "{shares:?}"
    );
}

#[test]
fn c03_least_busy_counts_calls_to_their_end_and_breaks_ties_at_random() {
    let mut world = world("routing_strategy: least-busy", &["", "", ""]);
    assert_eq!(world.shares().len(), 3);
    world.balance.began(0, NOW);
    world.balance.began(1, NOW);
    assert_eq!(world.choose(None, &[]), Ok(2));
    world.balance.ended(1, 0, NOW);
    assert_eq!(world.shares().len(), 2);
    // An end too many does not make it look freer than free.
    world.balance.ended(1, 0, NOW);
    world.balance.began(1, NOW);
    assert_eq!(world.balance.in_flight(1), 1);
}

#[test]
fn the_fastest_of_late_comes_first_and_new_ones_are_tried() {
    let mut world = world("routing_strategy: latency-based-routing", &["", ""]);
    for latency in [50, 70] {
        let outcome = Outcome::Began(latency);
        world.balance.heard(0, outcome, 2, &world.routing, NOW);
    }
    assert_eq!(world.choose(None, &[]), Ok(1));
    world
        .balance
        .heard(1, Outcome::Began(90), 2, &world.routing, NOW);
    assert_eq!(world.choose(None, &[]), Ok(0));
    world.failed(0, ErrorClass::Timeout);
    assert_eq!(world.choose(None, &[]), Ok(1));
}

#[test]
fn usage_and_limits_of_a_minute_decide_until_the_next() {
    let mut world = world(
        "routing_strategy: usage-based-routing",
        &["rpm: 1", "tpm: 100"],
    );
    world.balance.began(1, NOW);
    world.balance.ended(1, 99, NOW);
    assert_eq!(world.choose(None, &[]), Ok(0));
    world.balance.began(0, NOW);
    assert_eq!(world.choose(None, &[]), Ok(1));
    world.balance.ended(1, 1, NOW);
    let wait_ms = world.choose(None, &[]).unwrap_err().wait_ms;
    assert_eq!(wait_ms, MINUTE_MS - NOW % MINUTE_MS);
    let later = NOW + wait_ms;
    let chosen = world
        .balance
        .choose(&world.targets, Asking::default(), &world.routing, later, 0);
    assert!(chosen.is_ok());
}

#[test]
fn what_other_processes_say_counts_as_well() {
    let mut here = world(
        "routing_strategy: usage-based-routing",
        &["rpm: 5", "rpm: 5"],
    );
    let share = Share {
        id: "g#0".into(),
        minute: NOW / MINUTE_MS,
        requests: 5,
        ..Share::default()
    };
    here.balance.learn(0, &share, NOW);
    assert_eq!(here.choose(None, &[]), Ok(1));
    let mut there = world("", &["", ""]);
    there.failed(0, ErrorClass::RateLimit);
    let share = there.balance.share(0, "g#0", NOW).unwrap();
    let mut here = world("", &["", ""]);
    here.balance.learn(0, &share, NOW);
    assert_eq!(here.shares().len(), 1);
    assert_eq!(here.balance.share(1, "g#1", NOW), None);
}

#[test]
fn the_cheapest_comes_first() {
    let cost =
        |input, output| format!("input_cost_per_token: {input}, output_cost_per_token: {output}");
    let (dear, cheap) = (cost(2e-6, 8e-6), cost(1e-6, 2e-6));
    let mut world = world("routing_strategy: cost-based-routing", &[&dear, &cheap, ""]);
    assert_eq!(world.choose(None, &[]), Ok(1));
}

#[test]
fn a_higher_order_is_asked_only_when_no_lower_one_can_be() {
    let mut world = world("", &["order: 2", "order: 1", "order: 1"]);
    assert!(!world.shares().contains_key(&0));
    assert_eq!(world.choose(None, &[1, 2]), Ok(0));
    world.failed(1, ErrorClass::RateLimit);
    world.failed(2, ErrorClass::RateLimit);
    assert_eq!(world.choose(None, &[]), Ok(0));
}

#[test]
fn what_ends_late_does_not_begin_an_old_minute_anew() {
    let mut world = world(
        "routing_strategy: usage-based-routing",
        &["rpm: 1", "rpm: 1"],
    );
    world.balance.began(0, NOW);
    world.balance.ended(0, 1, NOW - MINUTE_MS);
    assert_eq!(world.choose(None, &[]), Ok(1));
}

#[test]
fn a_latency_of_an_hour_ago_says_nothing() {
    let mut world = world("routing_strategy: latency-based-routing", &["", ""]);
    world.failed(0, ErrorClass::Timeout);
    world
        .balance
        .heard(1, Outcome::Began(30_000), 2, &world.routing, NOW);
    assert_eq!(world.choose(None, &[]), Ok(1));
    let later = NOW + LATENCIES_LAST_MS + 1;
    world
        .balance
        .heard(1, Outcome::Began(30_000), 2, &world.routing, later);
    let chosen = world
        .balance
        .choose(&world.targets, Asking::default(), &world.routing, later, 0);
    assert_eq!(chosen.unwrap().deployment.entry, 0);
}

#[test]
fn a_session_stays_until_its_deployment_is_down() {
    let mut world = world("", &["", "", ""]);
    let first = world.choose(Some(7), &[]).unwrap();
    for _ in 0..50 {
        assert_eq!(world.choose(Some(7), &[]), Ok(first));
    }
    world.failed(first, ErrorClass::RateLimit);
    let second = world.choose(Some(7), &[]).unwrap();
    assert_ne!(first, second);
    // And does not go back and forth.
    world.balance.standings[first].cooled_until = 0;
    assert_eq!(world.choose(Some(7), &[]), Ok(second));
}

#[test]
fn what_has_failed_this_call_is_asked_again_only_if_nothing_else_is_left() {
    let mut world = world("", &["", ""]);
    assert_eq!(world.choose(None, &[0]), Ok(1));
    assert!(world.choose(None, &[0, 1]).is_ok());
}

#[test]
fn cooldowns_follow_litellms_rules() {
    // A rate limit counts at once where there is another deployment.
    let mut two = world("", &["", ""]);
    two.failed(0, ErrorClass::RateLimit);
    assert_eq!(two.balance.cooling(0, NOW), 5_000);
    // Other failures when they are more than half of at least five.
    let mut two = world("cooldown_time: 9", &["", ""]);
    for n in 0..5 {
        assert_eq!(two.balance.cooling(0, NOW), 0, "after {n}");
        two.failed(0, ErrorClass::InternalServer);
    }
    assert_eq!(two.balance.cooling(0, NOW), 9_000);
    // The only one never, unless a number is set.
    let mut one = world("", &[""]);
    (0..9).for_each(|_| one.failed(0, ErrorClass::RateLimit));
    assert!(one.choose(None, &[]).is_ok());
    let mut one = world("allowed_fails: 1", &[""]);
    one.failed(0, ErrorClass::Connection);
    assert!(one.choose(None, &[]).is_ok());
    one.failed(0, ErrorClass::Connection);
    assert_eq!(one.choose(None, &[]), Err(NoneAvailable { wait_ms: 5_000 }));
    // What was wrong with the request says nothing about the deployment.
    let mut two = world("allowed_fails: 0", &["", ""]);
    two.failed(0, ErrorClass::BadRequest);
    two.failed(0, ErrorClass::ContextWindowExceeded);
    assert_eq!(two.balance.cooling(0, NOW), 0);
    let mut off = world("disable_cooldowns: true", &["", ""]);
    off.failed(0, ErrorClass::RateLimit);
    assert_eq!(off.balance.cooling(0, NOW), 0);
}

#[test]
fn a_provider_says_itself_when_to_come_back() {
    let mut world = world("", &["", ""]);
    let outcome = |ms| Outcome::Failed(ErrorClass::RateLimit, Some(ms));
    world
        .balance
        .heard(0, outcome(20_000), 2, &world.routing, NOW);
    assert_eq!(world.balance.cooling(0, NOW), 20_000);
    world
        .balance
        .heard(1, outcome(9_000_000), 2, &world.routing, NOW);
    assert_eq!(world.balance.cooling(1, NOW), LONGEST_COOLDOWN_MS);
}

proptest! {
    /// Whatever happens in whatever order, calls under way are never counted below zero or lost,
    /// and what is chosen is never cooling down.
    #[test]
    fn counts_hold(steps in proptest::collection::vec((0_u8..4, 0_usize..3, any::<u64>()), 0..200)) {
        let mut world = world("routing_strategy: least-busy", &["", "", ""]);
        let mut open = [0_u32; 3];
        for (what, entry, random) in steps {
            match what {
                0 => {
                    let chosen = world.balance.choose(
                        &world.targets, Asking::default(), &world.routing, NOW, random,
                    );
                    if let Ok(target) = chosen {
                        let entry = target.deployment.entry;
                        prop_assert_eq!(world.balance.cooling(entry, NOW), 0);
                        world.balance.began(entry, NOW);
                        open[entry] += 1;
                    }
                }
                1 if open[entry] > 0 => {
                    world.balance.ended(entry, 1, NOW);
                    open[entry] -= 1;
                }
                2 => world.failed(entry, ErrorClass::RateLimit),
                _ => {}
            }
            for (entry, open) in open.iter().enumerate() {
                prop_assert_eq!(world.balance.in_flight(entry), *open);
            }
        }
    }
}
