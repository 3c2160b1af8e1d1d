//! Files of a sandbox that does not run, read from its last save, so that nobody is woken for them. What
//! is not to be had there (a name that is not in it, a link on the way, more than is read here) wakes it
//! as everything else does.

#![allow(unsafe_code)] // wasm_bindgen's imports are.

use std::collections::VecDeque;
use std::rc::Rc;

use futures_util::{StreamExt, stream};
use protocol::content::{Part, begins_as_text, content_type, is_image, names, part};
use protocol::files::{BinaryFile, MAX_DEPTH, MAX_ITEMS, MAX_TEXT, TextFile};
use protocol::{Problem, SessionId};
use saved::tree::{File, Path, Tree, Wish, address};
use saved::{kinds, tar};
use sha2::{Digest, Sha256};
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsCast, JsValue};
use worker::worker_sys::FixedLengthStream as Fixed;
use worker::{
    Bucket, ByteStream, Env, FixedLengthStream, Headers, Method, Request, Response, ResponseBody,
    Url, js_sys,
};

use super::Object;
use super::files::passed_on;
use super::saves::Save;
use crate::answer::{self, internal};

/// On answers: the save that they come from.
const FROM_SAVE: &str = "x-from-save";

/// Bytes of a chain's archives that are read, and of what they unpack to.
const MAX_ARCHIVES: u64 = 64 * 1024 * 1024;
const MAX_READ: u64 = 256 * 1024 * 1024;

#[wasm_bindgen]
extern "C" {
    type DecompressionStream;

    #[wasm_bindgen(constructor, catch)]
    fn new(format: &str) -> Result<DecompressionStream, JsValue>;

    type Readable;

    #[wasm_bindgen(method, catch, js_name = pipeThrough)]
    fn pipe_through(
        this: &Readable,
        through: &DecompressionStream,
    ) -> Result<worker::web_sys::ReadableStream, JsValue>;
}

/// Where archives are read.
struct Archives(Bucket);

impl Archives {
    fn of(env: &Env) -> worker::Result<Self> {
        env.bucket("SAVES").map(Self)
    }

    /// The bytes of an archive, from those of its gzip; none where it is not there.
    async fn unpacked(&self, save: &Save) -> worker::Result<Option<ByteStream>> {
        let object = self.0.get(&save.key).execute().await?;
        let Some(body) = object.as_ref().and_then(|object| object.body()) else {
            return Ok(None);
        };
        let ResponseBody::Stream(packed) = body.response_body()? else {
            return Ok(None);
        };
        let gunzip = DecompressionStream::new("gzip")?;
        let packed: Readable = JsValue::from(packed).unchecked_into();
        Ok(Some(packed.pipe_through(&gunzip)?.into()))
    }
}

/// How a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Shown,
    Raw,
    Attachment,
}

/// What is asked for.
#[derive(Debug)]
struct Asked {
    path: Path,
    raw: bool,
    wish: Wish,
}

impl Asked {
    /// None for what is asked wrongly, or of something else: the sandbox says what it is.
    fn of(address: &str) -> Option<Self> {
        let url = Url::parse(&format!("http://files{address}")).ok()?;
        let path = match url.path().strip_prefix("/files")? {
            "" => "",
            rest => rest.strip_prefix('/')?,
        };
        let mut asked = Self {
            path: Path::from_address(path)?,
            raw: false,
            wish: Wish {
                depth: MAX_DEPTH,
                limit: MAX_ITEMS,
                ignored: false,
                after: None,
                time: |seconds| answer::time(millis(seconds)),
            },
        };
        let number = |value: &str, most: usize| {
            let number: usize = value.parse().ok()?;
            (1..=most).contains(&number).then_some(number)
        };
        for (name, value) in url.query_pairs() {
            match &*name {
                "raw" => asked.raw = value.parse().ok()?,
                "ignored" => asked.wish.ignored = value.parse().ok()?,
                "depth" => asked.wish.depth = number(&value, MAX_DEPTH)?,
                "limit" => asked.wish.limit = number(&value, MAX_ITEMS)?,
                "after" => asked.wish.after = Some(Path::from_address(&value)?),
                _ => {}
            }
        }
        Some(asked)
    }
}

