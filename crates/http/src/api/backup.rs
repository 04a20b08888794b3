//! `/backup`: a backup of the running server, streamed. It holds the master key, so it is as secret as everything in it.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use tokio::{fs::File, io::AsyncReadExt};

use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

/// Bytes of one piece of the answer.
const CHUNK_BYTES: usize = 64 << 10;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/backup", get(backup))
}

async fn backup(State(state): State<AppState>) -> Answer<Response> {
    // Opens and clicks that still wait in their files belong to the backup, too.
    state.tracking.fold(state.clock.now_us()).await?;
    let path = state.work_dir.join(format!("backup-{:032x}", rand::random::<u128>()));
    let files: Vec<(&str, &std::path::Path)> =
        state.backup_files.iter().map(|(name, path)| (name.as_str(), path.as_path())).collect();
    let written = state.queue.store().backup(&path, &files).await;
    let opened = File::open(&path).await;
    // Opened, it needs no name; whatever happens from here on, nothing stays behind.
    let _ = tokio::fs::remove_file(&path).await;
    written?;
    let file = opened.map_err(|error| Problem::internal(&error))?;
    let bytes = file.metadata().await.map_err(|error| Problem::internal(&error))?.len();
    let body = Body::from_stream(stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
    }));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(bytes)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"mailwright.backup\"")),
    ];
    Ok((headers, body).into_response())
}
