//! What the sandbox uses of its machine: from its own cgroup where it has one (cgroup v2; of an older one the
//! limits), else from the processes that descend from this one.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::sandbox::Resources;

use crate::processes::descendants;

/// Where a container sees its own cgroup. The machine's root has no `memory.current`.
const CGROUP: &str = "/sys/fs/cgroup";

/// The time over which the first answer is measured.
const FIRST: Duration = Duration::from_millis(200);

/// A measurement that is older says nothing of now.
const OLD: Duration = Duration::from_secs(30);

/// Two that are closer are too rough.
const CLOSE: Duration = Duration::from_millis(100);

/// What has been used up to a moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    processor: Duration,
}

/// Measures, now and then.
#[derive(Debug, Default)]
pub struct Meter {
    last: Mutex<Option<(Moment, f64)>>,
}

impl Meter {
    /// What is used now. The processor's part is that since the last question, where that was not long
    /// ago.
    pub async fn read(&self, workspace: &Path) -> Resources {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.filter(|(moment, _)| moment.at.elapsed() < OLD);
        let (before, known) = match last {
            Some((moment, percent)) => (moment, Some(percent)),
            None => (moment(), None),
        };
        if known.is_none() {
            tokio::time::sleep(FIRST).await;
        }
        let now = moment();
        let passed = now.at.saturating_duration_since(before.at);
        let percent = match known {
            Some(percent) if passed < CLOSE => percent,
            _ => {
                let used = now.processor.saturating_sub(before.processor);
                let percent = 100.0 * used.as_secs_f64() / passed.as_secs_f64().max(1e-3);
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                *last = Some((now, percent));
                percent
            }
        };
        let (disk_used, disk_total) = disk(workspace).unwrap_or_default();
        Resources {
            cpu_percent: percent,
            cpu_count: processors(),
            memory_used: memory(),
            memory_limit: memory_limit(),
            disk_used,
            disk_total,
            processes: descendants(std::process::id()).len() as u64 + 1,
        }
    }
}

fn moment() -> Moment {
    Moment {
        at: Instant::now(),
        processor: processor(),
    }
}

fn file(name: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(CGROUP).join(name)).ok()
}

/// Whether the cgroup that is seen is this sandbox's own.
fn has_cgroup() -> bool {
    Path::new(CGROUP).join("memory.current").exists()
}

/// Time that was spent on processors.
fn processor() -> Duration {
    let own = file("cpu.stat").filter(|_| has_cgroup());
    let used = own.and_then(|text| field(&text, "usage_usec"));
    used.map_or_else(
        || processes().map(|(time, _)| time).sum(),
        Duration::from_micros,
    )
}

/// Bytes of memory, without what could be read from the disk again.
fn memory() -> u64 {
    let number = |text: String| text.trim().parse::<u64>().ok();
    let own = file("memory.current").and_then(number);
    match own {
        None => processes().map(|(_, bytes)| bytes).sum(),
        Some(bytes) => {
            let cache = file("memory.stat").and_then(|text| field(&text, "inactive_file"));
            bytes.saturating_sub(cache.unwrap_or(0))
        }
    }
}

fn memory_limit() -> u64 {
    let own = file("memory.max").or_else(|| file("memory/memory.limit_in_bytes"));
    // An older cgroup without a limit has one that no machine reaches.
    let own: Option<u64> = own.and_then(|text| text.trim().parse().ok());
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| field(&text, "MemTotal:"));
    let machine = machine.map(|kib| kib.saturating_mul(1024));
    own.into_iter().chain(machine).min().unwrap_or(0)
}

/// Processors that it may use, as a number that need not be whole.
fn processors() -> f64 {
    let quota = file("cpu.max").filter(|_| has_cgroup());
    let older = || {
        let part = |name: &str| Some(file(&format!("cpu/cpu.cfs_{name}_us"))?.trim().to_owned());
        Some(format!("{} {}", part("quota")?, part("period")?))
    };
    let quota = quota.or_else(older).and_then(|text| {
        let (quota, period) = text.trim().split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
    });
    // None is -1 in an older one.
    let quota = quota.filter(|quota| *quota > 0.0);
    let all = std::thread::available_parallelism().map_or(1.0, |all| all.get() as f64);
    quota.map_or(all, |quota| quota.min(all))
}

/// The value behind a name, of lines such as `usage_usec 123` or `MemTotal:  456 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix([' ', '\t'])?;
        rest.split_whitespace().next()?.parse().ok()
    })
}

/// Time on processors and bytes of memory of each process that belongs to this one.
fn processes() -> impl Iterator<Item = (Duration, u64)> {
    let own = std::process::id();
    let all = descendants(own).into_iter().map(|process| process.pid);
    std::iter::once(own).chain(all).map(|pid| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let time = read("stat").ok().and_then(|stat| ticks(&stat)).unwrap_or(0);
        let pages = read("statm").ok();
        let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let page = rustix::param::page_size() as u64;
        (
            Duration::from_secs_f64(time as f64 / per_second as f64),
            pages.unwrap_or(0).saturating_mul(page),
        )
    })
}

/// utime, stime and those of children that were waited for: the fields 14 to 17 of `/proc/PID/stat`
/// (proc_pid_stat(5)). The name before them may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields = rest.split_ascii_whitespace().skip(11).take(4);
    let ticks = fields.map(|field| field.parse::<u64>().unwrap_or(0));
    Some(ticks.sum())
}

/// Bytes of the disk that a folder is on: used, and all.
fn disk(folder: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let all = disk.f_blocks.saturating_mul(disk.f_frsize);
    let free = disk.f_bfree.saturating_mul(disk.f_frsize);
    Some((all.saturating_sub(free), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "usage_usec 1234\nuser_usec 1000\n";
        assert_eq!(field(stat, "usage_usec"), Some(1234));
        assert_eq!(field(stat, "usage"), None);
        assert_eq!(field("MemTotal:       2048 kB\n", "MemTotal:"), Some(2048));
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1";
        assert_eq!(ticks(stat), Some(127));
        assert_eq!(ticks("nonsense"), None);
    }

    #[tokio::test]
    async fn what_is_used_is_seen() {
        let meter = Meter::default();
        let folder = std::env::temp_dir();
        let first = meter.read(&folder).await;
        assert!(first.memory_used > 0 && first.memory_used <= first.memory_limit);
        assert!(first.cpu_count > 0.0 && first.disk_total > 0 && first.processes >= 1);
        // One that only computes takes what it gets of a processor.
        let mut busy = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = meter.read(&folder).await;
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(second.cpu_percent > 1.0, "{second:?}");
        assert!(second.processes > first.processes);
    }
}
