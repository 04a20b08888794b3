//! Characters that stand for what is no text while a template is on its way: links, images, literal braces. They
//! are noncharacters, which no text has (`without_marks`), so that HTML tools and the template engine carry them
//! along; `cut.rs` turns them into pieces.

use std::borrow::Cow;

use message::{LinkKind, Piece};

/// The unsubscribe link.
pub(crate) const UNSUBSCRIBE: char = '\u{FDD0}';
/// The mirror link.
pub(crate) const MIRROR: char = '\u{FDD1}';
/// The open pixel's URL.
pub(crate) const OPEN: char = '\u{FDD2}';
/// A tracked link's URL; its number follows.
pub(crate) const TRACKED: char = '\u{FDD3}';
/// An image's URL; its number follows.
pub(crate) const IMAGE: char = '\u{FDD4}';
/// A brace that begins no tag: content that is not personalised has these.
pub(crate) const BRACE: char = '\u{FDD5}';
/// A QR or bar code; what to draw follows, up to [`CODE_END`].
pub(crate) const CODE: char = '\u{FDD6}';
/// How the marks (U+FDD0 to U+FDDF) begin when they are percent-encoded.
const ENCODED: &str = "%EF%B7%9";
/// Behind what a code is.
pub(crate) const CODE_END: char = '\u{FDD7}';

/// Numbers are characters of the last private plane. On their own they are text.
const NUMBER_FIRST: u32 = 0x10_0000;
/// Numbers that a mark can have; the plane's last two code points are noncharacters.
pub(crate) const NUMBERS_MAX: usize = 0xFFFE;

/// The mark of a tracked link.
pub(crate) fn tracked(number: u16) -> String {
    numbered(TRACKED, number)
}

/// The mark of an image: its index in the snapshot's images.
pub(crate) fn image(number: u16) -> String {
    numbered(IMAGE, number)
}

fn numbered(mark: char, number: u16) -> String {
    let number =
        char::from_u32(NUMBER_FIRST + u32::from(number)).expect("a plane has characters for 16 bits");
    [mark, number].iter().collect()
}

/// True for what [`next_mark`] finds.
fn is_mark(c: char) -> bool {
    (UNSUBSCRIBE..=CODE_END).contains(&c)
}

/// Takes the noncharacters out of a text that comes from outside.
pub(crate) fn without_marks(text: &str) -> Cow<'_, str> {
    let is_mark = |c: char| ('\u{FDD0}'..='\u{FDEF}').contains(&c);
    if text.is_ascii() || !text.contains(is_mark) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().filter(|c| !is_mark(*c)).collect())
    }
}

/// Makes every template mark of a source text.
pub(crate) fn without_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        let opens = c == '{' && matches!(chars.peek(), Some('{' | '%' | '#'));
        out.push(if opens { BRACE } else { c });
    }
    out
}

/// The same text as people read it: braces are braces, other marks are gone.
pub(crate) fn readable(text: &str) -> String {
    text.chars().filter_map(|c| if c == BRACE { Some('{') } else { (!is_mark(c)).then_some(c) }).collect()
}

/// What a stretch of text is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bit<'a> {
    /// Text, and whether a brace follows it.
    Text(&'a str),
    /// A brace.
    Brace,
    /// A link.
    Link(LinkKind),
    /// A code's mark as it stands; `drawn.rs` reads it, also one that lost its end.
    Code(&'a str),
    /// A mark without its number: some filter took it apart.
    Broken,
}

/// Cuts a text at its marks.
pub(crate) fn bits(text: &str) -> impl Iterator<Item = Bit<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        if !is_mark(first) {
            // All marks begin with the octet 0xEF, which makes the search fast in ASCII.
            let end = rest.find(is_mark).unwrap_or(rest.len());
            let (before, after) = rest.split_at(end);
            rest = after;
            return Some(Bit::Text(before));
        }
        if first == CODE {
            let end = rest.find(CODE_END).map_or(rest.len(), |at| at + CODE_END.len_utf8());
            let (code, after) = rest.split_at(end);
            rest = after;
            return Some(Bit::Code(code));
        }
        rest = &rest[first.len_utf8()..];
        let kind = match first {
            BRACE => return Some(Bit::Brace),
            UNSUBSCRIBE => LinkKind::Unsubscribe,
            MIRROR => LinkKind::Mirror,
            OPEN => LinkKind::Open,
            CODE_END => return Some(Bit::Broken),
            _ => {
                let Some((number, length)) = number(rest) else { return Some(Bit::Broken) };
                rest = &rest[length..];
                if first == TRACKED { LinkKind::Tracked(number) } else { LinkKind::Image(number) }
            }
        };
        Some(Bit::Link(kind))
    })
}

fn number(text: &str) -> Option<(u16, usize)> {
    let c = text.chars().next()?;
    let number = u16::try_from((c as u32).checked_sub(NUMBER_FIRST)?).ok()?;
    (usize::from(number) < NUMBERS_MAX).then_some((number, c.len_utf8()))
}

/// What marks were met in literal text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Met {
    /// Some mark has lost its number, or stands percent-encoded.
    pub broken: bool,
    /// A code's mark stands there.
    pub code: bool,
}

/// Adds a text with marks to pieces: literal text is joined to a literal before it. Notes in `met` what it saw, so that
/// nobody has to read each recipient's values again.
pub(crate) fn literal(pieces: &mut Vec<Piece>, text: &str, met: &mut Met) {
    if text.is_empty() {
        return;
    }
    // A filter such as `urlencode` on a built-in link would send the mark itself; what it gives is a literal. One octet
    // is looked for first, because a search for a word costs its preparation.
    met.broken |= text.contains('%') && text.contains(ENCODED);
    if text.is_ascii() {
        return join(pieces, text);
    }
    for bit in bits(text) {
        match bit {
            Bit::Link(kind) => pieces.push(Piece::Link(kind)),
            Bit::Broken => met.broken = true,
            Bit::Brace => join(pieces, "{"),
            Bit::Text(text) => join(pieces, text),
            Bit::Code(text) => {
                met.code = true;
                join(pieces, text);
            }
        }
    }
}

fn join(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Literal(last)) => last.push_str(text),
        _ => pieces.push(Piece::Literal(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_marks() {
        let text = format!("a{}b{}{}{UNSUBSCRIBE}c{BRACE}{TRACKED}d", tracked(3), image(0), tracked(65_533));
        let found: Vec<Bit<'_>> = bits(&text).collect();
        assert_eq!(
            found,
            [
                Bit::Text("a"),
                Bit::Link(LinkKind::Tracked(3)),
                Bit::Text("b"),
                Bit::Link(LinkKind::Image(0)),
                Bit::Link(LinkKind::Tracked(65_533)),
                Bit::Link(LinkKind::Unsubscribe),
                Bit::Text("c"),
                Bit::Brace,
                Bit::Broken,
                Bit::Text("d")
            ]
        );
    }

    #[test]
    fn braces_come_back() {
        let source = "a {{ x }} { y } {% z %}{{{ {#";
        let hidden = without_tags(source);
        assert!(crate::tags::scan(&hidden).is_empty(), "{hidden}");
        assert_eq!(readable(&hidden), source);
        let mut pieces = Vec::new();
        literal(&mut pieces, &hidden, &mut Met::default());
        assert_eq!(pieces, [Piece::Literal(source.to_owned())]);
    }
}
