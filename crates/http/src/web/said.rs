//! Sentences of the rooms below, in the reader's language.
//!
//! The rooms know no catalogue: they say why in English, with names and numbers in place, and programs that ask over REST get
//! those words. For pages, `texts/en.ftl` has each such sentence again as `said-KIND-NAME`, with `{ $s }` to `{ $s4 }` for
//! what varies; a sentence that fits is said by the same key in the reader's language. What fits none (a receiver's own words,
//! an operator's reason) stays as it is. A test finds every one of these texts in the rooms' source, so that none goes stale.
//! Rejected: a code beside each sentence through mta, queue, routes and their tables, for the sake of a few pages.

use std::sync::LazyLock;

use super::{
    reader::{self, Language},
    texts,
};

/// A sentence with its places, as the pieces between them.
struct Pattern {
    key: String,
    /// Literal text, then which of `{ $s }` (0) to `{ $s4 }` (3) follows it.
    pieces: Vec<(String, usize)>,
    /// What stands behind the last place; the whole text when there is none.
    tail: String,
}

/// Marks for the places while a text is cut; no text has control characters.
const MARKS: [char; PLACES] = ['\u{1}', '\u{2}', '\u{3}', '\u{4}'];
/// Places of a sentence.
const PLACES: usize = 4;

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let all = texts::english("said-", &MARKS.map(String::from));
    let mut patterns: Vec<Pattern> = all.into_iter().map(|(key, text)| Pattern::of(key, &text)).collect();
    // Of several that fit, the one that says most.
    patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.literal_len()));
    patterns
});

impl Pattern {
    fn of(key: String, text: &str) -> Pattern {
        let (mut pieces, mut tail) = (Vec::new(), String::new());
        for char in text.chars() {
            match MARKS.iter().position(|mark| *mark == char) {
                Some(place) => pieces.push((std::mem::take(&mut tail), place)),
                None => tail.push(char),
            }
        }
        Pattern { key, pieces, tail }
    }

    fn literal_len(&self) -> usize {
        self.tail.len() + self.pieces.iter().map(|(text, _)| text.len()).sum::<usize>()
    }

    /// What stands in the places, when the sentence fits.
    fn places<'a>(&self, sentence: &'a str) -> Option<[&'a str; PLACES]> {
        let mut found = [""; PLACES];
        let Some((first, rest)) = self.pieces.split_first() else {
            return (sentence == self.tail).then_some(found);
        };
        let mut left = sentence.strip_prefix(first.0.as_str())?;
        let mut place = first.1;
        for (literal, next) in rest {
            let at = left.find(literal.as_str()).filter(|at| *at > 0)?;
            found[place] = &left[..at];
            (left, place) = (&left[at + literal.len()..], *next);
        }
        found[place] = left.strip_suffix(self.tail.as_str()).filter(|word| !word.is_empty())?;
        Some(found)
    }
}

/// The sentence of a room in the reader's language; as it is when it is none of that kind.
pub fn said(kind: &str, sentence: &str) -> String {
    if reader::language() == Language::English {
        return sentence.to_owned();
    }
    let content = || if matches!(kind, "finding" | "problem") { about_content(sentence) } else { None };
    translated(kind, sentence).or_else(content).unwrap_or_else(|| sentence.to_owned())
}

/// What is wrong with a content, and behind a colon perhaps what to do: findings and refusals say both in one sentence.
fn about_content(sentence: &str) -> Option<String> {
    let both = || {
        sentence.match_indices(": ").find_map(|(at, colon)| {
            let (wrong, hint) = (&sentence[..at], &sentence[at + colon.len()..]);
            let (wrong, hint) = (translated("content", wrong)?, translated("content", hint)?);
            Some(texts::text_ss("content-wrong-hint", &wrong, &hint))
        })
    };
    // How often, or for how many: in brackets at the end, one behind the other.
    let with_aside = || {
        let all = sentence.strip_suffix(')')?;
        all.rmatch_indices(" (").find_map(|(at, opening)| {
            let told = about_content(&sentence[..at])?;
            Some(texts::text_ss("content-aside", &told, &said("aside", &all[at + opening.len()..])))
        })
    };
    translated("content", sentence).or_else(with_aside).or_else(both)
}

