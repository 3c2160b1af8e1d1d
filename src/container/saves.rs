//! What a sandbox had on its disk, kept in an R2 bucket: its own disk is gone when it sleeps.
//!
//! A save is an archive of what has changed since the one before it, or of everything; the table says
//! which, and only what is whole in the bucket is in the table. The archives that make up a save,
//! from the whole one on, are its chain. An object of the bucket is written once and never again.

use protocol::sandbox::{DiskState, Health, SAVE_AFTER, SAVE_SHA256, SaveRequest};
use protocol::{Problem, ProblemKind, SessionId, TurnId};
use serde::{Deserialize, Serialize};
use worker::wasm_bindgen::JsValue;
use worker::{Bucket, Data, Env, Method, Response, ResponseBody, Result, SqlStorage, Storage};

use super::Endpoint;
use crate::answer::{self, internal, read_json};
use crate::rows::integer;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS save (
        save INTEGER PRIMARY KEY,
        after INTEGER,                -- the save that it builds on; NULL: it is whole
        key TEXT NOT NULL,            -- in the bucket
        bytes INTEGER NOT NULL,
        created INTEGER NOT NULL,     -- milliseconds since the epoch
        damaged INTEGER NOT NULL DEFAULT 0
    );
";

/// Bytes of files that are saved where SAVE_MAX_MB does not say otherwise.
const MAX_BYTES: u64 = 2_000_000_000;

/// Bytes of an archive. An object that is put at once has 5 GB at most.
const MAX_ARCHIVE: u64 = 4_900_000_000;

/// Archives that build on a whole one before there is another whole one.
const MAX_CHAIN: usize = 30;

/// Those of a chain may have as many bytes as its whole one, and these.
const WORTH_ANOTHER: u64 = 1_000_000;

/// Bytes of older chains that are kept, so that a session can be forked from its older turns.
const HISTORY: u64 = 1_000_000_000;

/// One archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    pub save: u64,
    pub after: Option<u64>,
    pub key: String,
    pub bytes: u64,
    #[serde(default)]
    pub damaged: u64,
}

pub struct Saves {
    /// None: nothing is saved in this deployment.
    bucket: Option<Bucket>,
    sql: SqlStorage,
    max_bytes: u64,
    /// Held while an archive is made: its number is the next only until it is in the table.
    saving: futures_util::lock::Mutex<()>,
}

/// What has come back onto a new disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The save that the disk holds now; none where there was nothing to restore.
    pub save: Option<u64>,
    /// Why it is not the last one.
    pub damage: Option<String>,
}

impl Saves {
    /// # Errors
    /// Where the storage fails.
    pub fn new(storage: &Storage, env: &Env) -> Result<Self> {
        let sql = storage.sql();
        let megabytes = env.var("SAVE_MAX_MB").ok();
        let megabytes = megabytes.and_then(|text| text.to_string().parse::<u64>().ok());
        let saves = Self {
            bucket: env.bucket("SAVES").ok(),
            sql,
            max_bytes: megabytes.map_or(MAX_BYTES, |megabytes| megabytes.saturating_mul(1_000_000)),
            saving: futures_util::lock::Mutex::new(()),
        };
        saves.begin()?;
        Ok(saves)
    }

