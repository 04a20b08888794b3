//! Filling `{p1}` .. `{p9}` of a tracked link with what the request carries. The values come from outside, so they can
//! reach the path, the query and the fragment of a frozen URL and nothing else: scheme and host are the author's.

use std::borrow::Cow;

use url::Url;

use crate::limits::{LOCATION_LEN_MAX, PARAMETER_LEN_MAX};

/// Values for `{p1}` to `{p9}`, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters([Option<String>; 9]);

impl Parameters {
    /// Reads `p1=…&p2=…`; other names are ignored, the first of a repeated one counts, too long values are cut off.
    #[must_use]
    pub fn from_query(query: &str) -> Parameters {
        let mut values: [Option<String>; 9] = Default::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let [b'p', digit @ b'1'..=b'9'] = name.as_bytes() else { continue };
            let place = &mut values[usize::from(digit - b'1')];
            if place.is_none() && value.len() <= PARAMETER_LEN_MAX {
                *place = Some(value.into_owned());
            }
        }
        Parameters(values)
    }

    /// The value of `{pN}`; a missing one is empty, as the template's would be.
    fn get(&self, number: u8) -> &str {
        self.0[usize::from(number - 1)].as_deref().unwrap_or_default()
    }
}

/// Where the link `url` of a frozen table leads with these values. None for what is no http(s) URL with a host of its
/// own, and for what would become too long.
#[must_use]
pub fn fill(url: &str, parameters: &Parameters) -> Option<String> {
    let tail_at = authority_end(url)?;
    let (head, tail) = url.split_at(tail_at);
    // A placeholder in the host would let the request choose it.
    if next_placeholder(head).is_some() {
        return None;
    }
    let head = ascii_head(head)?;
    let mut out = String::with_capacity(url.len() + 64);
    out.push_str(&head);
    let mut rest = tail;
    while let Some((before, number, after)) = next_placeholder(rest) {
        push_encoded(&mut out, before);
        push_encoded(&mut out, parameters.get(number));
        rest = after;
    }
    push_encoded(&mut out, rest);
    // Not a rule but a proof: what we are about to send parses to the same scheme, host and port as the frozen link.
    (out.len() <= LOCATION_LEN_MAX && same_origin(&head, &out)).then_some(out)
}

/// Where path, query or fragment begin; none unless the scheme is http or https and a host follows.
fn authority_end(url: &str) -> Option<usize> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let length = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    (length > 0).then_some(scheme.len() + 3 + length)
}

/// Splits at the first `{p1}` .. `{p9}`.
fn next_placeholder(text: &str) -> Option<(&str, u8, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("{p").map(|at| from + at) {
        if let [b'{', b'p', digit @ b'1'..=b'9', b'}', ..] = &text.as_bytes()[at..] {
            return Some((&text[..at], digit - b'0', &text[at + 4..]));
        }
        from = at + 2;
    }
    None
}

/// Scheme and authority in ASCII: a host of other letters in its IDNA form.
fn ascii_head(head: &str) -> Option<Cow<'_, str>> {
    let parsed = Url::parse(head).ok()?;
    parsed.host_str()?;
    if head.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Some(Cow::Borrowed(head));
    }
    Some(Cow::Owned(parsed.as_str().trim_end_matches('/').to_owned()))
}

fn same_origin(head: &str, whole: &str) -> bool {
    match (Url::parse(head), Url::parse(whole)) {
        (Ok(head), Ok(whole)) => {
            head.scheme() == whole.scheme()
                && head.host() == whole.host()
                && head.port() == whole.port()
                && head.username() == whole.username()
        }
        _ => false,
    }
}

