//! The few plain pages of the public door. They are written here and not by the templates of the web side, so that
//! the public door depends on nothing else; everything that comes from outside is escaped.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem;\
                     color:#1c1f23;background:#fff}button{font:inherit;padding:.6rem 1.2rem;border:0;\
                     border-radius:.4rem;background:#1d4ed8;color:#fff}button:focus-visible{outline:3px solid \
                     #93c5fd}@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#15181c}}";

/// When a page that could not be shown may be asked for again, in seconds.
const RETRY_AFTER_S: &str = "30";

/// A page with a heading and a paragraph.
pub fn plain(status: StatusCode, heading: &str, text: &str) -> Response {
    page(status, heading, &format!("<p>{}</p>", escaped(text)))
}

/// A page with a heading, a paragraph, and a button that posts to the same address.
pub fn with_button(heading: &str, text: &str, button: &str) -> Response {
    let body = format!(
        "<p>{}</p><form method=\"post\"><input type=\"hidden\" name=\"confirm\" value=\"yes\">\
         <button type=\"submit\">{}</button></form>",
        escaped(text),
        escaped(button)
    );
    page(StatusCode::OK, heading, &body)
}

/// A page with paragraphs, a text field for a comment, and two buttons that post *accepted* or *rejected*.
pub fn with_answer(heading: &str, paragraphs: &[&str], comment: &str) -> Response {
    let shown = paragraphs.iter().filter(|text| !text.is_empty());
    let text: String = shown.map(|text| format!("<p>{}</p>", escaped(text))).collect();
    let body = format!(
        "{text}<form method=\"post\"><p><label for=\"comment\">What you think of it</label></p>\
         <p><textarea id=\"comment\" name=\"comment\" rows=\"5\" maxlength=\"1000\" style=\"width:100%;font:inherit\">\
         {}</textarea></p><p><button type=\"submit\" name=\"word\" value=\"accepted\">Accept</button> \
         <button type=\"submit\" name=\"word\" value=\"rejected\" style=\"background:#b91c1c\">Reject</button></p></form>",
        escaped(comment)
    );
    page(StatusCode::OK, heading, &body)
}

/// 410: the resource validity is over.
pub fn expired() -> Response {
    plain(
        StatusCode::GONE,
        "This link has expired",
        "The message is older than its links and pictures are kept. Nothing is wrong with your mail program.",
    )
}

/// 503: what is needed cannot be had just now.
pub fn try_again(text: &str) -> Response {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Please try again", text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    response
}

fn page(status: StatusCode, heading: &str, body: &str) -> Response {
    let heading = escaped(heading);
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\"><title>{heading}</title>\
         <style>{STYLE}</style></head><body><main><h1>{heading}</h1>{body}</main></body></html>"
    );
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'; sandbox allow-forms",
        ),
    );
    response
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        assert_eq!(escaped("<b a='x'>&\""), "&lt;b a=&#39;x&#39;&gt;&amp;&quot;");
    }
}
