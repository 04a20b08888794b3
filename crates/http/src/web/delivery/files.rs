//! The Files tab: the images of the content and how each goes along, and the attachments.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::{
    Json,
    extract::{Multipart, Path, State, multipart::MultipartError},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use content::{NamedAsset, Problem};
use delivery::{Definition, Delivery, Edit, definition::Attachment};
use serde_json::json;

use super::{
    super::{
        fault::Fault,
        filters,
        findings::{self, Shown},
        form::Form,
        page::{Desk, Page, Place, show},
        texts,
    },
    frame::{Frame, answer},
    preview,
    sheet::{Sheet, based_on},
};
use crate::{problem, state::AppState};

const TAB: &str = "files";
/// Largest upload in bytes: a handful of files, each within the content room's own limits.
pub const UPLOAD_BYTES_MAX: usize = 64 << 20;

/// An image of the list.
struct Image {
    name: String,
    /// Empty: it has no bytes here.
    hash: String,
    size: u64,
    /// `600 × 400`.
    pixels: String,
    inline: bool,
    used: bool,
    /// The content names it, and there is no such file.
    missing: bool,
    /// A web address.
    remote: bool,
}

/// An attachment of the list.
struct Attached {
    file: String,
    name: String,
    when: String,
    size: u64,
    missing: bool,
}

#[derive(Template)]
#[template(path = "delivery_files.html")]
struct FilesPage {
    page: Page,
    frame: Frame,
    images_way: String,
    images: Vec<Image>,
    attachments: Vec<Attached>,
    /// What is wrong with them: a condition that cannot be read is kept, as an error in a source is.
    problems: Vec<Shown>,
    warnings: Vec<findings::Alike<Shown>>,
}

/// `GET /deliveries/{id}/files`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, TAB).await?;
    show(&build(&desk, &state, &found, frame).await?)
}

async fn build(desk: &Desk, state: &AppState, found: &Delivery, frame: Frame) -> Result<FilesPage, Fault> {
    let files = state.deliveries.assets(found.id).await?;
    let content = &found.definition.content;
    let made = preview::made(state, found.id, &Sheet::of(found), "", "").await?;
    let about = |found: Vec<Problem>| -> Vec<Problem> {
        found.into_iter().filter(|one| one.part == "attachments").collect()
    };
    let by_name = |name: &str| files.iter().find(|file| file.name == name);
    let attached = |one: &Attachment| Attached {
        file: one.file.clone(),
        name: one.name.clone(),
        when: one.when.clone(),
        size: by_name(&one.file).map_or(0, |file| file.size),
        missing: by_name(&one.file).is_none(),
    };
    Ok(FilesPage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        frame,
        images_way: content.images.clone(),
        images: images(&files, &made.preview.images, &found.definition),
        attachments: content.attachments.iter().map(attached).collect(),
        problems: Shown::all(&about(made.problems)),
        warnings: findings::warnings(&about(made.warnings)),
    })
}

/// Uploaded images, then those that the content only names.
fn images(files: &[NamedAsset], named: &[String], definition: &Definition) -> Vec<Image> {
    let content = &definition.content;
    let attached: BTreeSet<&str> = content.attachments.iter().map(|one| one.file.as_str()).collect();
    let plain = |name: &str| name.strip_prefix("assets/").unwrap_or(name).to_owned();
    let used: BTreeSet<String> = named.iter().map(|name| plain(name)).collect();
    let chosen = |name: &str| content.inline_images.iter().any(|one| plain(one) == name);
    let uploaded =
        files.iter().filter(|file| file.width > 0 && !attached.contains(file.name.as_str())).map(|file| {
            Image {
                name: file.name.clone(),
                hash: file.hash.clone(),
                size: file.size,
                pixels: format!("{} × {}", file.width, file.height),
                inline: file.inline || chosen(&file.name),
                used: used.contains(&file.name),
                missing: false,
                remote: is_remote(&file.name),
            }
        });
    let only_named =
        used.iter().filter(|name| !files.iter().any(|file| file.name == **name)).map(|name| Image {
            name: name.clone(),
            hash: String::new(),
            size: 0,
            pixels: String::new(),
            inline: chosen(name),
            used: true,
            missing: !is_remote(name),
            remote: is_remote(name),
        });
    uploaded.chain(only_named).collect()
}

