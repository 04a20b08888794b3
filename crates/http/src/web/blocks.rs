//! Blocks: pieces of content that many deliveries include, with a form for HTML and one for text.

use askama::Template;
use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use content::StoredBlock;
use delivery::{Definition, Sources};
use serde::Deserialize;

use super::{
    delivery::{
        live::Checked,
        preview::{self as shown, Made, Preview},
        sheet::Sheet,
    },
    fault::Fault,
    filters, findings,
    findings::Shown,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    picks::{self, Picks},
    texts,
};
use crate::{acts::Told, problem::Problem, state::AppState};

/// A sender for previews: a block has none, and nothing of it is shown.
const SENDER: &str = "preview@example.com";

struct Row {
    name: String,
    label: String,
    path: String,
    forms: String,
    updated_at: i64,
}

/// The path of a block's page below `/blocks/`.
fn path(name: &str) -> String {
    // In a path a blank is %20; the form encoding's + would be a plus.
    let encoded: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("block/{}", encoded.replace('+', "%20"))
}

#[derive(Template)]
#[template(path = "blocks.html")]
struct BlocksPage {
    page: Page,
    rows: Vec<Row>,
    natives: Vec<(&'static str, String)>,
}

/// `GET /blocks`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let row = |block: StoredBlock| Row {
        path: path(&block.name),
        forms: match (block.html.trim().is_empty(), block.text.trim().is_empty()) {
            (false, false) => texts::text("block-forms-both"),
            (true, _) => texts::text("block-forms-text"),
            (_, true) => texts::text("block-forms-html"),
        },
        name: block.name,
        label: block.label,
        updated_at: block.updated_at,
    };
    let rows = state.content.blocks().await?.into_iter().map(row).collect();
    show(&BlocksPage { page: desk.page(Place::Blocks), rows, natives: picks::natives() })
}

#[derive(Template)]
#[template(path = "block.html")]
struct BlockPage {
    page: Page,
    heading: String,
    action: String,
    is_new: bool,
    name: String,
    label: String,
    html: String,
    text: String,
    visible: bool,
    problem: String,
    problems: Vec<Shown>,
    warnings: Vec<findings::Alike<Shown>>,
    marks: String,
    preview: Preview,
    picks: Picks,
    known: String,
    say: String,
    /// Where it is included: address, label, kind.
    used: Vec<(String, String, &'static str)>,
    used_count: i64,
}

async fn build(
    desk: &Desk,
    state: &AppState,
    block: StoredBlock,
    is_new: bool,
    problem: String,
) -> Result<BlockPage, Fault> {
    let made = made(state, &block).await?;
    let picks = Picks::load(state, false).await?;
    let used = if is_new { Vec::new() } else { used(state, &block.name).await? };
    Ok(BlockPage {
        page: desk.page(Place::Blocks),
        heading: if is_new { texts::text("block-new") } else { block.label.clone() },
        action: if is_new { "/blocks/new".to_owned() } else { format!("/blocks/{}", path(&block.name)) },
        is_new,
        name: block.name,
        label: block.label,
        html: block.html,
        text: block.text,
        visible: block.visible,
        problem,
        problems: Shown::all(&made.problems),
        warnings: findings::warnings(&made.warnings),
        marks: findings::marks(&made.problems, &made.warnings).to_string(),
        preview: made.preview,
        known: picks.known(),
        picks,
        say: texts::bundle("editor-say"),
        used_count: used.len() as i64,
        used,
    })
}

/// A block is shown as a message that has nothing else.
async fn made(state: &AppState, block: &StoredBlock) -> Result<Made, Fault> {
    let mut definition = Definition::new("block");
    definition.subject.clone_from(&block.label);
    definition.sender.address = SENDER.to_owned();
    definition.tracking.opens = false;
    definition.tracking.clicks = false;
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.trim().is_empty());
    let sources = Sources { html: filled(&block.html), text: filled(&block.text), ..Sources::default() };
    shown::made(state, 0, &Sheet { definition, sources }, "", "").await
}

