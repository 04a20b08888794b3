//! The one catalogue of texts. Pages name a text by its key; the words stand in `texts/en.ftl`, and in the reader's
//! language in a file of the same keys. What such a file lacks is said in English.
//!
//! Tests check that every key that a template or a page names exists, that no text is left over, and that a
//! translation has the same keys, with the same words to put in.

use std::sync::LazyLock;

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};

use super::{
    format,
    reader::{self, Language},
};

const ENGLISH: &str = include_str!("../../texts/en.ftl");
const JAPANESE: &str = include_str!("../../texts/ja.ftl");

/// Immutable data, parsed once; it holds no state.
static CATALOGUE: LazyLock<Texts> = LazyLock::new(|| Texts::parse("en", ENGLISH));
static IN_JAPANESE: LazyLock<Texts> = LazyLock::new(|| Texts::parse("ja", JAPANESE));

/// The text of a key in the reader's language, else in English.
fn get(key: &str, args: Option<&FluentArgs<'_>>) -> Option<String> {
    let own = match reader::language() {
        Language::English => None,
        Language::Japanese => IN_JAPANESE.get(key, args),
    };
    own.or_else(|| CATALOGUE.get(key, args))
}

/// A parsed catalogue.
pub struct Texts {
    bundle: FluentBundle<FluentResource>,
    keys: Vec<String>,
}

impl Texts {
    fn parse(tag: &str, source: &str) -> Texts {
        // What cannot be parsed is left out and shows as its key; the tests refuse such a catalogue.
        let resource = match FluentResource::try_new(source.to_owned()) {
            Ok(resource) => resource,
            Err((partial, _)) => partial,
        };
        let names = source.lines().filter_map(|line| line.split_once(" =")).map(|(key, _)| key);
        let keys = names.filter(|key| !key.starts_with([' ', '#'])).map(str::to_owned).collect();
        let mut bundle = FluentBundle::new_concurrent(vec![tag.parse().unwrap_or_default()]);
        // No invisible isolation marks: names inside texts are escaped, and marks would be copied along.
        bundle.set_use_isolating(false);
        let _ = bundle.add_resource(resource);
        Texts { bundle, keys }
    }

    fn get(&self, key: &str, args: Option<&FluentArgs<'_>>) -> Option<String> {
        let pattern = self.bundle.get_message(key)?.value()?;
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, args, &mut errors).into_owned();
        if !errors.is_empty() {
            tracing::warn!(key, "a text asks for a value that its page does not give");
        }
        Some(text)
    }
}

/// The text of a key; the key itself when there is none, so that a gap is seen and not hidden.
pub fn text(key: &str) -> String {
    get(key, None).unwrap_or_else(|| key.to_owned())
}

/// Whether there is such a text.
pub fn exists(key: &str) -> bool {
    CATALOGUE.bundle.has_message(key)
}

/// The text `prefix-name`; for names that the program does not know yet, the name as it is.
pub fn pick(prefix: &str, name: &str) -> String {
    let key = format!("{prefix}-{}", name.replace('_', "-"));
    get(&key, None).unwrap_or_else(|| name.replace('_', " "))
}

/// All texts `prefix-…` as a JSON object, for scripts; their words to put in stand as `{s}` and `{s2}`.
pub fn bundle(prefix: &str) -> String {
    let start = format!("{prefix}-");
    let found = CATALOGUE.keys.iter().filter_map(|key| {
        let name = key.strip_prefix(&start)?;
        Some((name.to_owned(), serde_json::Value::from(text_ss(key, "{s}", "{s2}"))))
    });
    serde_json::Value::Object(found.collect()).to_string()
}

/// All English texts whose keys begin so, with these words in their places.
pub(super) fn english(start: &str, words: &[String]) -> Vec<(String, String)> {
    let args = with_words(words);
    let keys = CATALOGUE.keys.iter().filter(|key| key.starts_with(start));
    keys.filter_map(|key| Some((key.clone(), CATALOGUE.get(key, Some(&args))?))).collect()
}

