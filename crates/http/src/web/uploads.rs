//! Uploaded files that wait for their import.
//!
//! Between the steps of an import a file lies in the work folder, with a small note beside it that remembers how it was
//! last read, so that a dry run can be repeated for real. What nobody comes back for is removed after a day.

use std::{
    fs,
    path::{Path as FilePath, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{fault::Fault, texts};
use crate::problem::Problem;

/// How long an upload waits for its import.
const UPLOAD_AGE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Start of the names of waiting uploads.
const PREFIX: &str = "web-";

/// A waiting upload.
pub struct Waiting {
    /// Its name in forms and links.
    pub token: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// What is remembered of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Note {
    /// The file's name, as the browser said.
    pub file: String,
    /// The list that was chosen.
    pub list: String,
    /// The encoding; empty: to be found out.
    pub encoding: String,
    /// Pairs of column and field.
    pub mapping: Vec<(String, String)>,
}

impl Waiting {
    /// A name for a new upload.
    pub fn fresh(work_dir: &FilePath) -> Waiting {
        Waiting::at(work_dir, format!("{:032x}", rand::random::<u128>()))
    }

    fn at(work_dir: &FilePath, token: String) -> Waiting {
        let path = work_dir.join(format!("{PREFIX}{token}.csv"));
        Waiting { token, path }
    }

    /// The upload that a form names. The token is ours: 32 hexadecimal digits, so no name of another file.
    pub fn named(work_dir: &FilePath, token: &str) -> Result<Waiting, Fault> {
        let ours = token.len() == 32 && token.bytes().all(|octet| octet.is_ascii_hexdigit());
        let waiting = Waiting::at(work_dir, token.to_owned());
        if ours && waiting.path.exists() {
            return Ok(waiting);
        }
        Err(Fault(Problem::new(axum::http::StatusCode::GONE, "gone", texts::text("import-gone"))))
    }

    fn note_path(&self) -> PathBuf {
        self.path.with_extension("json")
    }

    /// What is remembered of it.
    pub fn note(&self) -> Note {
        fs::read(self.note_path())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Remembers it.
    pub fn keep(&self, note: &Note) -> Result<(), Fault> {
        let bytes = serde_json::to_vec(note).map_err(|error| Fault::internal(&error))?;
        fs::write(self.note_path(), bytes).map_err(|error| Fault::internal(&error))
    }

    /// Removes file and note.
    pub fn forget(&self) {
        // The file may stay open for the import; its names go.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(self.note_path());
    }
}

/// Removes what nobody came back for.
pub fn sweep(work_dir: &FilePath) {
    let Ok(entries) = fs::read_dir(work_dir) else { return };
    let now = SystemTime::now();
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let age =
            entry.metadata().and_then(|data| data.modified()).ok().and_then(|at| now.duration_since(at).ok());
        if age.is_some_and(|age| age > UPLOAD_AGE_MAX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_found_by_its_token_only() {
        let dir = tempfile::tempdir().unwrap();
        let waiting = Waiting::fresh(dir.path());
        fs::write(&waiting.path, "email\n").unwrap();
        waiting.keep(&Note { file: "a.csv".into(), ..Note::default() }).unwrap();
        assert_eq!(Waiting::named(dir.path(), &waiting.token).unwrap().note().file, "a.csv");
        for token in ["", "../../etc/passwd", "0123456789abcdef0123456789abcdef", &waiting.token[1..]] {
            assert!(Waiting::named(dir.path(), token).is_err(), "{token}");
        }
        waiting.forget();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