    /// Makes the table where there is none.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn begin(&self) -> Result<()> {
        self.sql.exec(SCHEMA, None).map(drop)
    }

    /// Deletes every archive of a session, also what no table knows.
    ///
    /// # Errors
    /// Where the bucket does not answer.
    pub async fn delete(&self, id: &SessionId) -> std::result::Result<(), Problem> {
        let Some(bucket) = &self.bucket else {
            return Ok(());
        };
        let _alone = self.saving.lock().await;
        let failed = |error: worker::Error| internal("delete saves", &error);
        loop {
            // What is deleted is not listed again, so there is no place to go on from.
            let found = bucket.list().prefix(prefix(id)).execute().await;
            let keys: Vec<String> = found
                .map_err(failed)?
                .objects()
                .iter()
                .map(worker::Object::key)
                .collect();
            if keys.is_empty() {
                return Ok(());
            }
            bucket.delete_multiple(keys).await.map_err(failed)?;
        }
    }

    /// The archives that make up a save.
    ///
    /// # Errors
    /// 409 where they are not kept any more, or damaged.
    pub fn chain(&self, save: u64) -> std::result::Result<Vec<Save>, Problem> {
        let mut all = self.all().map_err(|error| internal("saves", &error))?;
        all.retain(|one| one.save <= save);
        let chain = chain_of(&all);
        if chain.last().is_none_or(|last| last.save != save) {
            return Err(gone());
        }
        Ok(chain.into_iter().cloned().collect())
    }

    /// Takes over a chain of another session's.
    ///
    /// # Errors
    /// 409 where a part of it is gone, or this one has saves of its own.
    pub async fn copy(&self, id: &SessionId, chain: &[Save]) -> std::result::Result<(), Problem> {
        let failed = |error: worker::Error| internal("copy", &error);
        let bucket = self.bucket.as_ref().ok_or_else(gone)?;
        let _alone = self.saving.lock().await;
        if !self.all().map_err(failed)?.is_empty() {
            return Err(Problem::new(
                ProblemKind::Conflict,
                "this session has files of its own",
            ));
        }
        for save in chain {
            let object = bucket.get(&save.key).execute().await.map_err(failed)?;
            let body = object.as_ref().and_then(|object| object.body());
            let body = body.ok_or_else(gone)?.response_body().map_err(failed)?;
            let ResponseBody::Stream(body) = body else {
                return Err(gone());
            };
            let random = crate::random::hex::<8>().map_err(failed)?;
            let key = format!("{}{:010}-{random}.tar.gz", prefix(id), save.save);
            bucket
                .put(&key, Data::ReadableStream(body))
                .execute()
                .await
                .map_err(failed)?;
            let copy = Save {
                key,
                ..save.clone()
            };
            self.keep(&copy).map_err(failed)?;
        }
        Ok(())
    }

    /// The archives of the last save; none where there is nothing.
    ///
    /// # Errors
    /// Where the storage fails.
    pub fn last_chain(&self) -> Result<Vec<Save>> {
        let all = self.all()?;
        Ok(chain_of(&all).into_iter().cloned().collect())
    }

    fn all(&self) -> Result<Vec<Save>> {
        let rows = "SELECT save, after, key, bytes, damaged FROM save ORDER BY save";
        self.sql.exec(rows, None)?.to_array()
    }

    /// Saves what has changed. Returns the save that holds the disk as it is; none where nothing is
    /// saved in this deployment, or the sandbox's image knows nothing of it.
    ///
    /// # Errors
    /// Why it could not be saved.
    pub async fn save(
        &self,
        endpoint: &Endpoint,
        id: &SessionId,
        turn: Option<TurnId>,
    ) -> std::result::Result<Option<u64>, Problem> {
        let Some(bucket) = &self.bucket else {
            return Ok(None);
        };
        let _alone = self.saving.lock().await;
        let failed = |error: worker::Error| {
            internal("save", &error);
            Problem::new(
                ProblemKind::Internal,
                "the workspace could not be saved: the storage does not answer",
            )
        };
        let all = self.all().map_err(failed)?;
        let chain = chain_of(&all);
        let last = chain.last().map(|save| save.save);
        let request = SaveRequest {
            save: all.last().map_or(1, |last| last.save + 1),
            after: last.filter(|_| !is_long(&chain)),
            max_bytes: self.max_bytes,
            turn,
        };
        let body = serde_json::to_vec(&request).map_err(|error| internal("save", &error))?;
        let broke = |error: worker::Error| {
            internal("save", &error);
            Problem::new(
                ProblemKind::SandboxUnreachable,
                "the workspace could not be saved: the connection to the sandbox broke",
            )
        };
        let response = endpoint
            .fetch(Method::Post, "/save", Some(body))
            .await
            .map_err(broke)?;
        match response.status_code() {
            204 => return Ok(last),
            // The image is older than saves are.
            404 => return Ok(None),
            _ => {}
        }
        let archive = Archive::of(answer::done(response).await?)?;
        if archive.bytes == 0
            || archive.bytes > MAX_ARCHIVE
            || archive
                .after
                .is_some_and(|after| request.after != Some(after))
        {
            return Err(Problem::new(
                ProblemKind::TooLarge,
                "the workspace could not be saved: its archive is too large",
            ));
        }
        let random = crate::random::hex::<8>().map_err(failed)?;
        let key = format!("{}{:010}-{random}.tar.gz", prefix(id), request.save);
        // What arrives otherwise than it was sent is not kept.
        bucket
            .put(&key, Data::ReadableStream(archive.body))
            .sha256(archive.sha256)
            .execute()
            .await
            .map_err(failed)?;
        self.keep(&Save {
            save: request.save,
            after: archive.after,
            key,
            bytes: archive.bytes,
            damaged: 0,
        })
        .map_err(failed)?;
        self.forget_oldest(bucket).await;
        Ok(Some(request.save))
    }

    fn keep(&self, save: &Save) -> Result<()> {
        let after = match save.after {
            Some(after) => integer(after)?,
            None => worker::SqlStorageValue::Null,
        };
        self.sql.exec(
            "INSERT INTO save (save, after, key, bytes, created) VALUES (?, ?, ?, ?, ?)",
            vec![
                integer(save.save)?,
                after,
                save.key.as_str().into(),
                integer(save.bytes)?,
                integer(worker::Date::now().as_millis())?,
            ],
        )?;
        Ok(())
    }

    /// Forgets whole chains, the oldest first, where they take more than is kept.
    async fn forget_oldest(&self, bucket: &Bucket) {
        let Ok(all) = self.all() else { return };
        for save in too_old(&all, HISTORY) {
            let forgotten = self.sql.exec(
                "DELETE FROM save WHERE save = ?",
                vec![save.save.cast_signed().into()],
            );
            // Not the other way round: what is in the table is in the bucket.
            if forgotten.is_ok()
                && let Err(error) = bucket.delete(&save.key).await
            {
                internal("an old save", &error);
            }
        }
    }

    /// Brings a sandbox's disk to where its session left it, where it is a new one.
    ///
    /// # Errors
    /// Why that is not possible now. A save that is damaged is no reason: the one before it is taken.
    pub async fn restore(&self, endpoint: &Endpoint) -> std::result::Result<Restored, Problem> {
        let mut health = endpoint
            .fetch(Method::Get, "/", None)
            .await
            .map_err(broke_while_restoring)?;
        let health: Health = read_json(&mut health).await?;
        if health.disk != Some(DiskState::Awaiting) {
            return Ok(Restored::default());
        }
        // What is being saved comes first: it is newer than what is in the table.
        let _alone = self.saving.lock().await;
        let mut restored = Restored::default();
        loop {
            let all = self.all().map_err(|error| internal("saves", &error))?;
            let chain = chain_of(&all);
            let Some(bucket) = self.bucket.as_ref().filter(|_| !chain.is_empty()) else {
                self.send(endpoint, true, None).await?;
                return Ok(restored);
            };
            let Some((damaged, why)) = self.restore_chain(endpoint, bucket, &chain).await? else {
                restored.save = chain.last().map(|save| save.save);
                return Ok(restored);
            };
            internal("a damaged save", &format!("{}: {why}", damaged.key));
            self.sql
                .exec(
                    "UPDATE save SET damaged = 1 WHERE save = ?",
                    vec![damaged.save.cast_signed().into()],
                )
                .map_err(|error| internal("saves", &error))?;
            restored.damage.get_or_insert(why);
        }
    }

    /// Returns the archive that could not be used, and why, where there is one.
    async fn restore_chain<'a>(
        &self,
        endpoint: &Endpoint,
        bucket: &Bucket,
        chain: &[&'a Save],
    ) -> std::result::Result<Option<(&'a Save, String)>, Problem> {
        for (place, save) in chain.iter().enumerate() {
            let object = bucket.get(&save.key).execute().await.map_err(|error| {
                internal("restore", &error);
                Problem::new(
                    ProblemKind::SandboxUnreachable,
                    "the saved workspace can't be read at the moment",
                )
            })?;
            let body = object.as_ref().and_then(|object| object.body());
            let Some(body) = body else {
                return Ok(Some((save, "it is not there any more".to_owned())));
            };
            let body = body
                .response_body()
                .map_err(|error| internal("restore", &error))?;
            let ResponseBody::Stream(body) = body else {
                return Ok(Some((save, "it is empty".to_owned())));
            };
            let last = place + 1 == chain.len();
            match self.send(endpoint, last, Some(body)).await {
                Ok(()) => {}
                Err(problem) if problem.kind == ProblemKind::BadRequest => {
                    return Ok(Some((save, problem.detail)));
                }
                Err(problem) => return Err(problem),
            }
        }
        Ok(None)
    }

    /// Sends an archive to the sandbox, or word that there is none.
    async fn send(
        &self,
        endpoint: &Endpoint,
        last: bool,
        archive: Option<worker::web_sys::ReadableStream>,
    ) -> std::result::Result<(), Problem> {
        let path = if last {
            "/restore?last=true"
        } else {
            "/restore"
        };
        let body = archive.map_or(JsValue::from(""), JsValue::from);
        let sent = endpoint.send(path, body).await;
        let response = sent.map_err(broke_while_restoring)?;
        answer::done(response).await.map(drop)
    }
}