/// Appends, with only that percent-encoded which no URL may hold (RFC 3986 section 2, and `\`, which browsers take for
/// a slash). A percent sign stays where it begins an encoded octet.
fn push_encoded(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let bytes = text.as_bytes();
    for (at, &octet) in bytes.iter().enumerate() {
        let allowed = match octet {
            b'%' => {
                bytes.get(at + 1).is_some_and(u8::is_ascii_hexdigit)
                    && bytes.get(at + 2).is_some_and(u8::is_ascii_hexdigit)
            }
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            octet => octet.is_ascii_graphic(),
        };
        if allowed {
            out.push(char::from(octet));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(octet >> 4)]));
            out.push(char::from(HEX[usize::from(octet & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(url: &str, query: &str) -> Option<String> {
        fill(url, &Parameters::from_query(query))
    }

    #[test]
    fn values_stand_where_the_author_put_them() {
        for (url, query, expected) in [
            ("https://shop.example/a?c={p1}", "p1=10%2B2", "https://shop.example/a?c=10+2"),
            ("https://shop.example/{p1}/{p2}#x", "p2=b&p1=a", "https://shop.example/a/b#x"),
            (
                "https://shop.example/?q={p1}&r={p1}",
                "p1=%E3%81%82+%C3%A9",
                "https://shop.example/?q=%E3%81%82%20%C3%A9&r=%E3%81%82%20%C3%A9",
            ),
            ("https://shop.example?q={p1}", "", "https://shop.example?q="),
            ("https://shop.example/?q={p1}", "p1=100%25&p1=no", "https://shop.example/?q=100%25"),
            ("https://shop.example/?q={p1}", "p1=a%252Fb", "https://shop.example/?q=a%2Fb"),
            (
                "https://shop.example/{p0}{p10}{p}{",
                "p1=x",
                "https://shop.example/%7Bp0%7D%7Bp10%7D%7Bp%7D%7B",
            ),
            ("https://shop.example/a b\n", "", "https://shop.example/a%20b%0A"),
            ("https://b\u{fc}cher.example/\u{e4}", "", "https://xn--bcher-kva.example/%C3%A4"),
            ("HTTP://Shop.example:8080/x", "", "HTTP://Shop.example:8080/x"),
            ("https://user@shop.example/{p1}", "p1=x", "https://user@shop.example/x"),
            (
                "https://shop.example/{p1}",
                "p1=%0d%0aSet-Cookie:%20a=b",
                "https://shop.example/%0D%0ASet-Cookie:%20a=b",
            ),
        ] {
            assert_eq!(filled(url, query).as_deref(), Some(expected), "{url} {query}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_leads_nowhere() {
        for url in [
            "{p1}",
            "https://{p1}/",
            "https://shop.example{p1}",
            "https://shop.example:{p1}/",
            "https://{p1}@shop.example/",
            "{p1}://shop.example/",
            "//shop.example/{p1}",
            "/{p1}",
            "javascript:alert({p1})",
            "https://",
            "https:///{p1}",
            "https://?{p1}",
            "data:text/html,{p1}",
            "http://shop.example\\{p1}",
            "",
        ] {
            assert_eq!(filled(url, "p1=.evil.example"), None, "{url}");
        }
        assert_eq!(filled(&format!("https://shop.example/{}", "x".repeat(LOCATION_LEN_MAX)), ""), None);
    }

    proptest! {
        #[test]
        fn no_value_changes_the_host(
            value in prop_oneof![".{0,60}", "[/\\\\@:?#.%{}p1 ]{0,30}evil\\.example[/:@]{0,3}"],
            url in prop_oneof![
                Just("https://shop.example/{p1}"), Just("https://shop.example?{p1}"), Just("https://shop.example#{p1}"),
                Just("https://shop.example/a/{p1}/b?x={p2}{p1}"),
                Just("http://shop.example:81/{p1}"),
            ],
        ) {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("p1", &value).append_pair("p2", &value).finish();
            let out = filled(url, &query);
            let out = out.ok_or_else(|| TestCaseError::fail("not filled"))?;
            prop_assert!(out.bytes().all(|octet| octet.is_ascii_graphic()), "{out}");
            let parsed = Url::parse(&out).unwrap();
            prop_assert_eq!(parsed.host_str(), Some("shop.example"));
            prop_assert!(parsed.username().is_empty());
            let origin = if url.starts_with("https") { "https://shop.example" } else { "http://shop.example:81" };
            prop_assert!(out.starts_with(origin), "{}", out);
        }

        #[test]
        fn any_link_and_any_query_are_taken_without_harm(url in ".{0,80}", query in ".{0,80}") {
            if let Some(out) = filled(&url, &query) {
                let (before, after) = (Url::parse(&url[..authority_end(&url).unwrap()]).unwrap(), Url::parse(&out).unwrap());
                prop_assert_eq!(before.host_str(), after.host_str());
            }
        }
    }
}
