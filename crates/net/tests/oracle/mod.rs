//! Programs that were not written here judge us: from PATH, or unpacked from the distribution's packages into
//! `target/packages`, never installed.

#![allow(dead_code, reason = "each test uses its part")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

/// A program that ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A free port on loopback, below those from which the kernel serves connections: one of these might have it by the time
/// that a program wants it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % 100 * 100) as u16;
    let mut ports = std::iter::repeat_with(|| 21_000 + begin + NEXT.fetch_add(1, Ordering::Relaxed) % 100);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.by_ref().take(100).find(is_free).expect("one of a hundred is free")
}

/// A program of a package with the libraries of others.
pub fn program(name: &str, package: &str, libraries: &[&str]) -> Command {
    let mut folders = vec![unpacked(package)];
    folders.extend(libraries.iter().map(|library| unpacked(library)));
    let places = ["usr/bin", "usr/sbin"].map(|place| folders[0].join(place).join(name));
    let found = places.into_iter().find(|path| path.is_file()).expect("the package has the program");
    let libraries =
        folders.iter().map(|folder| folder.join("usr/lib/x86_64-linux-gnu").display().to_string());
    let mut command = Command::new(found);
    command.env("LD_LIBRARY_PATH", libraries.collect::<Vec<_>>().join(":")).stdin(Stdio::null());
    command
}

/// What a program says; it must end well.
pub fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn unpacked(package: &str) -> PathBuf {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("packages");
    let folder = packages.join(package);
    if !folder.is_dir() {
        let work = packages.join(format!("{package}.{}", std::process::id()));
        std::fs::create_dir_all(&work).unwrap();
        said(Command::new("apt-get").args(["-qq", "download", package]).current_dir(&work));
        let file = std::fs::read_dir(&work).unwrap().flatten().next().expect("a package").path();
        said(Command::new("dpkg").arg("-x").arg(file).arg(work.join("unpacked")));
        // Somebody else may have been faster.
        let _ = std::fs::rename(work.join("unpacked"), &folder);
        let _ = std::fs::remove_dir_all(&work);
    }
    folder
}
