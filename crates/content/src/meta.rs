//! Where an HTML source names its own encoding: `<meta charset>` and `<meta http-equiv=content-type>`. The snapshot keeps
//! the places, and each message has the name of the encoding that it is written in there.

use std::cell::RefCell;
use std::ops::Range;

use lol_html::{RewriteStrSettings, element, rewrite_str};
use message::{CHARSET_PLACES_MAX, CharsetPlace};

/// The places in the static text, in its order. A name that a template writes is the author's own business.
pub(crate) fn charset_places(segments: &[String]) -> Vec<CharsetPlace> {
    let mut places = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        if find(segment, "charset").is_none() {
            continue;
        }
        let place = |range: Range<usize>| CharsetPlace {
            segment: number as u32,
            start: range.start as u32,
            end: range.end as u32,
        };
        places.extend(names(segment).into_iter().map(place));
    }
    places.truncate(CHARSET_PLACES_MAX);
    places
}

fn names(html: &str) -> Vec<Range<usize>> {
    let found: RefCell<Vec<Range<usize>>> = RefCell::default();
    let settings = RewriteStrSettings::new().append_element_content_handler(element!("meta", |tag| {
        let is_type = tag
            .get_attribute("http-equiv")
            .is_some_and(|name| name.trim().eq_ignore_ascii_case("content-type"));
        for attribute in tag.attributes() {
            let Some(at) = attribute.value_source_location() else { continue };
            let value = at.bytes();
            let name = match attribute.name().as_str() {
                "charset" => name_at(html, value),
                "content" if is_type => find(&html[value.clone()], "charset=")
                    .and_then(|offset| name_at(html, value.start + offset + "charset=".len()..value.end)),
                _ => None,
            };
            found.borrow_mut().extend(name);
        }
        Ok(())
    }));
    // HTML that the parser gives up on has the places found so far.
    let _ = rewrite_str(html, settings);
    let mut found = found.into_inner();
    found.sort_by_key(|range| range.start);
    found
}

/// The name that stands at the start of a stretch, blanks and quotes apart.
fn name_at(html: &str, range: Range<usize>) -> Option<Range<usize>> {
    let text = &html[range.clone()];
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.');
    let start = text.len() - text.trim_start_matches([' ', '\t', '\n', '"', '\'']).len();
    let length = text[start..].find(|c| !is_name(c)).unwrap_or(text.len() - start);
    (length > 0).then(|| range.start + start..range.start + start + length)
}

/// `needle` is ASCII in lower case.
fn find(text: &str, needle: &str) -> Option<usize> {
    text.as_bytes().windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_found_where_they_stand() {
        let found = |html: &str| -> Vec<String> {
            let places = charset_places(&[String::new(), html.to_owned()]);
            assert!(places.iter().all(|place| place.segment == 1));
            places.iter().map(|place| html[place.start as usize..place.end as usize].to_owned()).collect()
        };
        for (html, expected) in [
            ("<meta charset=\"UTF-8\">", &["UTF-8"][..]),
            ("<META CHARSET = utf-8 />", &["utf-8"]),
            ("<meta charset=''>", &[]),
            ("<meta http-equiv=\"Content-Type\" content=\"text/html; charset=Shift_JIS\">", &["Shift_JIS"]),
            ("<meta content='text/html;CHARSET=x-sjis' http-equiv=content-type>", &["x-sjis"]),
            ("<meta charset=utf-8><p>é</p><meta charset=big5>", &["utf-8", "big5"]),
            ("<meta name=description content='our charset=best'>", &[]),
            ("<p>&lt;meta charset=utf-8&gt; charset=utf-8</p><!-- <meta charset=utf-8> -->", &[]),
            ("<a charset=utf-8>", &[]),
            ("<meta charset=\"", &[]),
        ] {
            assert_eq!(found(html), expected, "{html}");
        }
        let many = charset_places(&["<meta charset=a>".repeat(CHARSET_PLACES_MAX + 1)]);
        assert_eq!(many.len(), CHARSET_PLACES_MAX);
    }
}
