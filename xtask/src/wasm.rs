//! The Workers' Wasm as it is deployed: without the names of its functions, and within a budget.
//!
//! Wasm is fetched and compiled at every cold start of an isolate, so its size is time that somebody
//! waits for the first answer.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{root, say};

/// A Worker's folder, what it is called, and the most kB that its Wasm may have when compressed.
struct Budget {
    folder: &'static str,
    name: &'static str,
    most_kb: usize,
}

const BUDGETS: [Budget; 2] = [
    Budget {
        folder: ".",
        name: "the session Worker",
        // 90 of them are accounts, keys, links, Access identities and the audit log; some 65 are what
        // the agent asks people; some 190 are agents and their launches, YAML, files, forks, and the forms
        // of the platform's clients; 110 are agents that work with others, schedules, webhooks and usage;
        // some 50 are two more places for sandboxes, by the APIs of Docker and of Fly; 35 are files of
        // sandboxes that sleep; 12 are terminals, 5 the repositories of workspaces.
        most_kb: 1115,
    },
    Budget {
        folder: "litellm-router",
        name: "the model router",
        most_kb: 500,
    },
];

/// Takes the names of functions out of a Worker's Wasm, which runs without them. The Wasm with
/// names stays beside it, for profiles and for reading stack traces: its functions have the same
/// numbers.
///
/// # Errors
/// Where there is no Wasm, or it can't be written.
pub async fn strip_names(folder: &Path) -> Result<()> {
    let path = deployed(folder);
    let named = tokio::fs::read(&path)
        .await
        .with_context(|| format!("reading {}", path.display()))?;
    let stripped = without_section(&named, "name")
        .with_context(|| format!("{} is not Wasm", path.display()))?;
    tokio::fs::write(folder.join("build/with-names.wasm"), &named).await?;
    tokio::fs::write(&path, &stripped).await?;
    say(&format!(
        "{} kB of Wasm, {} kB compressed",
        stripped.len() / 1000,
        compressed(&stripped)? / 1000
    ));
    Ok(())
}

/// # Errors
/// Where a Worker that was built is larger than it may be, with what can be done about it.
pub async fn within_budget() -> Result<()> {
    for budget in &BUDGETS {
        let path = deployed(&root().join(budget.folder));
        let bytes = tokio::fs::read(&path)
            .await
            .with_context(|| format!("reading {}", path.display()))?;
        let kb = compressed(&bytes)?.div_ceil(1000);
        if kb > budget.most_kb {
            bail!(
                "the Wasm of {} has {kb} kB compressed and may have {}: look for what has grown in \
                 {} (`twiggy top` lists functions by size; a derived \
                 Deserialize is compiled once for each format that it is read from), or raise the \
                 budget in xtask/src/wasm.rs and say why",
                budget.name,
                budget.most_kb,
                path.with_file_name("with-names.wasm").display()
            );
        }
    }
    Ok(())
}

fn deployed(folder: &Path) -> PathBuf {
    folder.join("build/index_bg.wasm")
}

/// Bytes after gzip, which is how platforms count.
fn compressed(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}

/// A module without its custom sections of a name. `None` where it is not a module.
fn without_section(module: &[u8], unwanted: &str) -> Option<Vec<u8>> {
    const HEADER: usize = 8;
    const CUSTOM: u8 = 0;
    let (header, mut rest) = module.split_at_checked(HEADER)?;
    let mut kept = header.strip_prefix(b"\0asm").map(|_| header.to_vec())?;
    while let Some((&id, after)) = rest.split_first() {
        let (length, content) = number(after)?;
        let (content, next) = content.split_at_checked(length)?;
        let name = number(content).and_then(|(length, name)| name.get(..length));
        if id != CUSTOM || name != Some(unwanted.as_bytes()) {
            kept.extend_from_slice(rest.get(..rest.len() - next.len())?);
        }
        rest = next;
    }
    Some(kept)
}

/// A number in LEB128, and what comes after it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at_checked(end + 1)?;
    let digits = digits.iter().rev();
    let number = digits.fold(0, |number, byte| (number << 7) | usize::from(byte & 0x7f));
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A custom section, with a length in two bytes.
    fn custom(name: &str, content: &[u8]) -> Vec<u8> {
        let mut section = vec![name.len() as u8];
        section.extend_from_slice(name.as_bytes());
        section.extend_from_slice(content);
        let length = section.len();
        let mut all = vec![0, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
        all.append(&mut section);
        all
    }

    #[test]
    fn names_go_and_all_else_stays() {
        let header = b"\0asm\x01\0\0\0".to_vec();
        let code = vec![10, 2, 0, 0];
        let producers = custom("producers", b"rustc");
        let names = custom("name", &[7; 300]);
        let module = [header.clone(), code.clone(), names, producers.clone()].concat();
        assert_eq!(
            without_section(&module, "name").unwrap(),
            [header, code, producers].concat()
        );
    }

    #[test]
    fn what_is_not_wasm_is_not_touched() {
        let cut = b"\0asm\x01\0\0\0\x0a\x05\0";
        for other in [&b""[..], b"#!/bin/sh and so on", cut] {
            assert_eq!(without_section(other, "name"), None);
        }
    }
}
