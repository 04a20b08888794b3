//! Filters and functions of templates beyond minijinja's own: dates, numbers and money in the recipient's language,
//! names, URLs.
//!
//! The language is the argument `lang`, else the recipient's field `language`, else English.

use jiff::Zoned;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use crate::languages::{Language, currency, language};

/// Digits after the point that a number can be written with.
const DECIMALS_MAX: usize = 12;

/// Adds them all; `now_us` is what `now()` says.
pub(crate) fn add_to(environment: &mut Environment<'_>, now_us: i64) {
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("date", date);
    environment.add_filter("number", number);
    environment.add_filter("money", money);
    environment.add_filter("currency", money);
    environment.add_filter("proper", |text: &str| proper(text));
    environment.add_filter("escape_url", escape_url);
    environment.add_filter("urlencode", escape_url);
    environment.add_function("now", move || timestamp(now_us).to_string());
    // For the native blocks; the underscore leaves the plain names to recipients' attributes.
    environment.add_function("_phrase", phrase);
    environment.add_function("_greeting", greeting);
    // `debug()` would print all fields and writes no mail anybody wants; `lipsum`-like fillers do not exist.
    environment.remove_global("debug");
}

fn refuse(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

/// A value that is undefined, none or empty is replaced: a recipient without a first name has an empty one. The
/// third argument is Jinja's: whether other false values (0, false) are replaced too.
fn default(value: &Value, other: Option<Value>, also_false: Option<bool>) -> Value {
    let empty = is_empty(value) || (also_false == Some(true) && !value.is_true());
    if empty { other.unwrap_or_else(|| Value::from("")) } else { value.clone() }
}

fn is_empty(value: &Value) -> bool {
    value.is_undefined() || value.is_none() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn timestamp(time_us: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(time_us).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

fn language_of(state: &State, kwargs: &Kwargs) -> Result<&'static Language, Error> {
    if let Some(tag) = kwargs.get::<Option<&str>>("lang")? {
        return Ok(language(tag));
    }
    let field = state.lookup("language");
    Ok(language(field.as_ref().and_then(Value::as_str).unwrap_or_default()))
}

/// `{{ now() | date('%d.%m.%Y', tz='Europe/Berlin') }}`; the value is a date or a time as in ISO 8601. Instead of
/// strftime's words, `short`, `medium`, `long` or `full` gives the form of the language.
fn date(state: &State, value: &Value, format: Option<&str>, kwargs: Kwargs) -> Result<String, Error> {
    let (language, zone) = (language_of(state, &kwargs)?, kwargs.get::<Option<&str>>("tz")?);
    kwargs.assert_all_used()?;
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "not a field"));
    }
    let text = value.as_str().ok_or_else(|| refuse(format!("`{value}` is not a date")))?;
    let time = parse_time(text.trim(), zone.unwrap_or("UTC"))?;
    let format = match format.unwrap_or("%Y-%m-%d") {
        "short" => language.dates[0],
        "medium" => language.dates[1],
        "long" => language.dates[2],
        "full" => language.dates[3],
        format => format,
    };
    let format = in_language(format, language, &time);
    jiff::fmt::strtime::format(&format, &time).map_err(|error| refuse(error.to_string()))
}

fn parse_time(text: &str, zone: &str) -> Result<Zoned, Error> {
    let zone = jiff::tz::TimeZone::get(zone).map_err(|error| refuse(error.to_string()))?;
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.to_zoned(zone));
    }
    let civil = text.parse::<jiff::civil::DateTime>();
    let civil = civil.or_else(|_| text.parse::<jiff::civil::Date>().map(|date| date.at(0, 0, 0, 0)));
    let civil = civil.map_err(|_| refuse(format!("`{text}` is not a date")))?;
    civil.to_zoned(zone).map_err(|error| refuse(error.to_string()))
}

/// Replaces the names of days and months, which strftime writes in English.
fn in_language(format: &str, language: &Language, time: &Zoned) -> String {
    let month = usize::try_from(time.month()).unwrap_or(1).clamp(1, 12) - 1;
    let day = usize::try_from(time.weekday().to_sunday_zero_offset()).unwrap_or(0).min(6);
    let mut out = String::with_capacity(format.len() + 16);
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let name = match chars.next() {
            Some('B') => language.months[month].to_owned(),
            Some('b' | 'h') if language.short_months[month].is_empty() => language.months[month].to_owned(),
            Some('b' | 'h') => language.short_months[month].to_owned(),
            Some('A') => language.days[day].to_owned(),
            Some('a') => short_day(language, day),
            Some(other) => format!("%{other}"),
            None => "%".to_owned(),
        };
        out.push_str(&name);
    }
    out
}