fn is_remote(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// `POST /deliveries/{id}/files`: how images go along.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    let listed: BTreeSet<&str> = form.all("image").into_iter().collect();
    let inline: Vec<String> = form.all("inline").into_iter().map(str::to_owned).collect();
    let content = &mut found.definition.content;
    form.get("images").clone_into(&mut content.images);
    // What the list does not show is left as it is.
    content.inline_images.retain(|name| !listed.contains(name.as_str()));
    content.inline_images.extend(inline.iter().cloned());
    for file in state.deliveries.assets(id).await?.iter().filter(|file| file.inline) {
        if listed.contains(file.name.as_str()) && !inline.contains(&file.name) {
            state.deliveries.set_inline(id, &file.name, false, &desk.viewer.name).await?;
        }
    }
    // Taking marks off files was an edit of its own; the form's revision counts for what others did.
    let fresh = state.deliveries.get(id).await?.revision;
    let based_on = if based_on(&form) == Some(found.revision) { Some(fresh) } else { based_on(&form) };
    found.revision = fresh;
    keep(&desk, &state, &found, based_on).await
}

/// Saves the definition of `found`.
async fn keep(
    desk: &Desk,
    state: &AppState,
    found: &Delivery,
    based_on: Option<i64>,
) -> Result<Response, Fault> {
    let definition = Some(found.definition.clone());
    let edit = Edit { definition, based_on, by: desk.viewer.name.clone(), ..Edit::default() };
    let outcome = state.deliveries.edit(found.id, edit).await;
    answer(outcome, state, found, (TAB, "saved"), |frame| build(desk, state, found, frame)).await
}

/// `POST /deliveries/{id}/files/attachments`: names and conditions, or one attachment less.
pub async fn attachments(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    let rows = form.all("file").into_iter().zip(form.all("name")).zip(form.all("when"));
    let sent = rows.map(|((file, name), when)| Attachment {
        file: file.to_owned(),
        name: name.trim().to_owned(),
        when: when.trim().to_owned(),
    });
    found.definition.content.attachments = sent.filter(|one| one.file != form.raw("remove")).collect();
    keep(&desk, &state, &found, based_on(&form)).await
}

/// Files of an upload form, and its other fields.
pub async fn read(mut parts: Multipart) -> Result<(Vec<(String, Vec<u8>)>, BTreeMap<String, String>), Fault> {
    let broken = |error: MultipartError| Fault::bad_request(error.body_text());
    let (mut files, mut fields) = (Vec::new(), BTreeMap::new());
    while let Some(field) = parts.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or("").to_owned();
        match field.file_name().map(file_name) {
            Some(file) if name == "file" => {
                let bytes = field.bytes().await.map_err(broken)?;
                if !bytes.is_empty() {
                    files.push((file, bytes.to_vec()));
                }
            }
            _ => {
                fields.insert(name, field.text().await.map_err(broken)?);
            }
        }
    }
    if files.is_empty() {
        return Err(Fault(problem::Problem::invalid("file", texts::text("files-no-file"))));
    }
    Ok((files, fields))
}

/// A file's name without the folders that some browsers send, and without what no URL or header likes.
fn file_name(sent: &str) -> String {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or(sent).trim();
    let kept: String =
        last.chars().map(|c| if c.is_control() || "\"<>{}|%?#:*".contains(c) { '-' } else { c }).collect();
    if kept.trim_matches('.').is_empty() { "file".to_owned() } else { kept }
}

/// `logo.png`, or `logo-2.png` when another file has that name.
fn free_name(name: &str, taken: &[NamedAsset]) -> String {
    let is_taken = |name: &str| taken.iter().any(|file| file.name == name);
    if !is_taken(name) {
        return name.to_owned();
    }
    let (stem, end) =
        name.rsplit_once('.').map_or((name, String::new()), |(stem, end)| (stem, format!(".{end}")));
    (2..).map(|number| format!("{stem}-{number}{end}")).find(|name| !is_taken(name)).unwrap_or_default()
}

/// `POST /deliveries/{id}/files/upload`: one or more images. A program, such as the editor's page, asks for JSON.
pub async fn upload(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    headers: HeaderMap,
    parts: Multipart,
) -> Result<Response, Fault> {
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("application/json"));
    let before = state.deliveries.get(id).await?.revision;
    let outcome = take_images(&desk, &state, id, parts).await;
    if wants_json {
        let kept = match outcome {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(StatusCode::NO_CONTENT.into_response()),
            Err(fault) => return Ok(fault.0.into_response()),
        };
        let after = state.deliveries.get(id).await?.revision;
        return Ok((StatusCode::CREATED, Json(describe(&kept, before, after))).into_response());
    }
    let found = state.deliveries.get(id).await?;
    let page = |frame| build(&desk, &state, &found, frame);
    answer(outcome, &state, &found, (TAB, "uploaded"), page).await
}

/// What the editor needs to put an image into the source, and to follow to the revision that the upload made.
fn describe(kept: &NamedAsset, before: i64, after: i64) -> serde_json::Value {
    json!({
        "name": kept.name, "reference": format!("assets/{}", kept.name),
        "width": kept.width, "height": kept.height, "based_on": before, "revision": after,
    })
}