fn with_words(words: &[String]) -> FluentArgs<'static> {
    let names = ["s", "s2", "s3", "s4"];
    names.into_iter().zip(words.iter().map(|word| FluentValue::from(word.clone()))).collect()
}

/// A text with up to four words: `$s` to `$s4`.
pub(super) fn text_words(key: &str, words: &[String]) -> String {
    get(key, Some(&with_words(words))).unwrap_or_else(|| key.to_owned())
}

/// A text with a number: `$n` chooses the plural, `$count` is the number with its thousands grouped.
pub fn text_n(key: &str, number: i64) -> String {
    text_ns(key, number, "")
}

/// A text with a word: `$s`.
pub fn text_s(key: &str, word: &str) -> String {
    text_ss(key, word, "")
}

/// A text with a number and a word.
pub fn text_ns(key: &str, number: i64, word: &str) -> String {
    let mut args = FluentArgs::new();
    args.set("n", FluentValue::from(number));
    args.set("count", format::grouped(number));
    args.set("s", word.to_owned());
    get(key, Some(&args)).unwrap_or_else(|| key.to_owned())
}

/// A text with two words: `$s` and `$s2`.
pub fn text_ss(key: &str, word: &str, second: &str) -> String {
    let mut args = FluentArgs::new();
    args.set("s", word.to_owned());
    args.set("s2", second.to_owned());
    get(key, Some(&args)).unwrap_or_else(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    fn sources() -> Vec<(PathBuf, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        let mut folders = vec![root.join("templates"), root.join("src").join("web")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("texts.rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    found.push((path, text));
                }
            }
        }
        found
    }

    /// Quoted words that stand before one of `marks` (filters) or after one of `calls` (functions).
    fn quoted(source: &str, marks: &[&str], calls: &[&str]) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for mark in marks {
            for (at, _) in source.match_indices(&format!("\"|{mark}")) {
                let rest = &source[at + 2 + mark.len()..];
                if rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_') {
                    continue;
                }
                let start = source[..at].rfind('"').map_or(0, |quote| quote + 1);
                keys.insert(source[start..at].to_owned());
            }
        }
        for call in calls {
            for (at, _) in source.match_indices(&format!("{call}(")) {
                let whole =
                    !source[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_');
                let rest = source[at + call.len() + 1..].trim_start();
                let Some(rest) = rest.strip_prefix('"').filter(|_| whole) else { continue };
                keys.insert(rest[..rest.find('"').unwrap()].to_owned());
            }
        }
        keys
    }

    fn used() -> (BTreeMap<String, PathBuf>, BTreeMap<String, PathBuf>) {
        let (mut keys, mut prefixes) = (BTreeMap::new(), BTreeMap::new());
        for (path, source) in sources() {
            let filters = ["t", "n", "s", "ns", "ss"];
            for key in quoted(&source, &filters, &["text", "text_n", "text_s", "text_ns", "text_ss"]) {
                keys.insert(key, path.clone());
            }
            for prefix in quoted(&source, &["pick"], &["pick", "bundle"]) {
                prefixes.insert(prefix, path.clone());
            }
            // Forms read their fields by closures of the same name.
            for kind in quoted(&source, &["said"], &["said"]) {
                let prefix = format!("said-{kind}");
                if ENGLISH.contains(&format!("\n{prefix}-")) {
                    prefixes.insert(prefix, path.clone());
                }
            }
        }
        (keys, prefixes)
    }

    #[test]
    fn the_catalogue_parses_without_fault_and_without_doubles() {
        let resource = FluentResource::try_new(ENGLISH.to_owned());
        assert!(resource.is_ok(), "{:?}", resource.err().map(|(_, errors)| errors));
        let mut seen = BTreeSet::new();
        for line in ENGLISH.lines() {
            if let Some((key, _)) = line.split_once(" =").filter(|(key, _)| !key.starts_with([' ', '#'])) {
                assert!(seen.insert(key), "{key} stands twice");
            }
        }
    }

    #[test]
    fn every_key_that_is_used_exists() {
        let (keys, prefixes) = used();
        let missing: Vec<_> = keys.iter().filter(|(key, _)| !exists(key)).collect();
        assert!(missing.is_empty(), "missing: {missing:#?}");
        for (prefix, path) in prefixes {
            let start = format!("{prefix}-");
            assert!(ENGLISH.lines().any(|line| line.starts_with(&start)), "{prefix}-* in {path:?}");
        }
    }

    #[test]
    fn no_text_is_left_over() {
        let (keys, prefixes) = used();
        let left: Vec<_> = ENGLISH
            .lines()
            .filter_map(|line| line.split_once(" =").map(|(key, _)| key))
            .filter(|key| !key.starts_with([' ', '#']))
            .filter(|key| !keys.contains_key(*key))
            .filter(|key| !prefixes.keys().any(|prefix| key.starts_with(&format!("{prefix}-"))))
            .collect();
        assert!(left.is_empty(), "nobody uses: {left:#?}");
    }

    /// The words that a text asks its page for.
    fn places(text: &str) -> BTreeSet<&str> {
        let words = text.split('$').skip(1);
        words.map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("")).collect()
    }

    /// The texts of a catalogue as they stand there, by key.
    fn sources_of(source: &str) -> BTreeMap<String, String> {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        let mut held = String::new();
        for line in source.lines() {
            match line.split_once(" =").filter(|(key, _)| !key.starts_with([' ', '#'])) {
                Some((key, rest)) => {
                    key.clone_into(&mut held);
                    assert!(texts.insert(held.clone(), rest.to_owned()).is_none(), "{key} stands twice");
                }
                None if line.starts_with(' ') => texts.entry(held.clone()).or_default().push_str(line),
                None => {}
            }
        }
        texts
    }

    #[test]
    fn translations_say_what_english_says() {
        let resource = FluentResource::try_new(JAPANESE.to_owned());
        assert!(resource.is_ok(), "{:?}", resource.err().map(|(_, errors)| errors));
        let (english, japanese) = (sources_of(ENGLISH), sources_of(JAPANESE));
        let missing: Vec<_> = english.keys().filter(|key| !japanese.contains_key(*key)).collect();
        assert!(missing.is_empty(), "without Japanese: {missing:#?}");
        for (key, text) in japanese {
            let Some(own) = english.get(&key) else { panic!("{key} is in no page") };
            // The number that chooses a plural goes unused where a language has no plural.
            let of = |text: &str| {
                places(text).into_iter().filter(|word| *word != "n").map(str::to_owned).collect()
            };
            let (said, given): (BTreeSet<String>, BTreeSet<String>) = (of(&text), of(own));
            assert_eq!(said, given, "{key} tells other things than English");
        }
    }

    #[tokio::test]
    async fn a_reader_gets_their_language_and_else_english() {
        let caller = access::Caller { language: "ja".into(), ..access::Caller::local() };
        let reader = reader::Reader::of(Some(&caller), &axum::http::HeaderMap::new());
        let said = reader.reads(async { (text("sign-in"), text("a-key-that-is-nowhere")) }).await;
        assert_eq!(said, ("サインイン".to_owned(), "a-key-that-is-nowhere".to_owned()));
        assert_eq!(text("sign-in"), "Sign in");
    }

    #[test]
    fn scripts_get_their_texts_with_places_for_words() {
        let texts: serde_json::Value = serde_json::from_str(&bundle("editor-say")).unwrap();
        assert!(texts["saved"].as_str().unwrap().contains("{s}"), "{texts}");
    }

    #[test]
    fn plurals_and_groups() {
        let texts =
            Texts::parse("en", "m = { $n ->\n    [one] one message\n   *[other] { $count } messages\n }\n");
        let say = |number: i64| {
            let mut args = FluentArgs::new();
            args.set("n", FluentValue::from(number));
            args.set("count", format::grouped(number));
            texts.get("m", Some(&args)).unwrap()
        };
        assert_eq!(say(1), "one message");
        assert_eq!(say(12_345), "12,345 messages");
    }
}
