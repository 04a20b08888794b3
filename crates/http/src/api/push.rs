//! `POST /deliveries/push`: a delivery from a folder, as multipart (what the command line sends) or as JSON.

use std::collections::BTreeMap;

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State, multipart::MultipartError},
    http::{StatusCode, header},
    routing::post,
};
use delivery::{Push, Pushed};
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
    Router::new()
        .route("/deliveries/push", post(push))
        .route("/deliveries/push/known", post(known))
        .layer(DefaultBodyLimit::max(FOLDER_BYTES_MAX))
}

/// A pushed folder: where it is, and the bytes of its files by relative name.
#[derive(Default)]
struct Folder {
    origin: String,
    files: BTreeMap<String, Vec<u8>>,
    /// Files whose bytes are here: their hash by relative name.
    known: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderJson {
    origin: String,
    /// Texts by relative name.
    files: BTreeMap<String, String>,
    /// blake3 in hex by relative name, of files that `push/known` answered.
    #[serde(default)]
    known: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hashes {
    /// blake3 in hex, by any name.
    hashes: BTreeMap<String, String>,
}

/// Which files need not be sent, because their bytes are here.
async fn known(State(state): State<AppState>, Body(asked): Body<Hashes>) -> Answer<Json<Value>> {
    if asked.hashes.len() > FOLDER_FILES_MAX {
        return Err(Problem::too_large(format!("A folder may hold at most {FOLDER_FILES_MAX} files.")));
    }
    let here = state.deliveries.known_hashes(asked.hashes.values().cloned().collect()).await?;
    let names: Vec<&String> =
        asked.hashes.iter().filter(|(_, hash)| here.contains(hash)).map(|(name, _)| name).collect();
    Ok(Json(json!({ "known": names })))
}

async fn push(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer<Json<Value>> {
    let media =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let folder = if media.starts_with("multipart/form-data") {
        from_multipart(request).await?
    } else {
        let Body(json) = Body::<FolderJson>::from_request(request, &()).await?;
        let files = json.files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        Folder { origin: json.origin, files, known: json.known }
    };
    check(&folder)?;
    let push = Push { origin: folder.origin, files: folder.files, known: folder.known, by: caller.name };
    let Pushed { delivery, unused } = state.deliveries.push(push).await?;
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
            // `HASH NAME`, one a part.
            Some("known") => {
                let text = field.text().await.map_err(broken)?;
                let (hash, name) = text.split_once(' ').ok_or_else(|| {
                    Problem::invalid("known", "A known file is its hash, a blank and its name.")
                })?;
                folder.known.insert(name.to_owned(), hash.to_owned());
            }
            other => {
                let name = other.unwrap_or("").to_owned();
                return Err(Problem::invalid(
                    name,
                    "A pushed folder has the parts origin, file and known only.",
                ));
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
    if folder.files.len() + folder.known.len() > FOLDER_FILES_MAX {
        return Err(Problem::too_large(format!("A folder may hold at most {FOLDER_FILES_MAX} files.")));
    }
    for name in folder.files.keys().chain(folder.known.keys()) {
        let parts_fit = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !parts_fit || name.len() > FILE_NAME_BYTES_MAX || name.contains(['\\', '\0']) {
            return Err(Problem::invalid("file", "A file name is relative, with / between its parts."));
        }
    }
    Ok(())
}

fn unused_warning(unused: &[String]) -> Option<Value> {
    let first = unused.first()?;
    let shown = unused.iter().take(UNUSED_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = unused.len().saturating_sub(UNUSED_NAMED_MAX);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(json!({
        "file": first,
        "message": format!("not used: {shown}{rest}; images stand in assets/, attachments in [content] attachments"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> Folder {
        Folder {
            origin: "/here".to_owned(),
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect(),
            ..Folder::default()
        }
    }

    #[test]
    fn files_that_are_not_used_are_told() {
        let names: Vec<String> = (0..7).map(|n| format!("notes{n}.md")).collect();
        let warning = unused_warning(&names).unwrap();
        assert_eq!(warning["file"], "notes0.md");
        assert!(warning["message"].as_str().unwrap().contains("notes4.md and 2 more"), "{warning}");
        assert!(unused_warning(&[]).is_none());
    }

    #[test]
    fn names_may_not_leave_the_folder() {
        for name in ["../x", "/etc/passwd", "a//b", "", "a\\b", "."] {
            assert!(check(&folder(&[(name, b"")])).is_err(), "{name}");
        }
        assert!(check(&Folder { origin: String::new(), ..folder(&[]) }).is_err());
    }
}
