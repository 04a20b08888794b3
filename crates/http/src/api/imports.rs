//! `/imports`: the upload of a CSV file, its progress, its rejected rows.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, RawQuery, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use serde_json::Value;

use super::{
    body::Params,
    log::push_csv,
    page::{PageParams, page},
    shape::read_id,
};
use crate::{
    imports::{Upload, import_json, spool},
    problem::{Answer, Problem},
    state::AppState,
};

/// Rows of the rejects report that are read from the database at once.
const STREAM_ROWS: usize = 1_000;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/imports/{id}", get(view).delete(cancel))
        .route("/imports/{id}/rejects", get(rejects))
        .route("/imports", get(list))
}

/// The upload, which has its own limits of size and time.
pub(super) fn upload_routes() -> Router<AppState> {
    Router::new().route("/imports", post(upload)).layer(DefaultBodyLimit::disable())
}

async fn upload(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Answer<Response> {
    let upload = read_query(query.as_deref().unwrap_or(""))?;
    let spooled = spool(&state.work_dir, request.into_body().into_data_stream()).await?;
    let now_us = state.clock.now_us();
    let work_dir = state.work_dir.clone();
    let import = state.imports.start(&state.audience, work_dir, spooled, upload, now_us).await?;
    Ok((StatusCode::ACCEPTED, Json(current(&state, import).await?)).into_response())
}

/// The query repeats `map`, which serde's form reader cannot.
fn read_query(query: &str) -> Answer<Upload> {
    let mut upload = Upload::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = value.into_owned();
        match name.as_ref() {
            "list" => upload.list = value,
            "file" => upload.file_name = value,
            "encoding" => upload.encoding = Some(value).filter(|text| !text.is_empty()),
            "dry_run" => {
                upload.dry_run =
                    value.parse().map_err(|_| Problem::invalid("dry_run", "dry_run is true or false."))?;
            }
            "map" => {
                // A column's name may hold an equals sign, a field's may not.
                let pair = value.rsplit_once('=').filter(|(column, _)| !column.is_empty());
                let (column, field) = pair.ok_or_else(|| {
                    Problem::invalid("map", format!("map takes COLUMN=FIELD, not {value}."))
                })?;
                upload.mapping.push((column.to_owned(), field.to_owned()));
            }
            other => return Err(Problem::invalid(other, "There is no such parameter.")),
        }
    }
    if upload.list.trim().is_empty() {
        return Err(Problem::invalid("list", "Name the list that the recipients join."));
    }
    if upload.file_name.is_empty() {
        upload.file_name = "upload.csv".to_owned();
    }
    Ok(upload)
}

async fn current(state: &AppState, import: i64) -> Answer<Value> {
    // Progress first: when the import ends in between, its final record is answered.
    let progress = state.imports.progress(import);
    let record = state.audience.import_record(import).await?.ok_or_else(|| Problem::not_found("import"))?;
    Ok(import_json(&record, progress.as_ref(), state.clock.now_us()))
}

async fn list(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let rows = params.rows()?;
    let found = state.audience.imports(params.after_id("imports")?, rows).await?;
    let next = found.last().filter(|_| found.len() >= rows).map(|last| last.id.to_string());
    let now_us = state.clock.now_us();
    let items = found
        .iter()
        .map(|import| import_json(import, state.imports.progress(import.id).as_ref(), now_us))
        .collect();
    Ok(Json(page("imports", items, next)))
}

async fn view(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(current(&state, read_id(&text, "import")?).await?))
}

/// Stops an import that runs: rows before stay. One that is over is forgotten.
async fn cancel(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    let import = read_id(&text, "import")?;
    if state.imports.cancel(import) {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    if state.audience.delete_import(import).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::not_found("import"))
    }
}

async fn rejects(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    let import = read_id(&text, "import")?;
    rejects_csv(&state, import).await
}

/// The rejected rows as CSV, streamed page by page, so that a slow reader holds no connection to the database.
pub async fn rejects_csv(state: &AppState, import: i64) -> Answer<Response> {
    state.audience.import_record(import).await?.ok_or_else(|| Problem::not_found("import"))?;
    let audience = state.audience.clone();
    let body = Body::from_stream(stream::try_unfold(Some(None), move |at: Option<Option<u64>>| {
        let audience = audience.clone();
        async move {
            let Some(after) = at else { return Ok::<_, audience::Error>(None) };
            let rows = audience.rejects(import, after.unwrap_or(0), STREAM_ROWS).await?;
            let mut text = String::new();
            if after.is_none() {
                text.push_str("line,reason,row\r\n");
            }
            for row in &rows {
                text.push_str(&row.line.to_string());
                text.push(',');
                push_csv(&mut text, &row.reason);
                text.push(',');
                // People open this file in a spreadsheet, and its rows come from anywhere.
                push_csv(&mut text, &audience::formula_safe(&row.raw));
                text.push_str("\r\n");
            }
            let next = rows.last().filter(|_| rows.len() >= STREAM_ROWS).map(|last| Some(last.line));
            Ok(Some((Bytes::from(text), next)))
        }
    }));
    let disposition = format!("attachment; filename=\"rejects-{import}.csv\"");
    let disposition = HeaderValue::from_str(&disposition).map_err(|error| Problem::internal(&error))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_how() {
        let upload =
            read_query("list=news%20letter&map=E-Mail%3Demail&map=a%3Db%3Dcity&dry_run=true").unwrap();
        assert_eq!(upload.list, "news letter");
        assert_eq!(upload.mapping[1], ("a=b".to_owned(), "city".to_owned()));
        assert!(upload.dry_run);
        for (query, field) in [
            ("", "list"),
            ("list=x&map=y", "map"),
            ("list=x&dry_run=maybe", "dry_run"),
            ("list=x&lst=y", "lst"),
        ] {
            assert_eq!(read_query(query).unwrap_err().field.as_deref(), Some(field), "{query}");
        }
    }
}
