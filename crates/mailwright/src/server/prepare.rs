//! Before anything runs: the data directory, its lock, the configuration, the master key.

use std::{
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use access::{Fixed, Settings, settings::variable};
use store::{DirLock, Vault};

use crate::{cli::ServeArgs, output::Failure};

/// Name of the SQLite file inside the data directory.
const DATABASE_FILE: &str = "mailwright.db";
/// Folder of backups that are made before migrations.
const BACKUP_DIR: &str = "backups";
/// Folder of temporary files, emptied at each start.
const WORK_DIR: &str = "tmp";

/// A data directory that is ours alone, and what the file and the environment say.
pub struct Prepared {
    /// The data directory, absolute.
    pub data: PathBuf,
    /// Temporary files.
    pub work_dir: PathBuf,
    /// Backups before migrations.
    pub backup_dir: PathBuf,
    /// What file and environment pin.
    pub fixed: Fixed,
    /// The settings as far as they are known without the database.
    pub settings: Settings,
    /// The key under which secrets are sealed.
    pub vault: Vault,
    /// Held while the process lives.
    _lock: DirLock,
}

impl Prepared {
    /// Makes the directory when it is absent (mode 0700), takes its lock, reads configuration and key.
    ///
    /// # Errors
    /// Another process serves the directory, or a setting is wrong.
    pub fn new(data: &Path, args: &ServeArgs) -> Result<Self, Failure> {
        let data = make_dir(data)?;
        let lock = DirLock::acquire(&data).map_err(|error| Failure::refused(error.to_string()))?;
        let fixed = read_settings(args)?;
        let settings = Settings::resolve(&fixed, &std::collections::BTreeMap::new());
        let vault = Vault::open(&data).map_err(|error| Failure::refused(error.to_string()))?;
        let work_dir = data.join(WORK_DIR);
        match std::fs::remove_dir_all(&work_dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(&work_dir, &error)),
            _ => {}
        }
        let work_dir = make_dir(&work_dir)?;
        let backup_dir = data.join(BACKUP_DIR);
        Ok(Self { data, work_dir, backup_dir, fixed, settings, vault, _lock: lock })
    }

    /// The database's URL: the setting, else the SQLite file of the data directory.
    pub fn database_url(&self) -> String {
        database_url(self.settings.database(), &self.data)
    }
}

/// A database URL for a data directory.
pub fn database_url(given: Option<&str>, data: &Path) -> String {
    match given {
        Some(url) => url.to_owned(),
        None => format!("sqlite:{}", data.join(DATABASE_FILE).display()),
    }
}

fn read_settings(args: &ServeArgs) -> Result<Fixed, Failure> {
    let file = match &args.config {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| at(path, &error))?),
        None => None,
    };
    let options = [("listen", &args.listen), ("database", &args.database)];
    let options = options
        .into_iter()
        .filter_map(|(key, value)| value.as_ref().map(|value| (variable(key), value.clone())));
    // Options come last: what is said on the command line wins over the environment.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Fixed::read(file.as_deref(), environment.chain(options))
        .map_err(|error| Failure::refused(error.to_string()))
}

/// Makes a directory that only its owner can enter, and gives its absolute name.
pub fn make_dir(dir: &Path) -> Result<PathBuf, Failure> {
    match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Ok(()) => dir.canonicalize().map_err(|error| at(dir, &error)),
        Err(error) => Err(at(dir, &error)),
    }
}

fn at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn args(config: Option<PathBuf>) -> ServeArgs {
        ServeArgs { database: None, listen: Some("127.0.0.1:0".to_owned()), config }
    }

    #[test]
    fn a_second_start_on_the_same_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = Prepared::new(&data, &args(None)).unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(first.settings.listen().unwrap().port(), 0);
        assert!(first.database_url().starts_with("sqlite:/"));
        assert!(Prepared::new(&data, &args(None)).is_err());
        drop(first);
        Prepared::new(&data, &args(None)).unwrap();
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("c.toml");
        std::fs::write(&config, "public_url = \"http://x.example\"\n[mta]\nportt = 25\n").unwrap();
        let Err(Failure::Refused { text, .. }) = Prepared::new(dir.path(), &args(Some(config))) else {
            panic!("must be refused")
        };
        assert!(text.contains("line 3") && text.contains("mta.portt"), "{text}");
    }
}
