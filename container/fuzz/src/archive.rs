//! Any bytes as what a save holds, unpacked: whatever it names, nothing outside of the sandbox's folders
//! is changed. They are packed here, as no fuzzer finds a checksum.

use std::fs;
use std::io::{Cursor, Write};

use agent_server::disk::Disk;
use flate2::Compression;
use flate2::write::GzEncoder;

pub fn run(data: &[u8]) {
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    packed.write_all(data).expect("it is written into memory");
    let packed = packed.finish().expect("it is written into memory");

    let root = tempfile::tempdir().expect("there is a folder");
    let (workspace, home) = (root.path().join("workspace"), root.path().join("home"));
    let beside = root.path().join("beside");
    for folder in [&workspace, &home, &beside] {
        fs::create_dir(folder).expect("a folder is made");
    }
    fs::write(beside.join("file"), "as it was").expect("a file is written");
    let disk = Disk::open(&workspace, &home, true).expect("the disk opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("there is a runtime");
    for last in [false, true] {
        let _refused = runtime.block_on(disk.restore(Cursor::new(packed.clone()), last));
    }

    let names = |folder| -> Vec<_> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        let names = entries.map(|entry| entry.expect("it is read").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(root.path()), ["beside", "home", "workspace"]);
    assert_eq!(names(&beside), ["file"]);
    let file = fs::read(beside.join("file")).expect("the file is there");
    assert_eq!(file, b"as it was");
}