/// One character where days are written with one, else three.
fn short_day(language: &Language, day: usize) -> String {
    let name = language.days[day];
    match language.code {
        "ja" | "ko" => name.chars().take(1).collect(),
        "zh" => name.chars().skip(2).collect(),
        _ => name.chars().take(3).collect(),
    }
}

/// `{{ points | number }}`, `{{ weight | number(2) }}`: digits in groups, rounded to so many after the point.
fn number(state: &State, value: &Value, decimals: Option<usize>, kwargs: Kwargs) -> Result<String, Error> {
    let language = language_of(state, &kwargs)?;
    kwargs.assert_all_used()?;
    written(value, decimals, language)
}

/// `{{ total | money('EUR') }}`: as many digits as the currency has, unless `decimals` says another number.
fn money(state: &State, value: &Value, code: &str, kwargs: Kwargs) -> Result<String, Error> {
    let (language, decimals) = (language_of(state, &kwargs)?, kwargs.get::<Option<usize>>("decimals")?);
    kwargs.assert_all_used()?;
    let code = code.trim().to_ascii_uppercase();
    let (symbol, digits) = match currency(&code) {
        Some((symbol, digits)) => (symbol, digits),
        None if code.len() == 3 && code.bytes().all(|octet| octet.is_ascii_uppercase()) => (code.as_str(), 2),
        None => return Err(refuse(format!("`{code}` is not a currency: write EUR, USD, JPY …"))),
    };
    let number = written(value, Some(decimals.unwrap_or(digits)), language)?;
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => ("-", rest.to_owned()),
        None => ("", number),
    };
    // A code of letters needs a blank between it and the number: CHF 12.
    let pattern = match language.money {
        "¤#" if symbol.ends_with(|c: char| c.is_alphabetic()) => "¤\u{a0}#",
        pattern => pattern,
    };
    let placed = pattern.replace('¤', symbol);
    // The number last, since a symbol has no `#`.
    Ok(format!("{sign}{}", placed.replace('#', &number)))
}

fn written(value: &Value, decimals: Option<usize>, language: &Language) -> Result<String, Error> {
    let decimals = decimals.map(|decimals| decimals.min(DECIMALS_MAX));
    let plain = plain_number(value, decimals)?;
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        if at > 0 && left % 3 == 0 && whole.len() >= language.grouped_from {
            out.push_str(language.group);
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push_str(language.decimal);
        out.push_str(fraction);
    }
    Ok(out)
}

/// `-1234.50`: attributes are text, so a text that is a number counts.
fn plain_number(value: &Value, decimals: Option<usize>) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "not a field"));
    }
    let not_a_number = || refuse(format!("`{value}` is not a number"));
    let text = match value.as_str() {
        Some(text) => text.trim().to_owned(),
        None if value.kind() == ValueKind::Number => value.to_string(),
        None => return Err(not_a_number()),
    };
    let whole = text.strip_prefix(['-', '+']).unwrap_or(&text);
    // Whole numbers are not taken for floats, which lose digits above 2^53.
    if !whole.is_empty() && whole.len() <= 30 && whole.bytes().all(|octet| octet.is_ascii_digit()) {
        let trimmed = whole.trim_start_matches('0');
        let whole = if trimmed.is_empty() { "0" } else { trimmed };
        let sign = if text.starts_with('-') && whole != "0" { "-" } else { "" };
        return Ok(match decimals {
            Some(decimals) if decimals > 0 => format!("{sign}{whole}.{}", "0".repeat(decimals)),
            _ => format!("{sign}{whole}"),
        });
    }
    let number: f64 = text.parse().map_err(|_| not_a_number())?;
    if !number.is_finite() || number.abs() >= 1e15 {
        return Err(not_a_number());
    }
    let written = match decimals {
        Some(decimals) => half_up(&text, number, decimals),
        None => format!("{number}"),
    };
    let zero = written.trim_matches(|c| matches!(c, '-' | '0' | '.')).is_empty();
    Ok(if zero { written.trim_start_matches('-').to_owned() } else { written })
}

