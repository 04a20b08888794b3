//! Manifests: which copies a batch holds, each with the SHA-256 of its bytes, and the SHA-256 of the manifest before, so
//! that nothing can be taken out, changed or put in between unseen. The form is that of `sha256sum`, so that any machine
//! can check the files without this program.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::records::Link;
use crate::{Error, Result, files};

/// Folder of the manifests below the archive folder.
pub(crate) const FOLDER: &str = "manifests";
/// Largest manifest that is read: some 100,000 lines.
const MANIFEST_LEN_MAX: u64 = 32 * 1_024 * 1_024;
/// Length of a SHA-256 in hexadecimal.
const HASH_LEN: usize = 64;

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Its number, from 1.
    pub number: i64,
    /// When it was made (UTC microseconds, whole seconds).
    pub made_at: i64,
    /// SHA-256 of the manifest before, or the chain's root.
    pub previous: String,
    /// Name and SHA-256 of the zip file that holds the copies; none: they lie beside each other.
    pub zip: Option<(String, String)>,
    /// SHA-256 and name of each copy.
    pub files: Vec<(String, String)>,
}

/// Where the manifest of a batch is.
pub(crate) fn path(root: &Path, number: i64) -> PathBuf {
    root.join(FOLDER).join(format!("{number:010}.sha256"))
}

/// The batch of a manifest's file name.
pub(crate) fn number_of(name: &str) -> Option<i64> {
    name.strip_suffix(".sha256")?.parse().ok().filter(|number| *number > 0)
}

impl Manifest {
    /// Its text.
    pub(crate) fn text(&self) -> String {
        let made = Timestamp::from_microsecond(self.made_at).unwrap_or_default();
        let mut text = format!(
            "# Mailwright archive, batch {}\n# made: {made}\n# previous: {}\n",
            self.number, self.previous
        );
        if let Some((name, hash)) = &self.zip {
            text.push_str(&format!("# zip: {hash}  {name}\n"));
        }
        for (hash, name) in &self.files {
            text.push_str(&format!("{hash}  {name}\n"));
        }
        text
    }

    /// Writes it, flushed, and answers the chain's new link.
    pub(crate) fn write(&self, root: &Path) -> Result<Link> {
        let folder = files::make_dir(root, FOLDER)?;
        let text = self.text();
        files::write(&path(root, self.number), text.as_bytes())?;
        files::flush_dir(&folder)?;
        Ok(Link { number: self.number, manifest: files::hash(text.as_bytes()) })
    }

    /// Reads the manifest of a batch and its hash; none: there is no such file.
    pub(crate) fn read(root: &Path, number: i64) -> Result<Option<(Self, String)>> {
        let path = path(root, number);
        let text = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::at(&path)(error)),
            Ok(found) if found.len() > MANIFEST_LEN_MAX => {
                return Err(Error::Manifest { path, what: "it is larger than any batch".to_owned() });
            }
            Ok(_) => std::fs::read(&path).map_err(Error::at(&path))?,
        };
        let hash = files::hash(&text);
        let parsed = String::from_utf8(text).map_err(|_| "it is not text".to_owned());
        match parsed.and_then(|text| Self::parse(&text)) {
            Ok(manifest) if manifest.number == number => Ok(Some((manifest, hash))),
            Ok(manifest) => {
                Err(Error::Manifest { path, what: format!("it says that it is batch {}", manifest.number) })
            }
            Err(what) => Err(Error::Manifest { path, what }),
        }
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let mut head = |start: &str| match lines.next() {
            Some((_, line)) if line.starts_with(start) => Ok(line[start.len()..].trim().to_owned()),
            _ => Err(format!("the line `{start}…` is missing")),
        };
        let number = head("# Mailwright archive, batch ")?;
        let number = number.parse().map_err(|_| "its number cannot be read".to_owned())?;
        let made: Timestamp = head("# made: ")?.parse().map_err(|_| "its time cannot be read".to_owned())?;
        let previous = head("# previous: ")?;
        let mut manifest =
            Manifest { number, made_at: made.as_microsecond(), previous, zip: None, files: Vec::new() };
        for (at, line) in lines {
            let damaged = || format!("line {at} cannot be read");
            let (of_zip, line) = line.strip_prefix("# zip: ").map_or((false, line), |rest| (true, rest));
            let (hash, name) = line.split_once("  ").ok_or_else(damaged)?;
            if hash.len() != HASH_LEN || !hash.bytes().all(|b| b.is_ascii_hexdigit()) || !is_sound(name) {
                return Err(damaged());
            }
            if of_zip {
                manifest.zip = Some((name.to_owned(), hash.to_owned()));
            } else {
                manifest.files.push((hash.to_owned(), name.to_owned()));
            }
        }
        Ok(manifest)
    }
}

/// A name that stays below the archive folder.
fn is_sound(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    !name.starts_with('/') && name.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(zip: bool) -> Manifest {
        let hash = |n: u8| files::hash(&[n]);
        Manifest {
            number: 12,
            made_at: 1_764_165_600_000_000,
            previous: hash(0),
            zip: zip.then(|| ("2025-11-26/14h/batch-0000000012.zip".to_owned(), hash(9))),
            files: vec![
                (hash(1), "2025-11-26/14h/5-1342177287.eml".to_owned()),
                (hash(2), "2025-11-26/14h/5-1342177288.eml".to_owned()),
            ],
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let root = tempfile::tempdir().unwrap();
        for zip in [false, true] {
            let manifest = manifest(zip);
            assert_eq!(Manifest::parse(&manifest.text()), Ok(manifest.clone()));
            let link = manifest.write(root.path()).unwrap();
            let (read, hash) = Manifest::read(root.path(), 12).unwrap().unwrap();
            assert_eq!((read, hash), (manifest, link.manifest));
        }
        assert!(Manifest::read(root.path(), 13).unwrap().is_none());
        assert_eq!(number_of("0000000012.sha256"), Some(12));
        assert_eq!(number_of("0000000012.sha256.part"), None);
    }

    #[test]
    fn a_damaged_manifest_is_refused_with_its_line() {
        let text = manifest(false).text();
        for (from, to, expected) in [
            ("# made: 2", "# made: x", "its time cannot be read"),
            ("# previous", "# former", "the line `# previous: …` is missing"),
            ("  2025-11-26/14h/5-1342177288", "  ../../etc/passwd", "line 5 cannot be read"),
            ("batch 12", "batch ", "its number cannot be read"),
        ] {
            assert_eq!(Manifest::parse(&text.replace(from, to)), Err(expected.to_owned()));
        }
        assert!(Manifest::parse("").is_err());
    }
}
