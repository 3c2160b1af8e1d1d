//! The workspace: where `/workspace` really is, and that nothing leads out of it.

use std::io;
use std::path::{Component, Path, PathBuf};

use protocol::options::WORKSPACE;
use protocol::{Problem, ProblemKind};

/// The real folder of a path of the protocol's (`/workspace[/…]`), made where it is missing.
///
/// # Errors
/// A 400 problem where the path, with its symlinks followed, leaves the workspace.
pub fn folder(workspace: &Path, path: &str) -> Result<PathBuf, Problem> {
    let outside =
        || Problem::bad_request(format!("{path:?} is not a folder in {WORKSPACE}")).at("cwd");
    let inside = path
        .strip_prefix(WORKSPACE)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .ok_or_else(outside)?
        .trim_start_matches('/');
    let mut real = workspace.to_owned();
    for part in Path::new(inside).components() {
        let Component::Normal(name) = part else {
            return Err(outside());
        };
        real.push(name);
        match std::fs::create_dir(&real) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(refused(path, &error));
            }
            _ => {}
        }
        // Each step, so that no folder is made behind a link that leads outside.
        real = real.canonicalize().map_err(|error| refused(path, &error))?;
        if !real.starts_with(workspace) || !real.is_dir() {
            return Err(outside());
        }
    }
    Ok(real)
}

fn refused(path: &str, error: &io::Error) -> Problem {
    Problem::new(
        ProblemKind::BadRequest,
        format!("the folder {path:?} can't be used: {error}"),
    )
    .at("cwd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out() {
        let root = tempfile::tempdir().unwrap();
        let workspace = root.path().join("w").canonicalize().unwrap_or_else(|_| {
            std::fs::create_dir(root.path().join("w")).unwrap();
            root.path().join("w").canonicalize().unwrap()
        });
        std::os::unix::fs::symlink("/etc", workspace.join("out")).unwrap();
        std::os::unix::fs::symlink("nowhere", workspace.join("dangling")).unwrap();
        std::fs::write(workspace.join("file"), "").unwrap();
        assert_eq!(folder(&workspace, "/workspace").unwrap(), workspace);
        assert_eq!(
            folder(&workspace, "/workspace/a/b").unwrap(),
            workspace.join("a/b")
        );
        std::os::unix::fs::symlink("a/b", workspace.join("in")).unwrap();
        assert_eq!(
            folder(&workspace, "/workspace/in").unwrap(),
            workspace.join("a/b")
        );
        for bad in [
            "/workspace/out",
            "/workspace/out/x",
            "/workspace/dangling",
            "/workspace/file",
            "/workspace/../x",
            "/workspaces",
            "/etc",
            "relative",
        ] {
            assert!(folder(&workspace, bad).is_err(), "{bad}");
        }
        assert!(!Path::new("/etc/x").exists());
    }
}