/// Rounds as people do with the decimal digits that are written: 2.675 is 2.68, although no float is 2.675.
fn half_up(text: &str, number: f64, decimals: usize) -> String {
    let shown = if text.contains(['e', 'E']) { format!("{number}") } else { text.to_owned() };
    let fraction = shown.split_once('.').map_or("", |(_, fraction)| fraction);
    if fraction.len() > decimals
        && fraction.as_bytes()[decimals] == b'5'
        && fraction[decimals + 1..].trim_matches('0').is_empty()
    {
        // Exactly half: a nudge far below the last digit decides upwards.
        return format!("{:.decimals$}", number + number.signum() * 10f64.powi(-(decimals as i32) - 4));
    }
    format!("{number:.decimals$}")
}

/// `MARIE-CLAIRE o'neil` is `Marie-Claire O'Neil`. A name in mixed case stays as its owner writes it.
fn proper(text: &str) -> String {
    let (mut lower, mut upper) = (false, false);
    for c in text.chars() {
        lower |= c.is_lowercase();
        upper |= c.is_uppercase();
    }
    let mut words = String::with_capacity(text.len());
    let mut before: Option<char> = None;
    for c in text.chars() {
        let starts = before.is_none_or(|before| !before.is_alphanumeric());
        if starts {
            words.extend(c.to_uppercase());
        } else if lower && upper {
            words.push(c);
        } else {
            words.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    words
}

/// Percent-encodes for a part of a URL: everything but letters, digits and `-._~/`.
fn escape_url(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "not a field"));
    }
    let text = match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_none() => String::new(),
        None => value.to_string(),
    };
    Ok(percent_encoded(&text))
}

/// As [`escape_url`].
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

/// A phrase of the native blocks in the recipient's language.
fn phrase(state: &State, name: &str, kwargs: Kwargs) -> Result<String, Error> {
    let language = language_of(state, &kwargs)?;
    kwargs.assert_all_used()?;
    match name {
        "mirror" => Ok(language.mirror.to_owned()),
        "unsubscribe" => Ok(language.unsubscribe.to_owned()),
        "email" => Ok(language.by_email.to_owned()),
        _ => Err(refuse(format!("there is no phrase `{name}`: mirror, unsubscribe and email are there"))),
    }
}

/// `Dear Ann Smith,` in the recipient's language; `Hello,` for somebody without a name.
fn greeting(state: &State, kwargs: Kwargs) -> Result<String, Error> {
    let language = language_of(state, &kwargs)?;
    kwargs.assert_all_used()?;
    let field =
        |name: &str| state.lookup(name).and_then(|value| value.as_str().map(|text| proper(text.trim())));
    let (first, last) = (field("first_name").unwrap_or_default(), field("last_name").unwrap_or_default());
    // Family names come first in Japanese, Chinese and Korean, and stand alone before 様.
    let name = match language.code {
        "ja" if !last.is_empty() => last,
        "zh" | "ko" => format!("{last}{first}"),
        _ => format!("{first} {last}").trim().to_owned(),
    };
    Ok(if name.is_empty() {
        language.greeting[1].to_owned()
    } else {
        language.greeting[0].replace('#', &name)
    })
}

#[cfg(test)]
mod tests {
    use crate::fields::Fields;
    use crate::template::render_text;

    fn in_(language: &str, template: &str) -> String {
        let fields = Fields::from_pairs([
            ("language", language),
            ("first_name", "MARIE-CLAIRE"),
            ("last_name", "o'neil"),
            ("total", "1234567.5"),
            ("points", "1234"),
            ("day", "2026-03-05"),
        ]);
        render_text("label", template, &fields, 1_795_687_980_000_000)
            .unwrap_or_else(|problem| problem.to_string())
    }