impl Object {
    /// An answer from the last save; none where the sandbox runs, or has to.
    pub(super) async fn from_save(
        self: &Rc<Self>,
        id: &SessionId,
        request: &Request,
        address: &str,
    ) -> Option<Response> {
        // Where it is as its session left it, it is asked itself.
        if self.disk_ready.get() || self.starting.borrow().is_some() {
            return None;
        }
        let asked = Asked::of(address)?;
        let provider = self.provider(id).await.ok()?;
        // Some disks outlive their sandbox, and may be newer than the last save.
        if !matches!(provider.running().await, Ok(None)) || !self.rests().await {
            return None;
        }
        let _alone = self.reading.lock().await;
        match self.read_save(id, request, asked).await {
            Ok(answer) => answer,
            Err(error) => {
                internal("files of a save", &error);
                None
            }
        }
    }

    async fn read_save(
        &self,
        id: &SessionId,
        request: &Request,
        asked: Asked,
    ) -> worker::Result<Option<Response>> {
        let failed = |problem: Problem| worker::Error::from(problem.detail);
        let saves = self.saves().map_err(failed)?;
        let chain = saves.last_chain()?;
        let archives: u64 = chain.iter().map(|save| save.bytes).sum();
        let Some(last) = chain.last().filter(|_| archives <= MAX_ARCHIVES) else {
            return Ok(None);
        };
        let bucket = Archives::of(&self.env)?;
        let kept = asked.path.without_last("download");
        let wanted = [Some(asked.path.clone()), kept.clone()];
        let mut tree = Tree::with(wanted.into_iter().flatten());
        let mut read = 0;
        for (number, save) in chain.iter().enumerate() {
            if number > 0 {
                tree.next_archive();
            }
            let Some(mut bytes) = bucket.unpacked(save).await? else {
                return Ok(None);
            };
            let mut archive = tar::Archive::default();
            while let Some(piece) = bytes.next().await {
                let piece = piece?;
                read += piece.len() as u64;
                if read > MAX_READ || archive.read(&piece, &mut tree).is_err() {
                    return Ok(None);
                }
            }
            if !archive.has_ended() {
                return Ok(None);
            }
        }
        let answer = Answering {
            object: self,
            id,
            request,
            chain: &chain,
            save: last.save,
        };
        if tree.is_folder(&asked.path) {
            // What they leave out is not known here.
            if !asked.wish.ignored && tree.has_ignores() {
                return Ok(None);
            }
            let listing = tree.listing(&asked.path, &asked.wish);
            return listing.map(|listing| answer.json(&listing)).transpose();
        }
        let form = if asked.raw { Form::Raw } else { Form::Shown };
        let (path, form) = match kept {
            _ if tree.file(&asked.path).is_some() => (asked.path, form),
            Some(kept) => (kept, Form::Attachment),
            None => return Ok(None),
        };
        let content = tree.content(&path);
        match tree.file(&path) {
            Some(file) => answer.file(&path, file, content, form),
            None => Ok(None),
        }
    }
}

/// An answer that is being made.
struct Answering<'a> {
    object: &'a Object,
    id: &'a SessionId,
    request: &'a Request,
    chain: &'a [Save],
    save: u64,
}

