//! One batch of the folder while it is written: files, then their manifest. Until the manifest has its name the batch
//! does not exist, and whatever lies there is written again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::config::{Compress, FolderConfig};
use crate::manifest::Manifest;
use crate::records::Link;
use crate::{Error, Result, files};

/// What became of a copy that was to be added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is in the batch.
    Yes,
    /// A file of its name with other bytes is there already; nothing was written.
    Occupied,
}

/// A batch that is being written.
pub(crate) struct Batch {
    root: PathBuf,
    manifest: Manifest,
    zip: Option<Zip>,
    /// Folders whose names have to be flushed.
    touched: BTreeSet<PathBuf>,
}

struct Zip {
    writer: ZipWriter<BufWriter<File>>,
    part: PathBuf,
    name: String,
}

impl Batch {
    /// The batch after `before`, made at `now`.
    pub(crate) fn begin(config: &FolderConfig, before: &Link, now: i64) -> Result<Self> {
        let number = before.number + 1;
        let root = config.path.clone();
        files::make_dir(&root, "")?;
        let zip = match config.compress {
            Compress::None => None,
            Compress::Zip => {
                let part = root.join(format!("batch-{number:010}.zip.{}", files::PART));
                let writer = ZipWriter::new(BufWriter::new(files::create(&part)?));
                Some(Zip { writer, part, name: format!("{}/batch-{number:010}.zip", files::hour_of(now)) })
            }
        };
        let manifest = Manifest {
            number,
            made_at: now - now.rem_euclid(1_000_000),
            previous: before.manifest.clone(),
            zip: None,
            files: Vec::new(),
        };
        Ok(Self { root, manifest, zip, touched: BTreeSet::new() })
    }

    /// Copies in it so far.
    pub(crate) fn len(&self) -> usize {
        self.manifest.files.len()
    }

    /// Adds the copy of a message.
    pub(crate) fn add(&mut self, message: i64, sent_at: i64, bytes: &[u8]) -> Result<Added> {
        let name = files::name_of(message, sent_at);
        match &mut self.zip {
            Some(zip) => {
                zip.writer.start_file(&name, zip_options(sent_at))?;
                zip.writer.write_all(bytes).map_err(Error::at(&zip.part))?;
            }
            None => {
                let path = self.root.join(&name);
                match fs::read(&path) {
                    Ok(there) if there == bytes => {}
                    Ok(_) => return Ok(Added::Occupied),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                        self.touched.insert(files::make_dir(&self.root, folder)?);
                        files::write(&path, bytes)?;
                    }
                    Err(error) => return Err(Error::at(&path)(error)),
                }
            }
        }
        self.manifest.files.push((files::hash(bytes), name));
        Ok(Added::Yes)
    }

    /// Completes the batch: when this answers, every copy and the manifest are on disk.
    pub(crate) fn finish(mut self) -> Result<(Link, Manifest)> {
        if let Some(zip) = self.zip.take() {
            let Zip { writer, part, name } = zip;
            let mut buffer = writer.finish()?;
            buffer.flush().and_then(|()| buffer.get_ref().sync_all()).map_err(Error::at(&part))?;
            drop(buffer);
            let hash = files::hash_file(&part).map_err(Error::at(&part))?;
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let folder = files::make_dir(&self.root, folder)?;
            let path = self.root.join(&name);
            fs::rename(&part, &path).map_err(Error::at(&path))?;
            files::flush_dir(&folder)?;
            self.manifest.zip = Some((name, hash));
        }
        for folder in &self.touched {
            files::flush_dir(folder)?;
        }
        let link = self.manifest.write(&self.root)?;
        Ok((link, self.manifest.clone()))
    }
}

/// A batch that was not finished leaves no half zip behind. Single files stay: they are whole, and the next batch that
/// holds their copies finds them.
impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(zip) = self.zip.take() {
            drop(zip.writer);
            // Left behind, it would be overwritten by the next batch all the same.
            let _ = fs::remove_file(&zip.part);
        }
    }
}