fn gone() -> Problem {
    Problem::new(
        ProblemKind::Conflict,
        "what was saved then is not kept any more; go on from a later turn",
    )
}

fn broke_while_restoring(error: worker::Error) -> Problem {
    internal("restore", &error);
    Problem::new(
        ProblemKind::SandboxUnreachable,
        "the connection to the sandbox broke while its files were restored",
    )
}

/// Where the archives of a session are.
fn prefix(id: &SessionId) -> String {
    format!("sessions/{id}/")
}

/// An archive as the sandbox sends it.
struct Archive {
    bytes: u64,
    sha256: Vec<u8>,
    after: Option<u64>,
    body: worker::web_sys::ReadableStream,
}

impl Archive {
    fn of(response: Response) -> std::result::Result<Self, Problem> {
        let broken = |what: &str| {
            Problem::new(
                ProblemKind::SandboxFailed,
                format!("the workspace could not be saved: the sandbox sent {what}"),
            )
        };
        let header = |name: &str| response.headers().get(name).ok().flatten();
        let bytes = header("content-length").and_then(|text| text.parse().ok());
        let bytes = bytes.ok_or_else(|| broken("an archive without a length"))?;
        let sha256 = header(SAVE_SHA256).and_then(|digits| access::secret::from_hex::<32>(&digits));
        let sha256 = sha256.ok_or_else(|| broken("an archive without a checksum"))?;
        let after = header(SAVE_AFTER).and_then(|text| text.parse().ok());
        match response.into_parts().1 {
            ResponseBody::Stream(body) => Ok(Self {
                bytes,
                sha256: sha256.to_vec(),
                after,
                body,
            }),
            _ => Err(broken("an empty archive")),
        }
    }
}