fn translated(kind: &str, sentence: &str) -> Option<String> {
    let start = format!("said-{kind}-");
    let mut own = PATTERNS.iter().filter(|pattern| pattern.key.starts_with(&start));
    let (pattern, places) = own.find_map(|pattern| Some((pattern, pattern.places(sentence)?)))?;
    // A place can hold a sentence itself: what a limit was lowered for.
    let words = places.map(|word| match word {
        "" => String::new(),
        word if word.len() < sentence.len() => said(kind, word),
        word => word.to_owned(),
    });
    Some(texts::text_words(&pattern.key, &words))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::web::reader::Reader;

    fn in_japanese(kind: &str, sentence: &str) -> String {
        let caller = access::Caller { language: "ja".into(), ..access::Caller::local() };
        let reader = Reader::of(Some(&caller), &axum::http::HeaderMap::new());
        reader.reads_now(|| said(kind, sentence))
    }

    #[test]
    fn sentences_of_the_rooms_are_said_in_japanese_and_others_stay() {
        let sentence = "cut to 70 % after: 12 % of the answers were \"not now\"";
        assert_eq!(said("path", sentence), sentence, "English as it is");
        let japanese = in_japanese("path", sentence);
        assert!(
            japanese.contains("70") && japanese.contains("12") && !japanese.contains("after"),
            "{japanese}"
        );
        let own = "421 4.7.0 try again later";
        assert_eq!(in_japanese("path", own), own);
        let with_own = in_japanese("path", &format!("fewer connections after: {own}"));
        assert!(with_own.contains(own) && !with_own.contains("after:"), "{with_own}");
        assert_ne!(in_japanese("problem", "There is no such delivery."), "There is no such delivery.");
    }

    /// Texts of sentences that no room of ours says, but the template engine.
    const ENGINE: &str = "said-content-engine-";

    #[test]
    fn what_the_template_engine_says_is_said_in_japanese() {
        let nobody = content::Fields::new(&content::Columns::new(Vec::new(), Vec::new()), Vec::new(), "");
        for html in [
            "{{ 'x' | nosuch }}",
            "{% if 'x' is nosuch %}x{% endif %}",
            "{% nosuch %}",
            "{{ 1 + }}",
            "{% if first_name %}x",
            "{{ first_name",
        ] {
            let draft = content::Draft {
                subject: "s".into(),
                from_address: "news@shop.example".into(),
                html: Some(format!("<p>{html}</p>")),
                ..content::Draft::default()
            };
            let problem = match content::compile(&draft, &content::CompileOptions::default()) {
                Err(problems) => problems[0].clone(),
                Ok(compiled) => compiled.evaluate(&nobody, 0).unwrap_err(),
            };
            let japanese = in_japanese("content", &problem.message);
            assert_ne!(japanese, problem.message, "{html}");
            assert!(!japanese.contains("expected"), "{html}: {japanese}");
        }
    }

    #[test]
    fn a_fault_of_the_content_and_what_to_do_are_one_sentence() {
        let both = "`nme` is not a field of this recipient: check the name, or give a default: {{ nme | default('…') }}";
        let (wrong, hint) = both.split_once(": ").unwrap();
        for kind in ["finding", "problem"] {
            let japanese = in_japanese(kind, both);
            assert!(japanese.contains(&in_japanese("content", wrong)), "{japanese}");
            assert!(japanese.contains(&in_japanese("content", hint)), "{japanese}");
            assert!(
                japanese.contains("{{ nme | default('…') }}") && !japanese.contains("check"),
                "{japanese}"
            );
        }
    }

    #[test]
    fn how_often_and_for_whom_stands_in_brackets() {
        let sentence = "Deco-mail (docomo) does not know the tag <tr> (20 times; the first is here) (614 recipients of Deco-mail (docomo))";
        let japanese = in_japanese("finding", sentence);
        for kept in ["<tr>", "20", "614", "Deco-mail (docomo)"] {
            assert!(japanese.contains(kept), "{japanese}");
        }
        for english in ["know", "times", "recipients", " of "] {
            assert!(!japanese.contains(english), "{japanese}");
        }
        assert_eq!(in_japanese("finding", "nobody says (this)"), "nobody says (this)");
    }

    #[test]
    fn a_refusal_names_the_state_in_words() {
        let refused = in_japanese("problem", "delivery 7 is in_progress: stop it before you delete it");
        assert!(
            refused.contains('7') && !refused.contains("in_progress") && !refused.contains("stop"),
            "{refused}"
        );
    }

    #[test]
    fn the_sentence_that_says_most_wins() {
        let exact = in_japanese("refused", "must be 1 to 366 allowances of at least 1 message");
        assert!(!exact.contains("allowances"), "{exact}");
        assert!(in_japanese("refused", "must be 1 to 1000").contains("1000"));
        let three =
            "sending needs about 9 h, the validity period is 5 h: the rest is cancelled (slowest: gmx)";
        let three = in_japanese("finding", three);
        assert!(three.contains('9') && three.contains("gmx") && !three.contains("sending"), "{three}");
    }

    /// Rust sources as one text: strings joined over their line ends, their places marked.
    fn rooms() -> String {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut folders: Vec<_> = ["routes", "mta", "queue", "typology", "content", "delivery", "http"]
            .iter()
            .map(|room| crates.join(room).join("src"))
            .collect();
        let mut all = String::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("said.rs") {
                    all.push_str(&fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut joined = String::with_capacity(all.len());
        let mut lines = all.lines();
        while let Some(line) = lines.next() {
            match line.strip_suffix('\\') {
                Some(begun) => {
                    joined.push_str(begun);
                    joined.push_str(lines.next().unwrap_or_default().trim_start());
                }
                None => joined.push_str(line),
            }
            joined.push('\n');
        }
        // Words that a room says in several places are a constant of it: `{NAMED_SO}`.
        for (name, words) in constants(&joined) {
            joined = joined.replace(&format!("{{{name}}}"), &words);
        }
        // A number that is put in for `#`.
        without_places(&joined.replace("\\\"", "\"").replace("\"# ", "\"{} "))
    }

    /// Every `const NAME: &str = "words";` of one line.
    fn constants(text: &str) -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.split_once("const ")?.1.strip_suffix("\";"));
        let named = lines.filter_map(|line| line.split_once(": &str = \""));
        named.map(|(name, words)| (name.to_owned(), words.to_owned())).collect()
    }

    /// Each `{…}` and `{{ … }}` within a line as `{}`, several in a row as one.
    fn without_places(text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            let inner = rest[at..].trim_start_matches('{');
            let end = inner.find(['}', '{', '\n']).filter(|end| *end <= 40 && inner[*end..].starts_with('}'));
            let Some(end) = end else {
                out.push('{');
                rest = inner;
                continue;
            };
            if !out.ends_with("{}") {
                out.push_str("{}");
            }
            rest = inner[end..].trim_start_matches('}');
        }
        out.push_str(rest);
        out
    }

    #[test]
    fn every_text_is_one_that_a_room_says() {
        let rooms = rooms();
        let texts = texts::english("said-", &[(); PLACES].map(|()| "{}".to_owned()));
        let ours = texts.iter().filter(|(key, _)| !key.starts_with(ENGINE));
        let stale: Vec<_> = ours.filter(|(_, text)| !rooms.contains(&text.replace("{}{}", "{}"))).collect();
        assert!(stale.is_empty(), "no room says any more: {stale:#?}");
    }
}
