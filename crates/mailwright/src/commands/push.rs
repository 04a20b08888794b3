//! `delivery push`: sends a folder as it is; the server reads `delivery.toml`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use reqwest::multipart::{Form, Part};

use crate::{
    client::Client,
    output::{Done, Failure, Output},
};

/// Files sent at most; the server's limit, checked here first so that a wrong folder is not read whole.
const FILES_MAX: usize = 500;
/// Bytes sent at most, all files together.
const BYTES_MAX: u64 = 32 << 20;
/// Smaller files are sent without asking: the question would be as long.
const HASHED_LEN_MIN: usize = 1_024;
/// Folders inside folders.
const DEPTH_MAX: usize = 8;

/// Runs `delivery push`.
pub async fn run(client: &Client, dir: &Path, out: &mut Output) -> Done {
    if !dir.join("delivery.toml").is_file() {
        return Err(Failure::Usage(format!("{} holds no delivery.toml", dir.display())));
    }
    let root = dir.canonicalize()?;
    let mut files = Vec::new();
    collect(&root, &root, 0, &mut files)?;
    files.sort();
    let files = read(&root, files)?;
    // The folder's name on this machine is how the server finds the draft pushed from it before.
    let mut form = Form::new().text("origin", root.to_string_lossy().into_owned());
    let known = known(client, &files).await?;
    for (name, bytes) in files {
        form = match known.get(&name) {
            Some(hash) => form.text("known", format!("{hash} {name}")),
            None => form.part("file", Part::bytes(bytes).file_name(name)),
        };
    }
    let document = client.form("/deliveries/push", form).await?;
    out.document(&serde_json::json!({"id": document["id"], "state": document["state"]}))?;
    for warning in document["warnings"].as_array().into_iter().flatten() {
        out.note(format_args!("warning: {}", crate::client::problem_line(warning)));
    }
    out.line(format_args!(
        "Delivery {} is {}. Next: mailwright delivery analyze {} --wait",
        document["id"].as_str().unwrap_or("?"),
        document["state"].as_str().unwrap_or("?"),
        document["id"].as_str().unwrap_or("?"),
    ))
}

/// The bytes of the files, by the names that the server knows them under.
fn read(root: &Path, names: Vec<PathBuf>) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut files = Vec::with_capacity(names.len());
    let mut bytes_sum = 0;
    for name in names {
        let bytes = std::fs::read(root.join(&name))?;
        bytes_sum += bytes.len() as u64;
        if bytes_sum > BYTES_MAX {
            let text = format!("{} holds more than {} MiB", root.display(), BYTES_MAX >> 20);
            return Err(Failure::refused(text));
        }
        files.push((name.to_string_lossy().replace('\\', "/"), bytes));
    }
    Ok(files)
}

/// Images and attachments whose bytes the server has, with their hashes: only the others are sent.
async fn known(client: &Client, files: &[(String, Vec<u8>)]) -> Result<BTreeMap<String, String>, Failure> {
    let hashes: BTreeMap<&str, String> = files
        .iter()
        .filter(|(name, bytes)| bytes.len() >= HASHED_LEN_MIN && !is_text(name))
        .map(|(name, bytes)| (name.as_str(), blake3::hash(bytes).to_hex().to_string()))
        .collect();
    if hashes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let document =
        client.post("/deliveries/push/known", &serde_json::json!({ "hashes": hashes }), None).await?;
    let names = document["known"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    Ok(names.filter_map(|name| Some((name.to_owned(), hashes.get(name)?.clone()))).collect())
}

/// Texts are always sent: the server reads them, and keeps no file of them.
fn is_text(name: &str) -> bool {
    [".toml", ".html", ".htm", ".txt", ".mjml"]
        .iter()
        .any(|ending| name.to_ascii_lowercase().ends_with(ending))
}

/// Regular files below `dir`, named relative to `root`. Hidden ones and links are left out: a link could lead outside
/// the folder.
fn collect(root: &Path, dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if depth > DEPTH_MAX {
        return Err(Failure::refused(format!("{}: folders nest deeper than {DEPTH_MAX}", dir.display())));
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, &entry.path(), depth + 1, files)?;
        } else if kind.is_file() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("read_dir answers paths below the root").to_owned();
            files.push(name);
            if files.len() > FILES_MAX {
                return Err(Failure::refused(format!(
                    "{} holds more than {FILES_MAX} files",
                    root.display()
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_and_links_stay_at_home() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir(root.join("assets")).unwrap();
        for name in ["delivery.toml", "assets/logo.png", ".secret"] {
            std::fs::write(root.join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", root.join("passwd")).unwrap();
        let mut files = Vec::new();
        collect(root, root, 0, &mut files).unwrap();
        files.sort();
        assert_eq!(files, [PathBuf::from("assets/logo.png"), PathBuf::from("delivery.toml")]);
    }
}
