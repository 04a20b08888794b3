//! `delivery status [--follow]`.

use serde_json::Value;

use crate::{
    client::{self, Client, segment},
    output::{Done, Output, grouped, table},
};

/// Providers that the table shows; there can be hundreds of small ones.
const PROVIDERS_SHOWN: usize = 20;

/// Whether a delivery's state does not change any more by itself.
pub fn over(document: &Value) -> bool {
    matches!(
        document["state"].as_str(),
        Some("finished" | "stopped" | "failed" | "cancelled" | "deleted" | "draft" | "ready")
    )
}

/// The counts in one line.
pub fn line(document: &Value) -> String {
    let messages = &document["messages"];
    let count = |name: &str| grouped(messages[name].as_i64().unwrap_or(0));
    format!(
        "{}: {} sent, {} failed, {} pending, {} cancelled",
        document["state"].as_str().unwrap_or("?"),
        count("sent"),
        count("failed"),
        count("pending"),
        count("cancelled"),
    )
}

/// Runs `delivery status`.
pub async fn run(client: &Client, id: &str, follow: bool, out: &mut Output) -> Done {
    let path = format!("/deliveries/{}/status", segment(id));
    let document = if follow {
        client::wait(client, &path, out, over, line).await?
    } else {
        client.get(&path, &[]).await?
    };
    out.document(&document)?;
    print(&document, out)
}

fn print(document: &Value, out: &mut Output) -> Done {
    out.line(line(document))?;
    let number = |name: &str| document[name].as_i64().unwrap_or(0);
    out.line(format_args!(
        "{} in the target; {} deferred, {} unknown",
        grouped(number("target")),
        grouped(number("deferred")),
        grouped(number("unknown"))
    ))?;
    for (reason, count) in document["excluded"].as_object().into_iter().flatten() {
        out.line(format_args!("  excluded, {reason}: {}", grouped(count.as_i64().unwrap_or(0))))?;
    }
    let providers = document["providers"].as_array().map_or(&[][..], Vec::as_slice);
    if providers.is_empty() {
        return Ok(());
    }
    let head = ["Provider", "Pending", "Deferred", "Sent", "Failed", "Per second", "Expected end"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for provider in providers.iter().take(PROVIDERS_SHOWN) {
        let count = |name: &str| grouped(provider[name].as_i64().unwrap_or(0));
        rows.push(vec![
            provider["provider"].as_str().unwrap_or("").to_owned(),
            count("pending"),
            count("deferred"),
            count("sent"),
            count("failed"),
            provider["per_second"].as_f64().map(|rate| format!("{rate:.1}")).unwrap_or_default(),
            provider["predicted_end"].as_str().unwrap_or("").to_owned(),
        ]);
    }
    out.line(table(&rows))?;
    match providers.len().saturating_sub(PROVIDERS_SHOWN) {
        0 => Ok(()),
        more => out.line(format_args!("… and {more} smaller ones; --json shows all")),
    }
}
