//! `delivery confirm|pause|resume|stop`.

use serde_json::json;

use crate::{
    client::{Client, idempotency_key, segment},
    output::{Done, Failure, Output, grouped},
};

/// Runs `delivery confirm`. Without `--yes` it says what would happen and does nothing (exit 2).
pub async fn confirm(client: &Client, id: &str, yes: bool, snapshot: Option<&str>, out: &mut Output) -> Done {
    if !yes {
        let analysis = client.get(&format!("/deliveries/{}/analysis", segment(id)), &[]).await?;
        let number = grouped(analysis["to_deliver"].as_i64().unwrap_or(0));
        return Err(Failure::Usage(format!(
            "this sends {number} messages; to do it, repeat the command with --yes"
        )));
    }
    let body = match snapshot {
        Some(hash) => json!({"snapshot": hash}),
        None => json!({}),
    };
    let key = idempotency_key();
    let document = client.post(&format!("/deliveries/{}/confirm", segment(id)), &body, Some(&key)).await?;
    out.document(&document)?;
    out.line(format_args!(
        "Delivery {id} is {}: {} messages. Watch it: mailwright delivery status {id} --follow",
        document["state"].as_str().unwrap_or("?"),
        grouped(document["to_deliver"].as_i64().unwrap_or(0)),
    ))
}

/// Runs `delivery pause` or `delivery resume`.
pub async fn control(client: &Client, id: &str, verb: &str, out: &mut Output) -> Done {
    let document = client.post(&format!("/deliveries/{}/{verb}", segment(id)), &json!({}), None).await?;
    out.document(&document)?;
    out.line(format_args!("Delivery {id} is {}.", document["state"].as_str().unwrap_or("?")))
}

/// Runs `delivery stop`.
pub async fn stop(client: &Client, id: &str, out: &mut Output) -> Done {
    let document = client.post(&format!("/deliveries/{}/stop", segment(id)), &json!({}), None).await?;
    out.document(&document)?;
    let count = |name: &str| grouped(document[name].as_i64().unwrap_or(0));
    out.line(format_args!(
        "Delivery {id} is {}: {} sent, {} in flight (past the final dot), {} cancelled.",
        document["state"].as_str().unwrap_or("?"),
        count("sent"),
        count("in_flight"),
        count("cancelled"),
    ))
}
