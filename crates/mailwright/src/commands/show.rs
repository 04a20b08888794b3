//! `delivery preview` and `delivery source`: what a recipient gets, or got.

use serde_json::Value;

use crate::{
    cli::Part,
    client::{Client, segment},
    output::{Done, Failure, Output, table},
};

/// Runs `delivery preview`.
pub async fn preview(
    client: &Client,
    id: &str,
    recipient: Option<&str>,
    format: Option<&str>,
    part: Part,
    out: &mut Output,
) -> Done {
    let name = match part {
        Part::Html => "html",
        Part::Text => "text",
        Part::Source => "source",
    };
    let path = format!("/deliveries/{}/preview", segment(id));
    let mut query = vec![("part", name)];
    query.extend(recipient.map(|recipient| ("recipient", recipient)));
    query.extend(format.map(|format| ("format", format)));
    let document = client.get(&path, &query).await?;
    if out.json() {
        return out.document(&document);
    }
    for warning in document["warnings"].as_array().into_iter().flatten() {
        out.note(format_args!("warning: {}", crate::client::problem_line(warning)));
    }
    let content =
        document["content"].as_str().ok_or_else(|| Failure::refused("the server sent no content"))?;
    if !matches!(part, Part::Source) {
        out.note(format_args!("Subject: {}", document["subject"].as_str().unwrap_or("")));
    }
    out.raw(content.as_bytes())
}

/// Runs `delivery links`.
pub async fn links(client: &Client, id: &str, out: &mut Output) -> Done {
    let document = client.get(&format!("/deliveries/{}/links", segment(id)), &[]).await?;
    out.document(&document)?;
    let mut rows = vec![["Mode", "Times", "Label", "Category", "URL"].map(str::to_owned).to_vec()];
    for link in document["items"].as_array().into_iter().flatten() {
        let text = |name: &str| link[name].as_str().unwrap_or("").to_owned();
        let times = link["count"].as_i64().unwrap_or(0).to_string();
        rows.push(vec![text("mode"), times, text("label"), text("category"), text("url")]);
    }
    out.line(table(&rows))
}

/// Runs `delivery source`: the bytes alone, so that they can go to a file or another program.
pub async fn source(client: &Client, id: &str, email: &str, out: &mut Output) -> Done {
    let path = format!("/deliveries/{}/source", segment(id));
    if out.json() {
        let document: Value = client.get(&path, &[("recipient", email), ("format", "json")]).await?;
        return out.document(&document);
    }
    let response = client.stream(&path, &[("recipient", email)]).await?;
    if let Some(warning) = response.headers().get("mailwright-warning").and_then(|value| value.to_str().ok())
    {
        out.note(warning.to_owned());
    }
    out.raw(&response.bytes().await.map_err(crate::client::broken)?)
}
