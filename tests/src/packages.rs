//! Programs that were not written here, from the distribution's packages: downloaded once, unpacked beside the build,
//! never installed. Nothing of the machine changes, and no service of it starts.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Two stories that want the same package wait for each other.
static DOWNLOADS: Mutex<()> = Mutex::new(());

/// Users that the programs expect, each with a group of its name. The numbers are free on Debian and Ubuntu.
const USERS: [(&str, u32); 6] = [
    ("postfix", 64_901),
    ("Debian-exim", 64_902),
    ("opensmtpd", 64_903),
    ("opensmtpq", 64_904),
    (MAIL_USER, 64_905),
    ("unbound", 64_907),
];
/// Postfix wants one more group.
const POSTDROP: u32 = 64_906;
/// Who owns the mail that arrives.
pub const MAIL_USER: &str = "vmail";
/// Its number.
pub const MAIL_UID: u32 = 64_905;

/// The folders of a package's files, and of the libraries (file name, package) that the machine lacks.
///
/// # Errors
/// In words, when one cannot be had.
pub fn packages(name: &str, libraries: &[(&str, &str)]) -> Result<Vec<PathBuf>, String> {
    let _alone = DOWNLOADS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = Command::new("ldconfig").arg("-p").output().map_err(|error| format!("ldconfig: {error}"))?;
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    let missing = libraries.iter().filter(|(file, _)| !known.contains(file)).map(|(_, package)| *package);
    std::iter::once(name).chain(missing).map(package).collect()
}

/// `target/packages/NAME`, filled when it is not there yet.
fn package(name: &str) -> Result<PathBuf, String> {
    let program = crate::program();
    let target = program.ancestors().nth(2).ok_or("no target folder")?;
    let folder = target.join("packages").join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let work = target.join("packages").join(format!("{name}.{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let done = download(name, &work).and_then(|file| {
        let unpacked = work.join("unpacked");
        ran(Command::new("dpkg").arg("-x").arg(file).arg(&unpacked))?;
        std::fs::rename(unpacked, &folder).map_err(|error| error.to_string())
    });
    let _ = std::fs::remove_dir_all(&work);
    done.map(|()| folder)
}

fn download(name: &str, work: &Path) -> Result<PathBuf, String> {
    let fetch = || ran(Command::new("apt-get").args(["-qq", "download", name]).current_dir(work));
    if let Err(first) = fetch() {
        // The machine's lists may be old or absent.
        ran(Command::new("apt-get").args(["-qq", "update"])).map_err(|_| first)?;
        fetch()?;
    }
    let entries = std::fs::read_dir(work).map_err(|error| error.to_string())?;
    let mut files = entries.flatten().map(|entry| entry.path());
    let package = files.find(|path| path.extension().is_some_and(|kind| kind == "deb"));
    package.ok_or_else(|| format!("apt-get download {name} left no package"))
}

fn ran(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A program and its children in namespaces of their own (mounts and process numbers), with its packages' files laid
/// over `/usr` and its users in `/etc`. All of them end with it.
pub struct Jail {
    child: Child,
    folder: PathBuf,
}

impl Jail {
    /// Runs `script` (sh, ends in `exec PROGRAM`, which stays in the foreground) with `folder` as its working directory. Files in `folder/etc` appear
    /// in `/etc`; `/run`, `/var/spool` and `/var/lib` are empty.
    ///
    /// # Errors
    /// In words, when this machine does not allow it (it takes root) or a file cannot be written.
    pub fn start(packages: &[PathBuf], folder: &Path, script: &str) -> Result<Jail, String> {
        prepare(folder).map_err(|error| error.to_string())?;
        let over: Vec<String> = packages.iter().map(|path| path.join("usr").display().to_string()).collect();
        let begin = format!(
            "set -e\nmount -t overlay overlay -o lowerdir={}:/usr /usr\nmount -t overlay overlay -o lowerdir={}/etc:/etc /etc\n\
             for place in /run /var/spool /var/lib; do mount -t tmpfs -o mode=755 tmpfs $place; done\ncd {}\ntouch begun\nexec 3<&0\n",
            over.join(":"),
            folder.display(),
            folder.display()
        );
        // Standard input ends with this process, however that ends, and the program with standard input.
        let rest = format!(
            "(\n{script}) </dev/null 3<&- &\nprogram=$!\n(cat <&3 >/dev/null; kill -KILL $program) &\nwait $program\n"
        );
        std::fs::write(folder.join("start.sh"), begin + &rest).map_err(|error| error.to_string())?;
        let output = std::fs::File::create(folder.join("output")).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        command.arg("sh").arg(folder.join("start.sh"));
        command.stdin(Stdio::piped()).stdout(output).stderr(errors);
        let child = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut jail = Jail { child, folder: folder.to_path_buf() };
        jail.wait_begun()?;
        Ok(jail)
    }

    fn wait_begun(&mut self) -> Result<(), String> {
        for _ in 0..3_000 {
            if self.folder.join("begun").exists() {
                return Ok(());
            }
            if !self.runs() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Err(format!(
            "namespaces or an overlay of /usr are not to be had here (they take root): {}",
            self.output()
        ))
    }

    /// Whether it has not ended by itself.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// What it said so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // `unshare` takes the first process of the namespace with it, and the kernel everybody in there with that one.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Readable for the programs' users, and their names.
fn prepare(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    std::fs::create_dir_all(folder.join("etc"))?;
    let (mut users, mut groups) =
        (std::fs::read_to_string("/etc/passwd")?, std::fs::read_to_string("/etc/group")?);
    let known = |list: &str, name: &str| list.lines().any(|line| line.starts_with(&format!("{name}:")));
    for (name, number) in USERS {
        if !known(&users, name) {
            users.push_str(&format!("{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n"));
        }
        if !known(&groups, name) {
            groups.push_str(&format!("{name}:x:{number}:\n"));
        }
    }
    if !known(&groups, "postdrop") {
        groups.push_str(&format!("postdrop:x:{POSTDROP}:\n"));
    }
    std::fs::write(folder.join("etc/passwd"), users)?;
    std::fs::write(folder.join("etc/group"), groups)
}
