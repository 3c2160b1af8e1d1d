//! One file, or a part of it.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use cap_std::fs::{Dir, File, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use protocol::content::{Part, names, part};
use protocol::files::{BinaryFile, MAX_TEXT, TextFile};
use protocol::{Problem, ProblemKind};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{Wanted, address_of, kinds};

/// Bytes of a file that are sent at a time.
const PIECE: usize = 64 * 1024;

/// A file that was changed so short a time ago may be changed again without another time of change.
const SETTLED: Duration = Duration::from_secs(2);

/// What is at a path.
pub enum Opened {
    Folder,
    File(Opening),
}

/// A file that is open.
pub struct Opening {
    file: File,
    metadata: Metadata,
}

impl Opening {
    pub fn into_parts(self) -> (File, Metadata) {
        (self.file, self.metadata)
    }
}

/// How a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As JSON, where it is text.
    Shown,
    Raw,
    /// To be kept.
    Attachment,
}

/// Opens what is at a path; a link is followed as long as it does not lead out. A pipe or a device is
/// not opened, and one that takes the file's place meanwhile is not waited for.
///
/// # Errors
/// 404 where there is nothing, 400 for what is neither file nor folder, 403 for what leads out.
pub fn open(root: &Dir, wanted: &Wanted) -> Result<Opened, Problem> {
    let failed = |error: io::Error| wanted.problem(&error);
    let path = wanted.to_open();
    let is_file = |metadata: &Metadata| {
        if metadata.is_file() {
            return Ok(());
        }
        Err(Problem::bad_request(format!(
            "{} is neither a file nor a folder",
            wanted.told()
        )))
    };
    let metadata = root.metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Ok(Opened::Folder);
    }
    is_file(&metadata)?;
    let mut options = OpenOptions::new();
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    options.read(true).custom_flags(flags);
    let file = root.open_with(path, &options).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    is_file(&metadata)?;
    Ok(Opened::File(Opening { file, metadata }))
}

/// A file that can be answered with.
pub struct Content {
    body: Held,
    pub length: u64,
    /// As an `ETag` has it.
    pub version: String,
    modified: Option<String>,
    /// Its beginning, or all of it.
    is_text: bool,
}

enum Held {
    /// All of it, so that what is sent is what its version names.
    Whole(Vec<u8>),
    /// Read while it is sent.
    Open(std::fs::File),
}

impl Content {
    /// Reads a short file whole, and the beginning of a long one.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn of(opening: Opening) -> io::Result<Self> {
        let (file, metadata) = opening.into_parts();
        let mut file = file.into_std();
        let modified = modified(&metadata);
        if metadata.len() <= MAX_TEXT {
            let mut bytes = Vec::new();
            // One that grows meanwhile is answered with as long as it was.
            (&mut file).take(metadata.len()).read_to_end(&mut bytes)?;
            let is_text = kinds::begins_as_text(&bytes);
            return Ok(Self {
                length: bytes.len() as u64,
                version: version_of(&bytes),
                modified,
                is_text,
                body: Held::Whole(bytes),
            });
        }
        let mut head = Vec::new();
        (&mut file)
            .take(kinds::HEAD as u64)
            .read_to_end(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self {
            length: metadata.len(),
            version: stamp(&metadata),
            modified,
            is_text: kinds::begins_as_text(&head),
            body: Held::Open(file),
        })
    }
}

/// The version of a file by its content.
pub fn version_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", digits.collect::<String>())
}

/// The version of a long file, by what the system says of it: a weak one, where that may stay the same
/// with the next change.
fn stamp(metadata: &Metadata) -> String {
    let mut hash = Sha256::new();
    for number in [metadata.dev(), metadata.ino(), metadata.len()] {
        hash.update(number.to_le_bytes());
    }
    for number in [
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ] {
        hash.update(number.to_le_bytes());
    }
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    let age = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(seconds));
    let weak = if age.is_ok_and(|age| age > SETTLED) {
        ""
    } else {
        "W/"
    };
    let digits: String = hash
        .finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{weak}\"{digits}\"")
}

/// The time of the last change, as HTTP writes it.
fn modified(metadata: &Metadata) -> Option<String> {
    let time = Timestamp::new(metadata.mtime(), 0).ok()?;
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .ok()
}

