//! Uploaded files on their way into the audience, for both the API and the pages.
//!
//! A file is first spooled to disk and imported only when it is whole: a browser that goes away half way leaves nothing
//! imported, and a slow upload does not keep the next import waiting. The spool file has no name, so the system
//! removes it whatever happens.

use std::{
    collections::HashMap,
    fs::File,
    io::{Seek, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use audience::{Audience, Import, ImportControl, ImportOptions, ImportProgress, ImportState};
use axum::body::Bytes;
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};

use crate::{
    api::shape::{id, time, time_opt},
    limits::{REFUSED_UPLOAD_READ_MAX, UPLOAD_BYTES_MAX},
    problem::{Answer, Problem},
};

/// Bytes that are gathered before they are written.
const SPOOL_CHUNK_BYTES: usize = 1 << 20;

/// The imports that run now. Clones are the same.
#[derive(Clone, Default)]
pub struct Imports {
    running: Arc<Mutex<HashMap<i64, ImportControl>>>,
}

/// What the caller says about an upload.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    /// The list that the recipients join.
    pub list: String,
    /// The file's name, for people.
    pub file_name: String,
    /// The encoding; absent: found out.
    pub encoding: Option<String>,
    /// `COLUMN=FIELD` pairs.
    pub mapping: Vec<(String, String)>,
    /// Change nothing.
    pub dry_run: bool,
}

/// A file that was uploaded whole.
pub struct Spooled {
    file: File,
    bytes: u64,
}

impl Spooled {
    /// A file that lies on disk already, at its beginning.
    pub fn of(file: File, bytes: u64) -> Self {
        Self { file, bytes }
    }

    /// Its bytes, from the beginning.
    pub fn source(self) -> Box<dyn std::io::Read + Send> {
        Box::new(self.file)
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Writes an upload to disk.
///
/// # Errors
/// The upload broke off, is too large, or the disk is full.
pub async fn spool<E: std::fmt::Display>(
    work_dir: &Path,
    stream: impl Stream<Item = Result<Bytes, E>>,
) -> Answer<Spooled> {
    let mut stream = std::pin::pin!(stream);
    let spooled = spool_all(work_dir, stream.as_mut()).await;
    if spooled.is_err() {
        // Most clients look for an answer only when all is sent: who is cut off in the middle learns no reason.
        let mut rest: u64 = 0;
        while rest < REFUSED_UPLOAD_READ_MAX
            && let Some(Ok(piece)) = stream.next().await
        {
            rest += piece.len() as u64;
        }
    }
    spooled
}

async fn spool_all<E: std::fmt::Display>(
    work_dir: &Path,
    mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Answer<Spooled> {
    let mut file = Some(nameless(work_dir).map_err(|error| disk(&error))?);
    let mut bytes_sum: u64 = 0;
    let mut chunk = Vec::with_capacity(SPOOL_CHUNK_BYTES);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| Problem::bad_request(format!("The upload broke off: {error}")))?;
        bytes_sum += piece.len() as u64;
        if bytes_sum > UPLOAD_BYTES_MAX {
            return Err(Problem::too_large(format!(
                "A file may have at most {} GiB.",
                UPLOAD_BYTES_MAX >> 30
            )));
        }
        chunk.extend_from_slice(&piece);
        if chunk.len() >= SPOOL_CHUNK_BYTES {
            write(&mut file, std::mem::take(&mut chunk)).await?;
        }
    }
    write(&mut file, chunk).await?;
    let mut file = file.expect("write puts the file back whenever it succeeds");
    file.rewind().map_err(|error| disk(&error))?;
    Ok(Spooled { file, bytes: bytes_sum })
}

async fn write(slot: &mut Option<File>, bytes: Vec<u8>) -> Answer<()> {
    let mut file = slot.take().expect("write puts the file back whenever it succeeds");
    let written = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file)).await;
    match written {
        Ok(Ok(file)) => {
            *slot = Some(file);
            Ok(())
        }
        Ok(Err(error)) => Err(disk(&error)),
        Err(error) => Err(Problem::internal(&error)),
    }
}