async fn take_images(
    desk: &Desk,
    state: &AppState,
    id: i64,
    parts: Multipart,
) -> Result<Option<NamedAsset>, Fault> {
    let (files, _) = read(parts).await?;
    let mut last = None;
    for (name, bytes) in files {
        let taken = state.deliveries.assets(id).await?;
        // The same picture again is no second file.
        let hash = blake3::hash(&bytes).to_hex();
        if let Some(same) = taken.iter().find(|file| file.hash == hash.as_str()) {
            last = Some(same.clone());
            continue;
        }
        let name = free_name(&name, &taken);
        let kept = state.deliveries.put_asset(id, &name, bytes, &desk.viewer.name).await?;
        if kept.width == 0 {
            state.deliveries.remove_asset(id, &name, &desk.viewer.name).await?;
            let text = texts::text_s("files-no-image", &name);
            return Err(Fault(problem::Problem::invalid("file", text)));
        }
        last = Some(kept);
    }
    Ok(last)
}

/// `POST /deliveries/{id}/files/attach`: uploads files and attaches them.
pub async fn attach(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    parts: Multipart,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let outcome = attach_all(&desk, &state, &found, parts).await;
    let page = |frame| build(&desk, &state, &found, frame);
    answer(outcome, &state, &found, (TAB, "attached"), page).await
}

async fn attach_all(desk: &Desk, state: &AppState, found: &Delivery, parts: Multipart) -> Result<(), Fault> {
    let (files, _) = read(parts).await?;
    let mut definition = found.definition.clone();
    for (name, bytes) in files {
        let name = free_name(&name, &state.deliveries.assets(found.id).await?);
        let kept = state.deliveries.put_asset(found.id, &name, bytes, &desk.viewer.name).await?;
        definition.content.attachments.push(Attachment { file: kept.name, ..Attachment::default() });
    }
    let edit = Edit { definition: Some(definition), by: desk.viewer.name.clone(), ..Edit::default() };
    state.deliveries.edit(found.id, edit).await?;
    Ok(())
}

/// `POST /deliveries/{id}/files/delete`.
pub async fn delete(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let outcome = state.deliveries.remove_asset(id, form.raw("name"), &desk.viewer.name).await;
    let page = |frame| build(&desk, &state, &found, frame);
    answer(outcome, &state, &found, (TAB, "deleted"), page).await
}

/// `GET /deliveries/{id}/files/{hash}`: the picture of a line of the list. Only images, and only those of the delivery.
pub async fn picture(
    _desk: Desk,
    State(state): State<AppState>,
    Path((id, hash)): Path<(i64, String)>,
) -> Result<Response, Fault> {
    let there =
        state.deliveries.assets(id).await?.into_iter().any(|file| file.hash == hash && file.width > 0);
    let found = if there { state.content.asset(&hash).await? } else { None };
    let Some(asset) = found else { return Err(Fault::not_found("file")) };
    let kind = HeaderValue::from_str(&asset.content_type).map_err(|error| Fault::internal(&error))?;
    let mut response = asset.bytes.to_vec().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400, immutable"));
    // An SVG opened by itself would be a document.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; style-src 'unsafe-inline'"),
    );
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> NamedAsset {
        NamedAsset {
            name: name.to_owned(),
            hash: name.to_owned(),
            width: 10,
            height: 10,
            ..NamedAsset::default()
        }
    }

    #[test]
    fn names_of_uploads_are_plain_and_free() {
        assert_eq!(file_name("C:\\Users\\ann\\My logo.png"), "My logo.png");
        assert_eq!(file_name("../../etc/passwd"), "passwd");
        assert_eq!(file_name("a{{b}}?.gif"), "a--b---.gif");
        assert_eq!(file_name(".."), "file");
        let taken = [file("logo.png"), file("logo-2.png"), file("plain")];
        assert_eq!(free_name("logo.png", &taken), "logo-3.png");
        assert_eq!(free_name("plain", &taken), "plain-2");
        assert_eq!(free_name("new.png", &taken), "new.png");
    }

    #[test]
    fn the_list_has_uploaded_used_missing_and_remote_images() {
        let mut definition = Definition::new("x");
        definition.content.inline_images = vec!["https://cdn.example/a.png".into()];
        let named = ["assets/used.png", "assets/lost.png", "https://cdn.example/a.png"].map(str::to_owned);
        let list = images(&[file("used.png"), file("idle.png")], &named, &definition);
        let short: Vec<_> =
            list.iter().map(|i| (i.name.as_str(), i.used, i.missing, i.remote, i.inline)).collect();
        assert_eq!(
            short,
            [
                ("used.png", true, false, false, false),
                ("idle.png", false, false, false, false),
                ("https://cdn.example/a.png", true, false, true, true),
                ("lost.png", true, true, false, false),
            ]
        );
    }
}
