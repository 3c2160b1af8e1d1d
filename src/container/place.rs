//! Where a session's sandbox runs, and what it may use there: decided at its first start, and kept.

use agents::{Limits, ResourceLimits};
use serde::{Deserialize, Serialize};
use worker::Env;

/// The places that sandboxes may run in, by the names that clients know, each with the variables that a
/// deployment has it by.
const KNOWN: [(&str, &[&str]); 4] = [
    ("cloudflare", &[INSTANCE_TYPE]),
    ("docker", &["DOCKER_ENGINE_URL", "DOCKER_IMAGE"]),
    (
        "fly_machines",
        &["FLY_API_TOKEN", "FLY_APP_NAME", "FLY_IMAGE"],
    ),
    ("local", &["LOCAL_SANDBOX_URL"]),
];

/// The variable that says which instance type the deployment's containers have: what `wrangler.jsonc`
/// says of them, a Worker can't read.
const INSTANCE_TYPE: &str = "SANDBOX_INSTANCE_TYPE";

/// What it holds where each container is started with an instance type of its own.
const BY_LIMITS: &str = "by-limits";

/// What an instance type has: thousandths of a CPU, MiB of memory, GB of disk
/// (<https://developers.cloudflare.com/containers/platform-details/limits/>).
const INSTANCE_TYPES: [(&str, u64, u64, u64); 6] = [
    ("lite", 62, 256, 2),
    ("basic", 250, 1024, 4),
    ("standard-1", 500, 4096, 8),
    ("standard-2", 1000, 6144, 12),
    ("standard-3", 2000, 8192, 16),
    ("standard-4", 4000, 12_288, 20),
];

const MIB: u64 = 1024 * 1024;

/// Where a session's sandbox runs, for as long as there is the session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    pub provider: String,
    /// What its agent may use.
    pub limits: Limits,
}

impl Place {
    /// A place with the limits of an agent that names none.
    pub fn new(provider: String, limits: Option<Limits>) -> Self {
        let limits = limits.or_else(|| ResourceLimits::default().limits().ok());
        Self {
            provider,
            limits: limits.unwrap_or(Limits {
                cpu_millis: 2000,
                memory_bytes: 4096 * MIB,
                storage_bytes: 10_240 * MIB,
            }),
        }
    }
}

/// A variable or secret that is set.
pub fn variable(env: &Env, name: &str) -> Option<String> {
    let value = env.var(name).ok().map(|value| value.to_string());
    value.filter(|value| !value.is_empty())
}

/// What sets this deployment's sandboxes apart from others' on the same engine, or in the same app.
pub fn deployment(env: &Env) -> String {
    variable(env, "SANDBOX_DEPLOYMENT").unwrap_or_else(|| "agent-router".to_owned())
}

/// The name of the provider of sessions that name none.
pub fn default_provider(env: &Env) -> String {
    variable(env, "SANDBOX_PROVIDER").unwrap_or_else(|| "cloudflare".to_owned())
}

/// The names of the providers that this deployment has, the default among them.
pub fn offered(env: &Env) -> Vec<&'static str> {
    let default = default_provider(env);
    let has = |names: &[&str]| names.iter().all(|name| variable(env, name).is_some());
    let here = KNOWN
        .iter()
        .filter(|(name, names)| *name == default || has(names));
    here.map(|(name, _)| *name).collect()
}

/// Whether sandboxes of this deployment may call their models through a route of the Worker, because
/// their traffic can't be intercepted.
pub fn calls_models_by_route(env: &Env) -> bool {
    offered(env).iter().any(|name| *name != "cloudflare")
}

/// The limits of an agent that a provider enforces.
pub fn enforced(provider: &str) -> &'static [&'static str] {
    match provider {
        "docker" | "fly_machines" => &["cpu", "memory"],
        "cloudflare" => &["cpu", "memory", "storage"],
        _ => &[],
    }
}

/// What of an agent's limits this provider does not hold it to, in words for whoever launches it.
pub fn warnings(env: &Env, provider: &str, limits: &Limits) -> Vec<String> {
    let words = match provider {
        "cloudflare" => {
            let name = variable(env, INSTANCE_TYPE);
            name.and_then(|name| match &*name {
                BY_LIMITS => against(&format!("gets {}", fitting(limits)), fitting(limits), limits),
                one => against(
                    &format!("sandboxes of this deployment have the size {one}"),
                    one,
                    limits,
                ),
            })
        }
        "local" => Some(
            "resource_limits: local sandboxes are processes of this machine, which holds them to no limits"
                .to_owned(),
        ),
        "docker" => Some(
            "resource_limits.storage_limit: a Docker engine limits no volumes; cpu_quota and memory_limit hold"
                .to_owned(),
        ),
        "fly_machines" => Some(on_fly(limits)),
        _ => None,
    };
    words.into_iter().collect()
}

fn gib(bytes: u64) -> String {
    let tenths = bytes * 10 / (1024 * MIB);
    match tenths % 10 {
        0 => format!("{} GiB", tenths / 10),
        rest => format!("{}.{rest} GiB", tenths / 10),
    }
}