impl Answering<'_> {
    fn header(&self, name: &str) -> Option<String> {
        self.request.headers().get(name).ok().flatten()
    }

    fn answer(
        &self,
        status: u16,
        given: &[(&str, String)],
        body: ResponseBody,
    ) -> worker::Result<Response> {
        let of = |name: &str| {
            let found = given.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| value.clone())
        };
        let headers = Headers::new();
        for (name, value) in passed_on(status, of) {
            headers.set(name, &value)?;
        }
        headers.set(FROM_SAVE, &self.save.to_string())?;
        let body = match self.request.method() {
            Method::Head => ResponseBody::Empty,
            _ => body,
        };
        Ok(Response::builder()
            .with_status(status)
            .with_headers(headers)
            .body(body))
    }

    fn json(&self, value: &impl serde::Serialize) -> worker::Result<Response> {
        self.json_with(value, Vec::new())
    }

    fn json_with(
        &self,
        value: &impl serde::Serialize,
        mut given: Vec<(&str, String)>,
    ) -> worker::Result<Response> {
        let body = serde_json::to_vec(value)?;
        given.push(("content-type", "application/json".to_owned()));
        self.answer(200, &given, ResponseBody::Body(body))
    }

    /// As `container/src/files/read.rs` answers; none for what only that can say.
    fn file(
        &self,
        path: &Path,
        file: &File,
        content: Option<Vec<u8>>,
        form: Form,
    ) -> worker::Result<Option<Response>> {
        let content = content.filter(|content| content.len() as u64 == file.size);
        if content.is_none() && (file.size <= MAX_TEXT || form == Form::Shown) {
            return Ok(None);
        }
        let guessed = kinds::guessed(path.name());
        let is_text = match &content {
            Some(content) => begins_as_text(content),
            // Its begin is not at hand: what its name says counts.
            None => content_type(guessed, true).starts_with(guessed.unwrap_or("-")),
        };
        let content_type = content_type(guessed, is_text);
        let version = match &content {
            Some(content) => version(&Sha256::digest(content)),
            None => self.version_of_pieces(file),
        };
        let modified = http_date(file.modified);
        let mut given = vec![
            ("etag", version.clone()),
            ("last-modified", modified.clone()),
        ];
        let is_known = match self.header("if-none-match") {
            Some(tags) => names(&tags, &version, true),
            None => self.header("if-modified-since").as_ref() == Some(&modified),
        };
        if is_known {
            return self.answer(304, &given, ResponseBody::Empty).map(Some);
        }
        let content = match (form, content) {
            (Form::Shown, Some(content)) if !is_image(&content_type) => {
                return self.shown(path, content, content_type, given).map(Some);
            }
            (_, content) => content,
        };
        let kept = match form {
            Form::Attachment => "attachment",
            Form::Shown | Form::Raw => "inline",
        };
        let name = address(path.name());
        let holds = self
            .header("if-range")
            .is_none_or(|known| names(&known, &version, false) || known == modified);
        let range = self.header("range").filter(|_| holds);
        let part = match range.map(|range| part(&range, file.size)) {
            None | Some(Part::All) => None,
            Some(Part::Of(part)) => Some(part),
            Some(Part::Nothing) => return Ok(None),
        };
        let mut status = 200;
        if let Some(part) = &part {
            status = 206;
            let range = format!("bytes {}-{}/{}", part.start, part.end - 1, file.size);
            given.push(("content-range", range));
        }
        let part = part.unwrap_or(0..file.size);
        let length = part.end - part.start;
        given.extend([
            ("content-type", content_type),
            (
                "content-disposition",
                format!("{kept}; filename*=UTF-8''{name}"),
            ),
            ("accept-ranges", "bytes".to_owned()),
            ("content-length", length.to_string()),
        ]);
        let body = match content {
            Some(content) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let bytes = content.get(place(part.start)..place(part.end));
                ResponseBody::Body(bytes.unwrap_or_default().to_vec())
            }
            None if self.request.method() == Method::Head => ResponseBody::Empty,
            None => {
                let sending = Sending::of(self.object, self.chain, file, part.start, length)?;
                let fixed: Fixed = FixedLengthStream::wrap(sending.bytes(), length).into();
                ResponseBody::Stream(fixed.readable())
            }
        };
        self.answer(status, &given, body).map(Some)
    }

    fn shown(
        &self,
        path: &Path,
        content: Vec<u8>,
        content_type: String,
        given: Vec<(&str, String)>,
    ) -> worker::Result<Response> {
        let size_bytes = content.len() as u64;
        let text = match content.contains(&0) {
            true => None,
            false => String::from_utf8(content).ok(),
        };
        match text {
            Some(content) => self.json_with(
                &TextFile {
                    path: path.lossy(),
                    language: kinds::language(path.name()).to_owned(),
                    size_bytes,
                    lines: content.lines().count(),
                    content,
                },
                given,
            ),
            None => self.json_with(
                &BinaryFile {
                    kind: "binary".to_owned(),
                    name: String::from_utf8_lossy(path.name()).into_owned(),
                    path: path.lossy(),
                    size: size_bytes,
                    content_type,
                    message: "this file is no text".to_owned(),
                    download_url: format!("/api/files/{}/{}/download", self.id, path.address()),
                },
                given,
            ),
        }
    }

    /// By where it stands: no archive is ever written again.
    fn version_of_pieces(&self, file: &File) -> String {
        let mut hash = Sha256::new();
        for piece in &file.pieces {
            let save = self.chain.get(piece.archive).map_or(0, |save| save.save);
            for number in [save, piece.at, piece.length] {
                hash.update(number.to_le_bytes());
            }
        }
        version(&hash.finalize())
    }
}

