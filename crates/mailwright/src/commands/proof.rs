//! `delivery proof` and `delivery analyze`.

use serde_json::{Value, json};

use crate::{
    client::{self, Client, idempotency_key, problem_line, segment},
    commands::status,
    output::{Done, Failure, Output, grouped},
};

/// Runs `delivery proof`.
pub async fn proof(
    client: &Client,
    id: &str,
    to: &[String],
    as_recipient: Option<&str>,
    wait: bool,
    out: &mut Output,
) -> Done {
    let body = json!({"to": to, "as": as_recipient});
    let key = idempotency_key();
    let started = client.post(&format!("/deliveries/{}/proofs", segment(id)), &body, Some(&key)).await?;
    let proof =
        started["id"].as_str().ok_or_else(|| Failure::refused("the server named no proof"))?.to_owned();
    if !wait {
        out.document(&started)?;
        return out
            .line(format_args!("Proof {proof} is on its way: mailwright delivery status {proof} --follow"));
    }
    let path = format!("/deliveries/{}/status", segment(&proof));
    // A proof analyses and confirms itself: draft and ready are on its way, not its end.
    let ended = |document: &Value| {
        status::over(document) && !matches!(document["state"].as_str(), Some("draft" | "ready"))
    };
    let done = client::wait(client, &path, out, ended, status::line).await?;
    let mut document = done.clone();
    document["number"] = started["number"].clone();
    let sent = done["messages"]["sent"].as_i64().unwrap_or(0);
    let whole = done["state"] == "finished" && sent > 0 && done["messages"]["failed"].as_i64() == Some(0);
    out.document(&document)?;
    if out.json() && !whole {
        return Err(Failure::Told);
    }
    if !whole {
        let path = format!("/deliveries/{}/analysis", segment(&proof));
        let analysis = client.get(&path, &[]).await.unwrap_or_default();
        let mut text =
            format!("proof {proof} is {}: {}", done["state"].as_str().unwrap_or("?"), status::line(&done));
        for finding in errors(&analysis) {
            text.push_str(&format!("\n  {}", problem_line(finding)));
        }
        return Err(Failure::refused(text));
    }
    out.line(format_args!("Proof {proof} was sent to {sent} address(es)."))
}

/// Runs `delivery analyze`: exit 1 when a finding is an error.
pub async fn analyze(client: &Client, id: &str, (wait, explain): (bool, bool), out: &mut Output) -> Done {
    let path = format!("/deliveries/{}/analysis", segment(id));
    let asked = if explain { format!("{path}?explain=true") } else { path.clone() };
    let mut document = client.post(&asked, &json!({}), None).await?;
    if wait {
        document = client::wait(client, &path, out, analysed, progress).await?;
    }
    out.document(&document)?;
    print_analysis(id, &document, out)?;
    let failed = errors(&document).next().is_some() || document["state"] == "failed";
    if failed { Err(Failure::Told) } else { Ok(()) }
}

fn analysed(document: &Value) -> bool {
    !matches!(document["state"].as_str(), Some("targeting_pending" | "analysing"))
}

fn progress(document: &Value) -> String {
    let phase = document["progress"]["phase"].as_str().unwrap_or("analysing");
    match (document["progress"]["done"].as_i64(), document["progress"]["of"].as_i64()) {
        (Some(done), Some(of)) if of > 0 => format!("{phase}: {} of {}", grouped(done), grouped(of)),
        _ => phase.to_owned(),
    }
}

fn errors(document: &Value) -> impl Iterator<Item = &Value> {
    document["findings"].as_array().into_iter().flatten().filter(|finding| finding["level"] == "error")
}

fn print_analysis(id: &str, document: &Value, out: &mut Output) -> Done {
    if !analysed(document) {
        return out.line(format_args!("The analysis runs: mailwright delivery analyze {id} --wait"));
    }
    let mut findings = document["findings"].as_array().into_iter().flatten().peekable();
    while let Some(finding) = findings.next() {
        let level = finding["level"].as_str().unwrap_or("");
        let rule = finding["rule"].as_str().unwrap_or("");
        // A hint is the rule's: once after the last thing that the rule says.
        let mut said = finding.clone();
        let hint = said.as_object_mut().and_then(|said| said.remove("hint"));
        out.line(format_args!("{level:<8} {rule}: {}", problem_line(&said)))?;
        let goes_on =
            findings.peek().is_some_and(|next| next["rule"] == *rule && hint == next.get("hint").cloned());
        if let Some(hint) = hint.as_ref().and_then(Value::as_str).filter(|_| !goes_on) {
            out.line(format_args!("         {hint}"))?;
        }
    }
    let count = |name: &str| grouped(document[name].as_i64().unwrap_or(0));
    out.line(format_args!("\n{} in the target, {} to deliver", count("target"), count("to_deliver")))?;
    for (reason, number) in document["excluded"].as_object().into_iter().flatten() {
        out.line(format_args!("  excluded, {reason}: {}", grouped(number.as_i64().unwrap_or(0))))?;
    }
    if let Some(end) = document["predicted_end"].as_str() {
        out.line(format_args!("Expected end: {end}"))?;
    }
    if document["state"] == "ready" {
        let hash = document["snapshot"].as_str().unwrap_or("");
        return out
            .line(format_args!("Ready. To send: mailwright delivery confirm {id} --yes --snapshot {hash}"));
    }
    out.line(format_args!("The delivery is {}.", document["state"].as_str().unwrap_or("?")))
}
