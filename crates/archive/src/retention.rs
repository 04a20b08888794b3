//! Deletes what is older than the retention: whole hours, and only files that have our names.

use std::fs;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::{Error, Result, files};

const HOUR_US: i64 = 3_600 * 1_000_000;

/// Deletes copies of hours that ended before `before` (UTC microseconds); answers how many files.
pub(crate) fn purge(root: &Path, before: i64) -> Result<u64> {
    let mut deleted = 0;
    for day in entries(root)? {
        if !is_day(&day) {
            continue;
        }
        let day_path = root.join(&day);
        for hour in entries(&day_path)? {
            let ended = hour_start(&day, &hour).is_some_and(|start| start + HOUR_US <= before);
            if ended {
                deleted += purge_hour(&day_path.join(&hour))?;
            }
        }
        remove_if_empty(&day_path);
    }
    Ok(deleted)
}

fn purge_hour(path: &Path) -> Result<u64> {
    let mut deleted = 0;
    for name in entries(path)? {
        if is_ours(&name) {
            let file = path.join(&name);
            fs::remove_file(&file).map_err(Error::at(&file))?;
            deleted += 1;
        }
    }
    remove_if_empty(path);
    Ok(deleted)
}

/// A folder in which somebody keeps something else stays.
fn remove_if_empty(path: &Path) {
    let _ = fs::remove_dir(path);
}

/// Names in a folder, sorted; none where there is no folder.
fn entries(path: &Path) -> Result<Vec<String>> {
    let found = match fs::read_dir(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(Error::at(path)(error)),
    };
    let mut names = Vec::new();
    for entry in found {
        names.extend(entry.map_err(Error::at(path))?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn is_day(name: &str) -> bool {
    hour_start(name, "00h").is_some()
}

fn hour_start(day: &str, hour: &str) -> Option<i64> {
    let hour = hour.strip_suffix('h').filter(|hour| hour.len() == 2)?;
    let civil: DateTime = format!("{day}T{hour}:00:00").parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// `DELIVERY-MESSAGE.eml`, `batch-NUMBER.zip`, and what a crash left of them.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(files::PART).and_then(|name| name.strip_suffix('.')).unwrap_or(name);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(number) = name.strip_prefix("batch-").and_then(|rest| rest.strip_suffix(".zip")) {
        return digits(number);
    }
    name.strip_suffix(".eml")
        .and_then(|name| name.split_once('-'))
        .is_some_and(|(delivery, message)| digits(delivery) && digits(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_files_of_hours_that_are_over_go() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        };
        for name in [
            "2025-11-25/23h/5-1.eml",
            "2025-11-25/23h/5-2.eml.part",
            "2025-11-26/13h/batch-0000000001.zip",
            "2025-11-26/13h/notes.txt",
            "2025-11-26/14h/5-3.eml",
            "2025-11-26/readme",
            "other/13h/5-4.eml",
            "manifests/0000000001.sha256",
        ] {
            put(name);
        }
        let two_pm = hour_start("2025-11-26", "14h").unwrap();
        assert_eq!(purge(root.path(), two_pm - 1).unwrap(), 2, "13h is not over by a microsecond");
        assert_eq!(purge(root.path(), two_pm).unwrap(), 1);
        assert!(!root.path().join("2025-11-25").exists());
        for name in [
            "2025-11-26/13h/notes.txt",
            "2025-11-26/14h/5-3.eml",
            "2025-11-26/readme",
            "other/13h/5-4.eml",
            "manifests/0000000001.sha256",
        ] {
            assert!(root.path().join(name).exists(), "{name}");
        }
        assert_eq!(purge(&root.path().join("missing"), i64::MAX - HOUR_US).unwrap(), 0);
    }
}
