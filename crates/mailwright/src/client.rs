//! The command line's side of the REST API.

use std::{path::Path, time::Duration};

use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::{
    cli::Common,
    output::{Failure, Output},
};

/// How long connecting may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the server may stay silent while it answers.
const READ_SILENCE_MAX: Duration = Duration::from_secs(120);
/// How often long work is asked about.
pub const POLL_PERIOD: Duration = Duration::from_millis(300);

/// A connection to one server.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// Finds the server and the token: `MAILWRIGHT_TOKEN`, else `local-token` in the data directory.
    pub fn new(common: &Common) -> Result<Self, Failure> {
        let base = common.url.trim_end_matches('/').to_owned();
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(Failure::Usage(format!("--url must be http://… or https://…, not {base}")));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .read_timeout(READ_SILENCE_MAX)
            .user_agent(concat!("mailwright/", env!("CARGO_PKG_VERSION")))
            // The API never redirects; a redirect would carry the token elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::refused(error.to_string()))?;
        Ok(Self { http, base, token: token(common.data.as_deref())? })
    }

    /// GET, answering the JSON document.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        document(self.send(self.request(Method::GET, &with_query(path, query))).await?).await
    }

    /// POST with a JSON body. What sends carries an idempotency key, so that a repeated command line does not act twice
    /// when the connection broke after the server had acted.
    pub async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Result<Value, Failure> {
        let mut request = self.request(Method::POST, path).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        document(self.send(request).await?).await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        document(self.send(self.request(Method::PUT, path).json(body)).await?).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        document(self.send(self.request(Method::PATCH, path).json(body)).await?).await
    }

    /// DELETE. The answer has no body.
    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, path)).await.map(|_| ())
    }

    /// POST with a body that is streamed.
    pub async fn upload(&self, path: &str, query: &[(&str, &str)], body: Body) -> Result<Value, Failure> {
        let request = self
            .request(Method::POST, &with_query(path, query))
            .header("content-type", "application/octet-stream")
            .body(body);
        document(self.send(request).await?).await
    }

    /// POST with a form of several parts.
    pub async fn form(&self, path: &str, form: reqwest::multipart::Form) -> Result<Value, Failure> {
        document(self.send(self.request(Method::POST, path).multipart(form)).await?).await
    }

    /// GET, answering the response itself, whose body may be long.
    pub async fn stream(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, Failure> {
        self.send(self.request(Method::GET, &with_query(path, query))).await
    }

    /// Streams an answer's body into a file that only its owner can read.
    pub async fn download(&self, path: &str, file: &Path) -> Result<u64, Failure> {
        use std::os::unix::fs::OpenOptionsExt;
        use tokio::io::AsyncWriteExt;
        let mut response = self.stream(path, &[]).await?;
        let open = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
        let mut out = tokio::fs::File::from_std(
            open.map_err(|error| Failure::refused(format!("{}: {error}", file.display())))?,
        );
        let mut bytes = 0;
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            out.write_all(&chunk).await?;
            bytes += chunk.len() as u64;
        }
        out.sync_all().await?;
        Ok(bytes)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.not_sent(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.map_err(broken)?;
        Err(refusal(status, &text, self.token.is_some()))
    }

    fn not_sent(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Failure::Unreached(format!("no server reached at {}: {cause}", self.base))
    }
}

/// The token of the environment, else the one the running server left in its data directory.
fn token(data: Option<&Path>) -> Result<Option<String>, Failure> {
    if let Some(token) = std::env::var("MAILWRIGHT_TOKEN").ok().filter(|token| !token.is_empty()) {
        return Ok(Some(token));
    }
    let Some(data) = data else { return Ok(None) };
    let file = data.join("local-token");
    match std::fs::read_to_string(&file) {
        Ok(token) => Ok(Some(token.trim().to_owned())),
        // Without the file the server is not running (or not there): the connection will say so.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::refused(format!("{}: {error}", file.display()))),
    }
}

/// A broken answer: the server went away while it spoke.
pub fn broken(error: reqwest::Error) -> Failure {
    Failure::Unreached(format!("the server broke off: {error}"))
}

async fn document(response: Response) -> Result<Value, Failure> {
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    let bytes = response.bytes().await.map_err(broken)?;
    serde_json::from_slice(&bytes)
        .map_err(|_| Failure::refused("the answer is not JSON: is --url a Mailwright server?"))
}

