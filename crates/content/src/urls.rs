//! URLs as they stand in a source whose tags are hidden: what kind they are, and the form that a redirect leads to.

use crate::marks::{BRACE, readable};
use crate::tags::{Hidden, TagKind};

/// A value in a URL that is each recipient's own: `{p1}` to `{p9}`.
pub(crate) const VALUES_MAX: usize = 9;

/// What stands in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Text(String),
    /// The hidden character of an expression.
    Tag(char),
    /// An expression of ours: its source without braces.
    Own(String),
}

/// What a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A web address whose host is the same for all.
    Web(Vec<Item>),
    /// Mail, telephone, anchors, the built-in links, what is no address at all.
    Other,
    /// The host is a recipient's value.
    PersonalHost,
    /// Conditions stand in it, so it has no one form.
    Conditions,
}

/// Reads a decoded URL.
pub(crate) fn target(decoded: &str, hidden: &Hidden, source: &str) -> Target {
    let mut items: Vec<Item> = Vec::new();
    let (mut conditions, mut built_in) = (false, false);
    // Browsers drop line ends and tabs inside of a URL.
    for c in decoded.trim().chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')) {
        let Some(tag) = hidden.tag(c) else {
            match items.last_mut() {
                Some(Item::Text(text)) => text.push(c),
                _ => items.push(Item::Text(c.to_string())),
            }
            continue;
        };
        match tag.kind {
            TagKind::Comment => {}
            TagKind::Expression => {
                let text = &source[tag.range.clone()];
                built_in |= text.contains("unsubscribe_url") || text.contains("mirror_url");
                items.push(Item::Tag(c));
            }
            TagKind::Statement | TagKind::Raw { .. } => conditions = true,
        }
    }
    let first = match items.first() {
        Some(Item::Text(text)) => text.as_str(),
        _ => "",
    };
    let Some(length) = scheme_len(first) else {
        let starts_with_value = matches!(items.first(), Some(Item::Tag(_)));
        return match (built_in, conditions, starts_with_value) {
            (true, ..) | (_, false, false) => Target::Other,
            (_, true, _) => Target::Conditions,
            (_, false, true) => Target::PersonalHost,
        };
    };
    if built_in {
        return Target::Other;
    }
    let after = &first[length..];
    if after.is_empty() || !after.contains(['/', '?', '#', '\\']) {
        // The host goes on to the end, or into a tag.
        if items.len() > 1 {
            return Target::PersonalHost;
        }
        if after.is_empty() || conditions {
            return if conditions { Target::Conditions } else { Target::Other };
        }
    }
    if after.starts_with(['/', '?', '#', '\\']) {
        return Target::Other; // no host
    }
    if conditions { Target::Conditions } else { Target::Web(items) }
}

/// Octets of `http://` or `https://`, in whatever case.
pub(crate) fn scheme_len(url: &str) -> Option<usize> {
    ["https://", "http://"].iter().map(|scheme| scheme.len()).find(|length| {
        url.get(..*length).is_some_and(|start| {
            start.eq_ignore_ascii_case(if *length == 8 { "https://" } else { "http://" })
        })
    })
}

/// The host that a URL shows, lower case.
pub(crate) fn host(items: &[Item]) -> String {
    let Some(Item::Text(text)) = items.first() else { return String::new() };
    let rest = &text[scheme_len(text).unwrap_or(0)..];
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default().to_lowercase()
}

/// Query parameters that a URL does not have yet, with what separates them.
pub(crate) fn additions(items: &[Item], query: &[(String, Vec<Item>)]) -> Vec<Item> {
    let text: String =
        items.iter().map(|item| if let Item::Text(text) = item { text.as_str() } else { "" }).collect();
    let asked = text.split('#').next().unwrap_or_default();
    let has = |name: &str| {
        let mut pairs = asked.split_once('?').map_or("", |(_, query)| query).split('&');
        pairs.any(|pair| pair.split('=').next() == Some(name))
    };
    let mut added = Vec::new();
    let mut separator = match asked.contains('?') {
        true if asked.ends_with(['?', '&']) => "",
        true => "&",
        false => "?",
    };
    for (name, value) in query.iter().filter(|(name, _)| !has(name)) {
        added.push(Item::Text(format!("{separator}{name}=")));
        added.extend(value.iter().cloned());
        separator = "&";
    }
    added
}

/// The URL with these in front of its fragment.
pub(crate) fn with_query(items: &[Item], added: Vec<Item>) -> Vec<Item> {
    let mut out = Vec::with_capacity(items.len() + added.len() + 1);
    let mut added = Some(added);
    for item in items {
        match item {
            Item::Text(text) if added.is_some() && text.contains('#') => {
                let (before, after) = text.split_at(text.find('#').unwrap_or(0));
                out.push(Item::Text(before.to_owned()));
                out.extend(added.take().unwrap_or_default());
                out.push(Item::Text(after.to_owned()));
            }
            item => out.push(item.clone()),
        }
    }
    out.extend(added.unwrap_or_default());
    out
}

