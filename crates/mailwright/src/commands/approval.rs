//! `delivery approve|reject`.

use serde_json::json;

use crate::{
    cli::ApprovalArgs,
    client::{Client, idempotency_key, segment},
    output::{Done, Output},
};

/// Runs `delivery approve` or `delivery reject`; `verb` is the one.
pub async fn decide(client: &Client, args: &ApprovalArgs, verb: &str, out: &mut Output) -> Done {
    let comment = args.comment.as_deref().unwrap_or_default();
    let body = json!({"snapshot": args.snapshot, "comment": comment});
    let key = idempotency_key();
    let path = format!("/deliveries/{}/{verb}", segment(&args.id));
    let document = client.post(&path, &body, Some(&key)).await?;
    out.document(&document)?;
    let state = document["state"].as_str().unwrap_or("?");
    let missing = match document["complete"].as_bool() {
        Some(true) => "Nothing more is missing.",
        _ => "It is not complete yet.",
    };
    out.line(format_args!("Kept. {missing} Delivery {} is {state}.", args.id))
}