/// What a status other than 2xx means for the caller.
fn refusal(status: StatusCode, text: &str, with_token: bool) -> Failure {
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return Failure::refused(format!("the server answered {status}"));
    };
    let mut said =
        document["detail"].as_str().map_or_else(|| format!("the server answered {status}"), str::to_owned);
    let place = document["file"].as_str().unwrap_or_default();
    if let Some(field) = document["field"].as_str().filter(|field| *field != place) {
        said = format!("{field}: {said}");
    }
    if !place.is_empty() {
        let line = document["line"].as_u64().map(|line| format!(":{line}")).unwrap_or_default();
        said = format!("{place}{line}: {said}");
    }
    if status == StatusCode::UNAUTHORIZED && !with_token {
        said.push_str(
            " Set MAILWRIGHT_TOKEN, or give --data DIR (or MAILWRIGHT_DATA) of a server on this machine.",
        );
    }
    for problem in document["problems"].as_array().into_iter().flatten() {
        said.push_str("\n  ");
        said.push_str(&problem_line(problem));
    }
    Failure::Refused { text: said, document }
}

/// One problem or finding as a line: `content.html:12:7: …`.
pub fn problem_line(problem: &Value) -> String {
    let place = ["part", "file"].iter().find_map(|name| problem[*name].as_str()).unwrap_or("");
    let mut text = place.to_owned();
    for name in ["line", "column"] {
        if let Some(number) = problem[name].as_u64().filter(|number| *number > 0) {
            if text.is_empty() {
                text.push_str(name);
                text.push(' ');
            } else {
                text.push(':');
            }
            text.push_str(&number.to_string());
        }
    }
    if !text.is_empty() {
        text.push_str(": ");
    }
    let said = ["message", "text", "detail"].iter().find_map(|name| problem[*name].as_str());
    text.push_str(said.unwrap_or(""));
    if let Some(hint) = problem["hint"].as_str().filter(|hint| !hint.is_empty()) {
        text.push_str(&format!(" ({hint})"));
    }
    text
}

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    for (index, (name, value)) in query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(&format!("{}={}", segment(name), segment(value)));
    }
    target
}

/// A part of a path or query, percent-encoded.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'@') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A key for one run of one command.
pub fn idempotency_key() -> String {
    format!("cli-{:032x}", rand::random::<u128>())
}

/// Asks `path` again and again until `over` says so; shows progress meanwhile.
pub async fn wait(
    client: &Client,
    path: &str,
    out: &mut Output,
    mut over: impl FnMut(&Value) -> bool,
    show: impl Fn(&Value) -> String,
) -> Result<Value, Failure> {
    loop {
        let document = client.get(path, &[]).await?;
        if over(&document) {
            return Ok(document);
        }
        out.progress(show(&document));
        tokio::time::sleep(POLL_PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn problems_name_their_place() {
        let problem = json!({"part": "content.html", "line": 12, "column": 7, "message": "no such field", "hint": "did you mean city?"});
        assert_eq!(problem_line(&problem), "content.html:12:7: no such field (did you mean city?)");
        assert_eq!(problem_line(&json!({"line": 3, "message": "m"})), "line 3: m");
        assert_eq!(problem_line(&json!({"message": "m"})), "m");
    }

    #[test]
    fn path_segments_are_escaped() {
        assert_eq!(segment("a/b?c@x.example"), "a%2Fb%3Fc@x.example");
        assert_eq!(segment("é"), "%C3%A9");
    }

    #[test]
    fn a_refusal_says_field_and_problems() {
        let text =
            json!({"detail": "Not sent.", "field": "subject", "problems": [{"line": 1, "message": "bad"}]})
                .to_string();
        let Failure::Refused { text, document } = refusal(StatusCode::UNPROCESSABLE_ENTITY, &text, true)
        else {
            panic!("must be refused")
        };
        assert_eq!(text, "subject: Not sent.\n  line 1: bad");
        let located =
            json!({"detail": "is no number", "field": "target.limit", "file": "delivery.toml", "line": 7});
        let Failure::Refused { text, .. } =
            refusal(StatusCode::UNPROCESSABLE_ENTITY, &located.to_string(), true)
        else {
            panic!("must be refused")
        };
        assert_eq!(text, "delivery.toml:7: target.limit: is no number");
        assert_eq!(document["field"], "subject");
    }
}
