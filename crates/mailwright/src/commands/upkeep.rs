//! `verify`, `backup`, `version`.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    client::{Client, segment},
    output::{Done, Failure, Output},
};

/// Runs `verify`: exit 1 when the outcomes and the totals differ.
pub async fn verify(client: &Client, id: &str, out: &mut Output) -> Done {
    let document = client.post(&format!("/deliveries/{}/verify", segment(id)), &json!({}), None).await?;
    out.document(&document)?;
    if document["ok"] == true {
        return out.line(format_args!("Delivery {id}: outcomes and totals agree."));
    }
    for difference in document["differences"].as_array().into_iter().flatten() {
        out.line(match difference {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })?;
    }
    out.note(format_args!("Delivery {id}: outcomes and totals differ."));
    Err(Failure::Told)
}

/// Runs `backup`: the server writes it while it runs, and it is streamed into the file.
pub async fn backup(client: &Client, file: &Path, out: &mut Output) -> Done {
    if file.exists() {
        return Err(Failure::Usage(format!("{} exists; a backup never overwrites", file.display())));
    }
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let bytes = client.download("/backup", part).await?;
    std::fs::rename(part, file)?;
    out.document(&json!({"file": file.to_string_lossy(), "bytes": bytes}))?;
    out.line(format_args!("{}: {bytes} bytes. It holds secrets: keep it like a password.", file.display()))
}

/// Runs `version`.
pub fn version(out: &mut Output) -> Done {
    out.document(&json!({"version": env!("CARGO_PKG_VERSION")}))?;
    out.line(format_args!("mailwright {}", env!("CARGO_PKG_VERSION")))
}
