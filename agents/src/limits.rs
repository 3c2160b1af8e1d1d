//! What a sandbox may use, in numbers.

use protocol::Problem;
use serde::{Deserialize, Serialize};

use crate::ResourceLimits;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Thousandths of a CPU, and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    pub storage_bytes: u64,
}

impl ResourceLimits {
    /// # Errors
    /// 400 for what is no size, or not one that a sandbox can have.
    pub fn limits(&self) -> Result<Limits, Problem> {
        let within = |field: &str, value: u64, least: u64, most: u64, words: &str| {
            if (least..=most).contains(&value) {
                return Ok(value);
            }
            let field = format!("resource_limits.{field}");
            Err(Problem::bad_request(format!("{field} must be {words}")).at(field))
        };
        let cpu = within(
            "cpu_quota",
            self.cpu_quota,
            1000,
            6_400_000,
            "from 1000 to 6400000, where 100000 is one CPU",
        )?;
        let size = |field: &str, text: &str| {
            bytes(text).ok_or_else(|| {
                let field = format!("resource_limits.{field}");
                let words = format!("{field} must be a size such as 512m or 4g");
                Problem::bad_request(words).at(field)
            })
        };
        let memory = size("memory_limit", &self.memory_limit)?;
        let storage = size("storage_limit", &self.storage_limit)?;
        Ok(Limits {
            cpu_millis: cpu / 100,
            // Claude Code itself takes 200 to 300 MiB.
            memory_bytes: within(
                "memory_limit",
                memory,
                512 * MIB,
                256 * GIB,
                "from 512m to 256g",
            )?,
            storage_bytes: within(
                "storage_limit",
                storage,
                512 * MIB,
                1024 * GIB,
                "from 512m to 1024g",
            )?,
        })
    }
}

/// A size in Docker's notation: a number, and b, k, m, g or t for its powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits)? {
        "" | "b" => 1,
        "k" | "kb" | "ki" | "kib" => 1024,
        "m" | "mb" | "mi" | "mib" => MIB,
        "g" | "gb" | "gi" | "gib" => GIB,
        "t" | "tb" | "ti" | "tib" => 1024 * GIB,
        _ => return None,
    };
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let number: f64 = digits.parse().ok()?;
    let bytes = number * unit as f64;
    (0.0..1e18).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_dockers() {
        for (text, size) in [
            ("4g", Some(4 << 30)),
            ("512m", Some(512 << 20)),
            ("1.5G", Some(3 << 29)),
            (" 10GiB ", Some(10 << 30)),
            ("100", Some(100)),
            ("", None),
            ("g", None),
            ("-1g", None),
            ("4 g", None),
            ("4x", None),
            ("99999999999999999999g", None),
            ("1e300g", None),
            ("nan", None),
        ] {
            assert_eq!(bytes(text), size, "{text:?}");
        }
    }
}