/// The form that the redirect leads to: ASCII, with `{p1}` for the first value and so on; and the values. Nothing
/// when the host cannot be written, or there are too many values.
pub(crate) fn redirect(items: &[Item]) -> Option<(String, Vec<&Item>)> {
    let mut url = String::new();
    let mut values = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Text(text) if at == 0 => {
                let scheme = scheme_len(text)?;
                let rest = &text[scheme..];
                let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
                url.push_str(&text[..scheme].to_ascii_lowercase());
                url.push_str(&authority(&rest[..end])?);
                encode(&rest[end..], &mut url);
            }
            Item::Text(text) => encode(text, &mut url),
            Item::Tag(_) | Item::Own(_) => {
                values.push(item);
                url.push_str(&format!("{{p{}}}", values.len()));
            }
        }
    }
    (values.len() <= VALUES_MAX).then_some((url, values))
}

/// Host and port in ASCII.
fn authority(written: &str) -> Option<String> {
    if written.is_empty() {
        return None;
    }
    if written.is_ascii() {
        let sound = |octet: u8| octet.is_ascii_graphic() && !b"<>\"{}|^`".contains(&octet);
        return written.bytes().all(sound).then(|| written.to_owned());
    }
    let (host, port) = match written.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => (host, format!(":{port}")),
        _ => (written, String::new()),
    };
    address::Domain::parse(host).ok().map(|domain| format!("{}{port}", domain.ascii()))
}

/// What no URL may hold is percent-encoded, as browsers do it; braces too, since they mark values.
fn encode(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push('/'),
            BRACE => out.push_str("%7B"),
            ' ' | '"' | '<' | '>' | '{' | '}' | '`' | '|' | '^' => {
                out.push_str(&format!("%{:02X}", c as u32));
            }
            _ if c.is_ascii_graphic() => out.push(c),
            _ => {
                let mut octets = [0; 4];
                for octet in c.encode_utf8(&mut octets).bytes() {
                    out.push_str(&format!("%{octet:02X}"));
                }
            }
        }
    }
}

/// URLs in a text: ranges. They end at blanks, quotes, angle brackets and the punctuation of Chinese and Japanese,
/// and leave the full stop of their sentence and the bracket around them behind.
pub(crate) fn find(text: &str) -> Vec<std::ops::Range<usize>> {
    let ends = |c: char| {
        c.is_whitespace()
            || matches!(c, '<' | '>' | '"' | '\u{3000}'..='\u{303f}' | '\u{ff01}'..='\u{ff5e}' | '“' | '”' | '«' | '»')
    };
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("http").map(|found| at + found) {
        let rest = &text[start..];
        at = start + 4;
        if scheme_len(rest).is_none() {
            continue;
        }
        let mut end = rest.find(ends).unwrap_or(rest.len());
        loop {
            let url = &rest[..end];
            let count = |c: char| url.matches(c).count();
            let last = url.chars().next_back().unwrap_or(' ');
            let drops = match last {
                '.' | ',' | ';' | '!' | '?' | ':' | '\'' | '*' => true,
                ')' => count(')') > count('('),
                ']' => count(']') > count('['),
                '}' => count('}') > count('{'),
                _ => false,
            };
            if !drops {
                break;
            }
            end -= last.len_utf8();
        }
        if end > scheme_len(rest).unwrap_or(0) {
            found.push(start..start + end);
            at = start + end;
        }
    }
    found
}

/// True when what a link shows is an address: a redirect behind it would look like phishing.
pub(crate) fn shows_address(shown: &str, host: &str) -> bool {
    let shown = shown.trim().to_lowercase();
    if shown.is_empty() || shown.contains(char::is_whitespace) {
        return false;
    }
    let bare = shown.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.trim_start_matches("www.");
    let begins_with_host = |text: &str| {
        let rest = text.trim_start_matches("www.").strip_prefix(host);
        !host.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#', ':']))
    };
    bare.len() < shown.len() || shown.starts_with("www.") || begins_with_host(&shown)
}