/// Answers with a file.
///
/// # Errors
/// 416 for a part that it has not.
pub async fn answer(
    content: Content,
    wanted: &Wanted,
    form: Form,
    session: &str,
    asked: &HeaderMap,
) -> Result<Response, Problem> {
    let header = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    let path = wanted.path();
    let content_type = kinds::content_type(path, content.is_text);
    let mut response = Response::builder().header(header::ETAG, &content.version);
    if let Some(modified) = &content.modified {
        response = response.header(header::LAST_MODIFIED, modified);
    }
    let is_known = match header(header::IF_NONE_MATCH) {
        Some(tags) => names(tags, &content.version, true),
        None => content
            .modified
            .as_deref()
            .is_some_and(|modified| header(header::IF_MODIFIED_SINCE) == Some(modified)),
    };
    let built = |response: Result<Response, axum::http::Error>| {
        response.map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))
    };
    if is_known {
        return built(
            response
                .status(StatusCode::NOT_MODIFIED)
                .body(Body::empty()),
        );
    }
    if form == Form::Shown && !kinds::is_image(&content_type) {
        let body = shown(content, wanted, session, content_type)?;
        return built(
            response
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.into()),
        );
    }
    let kept = match form {
        Form::Attachment => "attachment",
        Form::Shown | Form::Raw => "inline",
    };
    let name = address_of(Path::new(wanted.name()));
    response = response
        .header(header::CONTENT_TYPE, content_type)
        .header(
            header::CONTENT_DISPOSITION,
            format!("{kept}; filename*=UTF-8''{name}"),
        )
        .header(header::ACCEPT_RANGES, "bytes");
    let length = content.length;
    let holds = header(header::IF_RANGE).is_none_or(|known| {
        names(known, &content.version, false) || Some(known) == content.modified.as_deref()
    });
    let part = match header(header::RANGE)
        .filter(|_| holds)
        .map(|range| part(range, length))
    {
        None | Some(Part::All) => None,
        Some(Part::Of(part)) => Some(part),
        Some(Part::Nothing) => {
            let words = format!("{} has {length} bytes", wanted.told());
            return Err(Problem::new(ProblemKind::RangeNotSatisfiable, words));
        }
    };
    if let Some(Range { start, end }) = &part {
        let range = format!("bytes {start}-{}/{length}", end - 1);
        response = response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, range);
    }
    let part = part.unwrap_or(0..length);
    response = response.header(header::CONTENT_LENGTH, part.end - part.start);
    let body = match content.body {
        Held::Whole(bytes) => {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let bytes = Bytes::from(bytes);
            let from = place(part.start).min(bytes.len());
            Body::from(bytes.slice(from..place(part.end).min(bytes.len())))
        }
        Held::Open(mut file) => {
            file.seek(SeekFrom::Start(part.start))
                .map_err(|error| wanted.problem(&error))?;
            Body::from_stream(pieces(file, part.end - part.start))
        }
    };
    built(response.body(body))
}

/// The bytes from where a file is, as many as were promised: one that has become shorter breaks the
/// answer off, so that nobody takes it for whole.
fn pieces(file: std::fs::File, promised: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let file = tokio::fs::File::from_std(file).take(promised);
    let stream = ReaderStream::with_capacity(file, PIECE);
    stream::unfold((stream, promised), |(mut stream, left)| async move {
        match stream.next().await {
            Some(Ok(piece)) => {
                let left = left.saturating_sub(piece.len() as u64);
                Some((Ok(piece), (stream, left)))
            }
            Some(Err(error)) => Some((Err(error), (stream, 0))),
            None if left > 0 => {
                let error = io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file was cut while it was read",
                );
                Some((Err(error), (stream, 0)))
            }
            None => None,
        }
    })
}

/// A file for a program that shows it.
fn shown(
    content: Content,
    wanted: &Wanted,
    session: &str,
    content_type: String,
) -> Result<Vec<u8>, Problem> {
    let size = content.length;
    let message = match content.body {
        Held::Whole(bytes) => match kinds::text(bytes) {
            Ok(text) => {
                return json(&TextFile {
                    path: wanted.lossy(),
                    language: kinds::language(wanted.path(), &text),
                    size_bytes: size,
                    lines: text.lines().count(),
                    content: text,
                });
            }
            Err(_) => "this file is no text".to_owned(),
        },
        Held::Open(_) if content.is_text => format!(
            "this text has {size} bytes, and {MAX_TEXT} at most are shown; ?raw=true gives it, also in parts"
        ),
        Held::Open(_) => "this file is no text".to_owned(),
    };
    json(&BinaryFile {
        kind: "binary".to_owned(),
        name: wanted.name().to_string_lossy().into_owned(),
        path: wanted.lossy(),
        size,
        content_type,
        message,
        download_url: format!(
            "/api/files/{session}/{}/download",
            address_of(wanted.path())
        ),
    })
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value)
        .map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))
}
