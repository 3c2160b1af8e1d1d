//! What the machine tells about processes and itself, read from `/proc`.

use std::collections::HashMap;
use std::fs::read_to_string;

/// The ids of a process and of all that it has started.
fn tree(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for id in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        let parent = status(id, "PPid:").unwrap_or(0);
        children
            .entry(i32::try_from(parent).unwrap_or(0))
            .or_default()
            .push(id);
    }
    let mut tree = vec![root];
    let mut place = 0;
    while let Some(id) = tree.get(place).copied() {
        tree.extend(children.remove(&id).unwrap_or_default());
        place += 1;
    }
    tree
}

/// A number of `/proc/PID/status`.
fn status(id: i32, name: &str) -> Option<u64> {
    let status = read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The resident memory of a process and what it has started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Bytes now.
    pub now: u64,
    /// The most bytes that each has had, together.
    pub peak: u64,
}

impl Memory {
    pub fn of(root: i32) -> Self {
        let sum = |name| -> u64 {
            let each = tree(root).into_iter().filter_map(|id| status(id, name));
            each.sum::<u64>() * 1024
        };
        Self {
            now: sum("VmRSS:"),
            peak: sum("VmHWM:"),
        }
    }
}

/// The time that a process and what it has started were on a core, in seconds. Unlike the time that
/// passes it is hardly changed by what else the machine does.
pub fn processor_seconds(root: i32) -> f64 {
    let threads = tree(root).into_iter().flat_map(|id| {
        let tasks = std::fs::read_dir(format!("/proc/{id}/task"));
        tasks.into_iter().flatten().flatten()
    });
    let nanoseconds = threads.filter_map(|task| {
        let times = read_to_string(task.path().join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// What a reader has to know of the machine to judge the numbers.
pub fn description() -> String {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("an unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let memory: f64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next())
        .and_then(|kilobytes| kilobytes.parse().ok())
        .unwrap_or(0.0);
    let system = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores of {model}, {:.0} GB, Linux {}",
        memory / 1e6,
        system.trim()
    )
}

/// With which niceness this process and all that it starts run; below 0 they go before others.
pub fn niceness() -> String {
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields after the program's name, which may hold anything but ends in the last parenthesis.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let nice = fields.split(' ').nth(16);
    nice.unwrap_or("unknown").to_owned()
}

/// How many processes wanted a core in the last minute, before and beside the measurement.
pub fn load_average() -> String {
    let average = read_to_string("/proc/loadavg").unwrap_or_default();
    let first = average.split_whitespace().next();
    first.unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_time() {
        let own = i32::try_from(std::process::id()).unwrap();
        let memory = Memory::of(own);
        assert!(memory.now > 1_000_000 && memory.peak >= memory.now);
        assert!(processor_seconds(own) > 0.0);
        assert!((-20..20).contains(&niceness().parse::<i32>().unwrap()));
    }
}
