//! The page of a repository at the places where many are kept, from a remote's address; pure.

use protocol::repository::Remote;

/// What is known of such a place.
struct Place {
    host: &'static str,
    /// Names that lead there too.
    others: &'static [&'static str],
    /// Parts of a repository's path, at most. Two at least.
    parts: usize,
}

const PLACES: [Place; 3] = [
    Place {
        host: "github.com",
        others: &["www.github.com", "ssh.github.com"],
        parts: 2,
    },
    Place {
        host: "gitlab.com",
        others: &["www.gitlab.com", "altssh.gitlab.com"],
        parts: 20,
    },
    Place {
        host: "bitbucket.org",
        others: &["www.bitbucket.org", "altssh.bitbucket.org"],
        parts: 2,
    },
];

/// The page of what a remote's address names; none where that lies elsewhere. Of the address nothing goes on but
/// the host and the path, and the path only where it is one of a repository: so no name of a user, no token and
/// nothing that a browser would run.
pub fn remote(name: &str, address: &str) -> Option<Remote> {
    let (host, path) = match address.split_once("://") {
        Some((scheme, rest)) => {
            if !matches!(scheme, "https" | "http" | "ssh" | "git" | "git+ssh") {
                return None;
            }
            let (authority, path) = rest.split_once('/')?;
            let host = authority
                .rsplit_once('@')
                .map_or(authority, |(_, host)| host);
            (host.split(':').next()?, path)
        }
        // As scp has it.
        None => {
            let (authority, path) = address.split_once(':')?;
            (
                authority
                    .rsplit_once('@')
                    .map_or(authority, |(_, host)| host),
                path,
            )
        }
    };
    let host = host.to_ascii_lowercase();
    let place = PLACES
        .iter()
        .find(|place| place.host == host || place.others.contains(&host.as_str()))?;
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').collect();
    if !(2..=place.parts).contains(&parts.len()) || !parts.iter().all(|part| is_name(part)) {
        return None;
    }
    Some(Remote {
        name: super::said::without_secrets(name),
        host: place.host.to_owned(),
        web: format!("https://{}/{path}", place.host),
        new_request: None,
    })
}

fn is_name(part: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=100).contains(&part.len()) && !matches!(part, "." | "..") && part.bytes().all(letter)
}

/// The page on which a request to take a branch over is opened.
pub fn new_request(remote: &Remote, branch: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
    const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');
    let web = &remote.web;
    let branch = branch.as_bytes();
    match remote.host.as_str() {
        "gitlab.com" => format!(
            "{web}/-/merge_requests/new?merge_request%5Bsource_branch%5D={}",
            percent_encode(branch, IN_QUERY)
        ),
        "bitbucket.org" => format!(
            "{web}/pull-requests/new?source={}",
            percent_encode(branch, IN_QUERY)
        ),
        _ => format!("{web}/compare/{}?expand=1", percent_encode(branch, IN_PATH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_every_form() {
        for (address, web) in [
            ("https://github.com/o/r.git", Some("https://github.com/o/r")),
            (
                "https://user:token@github.com/o/r",
                Some("https://github.com/o/r"),
            ),
            (
                "https://ghp_token@github.com:443/o/r/",
                Some("https://github.com/o/r"),
            ),
            ("git@github.com:o/r.git", Some("https://github.com/o/r")),
            (
                "ssh://git@ssh.github.com:443/o/r.git",
                Some("https://github.com/o/r"),
            ),
            (
                "git@GitLab.com:a/b/c/d.git",
                Some("https://gitlab.com/a/b/c/d"),
            ),
            (
                "https://x-token-auth:t@bitbucket.org/o/r.git",
                Some("https://bitbucket.org/o/r"),
            ),
            ("https://github.com/o/r?token=secret", None),
            ("https://github.com/o/r/../../x", None),
            ("https://github.com/o", None),
            ("https://github.com/o/a:b@c", None),
            ("https://github.com.evil.example/o/r", None),
            ("https://evil.example/https://github.com/o/r", None),
            ("https://github.com@evil.example/o/r", None),
            ("javascript:alert(1)//github.com/o/r", None),
            ("ext::sh -c x", None),
            ("/srv/git/r", None),
            ("file:///github.com/o/r", None),
            ("", None),
        ] {
            let found = remote("origin", address);
            assert_eq!(found.map(|remote| remote.web).as_deref(), web, "{address}");
        }
    }

    #[test]
    fn pages_for_a_request() {
        let page = |address: &str| new_request(&remote("o", address).unwrap(), "fix/a&b #1");
        assert_eq!(
            page("git@github.com:o/r"),
            "https://github.com/o/r/compare/fix/a%26b%20%231?expand=1"
        );
        assert_eq!(
            page("git@gitlab.com:o/r"),
            "https://gitlab.com/o/r/-/merge_requests/new?merge_request%5Bsource_branch%5D=fix%2Fa%26b%20%231"
        );
        assert_eq!(
            page("git@bitbucket.org:o/r"),
            "https://bitbucket.org/o/r/pull-requests/new?source=fix%2Fa%26b%20%231"
        );
    }

    proptest! {
        #[test]
        fn nothing_of_who_signs_in_goes_on(user in "[a-zA-Z0-9._%-]{1,20}", secret in "SECRET[a-zA-Z0-9:@/?#-]{0,20}", tail in ".{0,20}") {
            for address in [
                format!("https://{user}:{secret}@github.com/o/r{tail}"),
                format!("{user}:{secret}@github.com:o/r{tail}"),
                format!("ssh://{secret}@gitlab.com/o/r"),
            ] {
                if let Some(remote) = remote("origin", &address) {
                    prop_assert!(!remote.web.contains("SECRET"), "{}", remote.web);
                }
            }
        }
    }
}
