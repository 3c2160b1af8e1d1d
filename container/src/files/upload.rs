//! Files that come as a multipart form (RFC 7578): all of them, or none.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::{Stream, StreamExt, stream};
use multer::{Field, Multipart};
use protocol::files::{MAX_FILE, MAX_FORM, MAX_UPLOAD, MAX_UPLOAD_FILES, Uploaded, UploadedFile};
use protocol::{Problem, ProblemKind};

use super::write::{Staged, drain, next};
use super::{Files, Wanted, blocking};

/// Bytes of a form in which nothing is a file's: the words about a part.
const MAX_WORDS: usize = 256 * 1024;

/// Bytes that the reader of the form is given at once.
const PIECE: usize = 64 * 1024;

/// A file that has come, and where it will be.
struct Part {
    staged: Staged,
    wanted: Wanted,
    name: OsString,
    told: String,
}

impl Files {
    /// Takes the files of a form into a folder.
    ///
    /// # Errors
    /// 409 where a file is there and `overwrite` is not said, 413 for too much. Nothing is there then.
    pub async fn upload(
        &self,
        folder: &Wanted,
        overwrite: bool,
        content_type: &str,
        session: &str,
        body: Body,
    ) -> Result<Uploaded, Problem> {
        let mut form = Form::new(body.into_data_stream());
        let taken = self.take(folder, overwrite, content_type, &mut form).await;
        if taken.is_err() {
            drain(&mut form.body, MAX_FORM).await;
        }
        let parts = taken?;
        let mut uploaded = Vec::new();
        for part in &parts {
            uploaded.push(UploadedFile {
                name: part.told.clone(),
                path: part.wanted.lossy(),
                size_bytes: part.staged.size,
            });
        }
        blocking(move || place(parts, overwrite)).await?;
        Ok(Uploaded {
            session_id: session.to_owned(),
            target_path: folder.lossy(),
            total_files: uploaded.len(),
            total_size_bytes: uploaded.iter().map(|file| file.size_bytes).sum(),
            uploaded,
        })
    }

    async fn take(
        &self,
        folder: &Wanted,
        overwrite: bool,
        content_type: &str,
        form: &mut Form,
    ) -> Result<Vec<Part>, Problem> {
        let boundary = multer::parse_boundary(content_type).map_err(|_| {
            Problem::bad_request("files come as multipart/form-data, with its boundary")
                .at("content-type")
        })?;
        let progress = Arc::clone(&form.words);
        let mut multipart = Multipart::new(form, boundary);
        let mut fields =
            stream::poll_fn(|context| multipart.poll_next_field(context).map(Result::transpose));
        let mut parts: Vec<Part> = Vec::new();
        let mut names = HashSet::new();
        let mut total = 0;
        while let Some(field) = next(&mut fields, unread).await? {
            progress.store(0, Ordering::Relaxed);
            if parts.len() == MAX_UPLOAD_FILES {
                let words = format!("there are more than {MAX_UPLOAD_FILES} files in one request");
                return Err(Problem::new(ProblemKind::TooLarge, words));
            }
            let part = self
                .part(folder, overwrite, field, &mut total, &progress)
                .await?;
            if !names.insert(part.wanted.path().to_owned()) {
                let words = format!("{} is there twice in the request", part.wanted.told());
                return Err(Problem::bad_request(words).at("filename"));
            }
            parts.push(part);
        }
        if parts.is_empty() {
            return Err(Problem::bad_request("there is no file in the request"));
        }
        Ok(parts)
    }

