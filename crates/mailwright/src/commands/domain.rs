//! `domain add|records|rotate` and `dns check`.

use serde_json::{Value, json};

use crate::{
    client::{Client, segment},
    output::{Done, Failure, Output, table},
};

/// Runs `domain add`.
pub async fn add(client: &Client, domain: &str, out: &mut Output) -> Done {
    let document = client.post("/domains", &json!({"domain": domain}), None).await?;
    print_records(&document, out)
}

/// Runs `domain records`.
pub async fn records(client: &Client, domain: &str, out: &mut Output) -> Done {
    let document = client.get(&format!("/domains/{}/records", segment(domain)), &[]).await?;
    print_records(&document, out)
}

/// Runs `domain rotate`.
pub async fn rotate(client: &Client, domain: &str, out: &mut Output) -> Done {
    let document = client.post(&format!("/domains/{}/rotation", segment(domain)), &json!({}), None).await?;
    out.document(&document)?;
    list(&document, out)?;
    out.line("They sign once both are seen in DNS, which is looked at every five minutes.")?;
    out.line("Leave the old records where they are until they are no longer listed by `domain records`.")
}

/// Runs `domain rotate --cancel`.
pub async fn keep_keys(client: &Client, domain: &str, out: &mut Output) -> Done {
    client.delete(&format!("/domains/{}/rotation", segment(domain))).await?;
    out.document(&json!({"domain": domain}))?;
    out.line("The new keys are given up; the old ones sign on.")
}

fn print_records(document: &Value, out: &mut Output) -> Done {
    let kept = json!({
        "domain": document["domain"], "selector": document["selector"], "records": document["records"],
    });
    out.document(&kept)?;
    list(document, out)?;
    out.line(format_args!("Then: mailwright dns check {}", text(&document["domain"])))
}

fn list(document: &Value, out: &mut Output) -> Done {
    out.line(format_args!("Publish these records in the DNS of {}:\n", text(&document["domain"])))?;
    for record in document["records"].as_array().into_iter().flatten() {
        out.line(format_args!(
            "{}  {}\n    {}\n",
            text(&record["name"]),
            text(&record["type"]),
            text(&record["value"])
        ))?;
    }
    Ok(())
}

/// Runs `dns check`: exit 1 when a record that mail needs is missing or wrong.
pub async fn check(client: &Client, domain: &str, out: &mut Output) -> Done {
    let document = client.post(&format!("/domains/{}/check", segment(domain)), &json!({}), None).await?;
    out.document(&document)?;
    let mut rows =
        vec![vec!["Record".to_owned(), "Type".to_owned(), "Result".to_owned(), "Found".to_owned()]];
    for record in document["records"].as_array().into_iter().flatten() {
        rows.push(vec![text(&record["name"]), text(&record["type"]), text(&record["state"]), found(record)]);
    }
    for around in document["surroundings"].as_array().into_iter().flatten() {
        rows.push(vec![
            text(&around["about"]),
            text(&around["topic"]),
            text(&around["state"]),
            found(around),
        ]);
    }
    out.line(table(&rows))?;
    let surroundings = document["surroundings"].as_array().into_iter().flatten();
    for one in document["records"].as_array().into_iter().flatten().chain(surroundings) {
        let about = if one["name"].is_string() { &one["name"] } else { &one["about"] };
        if let Some(advice) = one["advice"].as_str().filter(|advice| !advice.is_empty()) {
            out.line(format_args!("{}: {advice}", text(about)))?;
        }
    }
    if document["ready"] == true { Ok(()) } else { Err(Failure::Told) }
}

/// What was found, as far as it fits a line.
fn found(of: &Value) -> String {
    let all = of["found"].as_array().map(|all| all.iter().map(text).collect::<Vec<_>>().join(" | "));
    all.unwrap_or_default().chars().take(80).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}