/// The characters that entities of an attribute stand for.
pub(crate) fn decode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = [
            ("&amp;", '&'),
            ("&lt;", '<'),
            ("&gt;", '>'),
            ("&quot;", '"'),
            ("&apos;", '\''),
            ("&nbsp;", '\u{a0}'),
        ];
        let found = known
            .iter()
            .find(|(entity, _)| rest.starts_with(entity))
            .map(|(entity, c)| (entity.len(), *c))
            .or_else(|| numeric(rest));
        match found {
            Some((length, c)) => {
                out.push(c);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// `&#38;` and `&#x26;`: length and character.
fn numeric(text: &str) -> Option<(usize, char)> {
    let body = text.strip_prefix("&#")?;
    let end = body.find(';').filter(|end| *end <= 8)?;
    let number = match body[..end].strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => body[..end].parse().ok()?,
    };
    let c = char::from_u32(number).filter(|c| *c != '\0')?;
    // A mark that is written as an entity is no mark.
    let c = if readable(&c.to_string()).is_empty() { '\u{fffd}' } else { c };
    Some((end + 3, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Target {
        let hidden = Hidden::new(source).unwrap();
        target(&hidden.text, &hidden, source)
    }

    #[test]
    fn hosts_are_never_a_recipients_value() {
        for refused in [
            "{{ url }}",
            "https://{{ shop }}.example/",
            "https://shop.example{{ x }}",
            "https://shop.example:{{ port }}/",
            "HTTPS://{{ x }}",
            "https://a@{{ x }}/",
            "{{ scheme }}://shop.example/",
        ] {
            assert_eq!(read(refused), Target::PersonalHost, "{refused}");
        }
        for web in [
            "https://shop.example/{{ x }}",
            "http://shop.example?{{ x }}",
            "https://shop.example\\{{ x }}",
            "HtTp://a.example#{{ x }}",
        ] {
            assert!(matches!(read(web), Target::Web(_)), "{web}");
        }
        for other in [
            "mailto:a@b.example",
            "#top",
            "",
            "javascript:alert(1)",
            "https:///x",
            "{{ unsubscribe_url }}",
            "https://x.example/?u={{ mirror_url }}",
            "/x",
            "tel:{{ phone }}",
            "https://",
        ] {
            assert_eq!(read(other), Target::Other, "{other}");
        }
        assert_eq!(read("{% if x %}https://a.example{% endif %}"), Target::Conditions);
        assert_eq!(read("https://a.example/{% if x %}b{% endif %}"), Target::Conditions);
    }

    #[test]
    fn a_redirect_is_ascii_and_has_its_values_marked() {
        let redirect_of = |source: &str| {
            let hidden = Hidden::new(source).unwrap();
            match target(&hidden.text, &hidden, source) {
                Target::Web(items) => redirect(&items).map(|(url, values)| (url, values.len())),
                other => panic!("{other:?}"),
            }
        };
        let cases = [
            ("https://shop.example/{{ a }}?b={{ b }}&c=1#d", "https://shop.example/{p1}?b={p2}&c=1#d", 2),
            ("HTTP://Shop.example/a b{p1}\u{e9}", "http://Shop.example/a%20b%7Bp1%7D%C3%A9", 0),
            ("https://bücher.example:8443/x", "https://xn--bcher-kva.example:8443/x", 0),
            ("https://shop.example\\x", "https://shop.example/x", 0),
        ];
        for (source, url, values) in cases {
            assert_eq!(redirect_of(source), Some((url.to_owned(), values)), "{source}");
        }
        assert_eq!(redirect_of(&format!("https://a.example/?{}", "{{ x }}".repeat(10))), None);
        assert_eq!(redirect_of("https://a\"b.example/"), None);
    }

    #[test]
    fn parameters_stand_before_the_fragment_and_once() {
        let query = vec![("utm_source".to_owned(), vec![Item::Text("mail".into())])];
        let with = |url: &str| {
            let items = [Item::Text(url.to_owned())];
            let items = with_query(&items, additions(&items, &query));
            items
                .iter()
                .map(|item| if let Item::Text(text) = item { text.clone() } else { "*".into() })
                .collect::<String>()
        };
        assert_eq!(with("https://a.example"), "https://a.example?utm_source=mail");
        assert_eq!(with("https://a.example/?x=1#top"), "https://a.example/?x=1&utm_source=mail#top");
        assert_eq!(with("https://a.example/?utm_source=y"), "https://a.example/?utm_source=y");
        assert_eq!(with("https://a.example/?"), "https://a.example/?utm_source=mail");
    }

    #[test]
    fn urls_end_where_people_see_their_end() {
        let urls =
            |text: &str| find(text).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>();
        assert_eq!(
            urls(
                "See (https://a.example/b_(c)), https://d.example. <http://e.example/?x=1> [https://f.example]"
            ),
            ["https://a.example/b_(c)", "https://d.example", "http://e.example/?x=1", "https://f.example"]
        );
        assert_eq!(
            urls("詳細はhttps://a.example/x。「https://b.example」"),
            ["https://a.example/x", "https://b.example"]
        );
        assert_eq!(urls("httpx http:// https://"), Vec::<String>::new());
    }

    #[test]
    fn what_shows_an_address() {
        assert!(shows_address("https://shop.example/x", "other.example"));
        assert!(shows_address("www.shop.example", ""));
        assert!(shows_address("Shop.example/offers", "www.shop.example"));
        assert!(!shows_address("shop.examples", "shop.example"));
        assert!(!shows_address("our shop", "shop.example"));
        assert!(!shows_address("Offers", "shop.example"));
    }

    #[test]
    fn entities() {
        assert_eq!(decode("a&amp;b&#38;c&#x26;d&copy=1&lt;&quot;&bad;&#0;"), "a&b&c&d&copy=1<\"&bad;&#0;");
        assert_eq!(decode("&#xFDD0;"), "\u{fffd}");
    }
}
