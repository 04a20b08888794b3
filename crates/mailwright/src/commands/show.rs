//! `delivery preview` and `delivery source`: what a recipient gets, or got.

use serde_json::Value;

use crate::{
    cli::Part,
    client::{Client, segment},
    output::{Done, Failure, Output},
};

/// Runs `delivery preview`.
pub async fn preview(client: &Client, id: &str, recipient: &str, part: Part, out: &mut Output) -> Done {
    let name = match part {
        Part::Html => "html",
        Part::Text => "text",
        Part::Source => "source",
    };
    let path = format!("/deliveries/{}/preview", segment(id));
    let document = client.get(&path, &[("recipient", recipient), ("part", name)]).await?;
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