/// A file that is gone as soon as nobody has it open.
fn nameless(work_dir: &Path) -> std::io::Result<File> {
    let path = work_dir.join(format!("upload-{:032x}", rand::random::<u128>()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn disk(error: &std::io::Error) -> Problem {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Problem::new(
            axum::http::StatusCode::INSUFFICIENT_STORAGE,
            "disk_full",
            "The server's disk is full; nothing was imported.",
        );
    }
    Problem::internal(error)
}

impl Imports {
    /// Starts the import of a spooled file and answers its id.
    pub async fn start(
        &self,
        audience: &Audience,
        work_dir: PathBuf,
        spooled: Spooled,
        upload: Upload,
        now_us: i64,
    ) -> Answer<i64> {
        let options = ImportOptions {
            list: upload.list,
            file_name: upload.file_name,
            encoding: upload.encoding,
            mapping: upload.mapping,
            dry_run: upload.dry_run,
            bytes_total: Some(spooled.bytes),
            work_dir,
        };
        let run = audience.prepare_import(Box::new(spooled.file), options, now_us).await?;
        let import = run.id();
        self.lock().insert(import, run.control());
        let imports = self.clone();
        tokio::spawn(async move {
            // The import's own record says how it ended; the log says why when it is our fault.
            if let Err(audience::Error::Store(error)) = run.run().await {
                tracing::error!(import, %error, "import failed");
            }
            imports.lock().remove(&import);
        });
        Ok(import)
    }

    /// How far an import is, while it runs.
    pub fn progress(&self, import: i64) -> Option<ImportProgress> {
        self.lock().get(&import).map(ImportControl::progress)
    }

    /// Asks an import to stop; false when it does not run.
    pub fn cancel(&self, import: i64) -> bool {
        self.lock().get(&import).map(ImportControl::cancel).is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, ImportControl>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An import as JSON; `progress` is that of one that runs.
pub fn import_json(import: &Import, progress: Option<&ImportProgress>, now_us: i64) -> Value {
    let running = import.state == ImportState::Running;
    let counts = progress.filter(|_| running).map_or(import.counts, |progress| progress.counts);
    let end_us = import.finished_at.unwrap_or(now_us);
    let seconds = (end_us.saturating_sub(import.started_at)).max(0) as f64 / 1e6;
    let mut document = json!({
        "id": id(import.id),
        "state": import.state.name(),
        "list": import.list_name,
        "list_id": import.list.map(id),
        "file": import.file_name,
        "dry_run": import.dry_run,
        "encoding": import.encoding,
        "rows": counts.rows(),
        "created": counts.created,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "rejected": counts.rejected,
        "seconds": (seconds * 1e3).round() / 1e3,
        "started_at": time(import.started_at),
        "finished_at": time_opt(import.finished_at),
        "error": (!import.error.is_empty()).then_some(&import.error),
    });
    if let Some(progress) = progress.filter(|_| running) {
        document["progress"] = json!({
            "phase": progress.phase,
            "rows_read": progress.rows_read,
            "bytes_read": progress.bytes_read,
            "bytes_total": progress.bytes_total,
        });
    }
    document
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn an_upload_is_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let pieces =
            [Ok::<_, String>(Bytes::from_static(b"email\n")), Ok(Bytes::from_static(b"a@x.example\n"))];
        let mut spooled = spool(dir.path(), stream::iter(pieces)).await.unwrap();
        let mut text = String::new();
        spooled.file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "email\na@x.example\n");
        assert_eq!(spooled.bytes(), 18);
        let broken = [Ok(Bytes::from_static(b"email\n")), Err("connection reset".to_owned())];
        let problem = spool(dir.path(), stream::iter(broken)).await.err().unwrap();
        assert_eq!(problem.status, 400);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no file may stay behind");
    }
}
