//! Imports: upload, match the columns, dry run, progress, rejected rows.

use std::{fs, time::Duration};

use askama::Template;
use audience::{FIELDS, Import, ImportState, Reject, import::peek};
use axum::{
    extract::{Multipart, Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tokio::io::AsyncWriteExt;

use super::{
    chart,
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    stream::{self, Live, Next},
    texts,
    uploads::{Note, Waiting, sweep},
};
use crate::{
    api::imports::rejects_csv,
    imports::{Spooled, Upload},
    limits::UPLOAD_BYTES_MAX,
    problem::Problem,
    state::AppState,
};

/// Imports that the list shows.
const LIST_MAX: usize = 100;
/// Rejected rows that the page shows; the download has all.
const REJECTS_SHOWN: usize = 20;
/// Values of a column that the mapping shows.
const SAMPLES: usize = 4;
/// How often a running import is shown anew.
const PERIOD: Duration = Duration::from_millis(500);

struct Row {
    id: i64,
    file: String,
    list: String,
    state: &'static str,
    tone: &'static str,
    running: bool,
    dry_run: bool,
    phase: String,
    rows: i64,
    created: i64,
    updated: i64,
    unchanged: i64,
    rejected: i64,
    started_at: i64,
    elapsed: i64,
    meter: String,
    error: String,
}

impl Row {
    fn of(state: &AppState, import: Import) -> Row {
        let running = import.state == ImportState::Running;
        let progress = state.imports.progress(import.id).filter(|_| running);
        let counts = progress.map_or(import.counts, |progress| progress.counts);
        let tone = match import.state.name() {
            "finished" => "ok",
            "running" => "info",
            "failed" => "bad",
            _ => "warn",
        };
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        // Reading is the first half of the work, merging the second.
        let meter = progress.map_or_else(String::new, |progress| {
            let whole = progress.bytes_total.unwrap_or(0).max(1);
            let read = count(progress.bytes_read.min(whole) * 500 / whole);
            let merged = count(progress.counts.rows() * 500 / progress.rows_read.max(1));
            chart::meter(&[("accent", read + if read >= 500 { merged } else { 0 })], 1_000, "")
        });
        let phase = progress.map_or_else(String::new, |progress| {
            let word = serde_json::to_value(progress.phase).ok();
            texts::pick("import-phase", word.as_ref().and_then(|word| word.as_str()).unwrap_or("waiting"))
        });
        Row {
            id: import.id,
            file: import.file_name,
            list: import.list_name,
            state: import.state.name(),
            tone,
            running,
            dry_run: import.dry_run,
            phase,
            rows: count(counts.rows()),
            created: count(counts.created),
            updated: count(counts.updated),
            unchanged: count(counts.unchanged),
            rejected: count(counts.rejected),
            started_at: import.started_at,
            elapsed: state.clock.now_us() - import.started_at,
            meter,
            error: import.error,
        }
    }
}

#[derive(Template)]
#[template(path = "imports.html")]
struct ImportsPage {
    page: Page,
    rows: Vec<Row>,
}

/// `GET /imports`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let found = state.audience.imports(None, LIST_MAX).await?;
    let rows = found.into_iter().map(|import| Row::of(&state, import)).collect();
    show(&ImportsPage { page: desk.page(Place::Imports), rows })
}

#[derive(Template)]
#[template(path = "import_new.html")]
struct NewPage {
    page: Page,
    problem: String,
}

/// `GET /imports/new`.
pub async fn new(desk: Desk) -> Result<Response, Fault> {
    show(&NewPage { page: desk.page(Place::Imports), problem: String::new() })
}

/// `POST /imports/upload`: takes the file to disk, then asks how to read it.
pub async fn upload(
    desk: Desk,
    State(state): State<AppState>,
    mut parts: Multipart,
) -> Result<Response, Fault> {
    sweep(&state.work_dir);
    let broken = |error: axum::extract::multipart::MultipartError| Fault::bad_request(error.body_text());
    while let Some(mut field) = parts.next_field().await.map_err(broken)? {
        if field.name() != Some("file") {
            continue;
        }
        let file = field.file_name().unwrap_or("").chars().take(200).collect::<String>();
        let waiting = Waiting::fresh(&state.work_dir);
        let mut out =
            tokio::fs::File::create_new(&waiting.path).await.map_err(|error| Fault::internal(&error))?;
        let mut bytes_sum = 0_u64;
        let taken: Result<(), Fault> = async {
            while let Some(piece) = field.chunk().await.map_err(broken)? {
                bytes_sum += piece.len() as u64;
                if bytes_sum > UPLOAD_BYTES_MAX {
                    let text = format!("A file may have at most {} GiB.", UPLOAD_BYTES_MAX >> 30);
                    return Err(Fault(Problem::too_large(text)));
                }
                out.write_all(&piece).await.map_err(|error| Fault::internal(&error))?;
            }
            out.flush().await.map_err(|error| Fault::internal(&error))
        }
        .await;
        if taken.is_err() || bytes_sum == 0 {
            waiting.forget();
            taken?;
            break;
        }
        waiting.keep(&Note { list: list_name(&file), file, ..Note::default() })?;
        return Ok(Redirect::to(&format!("/imports/map?upload={}", waiting.token)).into_response());
    }
    let problem = texts::text("import-no-file");
    show_as(
        axum::http::StatusCode::UNPROCESSABLE_ENTITY,
        &NewPage { page: desk.page(Place::Imports), problem },
    )
}

/// `People of October.csv` proposes the list `People of October`.
fn list_name(file: &str) -> String {
    file.rsplit_once('.').map_or(file, |(name, _)| name).trim().to_owned()
}

struct ColumnRow {
    name: String,
    field: String,
    sample: Vec<String>,
}

#[derive(Template)]
#[template(path = "import_map.html")]
struct MapPage {
    page: Page,
    problem: String,
    upload: String,
    file: String,
    size: u64,
    list: String,
    lists: Vec<String>,
    encoding: String,
    encodings: [&'static str; 3],
    columns: Vec<ColumnRow>,
    fields: Vec<&'static str>,
}

/// `?upload=` names the waiting file.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    upload: String,
}

/// `GET /imports/map`.
pub async fn map(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let waiting = Waiting::named(&state.work_dir, &asked.upload)?;
    let note = waiting.note();
    show(&map_page(&desk, &state, &waiting, note, String::new()).await?)
}

async fn map_page(
    desk: &Desk,
    state: &AppState,
    waiting: &Waiting,
    note: Note,
    mut problem: String,
) -> Result<MapPage, Fault> {
    let size = fs::metadata(&waiting.path).map_err(|error| Fault::internal(&error))?.len();
    let (path, encoding) = (waiting.path.clone(), note.encoding.clone());
    let look = move || peek(fs::File::open(path)?, Some(&encoding), SAMPLES).map_err(std::io::Error::other);
    let looked = tokio::task::spawn_blocking(look).await.map_err(|error| Fault::internal(&error))?;
    let (encoding, columns) = match looked {
        Ok(found) => (found.encoding.to_owned(), found.columns),
        Err(error) => {
            if problem.is_empty() {
                problem = error.to_string();
            }
            (note.encoding, Vec::new())
        }
    };
    let chosen = |name: &str, proposed: &str| {
        let kept = note.mapping.iter().find(|(column, _)| column == name);
        kept.map_or_else(
            || proposed.to_owned(),
            |(_, field)| if field.is_empty() { "-".into() } else { field.clone() },
        )
    };
    let columns = columns
        .into_iter()
        .map(|column| ColumnRow {
            field: chosen(&column.name, column.field),
            name: column.name,
            sample: column.sample,
        })
        .collect();
    let mut fields = vec!["email"];
    fields.extend(FIELDS);
    Ok(MapPage {
        page: desk.page(Place::Imports),
        problem,
        upload: waiting.token.clone(),
        file: note.file,
        size,
        list: note.list,
        lists: state.audience.lists().await?.into_iter().map(|list| list.name).collect(),
        encoding,
        encodings: ["utf-8", "shift_jis", "latin-1"],
        columns,
        fields,
    })
}

/// `POST /imports/start`: imports, tries, or reads the file again in another encoding.
pub async fn start(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let waiting = Waiting::named(&state.work_dir, form.get("upload"))?;
    let mut note = waiting.note();
    note.list = form.get("list").to_owned();
    let reread = form.get("do") == "again";
    let encoding = form.get("encoding").to_owned();
    // Another encoding spells the columns differently, so the choices made in the old one are void.
    note.mapping = if reread && encoding != note.encoding { Vec::new() } else { mapping(&form) };
    note.encoding = encoding;
    waiting.keep(&note)?;
    if reread {
        return Ok(Redirect::to(&format!("/imports/map?upload={}", waiting.token)).into_response());
    }
    let refused = if note.list.is_empty() {
        Some(texts::text("import-no-list"))
    } else if !note.mapping.iter().any(|(_, field)| field == "email") {
        Some(texts::text("import-no-email"))
    } else {
        None
    };
    if let Some(problem) = refused {
        let page = map_page(&desk, &state, &waiting, note, problem).await?;
        return show_as(axum::http::StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    let dry_run = form.get("do") == "dry";
    match run(&state, &waiting, &note, dry_run).await {
        Ok(target) => Ok(Redirect::to(&target).into_response()),
        Err(fault) if fault.is_callers() => {
            let page = map_page(&desk, &state, &waiting, note, fault.text()).await?;
            show_as(fault.0.status, &page)
        }
        Err(fault) => Err(fault),
    }
}

/// Pairs of column and field, as the room takes them: an empty field leaves the column out, and a column that becomes
/// an attribute of its own name is not named.
fn mapping(form: &Form) -> Vec<(String, String)> {
    let pairs = form.all("column").into_iter().zip(form.all("field"));
    pairs
        .filter(|(column, field)| !column.is_empty() && !field.is_empty())
        .map(|(column, field)| {
            (column.to_owned(), if field == "-" { String::new() } else { field.to_owned() })
        })
        .collect()
}

async fn run(state: &AppState, waiting: &Waiting, note: &Note, dry_run: bool) -> Result<String, Fault> {
    let file = fs::File::open(&waiting.path).map_err(|error| Fault::internal(&error))?;
    let bytes = file.metadata().map_err(|error| Fault::internal(&error))?.len();
    let upload = Upload {
        list: note.list.clone(),
        file_name: note.file.clone(),
        encoding: Some(note.encoding.clone()).filter(|name| !name.is_empty()),
        mapping: note.mapping.clone(),
        dry_run,
    };
    let work_dir = state.work_dir.clone();
    let spooled = Spooled::of(file, bytes);
    let id = state.imports.start(&state.audience, work_dir, spooled, upload, state.clock.now_us()).await?;
    if dry_run {
        return Ok(format!("/imports/{id}?upload={}", waiting.token));
    }
    waiting.forget();
    Ok(format!("/imports/{id}"))
}

#[derive(Template)]
#[template(path = "import.html")]
struct ImportPage {
    page: Page,
    row: Row,
    rejects: Vec<Reject>,
    again: bool,
    upload: String,
}

#[derive(Template)]
#[template(path = "import_body.html")]
struct ImportBody {
    row: Row,
}

/// `GET /imports/{id}`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let import = state.audience.import_record(id).await?.ok_or(Fault::not_found("import"))?;
    let row = Row::of(&state, import);
    let rejects = if row.running { Vec::new() } else { state.audience.rejects(id, 0, REJECTS_SHOWN).await? };
    let again = row.dry_run && Waiting::named(&state.work_dir, &asked.upload).is_ok();
    show(&ImportPage { page: desk.page(Place::Imports), row, rejects, again, upload: asked.upload })
}

/// `POST /imports/{id}/again`: a dry run, now for real.
pub async fn again(
    _desk: Desk,
    State(state): State<AppState>,
    Path(_id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let waiting = Waiting::named(&state.work_dir, form.get("upload"))?;
    let note = waiting.note();
    Ok(Redirect::to(&run(&state, &waiting, &note, false).await?).into_response())
}

/// `POST /imports/{id}/cancel`.
pub async fn cancel(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.imports.cancel(id);
    Ok(done(&format!("/imports/{id}"), "cancelled"))
}

/// `GET /imports/{id}/rejects.csv`.
pub async fn rejects(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    Ok(rejects_csv(&state, id).await?)
}

/// `GET /imports/{id}/stream`: the progress; at its end the event `reload`.
pub async fn stream(_desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Response {
    stream::every(PERIOD, Look { state, id })
}

struct Look {
    state: AppState,
    id: i64,
}

impl Live for Look {
    async fn next(&mut self) -> Next {
        let Ok(found) = self.state.audience.import_record(self.id).await else { return Next::Same };
        let running = |import: &Import| {
            import.state == ImportState::Running && self.state.imports.progress(self.id).is_some()
        };
        match found.filter(running) {
            Some(import) => Next::part(&ImportBody { row: Row::of(&self.state, import) }),
            None => Next::Last("reload"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_proposes_the_list() {
        assert_eq!(list_name("People of October.csv"), "People of October");
        assert_eq!(list_name("people"), "people");
    }
}
