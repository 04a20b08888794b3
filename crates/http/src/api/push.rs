//! `POST /deliveries/push`: a delivery from a folder, as multipart (what the command line sends) or as JSON.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State, multipart::MultipartError},
    http::{StatusCode, header},
    routing::post,
};
use delivery::{Files, folder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body::Body, shape::id};
use crate::{
    limits::{FILE_NAME_BYTES_MAX, FOLDER_BYTES_MAX, FOLDER_FILES_MAX},
    problem::{Answer, Problem},
    state::AppState,
};

/// Longest name of the folder that a delivery is pushed from, in bytes.
const ORIGIN_BYTES_MAX: usize = 1_024;
/// Files that are named one by one in the warning about files that are not used.
const UNUSED_NAMED_MAX: usize = 5;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/deliveries/push", post(push)).layer(DefaultBodyLimit::max(FOLDER_BYTES_MAX))
}

/// A pushed folder: where it is, and the bytes of its files by relative name.
#[derive(Default)]
struct Folder {
    origin: String,
    files: BTreeMap<String, Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderJson {
    origin: String,
    /// Texts by relative name.
    files: BTreeMap<String, String>,
}

async fn push(State(state): State<AppState>, request: Request) -> Answer<Json<Value>> {
    let media =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let folder = if media.starts_with("multipart/form-data") {
        from_multipart(request).await?
    } else {
        let Body(json) = Body::<FolderJson>::from_request(request, &()).await?;
        let files = json.files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        Folder { origin: json.origin, files }
    };
    check(&folder)?;
    let (files, unused) = split(folder.files)?;
    let delivery = state.deliveries.push(&folder.origin, files).await?;
    Ok(Json(json!({
        "id": id(delivery.id),
        "state": delivery.state,
        "revision": delivery.revision,
        "warnings": unused_warning(&unused).into_iter().collect::<Vec<_>>(),
    })))
}

async fn from_multipart(request: Request) -> Answer<Folder> {
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let mut folder = Folder::default();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        match field.name() {
            Some("origin") => folder.origin = field.text().await.map_err(broken)?,
            Some("file") => {
                let name = field.file_name().unwrap_or("").to_owned();
                let bytes = field.bytes().await.map_err(broken)?.to_vec();
                if folder.files.len() >= FOLDER_FILES_MAX {
                    return Err(Problem::too_large(format!(
                        "A folder may hold at most {FOLDER_FILES_MAX} files."
                    )));
                }
                if folder.files.insert(name.clone(), bytes).is_some() {
                    return Err(Problem::invalid("file", format!("{name} is there twice.")));
                }
            }
            other => {
                let name = other.unwrap_or("").to_owned();
                return Err(Problem::invalid(name, "A pushed folder has the parts origin and file only."));
            }
        }
    }
    Ok(folder)
}

fn broken(error: MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::too_large(format!("A folder may hold at most {} MiB.", FOLDER_BYTES_MAX >> 20))
    } else {
        Problem::bad_request(error.body_text())
    }
}

fn check(folder: &Folder) -> Answer<()> {
    if folder.origin.is_empty() || folder.origin.len() > ORIGIN_BYTES_MAX {
        return Err(Problem::invalid(
            "origin",
            format!("The folder's name must have 1 to {ORIGIN_BYTES_MAX} bytes."),
        ));
    }
    if folder.files.len() > FOLDER_FILES_MAX {
        return Err(Problem::too_large(format!("A folder may hold at most {FOLDER_FILES_MAX} files.")));
    }
    for name in folder.files.keys() {
        let parts_fit = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !parts_fit || name.len() > FILE_NAME_BYTES_MAX || name.contains(['\\', '\0']) {
            return Err(Problem::invalid("file", "A file name is relative, with / between its parts."));
        }
    }
    Ok(())
}

/// The files that the definition names, and the names of those that it does not.
fn split(mut files: BTreeMap<String, Vec<u8>>) -> Answer<(Files, Vec<String>)> {
    let toml = take_text(&mut files, "delivery.toml")?
        .ok_or_else(|| Problem::invalid("delivery.toml", "The folder holds no delivery.toml."))?;
    let definition = folder::parse(&toml)?;
    let html = take_text(&mut files, &definition.content.html)?;
    let text = take_text(&mut files, &definition.content.text)?;
    Ok((Files { toml, html, text }, files.into_keys().collect()))
}

fn take_text(files: &mut BTreeMap<String, Vec<u8>>, name: &str) -> Answer<Option<String>> {
    let Some(bytes) = files.remove(name) else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::invalid(name, format!("{name} is not UTF-8; save it as UTF-8."))
            .with("file", name)
            .with("line", line)
    })?;
    Ok(Some(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned)))
}

fn unused_warning(unused: &[String]) -> Option<Value> {
    let first = unused.first()?;
    let shown = unused.iter().take(UNUSED_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = unused.len().saturating_sub(UNUSED_NAMED_MAX);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(json!({
        "file": first,
        "message": format!("not used: {shown}{rest}; files in the folder are not hosted, link to where they are"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "label = \"x\"\nsubject = \"y\"\n[sender]\naddress = \"a@b.example\"\n[target]\n\
                        include = [{ list = \"l\" }]\n";

    fn folder(files: &[(&str, &[u8])]) -> Folder {
        Folder {
            origin: "/here".to_owned(),
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect(),
        }
    }

    #[test]
    fn named_files_are_read_and_the_others_told() {
        let pushed = folder(&[
            ("delivery.toml", TOML.as_bytes()),
            ("content.html", "\u{feff}<p>hi".as_bytes()),
            ("assets/logo.png", &[0xff]),
        ]);
        check(&pushed).unwrap();
        let (files, unused) = split(pushed.files).unwrap();
        assert_eq!(files.html.as_deref(), Some("<p>hi"));
        assert_eq!(files.text, None);
        assert_eq!(unused, ["assets/logo.png"]);
        assert!(unused_warning(&unused).unwrap()["message"].as_str().unwrap().contains("assets/logo.png"));
    }

    #[test]
    fn a_file_that_is_not_utf8_is_named_with_its_line() {
        let pushed = folder(&[("delivery.toml", TOML.as_bytes()), ("content.html", b"one\n\xff")]);
        let problem = split(pushed.files).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("content.html"));
        assert_eq!(problem.more["line"], 2);
    }

    #[test]
    fn names_may_not_leave_the_folder() {
        for name in ["../x", "/etc/passwd", "a//b", "", "a\\b", "."] {
            assert!(check(&folder(&[(name, b"")])).is_err(), "{name}");
        }
        assert!(check(&Folder { origin: String::new(), ..folder(&[]) }).is_err());
    }
}
