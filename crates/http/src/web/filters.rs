//! The filters that templates use: texts by key, and figures as people read them.

use askama::{Values, filters::Safe};

use super::{format, icons, said::said as in_the_readers_language, texts};

/// The text of a key.
#[askama::filter_fn]
pub fn t(key: &str, _: &dyn Values) -> askama::Result<String> {
    Ok(texts::text(key))
}

/// The text of a key, with a number.
#[askama::filter_fn]
pub fn n(key: &str, _: &dyn Values, number: &i64) -> askama::Result<String> {
    Ok(texts::text_n(key, *number))
}

/// The text of a key, with a word.
#[askama::filter_fn]
pub fn s(key: &str, _: &dyn Values, word: &str) -> askama::Result<String> {
    Ok(texts::text_s(key, word))
}

/// The text of a key, with two words.
#[askama::filter_fn]
pub fn ss(key: &str, _: &dyn Values, word: &str, second: &str) -> askama::Result<String> {
    Ok(texts::text_ss(key, word, second))
}

/// The text `prefix-name`.
#[askama::filter_fn]
pub fn pick(prefix: &str, _: &dyn Values, name: &str) -> askama::Result<String> {
    Ok(texts::pick(prefix, name))
}

/// A room's sentence in the reader's language.
#[askama::filter_fn]
pub fn said(sentence: &str, _: &dyn Values, kind: &str) -> askama::Result<String> {
    Ok(in_the_readers_language(kind, sentence))
}

/// A number with its thousands grouped.
#[askama::filter_fn]
pub fn count(number: &i64, _: &dyn Values) -> askama::Result<String> {
    Ok(format::grouped(*number))
}

/// A time as a `<time>` element.
#[askama::filter_fn]
pub fn when(at_us: &i64, _: &dyn Values) -> askama::Result<Safe<String>> {
    Ok(Safe(format!("<time datetime=\"{}\">{}</time>", format::machine(*at_us), format::moment(*at_us))))
}

/// The clock time of a moment as a `<time>` element.
#[askama::filter_fn]
pub fn clock(at_us: &i64, _: &dyn Values) -> askama::Result<Safe<String>> {
    Ok(Safe(format!(
        "<time datetime=\"{}\" data-clock>{}</time>",
        format::machine(*at_us),
        format::clock(*at_us)
    )))
}

/// The day of a moment in UTC, as plans by the day count it.
#[askama::filter_fn]
pub fn day(at_us: &i64, _: &dyn Values) -> askama::Result<String> {
    Ok(format::day(*at_us))
}

/// A span of microseconds.
#[askama::filter_fn]
pub fn span(us: &i64, _: &dyn Values) -> askama::Result<String> {
    Ok(format::span(*us))
}

/// A size in bytes.
#[askama::filter_fn]
pub fn size(bytes: &u64, _: &dyn Values) -> askama::Result<String> {
    Ok(format::size(*bytes))
}

/// Messages a second.
#[askama::filter_fn]
pub fn speed(per_second: &f64, _: &dyn Values) -> askama::Result<String> {
    Ok(format::speed(*per_second))
}

/// A share in percent.
#[askama::filter_fn]
pub fn percent(part: &i64, _: &dyn Values, whole: &i64) -> askama::Result<String> {
    Ok(format::percent(*part, *whole))
}

/// An icon by name, coloured by `tone`; decoration only, the text beside it says the same.
#[askama::filter_fn]
pub fn icon(name: &str, _: &dyn Values, tone: &str) -> askama::Result<Safe<String>> {
    Ok(Safe(icons::svg(name, tone)))
}

/// A value for the query part of a URL.
#[askama::filter_fn]
pub fn query(value: &str, _: &dyn Values) -> askama::Result<String> {
    Ok(url::form_urlencoded::byte_serialize(value.as_bytes()).collect())
}
