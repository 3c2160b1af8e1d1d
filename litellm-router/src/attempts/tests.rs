use super::*;
use crate::config::Config;

const NOW: u64 = 1_700_000_000_000;

struct World {
    routes: Routes,
    routing: Routing,
    balance: Balance,
    now: u64,
    random: u64,
}

/// Models `a` (two deployments at groq), `b` (openrouter), `c` (anthropic) and the pattern `p/*`.
fn world(settings: &str) -> World {
    let yaml = format!(
        "router_settings: {{{settings}}}\n\
         model_list:\n\
         - {{model_name: a, litellm_params: {{model: groq/1}}}}\n\
         - {{model_name: a, litellm_params: {{model: groq/2}}}}\n\
         - {{model_name: b, litellm_params: {{model: openrouter/3}}}}\n\
         - {{model_name: c, litellm_params: {{model: anthropic/4, max_retries: 1}}}}\n\
         - {{model_name: 'p/*', litellm_params: {{model: 'groq/*'}}}}\n"
    );
    let config = Config::parse(&yaml).unwrap();
    World {
        routes: Routes::new(&config, &|_| None),
        balance: Balance::new(5),
        routing: config.routing,
        now: NOW,
        random: 500,
    }
}

impl World {
    fn moment(&mut self) -> Moment<'_> {
        Moment {
            routes: &self.routes,
            routing: &self.routing,
            balance: &mut self.balance,
            now: self.now,
            random: self.random,
        }
    }

    /// Fails a call to `model` in the ways of `failures` and tells what was asked, with waits.
    fn run(&mut self, model: &str, own_key: bool, failures: &[Refusal]) -> (Vec<String>, String) {
        let group = self.routes.find(model).unwrap();
        let mut attempts = Attempts::new(model, group, None, own_key, &self.routing, self.now);
        let mut failures = failures.iter().cycle();
        let mut asked = Vec::new();
        let mut step = attempts.first(self.moment());
        loop {
            match step {
                Step::Ask {
                    target,
                    wait_ms,
                    max_tokens,
                } => {
                    let limit = max_tokens.map_or(String::new(), |n| format!(" limit {n}"));
                    asked.push(format!("{}+{wait_ms}{limit}", target.model));
                    self.now += wait_ms;
                    let refusal = failures.next().unwrap().clone();
                    step = attempts.after(refusal, Sent::Limit(64_000), self.moment());
                }
                Step::Refuse(refusal) => return (asked, refusal.message),
            }
        }
    }
}

fn sorted(mut asked: Vec<String>) -> Vec<String> {
    asked.sort();
    asked
}

#[test]
fn another_deployment_is_asked_at_once_and_the_same_one_after_a_while() {
    let mut world = world("num_retries: 3, disable_cooldowns: true");
    let (asked, said) = world.run("a", false, &[Refusal::new(500, "no")]);
    // Both without a wait, then with one that doubles, each with the same jitter.
    assert_eq!(
        sorted(asked.iter().take(2).cloned().collect()),
        ["1+0", "2+0"]
    );
    let waits: Vec<&str> = asked
        .iter()
        .skip(2)
        .map(|a| a.split_once('+').unwrap().1)
        .collect();
    assert_eq!(waits, ["1375", "2375"]);
    assert_eq!(said, "no");
}

#[test]
fn a_provider_says_itself_when_to_come_back() {
    let mut refusal = Refusal::new(429, "slow down");
    refusal.headers.push(("retry-after".into(), "7".into()));
    let mut world = world("num_retries: 1");
    let (asked, _) = world.run("b", false, &[refusal.clone()]);
    assert_eq!(asked, ["3+0", "3+7375"]);
    // Nobody waits for an hour: the caller is told.
    refusal.headers = vec![("retry-after".into(), "3600".into())];
    let (asked, _) = world.run("b", false, &[refusal]);
    assert_eq!(asked, ["3+0"]);
}