fn cpus(millis: u64) -> String {
    let hundredths = millis.div_ceil(10);
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The instance type that a container is started with, where it is chosen by what its agent may use.
pub fn instance_of(env: &Env, limits: &Limits) -> Option<&'static str> {
    (variable(env, INSTANCE_TYPE)? == BY_LIMITS).then(|| fitting(limits))
}

/// The smallest instance type that has all that the limits say; the largest where none has.
fn fitting(limits: &Limits) -> &'static str {
    let largest = INSTANCE_TYPES.last();
    let fits = |(_, cpu, memory, disk): &&(&str, u64, u64, u64)| {
        limits.cpu_millis <= *cpu
            && limits.memory_bytes <= memory * MIB
            && limits.storage_bytes <= disk * 1_000_000_000
    };
    let fitting = INSTANCE_TYPES.iter().find(fits).or(largest);
    fitting.map_or("standard-4", |(name, ..)| name)
}

/// What an instance type has otherwise than the limits say, after these words; none where it is the same.
fn against(words: &str, name: &str, limits: &Limits) -> Option<String> {
    let known = INSTANCE_TYPES.iter().find(|(known, ..)| *known == name);
    let Some((_, cpu, memory, disk)) = known else {
        return Some(format!("resource_limits: {words}, whatever they say"));
    };
    let (memory, disk) = (memory * MIB, disk * 1_000_000_000);
    let compare = |what: &str, wanted: u64, has: u64, show: fn(u64) -> String| {
        let less = match wanted.cmp(&has) {
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Less => "more",
            std::cmp::Ordering::Greater => "less",
        };
        Some(format!(
            "{what} {}, {less} than {}",
            show(has),
            show(wanted)
        ))
    };
    let parts: Vec<String> = [
        compare("cpu", limits.cpu_millis, *cpu, cpus),
        compare("memory", limits.memory_bytes, memory, gib),
        compare("storage", limits.storage_bytes, disk, gib),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| format!("resource_limits: {words}: {}", parts.join("; ")))
}

/// Processors and MiB of memory of a machine that has at least what the limits say, as Fly Machines have
/// them: 1, 2, 4 or 8 shared processors, with 256 to 2048 MiB for each
/// (<https://fly.io/docs/machines/guides-examples/machine-sizing/>).
pub fn fly_guest(limits: &Limits) -> (u64, u64) {
    let memory = limits.memory_bytes.div_ceil(256 * MIB) * 256;
    let cpus = limits.cpu_millis.div_ceil(1000).max(memory.div_ceil(2048));
    let cpus = [1, 2, 4, 8]
        .into_iter()
        .find(|size| *size >= cpus)
        .unwrap_or(8);
    (cpus, memory.clamp(256 * cpus, 2048 * cpus))
}

fn on_fly(limits: &Limits) -> String {
    let (cpus, memory) = fly_guest(limits);
    format!(
        "resource_limits: the machine has {cpus} shared CPUs and {memory} MiB of memory, the sizes that \
         there are; storage_limit is not held"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(cpu_millis: u64, memory_mib: u64, storage_mib: u64) -> Limits {
        Limits {
            cpu_millis,
            memory_bytes: memory_mib * MIB,
            storage_bytes: storage_mib * MIB,
        }
    }

    #[test]
    fn what_differs_from_the_instance_type_is_said() {
        let told = against(
            "it has standard-1",
            "standard-1",
            &limits(2000, 4096, 10_240),
        )
        .unwrap();
        assert!(told.contains("cpu 0.5, less than 2"), "{told}");
        assert!(!told.contains("memory"), "{told}");
        assert!(told.contains("storage 7.4 GiB, less than 10 GiB"), "{told}");
        let told = against(
            "it has standard-4",
            "standard-4",
            &limits(4000, 512, 10_240),
        )
        .unwrap();
        assert!(told.contains("memory 12 GiB, more than 0.5 GiB"), "{told}");
        let other = against("it is huge", "huge", &limits(1, 1, 1)).unwrap();
        assert!(other.contains("huge"), "{other}");
    }

    #[test]
    fn the_smallest_instance_type_that_fits() {
        for (wanted, name) in [
            (limits(50, 256, 1024), "lite"),
            (limits(50, 257, 1024), "basic"),
            (limits(1000, 512, 1024), "standard-2"),
            (limits(2000, 4096, 10_240), "standard-3"),
            (limits(100, 100, 15_000), "standard-3"),
            (limits(64_000, 1, 1), "standard-4"),
        ] {
            assert_eq!(fitting(&wanted), name, "{wanted:?}");
        }
    }

    #[test]
    fn machines_have_at_least_what_is_wanted_where_there_are_such() {
        for (wanted, guest) in [
            (limits(10, 512, 0), (1, 512)),
            (limits(1000, 2048, 0), (1, 2048)),
            (limits(2000, 4096, 0), (2, 4096)),
            (limits(1000, 6144, 0), (4, 6144)),
            (limits(3000, 600, 0), (4, 1024)),
            (limits(64_000, 262_144, 0), (8, 16_384)),
        ] {
            assert_eq!(fly_guest(&wanted), guest, "{wanted:?}");
        }
    }
}
