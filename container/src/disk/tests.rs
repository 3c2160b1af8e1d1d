use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

struct Machine {
    _root: tempfile::TempDir,
    workspace: PathBuf,
    home: PathBuf,
    disk: Disk,
}

fn machine(awaits: bool) -> Machine {
    let root = tempfile::tempdir().unwrap();
    let (workspace, home) = (root.path().join("w"), root.path().join("h"));
    for folder in [&workspace, &home] {
        fs::create_dir(folder).unwrap();
    }
    let disk = Disk::open(&workspace, &home, awaits).unwrap();
    Machine {
        _root: root,
        workspace,
        home,
        disk,
    }
}

fn request(save: u64, after: Option<u64>) -> SaveRequest {
    SaveRequest {
        save,
        after,
        max_bytes: 100_000_000,
        turn: None,
    }
}

impl Machine {
    async fn save(&self, save: u64, after: Option<u64>) -> Option<Vec<u8>> {
        let archive = self.disk.save(request(save, after)).await.unwrap()?;
        let mut bytes = Vec::new();
        let mut file = archive.file;
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, archive.bytes);
        Some(bytes)
    }

    /// Everything in the workspace and the home: what it is, its mode, and its content.
    fn content(&self) -> BTreeMap<PathBuf, (char, u32, Vec<u8>)> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.workspace.clone(), self.home.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self._root.path()).unwrap().to_owned();
                if path.ends_with(MARKER) {
                    continue;
                }
                let metadata = path.symlink_metadata().unwrap();
                let mode = metadata.permissions().mode() & 0o7777;
                let told = if metadata.is_dir() {
                    folders.push(path.clone());
                    ('d', mode, Vec::new())
                } else if metadata.is_symlink() {
                    let target = fs::read_link(&path).unwrap();
                    ('l', 0, target.as_os_str().as_encoded_bytes().to_vec())
                } else {
                    ('f', mode, fs::read(&path).unwrap())
                };
                all.insert(name, told);
            }
        }
        all
    }
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect()
}

async fn restored(archives: &[Vec<u8>]) -> Machine {
    let machine = machine(true);
    assert!(!machine.disk.is_ready());
    for (place, archive) in archives.iter().enumerate() {
        let last = place + 1 == archives.len();
        let archive = io::Cursor::new(archive.clone());
        machine.disk.restore(archive, last).await.unwrap();
    }
    assert!(machine.disk.is_ready());
    machine
}

