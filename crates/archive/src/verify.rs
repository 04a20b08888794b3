//! Checks an archive folder: the chain of manifests, and every file against its hash.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use crate::manifest::{self, Manifest};
use crate::{Error, Result, files};

/// Findings that are listed at most.
const FINDINGS_MAX: usize = 1_000;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Manifests read.
    pub batches: u64,
    /// Copies that are there with the right hash.
    pub copies: u64,
    /// Copies that are not there: deleted after their retention, or by somebody.
    pub missing: u64,
    /// What does not agree, in words; empty: the archive is as it was written.
    pub findings: Vec<String>,
}

impl Report {
    fn finds(&mut self, text: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(text);
        }
    }
}

/// Checks the archive below `root`. Reads every byte of it.
///
/// # Errors
/// The folder cannot be read.
pub fn verify(root: &Path) -> Result<Report> {
    let folder = root.join(manifest::FOLDER);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Error::at(&folder))? {
        let name = entry.map_err(Error::at(&folder))?.file_name();
        numbers.extend(name.to_str().and_then(manifest::number_of));
    }
    numbers.sort_unstable();
    let mut report = Report::default();
    let mut before: Option<(i64, String)> = None;
    for number in numbers {
        let (manifest, hash) = match Manifest::read(root, number) {
            Ok(Some(read)) => read,
            Ok(None) => continue,
            Err(error) => {
                report.finds(error.to_string());
                before = None;
                continue;
            }
        };
        if let Some((last, last_hash)) = &before {
            if number != last + 1 {
                report.finds(format!("between batch {last} and batch {number} manifests are missing"));
            } else if manifest.previous != *last_hash {
                report.finds(format!("batch {number} does not follow batch {last} as it is now"));
            }
        }
        report.batches += 1;
        check(root, &manifest, &mut report)?;
        before = Some((number, hash));
    }
    Ok(report)
}

fn check(root: &Path, manifest: &Manifest, report: &mut Report) -> Result<()> {
    let Some((name, hash)) = &manifest.zip else {
        for (hash, name) in &manifest.files {
            compare(root, name, hash, 1, report)?;
        }
        return Ok(());
    };
    let count = u64::try_from(manifest.files.len()).unwrap_or(u64::MAX);
    if !compare(root, name, hash, 0, report)? {
        report.missing += if root.join(name).exists() { 0 } else { count };
        return Ok(());
    }
    let path = root.join(name);
    let file = File::open(&path).map_err(Error::at(&path))?;
    let mut zip = zip::ZipArchive::new(file)?;
    for (hash, entry) in &manifest.files {
        match zip.by_name(entry).map_err(Error::from).and_then(|mut entry| hash_of(&mut entry, &path)) {
            Ok(found) if found == *hash => report.copies += 1,
            Ok(_) => report.finds(format!("{entry} in {name} is not what was archived")),
            Err(error) => report.finds(format!("{entry} in {name}: {error}")),
        }
    }
    Ok(())
}

/// Whether the file is there with this hash; it then counts as `copies`.
fn compare(root: &Path, name: &str, hash: &str, copies: u64, report: &mut Report) -> Result<bool> {
    let path = root.join(name);
    match files::hash_file(&path) {
        Ok(found) if found == hash => {
            report.copies += copies;
            Ok(true)
        }
        Ok(_) => {
            report.finds(format!("{name} is not what was archived"));
            Ok(false)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            report.missing += copies;
            Ok(false)
        }
        Err(error) => Err(Error::at(&path)(error)),
    }
}

fn hash_of(reader: &mut impl Read, path: &Path) -> Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = [0; 8_192];
    loop {
        match reader.read(&mut buffer).map_err(Error::at(path))? {
            0 => break,
            count => context.update(&buffer[..count]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::batch::Batch;
    use crate::config::{Compress, FolderConfig};
    use crate::records::Link;

    const AT: i64 = 1_764_165_600_000_000;

    fn build(root: &Path, compress: Compress) -> Vec<Manifest> {
        let path = root.to_owned();
        let config = FolderConfig { path, compress, batch: 10, wait: Duration::ZERO, retention: None };
        let mut link = Link { number: 0, manifest: files::hash(b"root") };
        let mut made = Vec::new();
        for n in 0..3 {
            let mut batch = Batch::begin(&config, &link, AT).unwrap();
            for m in 0..2 {
                batch
                    .add(queue::message_id(1, 2 * n + m), AT, format!("mail {n} {m}\r\n").as_bytes())
                    .unwrap();
            }
            let (next, manifest) = batch.finish().unwrap();
            link = next;
            made.push(manifest);
        }
        made
    }

    #[test]
    fn an_archive_as_it_was_written_has_no_findings() {
        for compress in [Compress::None, Compress::Zip] {
            let root = tempfile::tempdir().unwrap();
            build(root.path(), compress);
            let report = verify(root.path()).unwrap();
            assert_eq!(
                report,
                Report { batches: 3, copies: 6, missing: 0, findings: vec![] },
                "{compress:?}"
            );
        }
    }

    #[test]
    fn what_was_changed_taken_out_or_replaced_is_found() {
        let root = tempfile::tempdir().unwrap();
        let made = build(root.path(), Compress::None);
        let file = root.path().join(&made[0].files[0].1);
        fs::write(&file, b"forged").unwrap();
        fs::remove_file(root.path().join(&made[1].files[1].1)).unwrap();
        let report = verify(root.path()).unwrap();
        assert_eq!((report.copies, report.missing, report.findings.len()), (4, 1, 1), "{report:?}");
        // The forger mends the manifest too: the next one tells.
        let mut forged = made[0].clone();
        forged.files[0].0 = files::hash(b"forged");
        forged.write(root.path()).unwrap();
        let report = verify(root.path()).unwrap();
        assert_eq!(report.findings, ["batch 2 does not follow batch 1 as it is now"]);
        fs::remove_file(manifest::path(root.path(), 2)).unwrap();
        let report = verify(root.path()).unwrap();
        assert_eq!(report.findings, ["between batch 1 and batch 3 manifests are missing"]);
    }

    #[test]
    fn a_changed_zip_is_found() {
        let root = tempfile::tempdir().unwrap();
        let made = build(root.path(), Compress::Zip);
        let (name, _) = made[1].zip.clone().unwrap();
        let path = root.path().join(&name);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        fs::remove_file(root.path().join(&made[2].zip.clone().unwrap().0)).unwrap();
        let report = verify(root.path()).unwrap();
        assert_eq!(report.findings, [format!("{name} is not what was archived")]);
        assert_eq!((report.copies, report.missing), (2, 2));
    }
}