    async fn part(
        &self,
        folder: &Wanted,
        overwrite: bool,
        mut field: Field<'_>,
        total: &mut u64,
        progress: &AtomicUsize,
    ) -> Result<Part, Problem> {
        let told = field.file_name().map(str::to_owned);
        let told = told.filter(|name| !name.is_empty()).ok_or_else(|| {
            Problem::bad_request("each part is a file, with its filename")
                .at(field.name().unwrap_or_default())
        })?;
        let wanted = Wanted(folder.path().join(below(&told)?));
        let (above, name) = wanted.parts()?;
        let name = name.to_owned();
        let (root, path, last) = (Arc::clone(&self.root), wanted.clone(), name.clone());
        let mut staged = blocking(move || {
            let failed = |error: io::Error| path.problem(&error);
            if !overwrite && root.symlink_metadata(path.path()).is_ok() {
                return Err(failed(io::ErrorKind::AlreadyExists.into()));
            }
            // A name that the disk does not take is known before all of the file is here.
            match root
                .open_dir(above.to_open())
                .and_then(|dir| dir.symlink_metadata(&last))
            {
                Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                    return Err(failed(error));
                }
                _ => {}
            }
            Staged::new(&root, &above).map_err(failed)
        })
        .await?;
        while let Some(piece) = next(&mut field, unread).await? {
            progress.store(0, Ordering::Relaxed);
            *total += piece.len() as u64;
            if staged.size + piece.len() as u64 > MAX_FILE {
                let words = format!(
                    "{} is longer than {MAX_FILE} bytes, the limit of one file",
                    wanted.told()
                );
                return Err(Problem::new(ProblemKind::TooLarge, words));
            }
            if *total > MAX_UPLOAD {
                return Err(too_large());
            }
            staged
                .write(&piece)
                .await
                .map_err(|error| wanted.problem(&error))?;
        }
        staged
            .complete()
            .await
            .map_err(|error| wanted.problem(&error))?;
        Ok(Part {
            staged,
            wanted,
            name,
            told,
        })
    }
}

/// Gives all of them their names, or none of them.
fn place(mut parts: Vec<Part>, overwrite: bool) -> Result<(), Problem> {
    let mut placed = 0;
    let mut failed = None;
    for part in &mut parts {
        if let Err(error) = part.staged.place(&part.name, overwrite) {
            failed = Some(part.wanted.problem(&error));
            break;
        }
        placed += 1;
    }
    let Some(problem) = failed else {
        return Ok(());
    };
    // What was replaced is gone; what is new is taken back.
    if !overwrite {
        for part in parts.iter().take(placed) {
            part.staged.take_back(&part.name);
        }
    }
    Err(problem)
}

/// The path below the folder that a file's name stands for: browsers that upload folders send one.
fn below(name: &str) -> Result<PathBuf, Problem> {
    let path = Path::new(name);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !plain {
        let short: String = name.chars().take(200).collect();
        let words = format!("{short:?} is no name of a file below the folder");
        return Err(Problem::bad_request(words).at("filename"));
    }
    Ok(path.components().collect())
}

fn unread(error: &multer::Error) -> Problem {
    use multer::Error as E;
    let excess = match error {
        E::StreamReadFailed(inner) => inner.downcast_ref(),
        _ => None,
    };
    match excess {
        Some(Excess::Files) => too_large(),
        Some(Excess::Words) => Problem::bad_request(
            "the multipart form can't be read: the words about a file have no end",
        ),
        None => Problem::bad_request(format!("the multipart form can't be read: {error}")),
    }
}

fn too_large() -> Problem {
    Problem::new(
        ProblemKind::TooLarge,
        format!("the files of one request are at most {MAX_UPLOAD} bytes"),
    )
}

/// What there is too much of.
#[derive(Debug)]
enum Excess {
    Files,
    Words,
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "too many bytes of {self:?}")
    }
}

impl std::error::Error for Excess {}

/// A form's body as its reader gets it: a piece at a time, however much has arrived already. The reader
/// takes what it can get into its memory.
struct Form {
    body: BodyDataStream,
    rest: Bytes,
    read: u64,
    /// Bytes since the last one that was a file's.
    words: Arc<AtomicUsize>,
    pauses: bool,
}

impl Form {
    fn new(body: BodyDataStream) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            read: 0,
            words: Arc::default(),
            pauses: false,
        }
    }
}

impl Stream for Form {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.pauses) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.rest.is_empty() {
            match self.body.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(piece))) => {
                    self.read += piece.len() as u64;
                    if self.read > MAX_FORM {
                        return Poll::Ready(Some(Err(Box::new(Excess::Files))));
                    }
                    self.rest = piece;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(Box::new(error)))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let length = self.rest.len().min(PIECE);
        if self.words.fetch_add(length, Ordering::Relaxed) > MAX_WORDS {
            return Poll::Ready(Some(Err(Box::new(Excess::Words))));
        }
        self.pauses = true;
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        assert_eq!(below("a").unwrap(), Path::new("a"));
        assert_eq!(below("a/b..c").unwrap(), Path::new("a/b..c"));
        for wrong in ["../a", "a/../b", "/a", ".", "..", ""] {
            assert!(below(wrong).is_err() || wrong.is_empty(), "{wrong}");
        }
    }
}