#[tokio::test]
async fn comes_back_as_it_was() {
    let machine = machine(false);
    let w = &machine.workspace;
    fs::create_dir_all(w.join("a/b")).unwrap();
    fs::write(w.join("a/b/c.txt"), "hello").unwrap();
    fs::write(w.join("run.sh"), "#!/bin/sh").unwrap();
    fs::set_permissions(w.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(w.join("read-only")).unwrap();
    fs::write(w.join("read-only/x"), "x").unwrap();
    fs::set_permissions(w.join("read-only"), fs::Permissions::from_mode(0o555)).unwrap();
    symlink("/etc/passwd", w.join("out")).unwrap();
    symlink("a/b", w.join("in")).unwrap();
    fs::write(w.join("ä€ \u{202e}\n.txt"), "name").unwrap();
    fs::write(w.join("n".repeat(255)), "long").unwrap();
    fs::create_dir_all(machine.home.join(".claude/projects/-w")).unwrap();
    let transcript = machine.home.join(".claude/projects/-w/t.jsonl");
    fs::write(&transcript, "x".repeat(50_000)).unwrap();
    // Neither of these can be saved, and the second would never be read to its end.
    let _socket = std::os::unix::net::UnixListener::bind(w.join("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        w.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();

    let first = machine.save(1, None).await.unwrap();
    assert!(
        machine.save(2, Some(1)).await.is_none(),
        "nothing has changed"
    );

    fs::write(&transcript, format!("{}y", "x".repeat(50_000))).unwrap();
    fs::remove_dir_all(w.join("a")).unwrap();
    fs::write(w.join("a"), "now a file").unwrap();
    fs::remove_file(w.join("in")).unwrap();
    fs::create_dir(w.join("in")).unwrap();
    fs::write(w.join("in/new"), "new").unwrap();
    let second = machine.save(2, Some(1)).await.unwrap();
    let told = names(&second);
    let appended = "append/50000/home/.claude/projects/-w/t.jsonl";
    assert!(told.iter().any(|name| name == appended), "{told:?}");
    assert!(told.iter().any(|name| name == "delete/workspace/a/b/c.txt"));
    assert!(!told.iter().any(|name| name.contains("run.sh")), "{told:?}");

    // The second was not kept: the next one comes after the first again.
    fs::write(w.join("late"), "late").unwrap();
    let third = machine.save(3, Some(1)).await.unwrap();
    fs::remove_file(w.join("socket")).unwrap();
    fs::remove_file(w.join("pipe")).unwrap();
    let back = restored(&[first, third]).await;
    assert_eq!(back.content(), machine.content());
    let time = |machine: &Machine| {
        let file = machine.workspace.join("run.sh").metadata().unwrap();
        std::os::unix::fs::MetadataExt::mtime(&file)
    };
    assert_eq!(time(&back), time(&machine));

    // What was restored is the base of the next save.
    assert!(back.save(4, Some(3)).await.is_none());
    fs::write(back.workspace.join("late"), "later").unwrap();
    let fourth = back.save(4, Some(3)).await.unwrap();
    assert_eq!(names(&fourth), ["save.json", "workspace/late"]);
    // One that nobody here knows is not built on.
    let whole = back.save(9, Some(8)).await.unwrap();
    assert!(names(&whole).len() > 10);
    assert_eq!(restored(&[whole]).await.content(), back.content());
}

#[tokio::test]
async fn what_is_read_only_changes_between_saves() {
    let mode = |path: &PathBuf, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let machine = machine(false);
    let w = &machine.workspace;
    let (put, added, folder) = (w.join("put"), w.join("added"), w.join("folder"));
    fs::write(&put, "one").unwrap();
    fs::write(&added, "x".repeat(20_000)).unwrap();
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    fs::write(folder.join("gone"), "gone").unwrap();
    fs::write(folder.join("deep/er/f"), "f").unwrap();
    for path in [&put, &added] {
        mode(path, 0o444);
    }
    for path in ["deep/er", "deep", ""] {
        mode(&folder.join(path), 0o555);
    }
    let first = machine.save(1, None).await.unwrap();
    for path in [&put, &added] {
        mode(path, 0o644);
    }
    fs::write(&put, "two").unwrap();
    fs::write(&added, format!("{}more", "x".repeat(20_000))).unwrap();
    mode(&added, 0o444);
    for path in ["", "deep", "deep/er"] {
        mode(&folder.join(path), 0o755);
    }
    fs::remove_file(folder.join("gone")).unwrap();
    fs::remove_dir_all(folder.join("deep")).unwrap();
    fs::write(folder.join("new"), "new").unwrap();
    mode(&folder, 0o555);
    let second = machine.save(2, Some(1)).await.unwrap();
    let back = restored(&[first, second]).await;
    assert_eq!(back.content(), machine.content());
    // So that the folders can be removed.
    for machine in [&machine, &back] {
        mode(&machine.workspace.join("folder"), 0o755);
    }
}

#[tokio::test]
async fn what_can_be_made_again_is_left_out() {
    let machine = machine(false);
    let cache = machine.workspace.join("target");
    fs::create_dir(&cache).unwrap();
    fs::write(cache.join("huge"), "huge").unwrap();
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# made by a compiler\n";
    fs::write(cache.join("CACHEDIR.TAG"), tag).unwrap();
    fs::create_dir_all(machine.home.join(".cache/pip")).unwrap();
    fs::write(machine.home.join(".gitconfig"), "[user]").unwrap();
    let archive = machine.save(1, None).await.unwrap();
    assert_eq!(
        names(&archive),
        [
            "save.json",
            "workspace/target",
            "workspace/target/CACHEDIR.TAG",
            "home/.gitconfig"
        ]
    );
}

#[tokio::test]
async fn too_much_is_told_with_what_takes_most() {
    let machine = machine(false);
    fs::create_dir(machine.workspace.join("data")).unwrap();
    fs::write(machine.workspace.join("data/big"), vec![0; 3_000_000]).unwrap();
    let limited = SaveRequest {
        max_bytes: 1_000_000,
        ..request(1, None)
    };
    let problem = machine.disk.save(limited).await.unwrap_err();
    assert_eq!(problem.status(), 413);
    assert!(
        problem.detail.contains("workspace/data (3 MB)"),
        "{problem}"
    );
}

#[tokio::test]
async fn only_a_new_disk_is_restored() {
    let full = {
        let machine = machine(false);
        fs::write(machine.workspace.join("f"), "old").unwrap();
        machine.save(1, None).await.unwrap()
    };
    let archive = || io::Cursor::new(full.clone());

    let used = machine(false);
    let refused = used.disk.restore(archive(), true).await.unwrap_err();
    assert_eq!(refused.status(), 409);

    // A server that starts again on a disk that was ready does not wait.
    let back = restored(std::slice::from_ref(&full)).await;
    fs::write(back.workspace.join("f"), "new").unwrap();
    let again = Disk::open(&back.workspace, &back.home, true).unwrap();
    assert!(again.is_ready());
    assert!(again.restore(archive(), true).await.is_err());
    assert_eq!(fs::read(back.workspace.join("f")).unwrap(), b"new");

    // Nor one on a workspace that somebody has put files into.
    let given = machine(false);
    fs::remove_file(given.home.join(MARKER)).unwrap();
    fs::write(given.workspace.join("mine"), "mine").unwrap();
    assert!(
        Disk::open(&given.workspace, &given.home, true)
            .unwrap()
            .is_ready()
    );
}

#[tokio::test]
async fn a_torn_archive_is_never_used() {
    let from = machine(false);
    for number in 0..20 {
        fs::write(from.workspace.join(format!("f{number}")), "x".repeat(1000)).unwrap();
    }
    let full = from.save(1, None).await.unwrap();
    fs::write(from.workspace.join("g"), "g").unwrap();
    let next = from.save(2, Some(1)).await.unwrap();

    let machine = machine(true);
    for cut in [0, 10, full.len() / 2, full.len() - 1] {
        let torn = io::Cursor::new(full[..cut].to_vec());
        assert!(machine.disk.restore(torn, true).await.is_err(), "{cut}");
        assert!(!machine.disk.is_ready());
    }
    let mut flipped = full.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    assert!(
        machine
            .disk
            .restore(io::Cursor::new(flipped), true)
            .await
            .is_err()
    );
    // One that builds on another does not help.
    let alone = machine
        .disk
        .restore(io::Cursor::new(next.clone()), true)
        .await;
    assert!(alone.is_err());
    // A server that starts again knows that the disk is torn, whatever it is told.
    fs::write(machine.workspace.join("rest of a torn archive"), "").unwrap();
    let again = Disk::open(&machine.workspace, &machine.home, false).unwrap();
    assert!(!again.is_ready());
    again.restore(io::Cursor::new(full), false).await.unwrap();
    again.restore(io::Cursor::new(next), true).await.unwrap();
    assert!(again.is_ready());
    assert_eq!(machine.content(), from.content());
}

#[tokio::test]
async fn nothing_to_restore() {
    let machine = machine(true);
    assert_eq!(
        machine
            .disk
            .save(request(1, None))
            .await
            .unwrap_err()
            .status(),
        409
    );
    machine.disk.restore_nothing().await.unwrap();
    assert!(machine.disk.is_ready());
    assert!(machine.disk.restore_nothing().await.is_err());
}

/// An archive of entries that no disk has.
fn hostile(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gz);
    let header = br#"{"format":1,"save":1}"#;
    let mut all = vec![("save.json", tar::EntryType::Regular, &header[..], "")];
    for (path, kind, target) in entries {
        all.push((path, *kind, b"evil", target));
    }
    for (path, kind, content, target) in all {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        let content = if kind == tar::EntryType::Regular {
            content
        } else {
            b""
        };
        header.set_size(content.len() as u64);
        // The crate itself refuses such names.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn nothing_leads_out_of_the_roots() {
    use tar::EntryType as Kind;
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let (there, file) = (outside.path().to_str().unwrap(), victim.to_str().unwrap());
    for entries in [
        vec![("workspace/../../evil", Kind::Regular, "")],
        vec![("/etc/evil", Kind::Regular, "")],
        vec![("elsewhere/evil", Kind::Regular, "")],
        vec![("workspace", Kind::Regular, "")],
        vec![("append/x/workspace/f", Kind::Regular, "")],
        vec![("append/7/workspace/f", Kind::Regular, "")],
        vec![
            ("workspace/out", Kind::Symlink, there),
            ("workspace/out/victim", Kind::Regular, ""),
        ],
        vec![
            ("workspace/out", Kind::Symlink, there),
            ("delete/workspace/out/victim", Kind::Regular, ""),
        ],
        vec![
            ("workspace/out", Kind::Symlink, file),
            ("append/1/workspace/out", Kind::Regular, ""),
        ],
        vec![("workspace/hard", Kind::Link, file)],
        vec![("workspace/device", Kind::Char, "")],
    ] {
        let machine = machine(true);
        let archive = io::Cursor::new(hostile(&entries));
        let refused = machine.disk.restore(archive, true).await;
        assert!(refused.is_err(), "{entries:?}");
        assert!(!machine.disk.is_ready(), "{entries:?}");
        assert_eq!(fs::read(&victim).unwrap(), b"untouched", "{entries:?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }
    // A link is replaced, not written through.
    let machine = machine(true);
    let archive = hostile(&[
        ("workspace/out", Kind::Symlink, file),
        ("workspace/out", Kind::Regular, ""),
    ]);
    machine
        .disk
        .restore(io::Cursor::new(archive), true)
        .await
        .unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    assert_eq!(fs::read(machine.workspace.join("out")).unwrap(), b"evil");
}

/// One thing that an agent does to its files.
#[derive(Debug, Clone)]
enum Doing {
    Write(u8, usize),
    Append(u8, usize),
    Folder(u8),
    Remove(u8),
    Link(u8, u8),
    Mode(u8, u32),
    /// A save; whether it was kept.
    Save(bool),
}

fn doing() -> impl Strategy<Value = Doing> {
    prop_oneof![
        3 => (0..12_u8, 0..40_000_usize).prop_map(|(path, size)| Doing::Write(path, size)),
        3 => (0..12_u8, 0..5_000_usize).prop_map(|(path, size)| Doing::Append(path, size)),
        1 => (0..12_u8).prop_map(Doing::Folder),
        1 => (0..12_u8).prop_map(Doing::Remove),
        1 => (0..12_u8, 0..12_u8).prop_map(|(path, target)| Doing::Link(path, target)),
        1 => (0..12_u8, 0..0o200_u32).prop_map(|(path, mode)| Doing::Mode(path, 0o400 | mode)),
        2 => any::<bool>().prop_map(Doing::Save),
    ]
}

/// Twelve places, some within others.
fn path(number: u8) -> PathBuf {
    let long = "a name that finds no room in a header ".repeat(4);
    let folders = ["", "a", "a/b", &long];
    PathBuf::from(folders[usize::from(number % 4)]).join(format!("f{}", number / 4))
}

impl Machine {
    fn does(&self, doing: &Doing) {
        let at = |number: u8| self.workspace.join(path(number));
        let made = |number: u8| {
            let path = at(number);
            let _ = fs::create_dir_all(path.parent().unwrap());
            path
        };
        // What is in the way makes some of this fail, as it does for an agent.
        let _failed: io::Result<()> = match *doing {
            Doing::Write(path, size) => fs::write(made(path), vec![path; size]),
            Doing::Append(path, size) => fs::OpenOptions::new()
                .append(true)
                .open(at(path))
                .and_then(|mut file| io::Write::write_all(&mut file, &vec![size as u8; size])),
            Doing::Folder(path) => fs::create_dir_all(made(path)),
            Doing::Remove(path) => {
                fs::remove_file(at(path)).or_else(|_| fs::remove_dir_all(at(path)))
            }
            Doing::Link(path, target) => symlink(super::tests::path(target), made(path)),
            Doing::Mode(path, mode) => match at(path).symlink_metadata() {
                Ok(metadata) if metadata.is_file() => {
                    fs::set_permissions(at(path), fs::Permissions::from_mode(mode))
                }
                _ => Ok(()),
            },
            Doing::Save(_) => Ok(()),
        };
    }
}

impl Machine {
    /// The workspace as somebody sees it from outside.
    fn shown(&self) -> BTreeMap<String, (char, Vec<u8>)> {
        let shown = self
            .content()
            .into_iter()
            .filter_map(|(path, (kind, _, content))| {
                let path = path.strip_prefix("w").ok()?.to_str()?.to_owned();
                Some((path, (kind, content)))
            });
        shown.collect()
    }
}

/// The same, from archives that came one after the other, in pieces.
fn read_without_a_sandbox(archives: &[Vec<u8>]) -> BTreeMap<String, (char, Vec<u8>)> {
    use saved::tree::{Path, Tree, Wish};
    let unpacked: Vec<Vec<u8>> = archives
        .iter()
        .map(|archive| {
            let mut bytes = Vec::new();
            let mut archive = flate2::read::GzDecoder::new(&archive[..]);
            archive.read_to_end(&mut bytes).unwrap();
            bytes
        })
        .collect();
    let wanted = (0..12).map(|number| Path::of(path(number).to_str().unwrap().as_bytes()).unwrap());
    let mut tree = Tree::with(wanted);
    for (number, bytes) in unpacked.iter().enumerate() {
        if number > 0 {
            tree.next_archive();
        }
        let mut archive = saved::tar::Archive::default();
        for piece in bytes.chunks(1000) {
            archive.read(piece, &mut tree).unwrap();
        }
        assert!(archive.has_ended());
    }
    let wish = Wish {
        depth: 50,
        limit: 10_000,
        ignored: true,
        after: None,
        time: |seconds| seconds.to_string(),
    };
    let listing = tree.listing(&Path::default(), &wish).unwrap();
    let mut shown = BTreeMap::new();
    let mut nodes: Vec<_> = listing.tree.children.unwrap();
    while let Some(mut node) = nodes.pop() {
        use protocol::files::Kind;
        let (kind, content) = match node.kind {
            Kind::Directory => ('d', Vec::new()),
            Kind::Symlink => ('l', node.target.take().unwrap().into_bytes()),
            _ => {
                let path = Path::of(node.path.as_bytes()).unwrap();
                let file = tree.file(&path).unwrap().clone();
                let mut content = Vec::new();
                for piece in &file.pieces {
                    let (at, length) = (piece.at as usize, piece.length as usize);
                    content.extend_from_slice(&unpacked[piece.archive][at..at + length]);
                }
                assert_eq!(node.size, Some(content.len() as u64));
                // What was kept while it was read is the same.
                assert_eq!(tree.content(&path), Some(content.clone()), "{}", node.path);
                ('f', content)
            }
        };
        nodes.extend(node.children.into_iter().flatten());
        shown.insert(node.path, (kind, content));
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_done_comes_back(doings in prop::collection::vec(doing(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let machine = machine(false);
            let (mut kept, mut archives, mut count) = (None, Vec::new(), 0);
            for doing in doings.iter().chain([&Doing::Save(true)]) {
                machine.does(doing);
                if let Doing::Save(is_kept) = doing {
                    count += 1;
                    let archive = machine.save(count, kept).await;
                    if let Some(archive) = archive.filter(|_| *is_kept) {
                        archives.push(archive);
                        kept = Some(count);
                    }
                }
            }
            let back = restored(&archives).await;
            assert_eq!(back.content(), machine.content());
            assert_eq!(read_without_a_sandbox(&archives), machine.shown());
        });
    }
}