    #[test]
    fn numbers_and_money_are_written_in_the_recipients_language() {
        let cases = [
            ("en", "1,234,567.50 1,234 €1,234,567.50 ¥1,234"),
            ("de", "1.234.567,50 1.234 1.234.567,50\u{a0}€ 1.234\u{a0}¥"),
            ("de-CH", "1’234’567.50 1’234 €\u{a0}1’234’567.50 ¥\u{a0}1’234"),
            (
                "fr",
                "1\u{202f}234\u{202f}567,50 1\u{202f}234 1\u{202f}234\u{202f}567,50\u{a0}€ 1\u{202f}234\u{a0}¥",
            ),
            ("es", "1.234.567,50 1234 1.234.567,50\u{a0}€ 1234\u{a0}¥"),
            ("ja", "1,234,567.50 1,234 €1,234,567.50 ¥1,234"),
        ];
        let template = "{{ total | number(2) }} {{ points | number }} {{ total | money('EUR') }} {{ points | currency('JPY') }}";
        for (language, expected) in cases {
            assert_eq!(in_(language, template), expected, "{language}");
        }
        assert_eq!(
            in_("en", "{{ 12 | money('chf') }} {{ -0.5 | money('usd') }} {{ 3 | money('XYZ') }}"),
            "CHF\u{a0}12.00 -$0.50 XYZ\u{a0}3.00"
        );
        assert_eq!(in_("de", "{{ 5 | money('USD', lang='en', decimals=0) }}"), "$5");
    }

    #[test]
    fn numbers_are_rounded_and_refused_as_people_expect() {
        assert_eq!(
            in_("en", "{{ '2.675' | number(2) }} {{ 0.125 | number(2) }} {{ 2.5 | number(0) }}"),
            "2.68 0.13 3"
        );
        assert_eq!(
            in_("en", "{{ '-0.001' | number(2) }} {{ '-2.5' | number(0) }} {{ '007' | number }}"),
            "0.00 -3 7"
        );
        assert_eq!(
            in_("en", "{{ 9007199254740993 | number }} {{ 1.5 | number }}"),
            "9,007,199,254,740,993 1.5"
        );
        for wrong in
            ["{{ 'many' | number }}", "{{ '' | number }}", "{{ [1] | number }}", "{{ '1e300' | number }}"]
        {
            assert!(in_("en", wrong).contains("is not a number"), "{wrong}");
        }
        assert!(in_("en", "{{ 1 | money('euros') }}").contains("not a currency"));
        assert!(in_("en", "{{ nothing | number }}").contains("`nothing` is not a field"));
    }

    #[test]
    fn dates_are_written_in_the_recipients_language() {
        let template = "{{ day | date('short') }}|{{ day | date('medium') }}|{{ day | date('long') }}|{{ day | date('full') }}";
        let cases = [
            ("en-US", "3/5/26|Mar 5, 2026|March 5, 2026|Thursday, March 5, 2026"),
            ("en-GB", "05/03/2026|5 Mar 2026|5 March 2026|Thursday 5 March 2026"),
            ("de", "05.03.26|05.03.2026|5. März 2026|Donnerstag, 5. März 2026"),
            ("fr", "05/03/2026|5 mars 2026|5 mars 2026|jeudi 5 mars 2026"),
            ("ja", "2026/03/05|2026/03/05|2026年3月5日|2026年3月5日木曜日"),
        ];
        for (language, expected) in cases {
            assert_eq!(in_(language, template), expected, "{language}");
        }
        assert_eq!(in_("ja", "{{ day | date('%-m/%-d(%a)') }}"), "3/5(木)");
        assert_eq!(
            in_("de", "{{ day | date('%a %b %%') }} {{ day | date('%B', lang='it') }}"),
            "Don März % marzo"
        );
        assert!(in_("de", "{{ 'soon' | date }}").contains("is not a date"));
    }

    #[test]
    fn names_urls_and_greetings() {
        assert_eq!(
            in_("en", "{{ first_name | proper }} {{ last_name | proper }} {{ 'McDonald' | proper }}"),
            "Marie-Claire O'Neil McDonald"
        );
        assert_eq!(in_("en", "{{ 'a b&c/é' | escape_url }} {{ 7 | urlencode }}"), "a%20b%26c/%C3%A9 7");
        assert_eq!(in_("de", "{{ _greeting() }}"), "Guten Tag Marie-Claire O'Neil,");
        assert_eq!(in_("ja", "{{ _greeting() }} {{ _phrase('mirror') }}"), "O'Neil様 ブラウザーで表示");
        let nobody = Fields::from_pairs([("language", "fr")]);
        assert_eq!(render_text("label", "{{ _greeting() }}", &nobody, 0).unwrap(), "Bonjour,");
    }
}
