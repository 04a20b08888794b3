//! `delivery log`: streams the log, however long.

use crate::{
    cli::LogFormat,
    client::{Client, broken, segment},
    output::{Done, Output},
};

/// Runs `delivery log`.
pub async fn run(
    client: &Client,
    id: &str,
    state: Option<&str>,
    format: LogFormat,
    out: &mut Output,
) -> Done {
    // With --json the log is one document: an array.
    let format = match (out.json(), format) {
        (true, _) => "json",
        (false, LogFormat::Csv) => "csv",
        (false, LogFormat::Ndjson) => "ndjson",
    };
    let mut query = vec![("format", format)];
    query.extend(state.map(|state| ("state", state)));
    let mut response = client.stream(&format!("/deliveries/{}/log", segment(id)), &query).await?;
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        out.raw(&chunk)?;
    }
    Ok(())
}