fn zip_options(sent_at: i64) -> SimpleFileOptions {
    let time = Timestamp::from_microsecond(sent_at).unwrap_or_default().to_zoned(TimeZone::UTC);
    let part = |value: i8| u8::try_from(value).unwrap_or_default();
    let modified = zip::DateTime::from_date_and_time(
        u16::try_from(time.year()).unwrap_or_default(),
        part(time.month()),
        part(time.day()),
        part(time.hour()),
        part(time.minute()),
        part(time.second()),
    );
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).unix_permissions(0o600);
    // Times before 1980 have no form in a zip file.
    modified.map_or(options, |modified| options.last_modified_time(modified))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    const AT: i64 = 1_764_165_600_000_000;

    fn config(root: &Path, compress: Compress) -> FolderConfig {
        FolderConfig {
            path: root.join("archive"),
            compress,
            batch: 10,
            wait: Duration::ZERO,
            retention: None,
        }
    }

    fn root() -> Link {
        Link { number: 0, manifest: files::hash(b"root") }
    }

    #[test]
    fn copies_lie_in_their_hour_with_their_very_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), Compress::None);
        let mut batch = Batch::begin(&config, &root(), AT).unwrap();
        let (a, b) = (queue::message_id(5, 1), queue::message_id(5, 2));
        assert_eq!(batch.add(a, AT, b"one\r\n").unwrap(), Added::Yes);
        assert_eq!(batch.add(b, AT + 3_600_000_000, b"two\r\n").unwrap(), Added::Yes);
        let (link, manifest) = batch.finish().unwrap();
        let path = |name: &str| config.path.join(name);
        assert_eq!(fs::read(path(&format!("2025-11-26/14h/5-{a}.eml"))).unwrap(), b"one\r\n");
        assert_eq!(fs::read(path(&format!("2025-11-26/15h/5-{b}.eml"))).unwrap(), b"two\r\n");
        assert_eq!((link.number, manifest.files.len(), manifest.zip), (1, 2, None));

        // After a crash before the commit the same copies come again: same names, same bytes, no second file.
        let mut again = Batch::begin(&config, &root(), AT + 1).unwrap();
        assert_eq!(again.add(a, AT, b"one\r\n").unwrap(), Added::Yes);
        assert_eq!(again.add(b, AT + 3_600_000_000, b"other").unwrap(), Added::Occupied);
        assert_eq!(again.len(), 1);
        assert_eq!(fs::read(path(&format!("2025-11-26/15h/5-{b}.eml"))).unwrap(), b"two\r\n");
    }

    #[test]
    fn a_zip_holds_the_very_bytes_and_its_hash_is_in_the_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), Compress::Zip);
        let text = "A line that is there many times.\r\n".repeat(1_000);
        let mut batch = Batch::begin(&config, &root(), AT).unwrap();
        let id = queue::message_id(5, 1);
        batch.add(id, AT, text.as_bytes()).unwrap();
        let (_, manifest) = batch.finish().unwrap();
        let (name, hash) = manifest.zip.unwrap();
        assert_eq!(name, "2025-11-26/14h/batch-0000000001.zip");
        let path = config.path.join(&name);
        assert_eq!(files::hash_file(&path).unwrap(), hash);
        assert!(fs::metadata(&path).unwrap().len() < 2_000, "it is deflated");
        let mut zip = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
        let mut entry = zip.by_name(&format!("2025-11-26/14h/5-{id}.eml")).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, text.as_bytes());
    }

    #[test]
    fn a_zip_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), Compress::Zip);
        let mut batch = Batch::begin(&config, &root(), AT).unwrap();
        batch.add(queue::message_id(5, 1), AT, b"one").unwrap();
        drop(batch);
        assert_eq!(fs::read_dir(&config.path).unwrap().count(), 0);
    }
}
