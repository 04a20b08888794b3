//! Segment files: their names, their head, and what of them can be read.
//!
//! A file is named `TIME-NODE.events`, the time in microseconds with leading zeros, so that the order of names is the
//! order of writing. It begins with one line and goes on in frames. A file that was being written when the process or the
//! machine ended may end in the middle of a frame; it is read up to there and never written again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::event::{Event, Frame, read_frame};
use crate::limits::{FOLD_EVENTS_MAX, FOLD_SIZE_MAX};
use crate::{Error, Result};

/// First line of a segment.
pub(crate) const MAGIC: &[u8] = b"mailwright events 1\n";
const ENDING: &str = ".events";
const TIME_DIGITS: usize = 20;

/// A segment's name without its ending: what the database calls it.
pub(crate) fn name_of(time_us: i64, node: i64) -> String {
    format!("{:0TIME_DIGITS$}-{node}", time_us.max(0))
}

/// The file of a segment.
pub(crate) fn path_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}{ENDING}"))
}

/// When a segment was begun (UTC microseconds).
pub(crate) fn time_of(name: &str) -> Option<i64> {
    let (time, node) = name.split_once('-')?;
    node.parse::<i64>().ok()?;
    (time.len() == TIME_DIGITS).then(|| time.parse().ok()).flatten()
}

/// All segments of the folder with their sizes, oldest first. Other files are left alone.
pub(crate) fn list(dir: &Path) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        let file_name = entry.file_name();
        let name = file_name.to_str().and_then(|name| name.strip_suffix(ENDING));
        if let Some(name) = name.filter(|name| time_of(name).is_some()) {
            let size = entry.metadata().map_err(Error::io(entry.path()))?.len();
            found.push((name.to_owned(), size));
        }
    }
    found.sort();
    Ok(found)
}

/// A piece of a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its events in order.
    pub events: Vec<Event>,
    /// Where the next piece starts.
    pub end: u64,
    /// True when nothing more can be read of the file as it is now.
    pub last: bool,
    /// Octets behind `end` that are no frame: more than a torn tail means damage.
    pub lost: u64,
}

/// Reads the frames from `from` (0 or a piece's end) on, as many as one transaction takes.
pub(crate) fn read(path: &Path, from: u64) -> Result<Piece> {
    let io = |error| Error::io(path)(error);
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let start = from.max(MAGIC.len() as u64);
    let mut piece = Piece { end: from, ..Piece::default() };
    if from == 0 {
        let mut magic = [0; MAGIC.len()];
        if size < start || file.read_exact(&mut magic).is_err() || magic != MAGIC {
            return Ok(Piece { last: true, lost: size, ..piece });
        }
        piece.end = start;
    }
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(FOLD_SIZE_MAX as u64).read_to_end(&mut bytes).map_err(io)?;
    let mut rest = bytes.as_slice();
    while piece.events.len() < FOLD_EVENTS_MAX {
        let length = match read_frame(rest) {
            Frame::Event(event, length) => {
                piece.events.push(event);
                length
            }
            Frame::Unknown(length) => length,
            Frame::Partial => {
                // Either the buffer ends here or the file does.
                piece.last = piece.end + rest.len() as u64 >= size;
                piece.lost = if piece.last { rest.len() as u64 } else { 0 };
                return Ok(piece);
            }
            Frame::Torn => return Ok(Piece { last: true, lost: size - piece.end, ..piece }),
        };
        rest = &rest[length..];
        piece.end += length as u64;
    }
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, EventKind};

    fn event(n: i64) -> Event {
        let client = Client::new("x", String::new(), false);
        Event { message: n, kind: EventKind::Open, link: None, at: n, client }
    }

    fn file(dir: &Path, events: i64, tail: &[u8]) -> PathBuf {
        let mut bytes = MAGIC.to_vec();
        (0..events).for_each(|n| event(n).write_frame(&mut bytes));
        bytes.extend_from_slice(tail);
        let path = path_of(dir, &name_of(5, 1));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_segment_is_read_in_pieces_to_its_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), 5_000, &[9, 0, 0]);
        let (mut from, mut seen) = (0, Vec::new());
        let last = loop {
            let piece = read(&path, from).unwrap();
            assert!(piece.events.len() <= FOLD_EVENTS_MAX);
            seen.extend(piece.events.iter().map(|event| event.message));
            from = piece.end;
            if piece.last {
                break piece;
            }
        };
        assert_eq!(seen, (0..5_000).collect::<Vec<_>>());
        assert_eq!(last.lost, 3);
        assert_eq!(read(&path, from).unwrap(), Piece { events: vec![], end: from, last: true, lost: 3 });
    }

    #[test]
    fn damage_ends_a_segment_and_other_files_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), 3, &[0; 500]);
        let piece = read(&path, 0).unwrap();
        assert_eq!((piece.events.len(), piece.last, piece.lost), (3, true, 500));
        std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
        std::fs::write(dir.path().join("x-1.events"), "x").unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 1);
        std::fs::write(&path, "something else that is long enough").unwrap();
        assert!(read(&path, 0).unwrap().last);
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(&path, 0).unwrap(), Piece { last: true, ..Piece::default() });
    }

    #[test]
    fn names_sort_by_time() {
        assert!(name_of(9, 1) < name_of(10, 1));
        assert_eq!(time_of(&name_of(1_700_000_000_000_000, 1)), Some(1_700_000_000_000_000));
        assert_eq!(time_of("7-1"), None);
    }
}