#[test]
fn a_wait_is_as_long_as_the_configuration_wants_at_least() {
    let mut world = world("num_retries: 2, retry_after: 5");
    let (asked, _) = world.run("b", false, &[Refusal::new(500, "no")]);
    let waits = asked.iter().map(|one| one.split_once('+').unwrap().1);
    let waits: Vec<u64> = waits.map(|wait| wait.parse().unwrap()).collect();
    assert_eq!(waits.len(), 3);
    assert!(waits.iter().skip(1).all(|wait| *wait >= 5_000), "{waits:?}");
    // Where another can be asked, nothing is waited for.
    let mut world = self::world("num_retries: 1, retry_after: 5");
    let (asked, _) = world.run("a", false, &[Refusal::new(500, "no")]);
    assert_eq!(sorted(asked), ["1+0", "2+0"]);
}

#[test]
fn the_class_of_the_error_decides_how_often() {
    let policy = "retry_policy: {RateLimitErrorRetries: 0, TimeoutErrorRetries: 2}";
    let mut world = world(policy);
    let (asked, _) = world.run("b", false, &[Refusal::new(429, "")]);
    assert_eq!(asked.len(), 1);
    let (asked, _) = world.run("b", false, &[Refusal::new(504, "")]);
    assert_eq!(asked.len(), 3);
    // What is wrong stays wrong, and what is refused here may pass at another deployment.
    let (asked, _) = world.run("a", false, &[Refusal::new(400, "")]);
    assert_eq!(asked.len(), 1);
    let (asked, _) = world.run("a", false, &[Refusal::new(401, "")]);
    assert_eq!(asked.len(), 2);
    let (asked, _) = world.run("b", false, &[Refusal::new(401, "")]);
    assert_eq!(asked.len(), 1);
    // The deployment's own number is the limit.
    let (asked, _) = world.run("c", false, &[Refusal::new(500, "")]);
    assert_eq!(asked.len(), 2);
}

#[test]
fn other_groups_follow_and_the_first_ones_word_counts() {
    let mut world = world("num_retries: 0, fallbacks: [{a: [b, gone, c]}]");
    let failures = [
        Refusal::new(500, "of a"),
        Refusal::new(500, "of b"),
        Refusal::new(500, "of c"),
    ];
    let (asked, said) = world.run("a", false, &failures);
    assert_eq!(asked.len(), 3);
    assert_eq!(&asked[1..], ["3+0", "4+0"]);
    assert_eq!(said, "of a");
    let (asked, _) = world.run("a", false, &[Refusal::new(400, "wrong")]);
    assert_eq!(asked.len(), 1);
}

#[test]
fn a_conversation_that_is_too_long_goes_to_its_own_fallbacks() {
    let settings = "num_retries: 0, fallbacks: [{b: [a]}], default_fallbacks: [a], \
                    context_window_fallbacks: [{b: [c]}], max_fallbacks: 1";
    let mut world = world(settings);
    let too_long = Refusal::new(400, "too long").with_class(ErrorClass::ContextWindowExceeded);
    assert_eq!(world.run("b", false, &[too_long]).0, ["3+0", "4+0"]);
    let (asked, _) = world.run("c", false, &[Refusal::new(503, "")]);
    assert_eq!(asked.len(), 2);
}

#[test]
fn a_group_that_is_fallen_back_on_has_fallbacks_of_its_own() {
    let mut world = world("num_retries: 0, fallbacks: [{a: [b]}, {b: [a, c]}]");
    let (asked, _) = world.run("a", false, &[Refusal::new(500, "")]);
    assert_eq!(&asked[1..], ["3+0", "4+0"]);
    world.routing.max_fallbacks = 1;
    assert_eq!(world.run("a", false, &[Refusal::new(500, "")]).0.len(), 2);
}

#[test]
fn a_callers_own_key_closes_a_deployment_to_nobody() {
    let mut world = world("allowed_fails: 0");
    world.run("b", true, &[Refusal::new(429, "")]);
    world.run("b", true, &[Refusal::new(401, "")]);
    assert_eq!(world.balance.cooling(2, NOW), 0);
}

#[test]
fn a_callers_own_key_says_nothing_of_how_fast_a_deployment_is() {
    for own_key in [true, false] {
        let mut world = world("routing_strategy: latency-based-routing");
        let mut ask = |own_key, latency_ms| {
            let group = world.routes.find("a").unwrap();
            let mut attempts = Attempts::new("a", group, None, own_key, &world.routing, NOW);
            let Step::Ask { target, .. } = attempts.first(world.moment()) else {
                panic!("nobody is asked");
            };
            attempts.began(latency_ms, world.moment());
            target.deployment.entry
        };
        let slow = ask(own_key, 1_000);
        // One that was slow comes behind one that nobody knows.
        assert_eq!(ask(false, 1) == slow, own_key);
    }
}

