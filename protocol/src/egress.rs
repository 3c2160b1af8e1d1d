//! What a sandbox may reach besides its model: hosts, by name.

use serde::{Deserialize, Serialize};

/// Stands for the hosts of [`REGISTRIES`] where hosts are named.
pub const REGISTRIES_NAME: &str = "registries";

/// Where programs and libraries are installed from.
pub const REGISTRIES: [&str; 15] = [
    "crates.io",
    "deb.debian.org",
    "files.pythonhosted.org",
    "index.crates.io",
    "index.rubygems.org",
    "proxy.golang.org",
    "pypi.org",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "repo.maven.apache.org",
    "repo1.maven.org",
    "rubygems.org",
    "security.debian.org",
    "static.crates.io",
    "sum.golang.org",
];

/// Characters of a host's name.
const MAX_HOST: usize = 253;

/// What became of a request to leave the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EgressDecision {
    Allowed,
    Denied,
}

impl EgressDecision {
    /// The decision in a sentence for people.
    pub fn told(self, host: &str) -> String {
        match self {
            Self::Allowed => format!("Reaches {host}"),
            Self::Denied => format!("May not reach {host}"),
        }
    }
}

/// Whether this names hosts: [`REGISTRIES_NAME`], a host such as `api.github.com`, or all below one,
/// such as `*.github.com`. Addresses, names without a dot and names that are never public are none.
pub fn names_hosts(text: &str) -> bool {
    text == REGISTRIES_NAME || is_public(text.strip_prefix("*.").unwrap_or(text))
}

/// The hosts that are named, each once and in order, with the registries in the place of their name.
pub fn hosts(named: &[String]) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for name in named {
        match name.as_str() {
            REGISTRIES_NAME => hosts.extend(REGISTRIES.map(str::to_owned)),
            host => hosts.push(host.to_ascii_lowercase()),
        }
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Whether a host is among `hosts`, as [`hosts`] gives them. What is no host's name is not.
pub fn allows(hosts: &[String], host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    is_name(&host)
        && hosts.iter().any(|allowed| match allowed.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => *allowed == host,
        })
}

/// Whether this is the name of a host as the internet knows them. Addresses, and names that are never public,
/// are none.
pub fn is_public(host: &str) -> bool {
    let (rest, last) = host.rsplit_once('.').unwrap_or(("", host));
    let private = [
        "internal",
        "local",
        "localhost",
        "localdomain",
        "test",
        "invalid",
    ];
    is_name(host)
        && !rest.is_empty()
        && !private.contains(&last.to_ascii_lowercase().as_str())
        // The last part of an address is a number.
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(host: &str) -> bool {
    let part = |part: &str| {
        (1..=63).contains(&part.len())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= MAX_HOST && host.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_hosts() {
        for good in [
            "registries",
            "api.github.com",
            "*.github.com",
            "a-b.example",
        ] {
            assert!(names_hosts(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "*.",
            "**.a.com",
            "a.*.com",
            "com",
            "localhost",
            "*.com",
            "10.0.0.1",
            "[::1]",
            "::1",
            "0x7f.1",
            "2130706433",
            "router.internal",
            "printer.local",
            "https://a.com",
            "a.com:443",
            "a.com/",
            "a..com",
            "-a.com",
            "a.com-",
            "a b.com",
            "a\n.com",
            "\u{e4}.com",
            "metadata.google.internal",
        ] {
            assert!(!names_hosts(bad), "{bad:?}");
        }
        assert!(!names_hosts(&format!("{}.com", "a.".repeat(130))));
    }

    #[test]
    fn which_hosts_are_allowed() {
        let named = [
            "registries",
            "API.github.com",
            "*.example.org",
            "registries",
        ];
        let hosts = hosts(&named.map(str::to_owned));
        assert_eq!(hosts.len(), REGISTRIES.len() + 2);
        for allowed in [
            "pypi.org",
            "PyPI.org",
            "pypi.org.",
            "api.github.com",
            "a.example.org",
            "a.b.example.org",
        ] {
            assert!(allows(&hosts, allowed), "{allowed}");
        }
        for denied in [
            "",
            "github.com",
            "xapi.github.com",
            "api.github.com.evil.com",
            "example.org",
            ".example.org",
            "evil.com/.example.org",
            "evil.com#.example.org",
            "evil.com\0.example.org",
            "a.example.org..",
            "169.254.169.254",
            "*.example.org",
        ] {
            assert!(!allows(&hosts, denied), "{denied:?}");
        }
        assert!(!allows(&[], "pypi.org"));
    }
}
