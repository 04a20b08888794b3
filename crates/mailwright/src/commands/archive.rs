//! `archive …`: the copies of sent messages.

use std::path::Path;

use serde_json::json;

use crate::{
    client::Client,
    output::{Done, Failure, Output},
};

/// Runs `archive status`.
pub async fn status(client: &Client, out: &mut Output) -> Done {
    let document = client.get("/archive", &[]).await?;
    out.document(&document)?;
    let to = &document["to"];
    let text = |name: &str| to[name].as_str().unwrap_or_default();
    let place = match text("kind") {
        "address" => text("address"),
        "folder" => text("path"),
        _ => "nowhere; set archive.address or archive.folder",
    };
    out.line(format_args!("Copies go to: {place}"))?;
    for name in ["archived", "waiting", "held"] {
        out.line(format_args!("{name}: {}", document[name]))?;
    }
    match document["error"]["text"].as_str() {
        Some(text) => out.line(format_args!("last error: {text}")),
        None => Ok(()),
    }
}

/// Runs `archive try-again`.
pub async fn try_again(client: &Client, out: &mut Output) -> Done {
    let document = client.post("/archive/try-again", &json!({}), None).await?;
    out.document(&document)?;
    out.line(format_args!("Everything that is owed is tried now; {} copies were held.", document["released"]))
}

/// Runs `archive verify`: needs no server. Exit 1 when something does not agree.
pub fn verify(folder: &Path, out: &mut Output) -> Done {
    let report = archive::verify(folder).map_err(|error| Failure::refused(error.to_string()))?;
    out.document(&json!(report))?;
    for finding in &report.findings {
        out.line(finding)?;
    }
    out.line(format_args!(
        "{} batches, {} copies as they were archived, {} no longer there.",
        report.batches, report.copies, report.missing
    ))?;
    if report.findings.is_empty() { Ok(()) } else { Err(Failure::Told) }
}