#[test]
fn a_callers_own_key_stays_with_its_provider() {
    let mut world = world("num_retries: 0, fallbacks: [{a: [b, c]}]");
    assert_eq!(world.run("a", true, &[Refusal::new(500, "")]).0.len(), 1);
}

#[test]
fn r18_a_limit_that_is_too_high_is_lowered_once() {
    let body = br#"{"error":{"message":"This model's maximum context length is 131072 tokens. However, you requested 140000 tokens (76000 in the messages, 64000 in the completion).","code":"context_length_exceeded"}}"#;
    let refusal = crate::error::from_provider(
        "openrouter",
        400,
        body,
        crate::error::KeyOwner::Router,
        Vec::new(),
    );
    let mut world = world("num_retries: 0");
    let (asked, said) = world.run("b", false, &[refusal]);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].starts_with("3+0 limit 5"), "{asked:?}");
    assert!(said.contains("context limit"), "{said}");
}

#[test]
fn what_one_caller_brings_about_leaves_a_deployment_open_to_all() {
    let late = Refusal::new(504, "late");
    let missing = Refusal::new(404, "no such model");
    for (model, failure, asked_again) in [
        ("b", &late.clone().of_the_caller(), 1),
        ("b", &late, 0),
        ("p/made-up", &missing, 1),
        ("p/made-up", &Refusal::new(500, "down"), 0),
        ("b", &missing, 0),
    ] {
        let mut world = world("allowed_fails: 0, num_retries: 0");
        assert_eq!(
            world
                .run(model, false, std::slice::from_ref(failure))
                .0
                .len(),
            1
        );
        let (asked, _) = world.run(model, false, std::slice::from_ref(failure));
        assert_eq!(asked.len(), asked_again, "{model} {failure:?}");
    }
}

#[test]
fn nothing_is_tried_after_the_deadline() {
    let mut world = world("num_retries: 9, retry_policy: {timeout: 3, max_retries: 9}");
    let (asked, _) = world.run("b", false, &[Refusal::new(500, "")]);
    assert_eq!(asked.len(), 3, "{asked:?}");
}

#[test]
fn a_group_that_cools_down_says_so_or_leaves_it_to_others() {
    let mut world = world("allowed_fails: 0, num_retries: 0");
    world.run("b", false, &[Refusal::new(500, "")]);
    let (asked, said) = world.run("b", false, &[Refusal::new(500, "")]);
    assert!(asked.is_empty());
    assert!(said.contains("try again in 5 s"), "{said}");
    world.routing.default_fallbacks = vec!["c".into()];
    let (asked, said) = world.run("b", false, &[Refusal::new(500, "")]);
    assert_eq!(asked, ["4+0"]);
    assert!(said.contains("cooling down"), "{said}");
}

/// The waits of a call to `b` that fails and fails.
fn waits(settings: &str, random: u64) -> Vec<u64> {
    let mut world = world(&format!("{settings}, disable_cooldowns: true"));
    world.random = random;
    let (asked, _) = world.run("b", false, &[Refusal::new(500, "no")]);
    let waits = asked.iter().skip(1);
    waits
        .map(|one| one.split_once('+').unwrap().1.parse().unwrap())
        .collect()
}

#[test]
fn waits_double_up_to_a_limit_unless_the_policy_says_that_they_are_alike() {
    let most = "num_retries: 6";
    assert_eq!(waits(most, 0), [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
    let alike = "retry_policy: {max_retries: 6, exponential_backoff: false}";
    assert_eq!(waits(alike, 0), [500; 6]);
}

#[test]
fn calls_that_fail_together_do_not_come_back_together() {
    let firsts: Vec<u64> = (0..1_000)
        .map(|random| waits("num_retries: 1", random)[0])
        .collect();
    let different: std::collections::BTreeSet<_> = firsts.iter().collect();
    assert!(different.len() > 500, "{}", different.len());
    assert!(firsts.iter().all(|wait| (500..1_250).contains(wait)));
}
