//! Files that are there in whole or not at all: written beside their place, flushed, then renamed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::{Error, Result};

/// Octets read at once when a file is hashed.
const READ_SIZE: usize = 64 * 1_024;
/// Ending of files that are not complete. Left behind only by a crash, and then written again or purged.
pub(crate) const PART: &str = "part";

/// `2026-11-26/13h`, UTC.
pub(crate) fn hour_of(at_us: i64) -> String {
    let time = Timestamp::from_microsecond(at_us).unwrap_or_default().to_zoned(TimeZone::UTC);
    format!("{:04}-{:02}-{:02}/{:02}h", time.year(), time.month(), time.day(), time.hour())
}

/// Name of a copy below the archive folder: the hour in which it was sent, then delivery and message.
pub(crate) fn name_of(message: i64, sent_at: i64) -> String {
    format!("{}/{}-{message}.eml", hour_of(sent_at), queue::delivery_of(message))
}

/// The message of a name that [`name_of`] gave.
pub(crate) fn message_of(name: &str) -> Option<i64> {
    name.rsplit('/').next()?.strip_suffix(".eml")?.split_once('-')?.1.parse().ok()
}

/// SHA-256 in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref())
}

/// SHA-256 of a file, in flat memory.
pub(crate) fn hash_file(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; READ_SIZE];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(context.finish().as_ref())),
            count => context.update(&buffer[..count]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes a folder below `root` and flushes the entry of each one that is new.
pub(crate) fn make_dir(root: &Path, below: &str) -> Result<PathBuf> {
    let path = root.join(below);
    if path.is_dir() {
        return Ok(path);
    }
    // Copies are people's mail: like the data directory, for the server's own user alone.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(Error::at(&path))?;
    let mut made = path.clone();
    while made.starts_with(root) && made.pop() {
        flush_dir(&made)?;
    }
    Ok(path)
}

/// Flushes the names in a folder.
pub(crate) fn flush_dir(path: &Path) -> Result<()> {
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Ok(()) => Ok(()),
        // Above the archive folder, perhaps: not ours to read, and not made by us.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(Error::at(path)(error)),
    }
}

/// Where a file is written before it has its name.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(PART);
    path.with_file_name(name)
}

/// Makes a file, or empties one that a crash left.
pub(crate) fn create(path: &Path) -> Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(Error::at(path))
}

/// Writes a file in whole, flushed, under its name. The folder's names are flushed by the caller ([`flush_dir`]).
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = part_of(path);
    let mut file = create(&part)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::at(&part))?;
    drop(file);
    fs::rename(&part, path).map_err(Error::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_named_by_its_hour_its_delivery_and_its_message() {
        let message = queue::message_id(5, 7);
        let name = name_of(message, 1_764_165_600_000_000 + 59 * 60_000_000);
        assert_eq!(name, format!("2025-11-26/14h/5-{message}.eml"));
        assert_eq!(message_of(&name), Some(message));
        assert_eq!(message_of("2025-11-26/14h/notes.txt"), None);
        assert_eq!(message_of("5-x.eml"), None);
    }

    #[test]
    fn a_file_is_there_in_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let dir = make_dir(root.path(), "2025-11-26/14h").unwrap();
        let path = dir.join("a.eml");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing else is left");
        assert_eq!(hash_file(&path).unwrap(), hash(b"two"));
        // The known value of the standard (FIPS 180-2, "abc").
        assert_eq!(hash(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let error = write(&root.path().join("missing/b.eml"), b"").unwrap_err().to_string();
        assert!(error.contains("missing/b.eml") && error.contains("Check that the folder"), "{error}");
    }
}