/// Other blocks and deliveries whose source names the block.
async fn used(state: &AppState, name: &str) -> Result<Vec<(String, String, &'static str)>, Fault> {
    let blocks = state.content.blocks().await?.into_iter();
    let mut used: Vec<_> = blocks
        .filter(|block| block.name != name && names(&block.html, name) | names(&block.text, name))
        .map(|block| (format!("/blocks/{}", path(&block.name)), block.label, "block"))
        .collect();
    for found in state.deliveries.with_block(name).await? {
        let kind = if found.is_template { "template" } else { "delivery" };
        used.push((format!("/deliveries/{}/content", found.id), found.label, kind));
    }
    Ok(used)
}

/// Whether a source has the name in quotes, as `include` and `block(…)` write it.
fn names(source: &str, name: &str) -> bool {
    source.contains(&format!("\"{name}\"")) || source.contains(&format!("'{name}'"))
}

fn sent(form: &Form) -> StoredBlock {
    StoredBlock {
        name: form.get("name").to_owned(),
        label: form.get("label").to_owned(),
        html: form.raw("html").to_owned(),
        text: form.raw("text").to_owned(),
        visible: form.has("visible"),
        updated_at: 0,
    }
}

/// `GET /blocks/new`.
pub async fn new(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let block = StoredBlock { visible: true, ..StoredBlock::default() };
    show(&build(&desk, &state, block, true, String::new()).await?)
}

async fn find(state: &AppState, name: &str) -> Result<StoredBlock, Fault> {
    state.content.block(name).await?.ok_or_else(|| Fault::not_found("block"))
}

/// `GET /blocks/block/{name}`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    let block = find(&state, &name).await?;
    show(&build(&desk, &state, block, false, String::new()).await?)
}

async fn keep(desk: &Desk, state: &AppState, block: StoredBlock, is_new: bool) -> Result<Response, Fault> {
    let taken = is_new && state.content.block(&block.name).await?.is_some();
    let fault = if taken {
        Fault(Problem::conflict(texts::text_s("block-taken", &block.name)).at("name"))
    } else {
        match state.content.save_block(block.clone(), state.clock.now_us()).await {
            Ok(saved) => {
                let next = done(&format!("/blocks/{}", path(&saved.name)), "saved");
                return Ok(Told::about(saved.name).on(next));
            }
            Err(error) => Fault::from(error),
        }
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    let page = build(desk, state, block, is_new, fault.text()).await?;
    show_as(fault.0.status, &page)
}

/// `POST /blocks/new`.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    keep(&desk, &state, sent(&form), true).await
}

/// `POST /blocks/block/{name}`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    find(&state, &name).await?;
    keep(&desk, &state, StoredBlock { name, ..sent(&form) }, false).await
}

/// `POST /blocks/block/{name}/delete`.
pub async fn delete(
    _desk: Desk,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    if !state.content.delete_block(&name).await? {
        return Err(Fault::not_found("block"));
    }
    Ok(done("/blocks", "deleted"))
}

/// `POST /blocks/live`: checks what the form holds.
pub async fn live(_desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Problem> {
    let made = made(&state, &sent(&form)).await.map_err(|fault| fault.0)?;
    Ok(Json(Checked::of(made, 0).map_err(|fault| fault.0)?).into_response())
}

/// Whose preview.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    name: String,
}

/// `GET /blocks/preview`: the HTML form of a block as a document; empty for one that is not saved.
pub async fn preview(
    _desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let html = match state.content.block(&asked.name).await? {
        Some(block) => made(&state, &block).await?.preview.html,
        None => String::new(),
    };
    Ok(shown::beside(html))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_and_are_found_in_sources() {
        assert_eq!(path("Foot note"), "block/Foot%20note");
        assert_eq!(path("挨拶/a"), "block/%E6%8C%A8%E6%8B%B6%2Fa");
        assert!(names("{% include \"footer\" %}", "footer"));
        assert!(names("{{ block('footer') }}", "footer"));
        assert!(!names("{% include \"footer2\" %} footer", "footer"));
    }
}