/// From seconds since the epoch, which the sandbox has chosen: no later than the year 9999.
fn millis(seconds: u64) -> u64 {
    seconds.min(253_402_300_799) * 1000
}

/// As HTTP has it (RFC 9110, 5.6.7).
fn http_date(seconds: u64) -> String {
    let date = js_sys::Date::new(&(millis(seconds) as f64).into());
    date.to_utc_string().into()
}

/// As the agent-server has it (`container/src/files/read.rs`), so that it is the same there.
fn version(digest: &[u8]) -> String {
    let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", digits.collect::<String>())
}

/// A part of an archive's bytes.
#[derive(Debug)]
struct Stretch {
    save: Save,
    at: u64,
    length: u64,
}

/// A long file on its way out, one stretch after the other.
struct Sending {
    archives: Archives,
    stretches: VecDeque<Stretch>,
    /// The archive that is being read, how much of it comes before the stretch, and how much is in it.
    open: Option<(ByteStream, u64, u64)>,
}

impl Sending {
    fn of(
        object: &Object,
        chain: &[Save],
        file: &File,
        from: u64,
        length: u64,
    ) -> worker::Result<Self> {
        let (mut skip, mut left) = (from, length);
        let mut stretches = VecDeque::new();
        for piece in &file.pieces {
            let over = skip.min(piece.length);
            skip -= over;
            let length = (piece.length - over).min(left);
            left -= length;
            if let Some(save) = chain.get(piece.archive).filter(|_| length > 0) {
                let at = piece.at + over;
                let save = save.clone();
                stretches.push_back(Stretch { save, at, length });
            }
        }
        Ok(Self {
            archives: Archives::of(&object.env)?,
            stretches,
            open: None,
        })
    }

    fn bytes(self) -> impl futures_util::Stream<Item = worker::Result<Vec<u8>>> {
        stream::unfold(Some(self), |sending| async move {
            let mut sending = sending?;
            match sending.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(sending))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    async fn next(&mut self) -> worker::Result<Option<Vec<u8>>> {
        loop {
            let Some((bytes, skip, left)) = &mut self.open else {
                let Some(Stretch { save, at, length }) = self.stretches.pop_front() else {
                    return Ok(None);
                };
                let bytes = self.archives.unpacked(&save).await?;
                let bytes = bytes.ok_or("an archive has gone while it was read")?;
                self.open = Some((bytes, at, length));
                continue;
            };
            let Some(mut piece) = bytes.next().await.transpose()? else {
                return Err("an archive has ended before a file in it".into());
            };
            let over = usize::try_from(*skip)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            *skip -= over as u64;
            piece.drain(..over);
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            piece.truncate(most);
            *left -= piece.len() as u64;
            if *left == 0 {
                self.open = None;
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}