/// The archives that make up the last save, the whole one first. What builds on a damaged one is
/// passed over; empty where there is none.
fn chain_of(all: &[Save]) -> Vec<&Save> {
    for last in all.iter().rev() {
        let mut chain = vec![last];
        let mut at = last;
        while let Some(after) = at.after {
            let Some(before) = all.iter().find(|save| save.save == after) else {
                break;
            };
            chain.push(before);
            at = before;
        }
        if at.after.is_none() && chain.iter().all(|save| save.damaged == 0) {
            chain.reverse();
            return chain;
        }
    }
    Vec::new()
}

/// Whether it is better to save everything again than to add to a chain.
fn is_long(chain: &[&Save]) -> bool {
    let Some((whole, added)) = chain.split_first() else {
        return false;
    };
    let bytes: u64 = added.iter().map(|save| save.bytes).sum();
    added.len() >= MAX_CHAIN || bytes > whole.bytes + WORTH_ANOTHER
}

/// The archives of the oldest chains that do not find room in `limit` bytes. The last one is kept,
/// however large.
fn too_old(all: &[Save], limit: u64) -> Vec<&Save> {
    let last = chain_of(all);
    let begin = last.first().map_or(0, |whole| whole.save);
    let older: Vec<&Save> = all.iter().filter(|save| save.save < begin).collect();
    let mut bytes = 0;
    let mut keep_from = begin;
    for save in older.iter().rev() {
        bytes += save.bytes;
        if bytes > limit {
            break;
        }
        if save.after.is_none() {
            keep_from = save.save;
        }
    }
    older
        .into_iter()
        .filter(|save| save.save < keep_from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saves(all: &[(u64, Option<u64>, u64)]) -> Vec<Save> {
        let save = |(save, after, bytes): &(u64, Option<u64>, u64)| Save {
            save: *save,
            after: *after,
            key: format!("k{save}"),
            bytes: *bytes,
            damaged: 0,
        };
        all.iter().map(save).collect()
    }

    fn numbers(saves: &[&Save]) -> Vec<u64> {
        saves.iter().map(|save| save.save).collect()
    }

    #[test]
    fn a_chain_goes_back_to_a_whole_one() {
        let mut all = saves(&[
            (1, None, 100),
            (2, Some(1), 10),
            (4, Some(2), 10),
            (5, None, 100),
            (6, Some(5), 10),
        ]);
        assert_eq!(numbers(&chain_of(&all)), [5, 6]);
        assert_eq!(numbers(&chain_of(&all[..3])), [1, 2, 4]);
        assert_eq!(numbers(&chain_of(&all[..2])), [1, 2]);
        assert_eq!(numbers(&chain_of(&[])), [0; 0]);
        // Damage in the middle costs what builds on it, and nothing else.
        all[3].damaged = 1;
        assert_eq!(numbers(&chain_of(&all)), [1, 2, 4]);
        all[1].damaged = 1;
        assert_eq!(numbers(&chain_of(&all)), [1]);
        all[0].damaged = 1;
        assert_eq!(numbers(&chain_of(&all)), [0; 0]);
        // One whose base is not known is no save.
        assert_eq!(numbers(&chain_of(&saves(&[(7, Some(6), 1)]))), [0; 0]);
    }

    #[test]
    fn everything_is_saved_again_when_that_is_less() {
        let long = |all: &[(u64, Option<u64>, u64)]| is_long(&chain_of(&saves(all)));
        assert!(!long(&[]));
        assert!(!long(&[(1, None, 100), (2, Some(1), 500_000)]));
        assert!(long(&[(1, None, 100), (2, Some(1), 2_000_000)]));
        let many: Vec<_> = (1..=31)
            .map(|save| (save, (save > 1).then(|| save - 1), 1))
            .collect();
        assert!(long(&many));
        assert!(!long(&many[..30]));
    }

    #[test]
    fn old_chains_go_as_a_whole_and_the_last_never() {
        let all = saves(&[
            (1, None, 50),
            (2, Some(1), 50),
            (3, None, 50),
            (4, Some(3), 50),
            (5, None, 5000),
            (6, Some(5), 5000),
        ]);
        assert_eq!(numbers(&too_old(&all, 1000)), [0; 0]);
        assert_eq!(numbers(&too_old(&all, 150)), [1, 2]);
        assert_eq!(numbers(&too_old(&all, 100)), [1, 2]);
        assert_eq!(numbers(&too_old(&all, 99)), [1, 2, 3, 4]);
        assert_eq!(numbers(&too_old(&[], 0)), [0; 0]);
    }
}
