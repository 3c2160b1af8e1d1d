//! Where the servers are and what opens them: profiles in a file that only its owner can read.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::cli::Global;
use crate::failure::Failure;

/// Where a server listens that was started with `cargo xtask dev`.
const HERE: &str = "http://127.0.0.1:8787";

const DEFAULT: &str = "default";

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// The one that is used where no other is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// What a command speaks to.
#[derive(Debug)]
pub struct Target {
    pub server: Url,
    pub token: Option<String>,
}

/// Where the file is.
///
/// # Errors
/// Where nothing says what this user's folder is.
pub fn path() -> Result<PathBuf, Failure> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(file) = folder("AGENTCTL_CONFIG") {
        return Ok(PathBuf::from(file));
    }
    let config = match (folder("XDG_CONFIG_HOME"), folder("HOME")) {
        (Some(config), _) => PathBuf::from(config),
        (None, Some(home)) => PathBuf::from(home).join(".config"),
        (None, None) => {
            return Err(Failure::Here(
                "neither HOME nor AGENTCTL_CONFIG says where profiles are kept".to_owned(),
            ));
        }
    };
    Ok(config.join("agentctl/config.toml"))
}

impl Profiles {
    /// # Errors
    /// Where the file can't be read, is no profiles file, or others can read it.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(Failure::here(path.display(), error)),
        };
        let mode = std::fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Failure::Here(format!(
                "{0} holds keys and others can read it; make it yours alone: chmod 600 {0}",
                path.display()
            )));
        }
        // Not the parser's own words: they show the line, and a key may stand in it.
        toml::from_str(&text).map_err(|_| {
            Failure::Here(format!(
                "{} is no file of profiles; mend or remove it, and sign in again",
                path.display()
            ))
        })
    }

    /// Writes the file whole, or not at all.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::here(path.display(), error);
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let text = toml::to_string(self).map_err(|error| Failure::here("profiles", error))?;
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// The name of the profile that is meant.
    pub fn name(&self, global: &Global) -> String {
        let named = global.profile.clone().or_else(|| self.current.clone());
        named.unwrap_or_else(|| DEFAULT.to_owned())
    }

    /// What a command speaks to, by its options, the environment and the profiles, in this order.
    ///
    /// # Errors
    /// Where a profile is named that is not there, or a key would go over the line in the clear.
    pub fn target(&self, global: &Global, token: Option<String>) -> Result<Target, Failure> {
        let name = self.name(global);
        let profile = self.profiles.get(&name);
        if profile.is_none() && global.profile.is_some() {
            return Err(Failure::Usage(format!(
                "there is no profile {name}; agentctl login --profile {name} makes it"
            )));
        }
        let kept = profile
            .map(|profile| address(&profile.server))
            .transpose()?;
        let server = match &global.server {
            Some(given) => address(given)?,
            None => kept.clone().map_or_else(|| address(HERE), Ok)?,
        };
        // A key goes to the server that it was kept for, and to no other.
        let own = profile.filter(|_| kept.as_ref() == Some(&server));
        let token = token.or_else(|| own.and_then(|profile| profile.token.clone()));
        let target = Target { server, token };
        target.is_private(global.insecure)?;
        Ok(target)
    }
}

impl Target {
    /// # Errors
    /// Where a key would go over the line for everybody to read.
    pub fn is_private(&self, insecure: bool) -> Result<(), Failure> {
        let host = self.server.host_str().unwrap_or_default();
        let here = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        if self.token.is_some() && self.server.scheme() == "http" && !here && !insecure {
            return Err(Failure::Usage(format!(
                "{} is plain http: everybody on the way could read the key; use https, or say --insecure",
                self.server
            )));
        }
        Ok(())
    }
}

/// A server's address.
///
/// # Errors
/// Where it is none.
pub fn address(text: &str) -> Result<Url, Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "{text} is no server's address; one looks like https://agents.example.com"
        ))
    };
    let url = Url::parse(text.trim()).map_err(|_| wrong())?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path() == "/";
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
        return Err(wrong());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(profile: Option<&str>, server: Option<&str>) -> Global {
        Global {
            json: false,
            profile: profile.map(str::to_owned),
            server: server.map(str::to_owned),
            insecure: false,
        }
    }

    fn profiles() -> Profiles {
        let one = |server: &str, token: &str| Profile {
            server: server.to_owned(),
            token: Some(token.to_owned()),
        };
        Profiles {
            current: Some("work".to_owned()),
            profiles: BTreeMap::from([
                ("work".to_owned(), one("https://work.example", "work-key")),
                ("home".to_owned(), one("http://localhost:1", "home-key")),
            ]),
        }
    }

    #[test]
    fn a_key_goes_to_its_server_alone() {
        let all = profiles();
        let target = |profile, server, token: Option<&str>| {
            let target = all
                .target(&global(profile, server), token.map(str::to_owned))
                .unwrap();
            (target.server.to_string(), target.token)
        };
        let key = |key: &str| Some(key.to_owned());
        assert_eq!(
            target(None, None, None),
            ("https://work.example/".to_owned(), key("work-key"))
        );
        assert_eq!(target(Some("home"), None, None).1, key("home-key"));
        assert_eq!(target(None, Some("https://other.example"), None).1, None);
        assert_eq!(
            target(None, Some("https://work.example/"), None).1,
            key("work-key")
        );
        assert_eq!(
            target(None, Some("https://other.example"), Some("x")).1,
            key("x")
        );
        assert_eq!(target(None, None, Some("x")).1, key("x"));
        for server in [None, Some("https://other.example")] {
            assert!(all.target(&global(Some("none"), server), None).is_err());
        }
        let empty = Profiles::default()
            .target(&global(None, None), None)
            .unwrap();
        assert_eq!(
            (empty.server.as_str(), empty.token),
            ("http://127.0.0.1:8787/", None)
        );
    }

    #[test]
    fn a_key_does_not_go_in_the_clear() {
        let all = Profiles::default();
        let target = |server, token: Option<&str>| {
            all.target(&global(None, Some(server)), token.map(str::to_owned))
                .is_ok()
        };
        assert!(target("http://127.0.0.1:8787", Some("x")));
        assert!(target("http://[::1]:8787", Some("x")));
        assert!(target("http://agents.example.com", None));
        assert!(!target("http://agents.example.com", Some("x")));
        assert!(!target("http://localhost.example.com", Some("x")));
        for wrong in [
            "x",
            "ftp://a",
            "https://u:p@a/",
            "https://a/?token=x",
            "https://a/b",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config.toml");
        profiles().save(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let back = Profiles::load(&path).unwrap();
        assert_eq!(back.profiles, profiles().profiles);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Profiles::load(&path).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "token = 'secret-key' x").unwrap();
        let told = Profiles::load(&path).unwrap_err();
        let told = told.words(crate::failure::About::Sessions).unwrap();
        assert!(!told.contains("secret-key"), "{told}");
    }
}
