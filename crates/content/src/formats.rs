//! Formats: which variant a recipient gets, by what the delivery chose, by profile, by carrier and by domain; and what
//! an encoding cannot write of a message.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use message::{
    BodyEncoding, Carrier, Charset, FLAGS_LONG_LINES, ImageMode, LINE_LEN_PLAIN_MAX, Part, PartName, Piece,
    Slots, Snapshot, Structure, TransferChoice, VARIANT_ALTERNATIVE, VARIANT_HTML, VARIANT_TEXT,
    VARIANTS_MAX, Variant,
};

use crate::draft::{Draft, FormatChoice};
use crate::format_rules::{FormatRule, rule_for};
use crate::problem::Problem;

/// Characters named per message that an encoding lacks; one that is written in another script lacks them all.
const NAMED_MAX: usize = 5;
/// Length of a link in a message besides the public URL, at most: path, token, number or hash.
const LINK_LEN: usize = 120;

/// The variants of a delivery, and who gets which.
#[derive(Debug)]
pub(crate) struct Formats {
    choice: FormatChoice,
    rules: Vec<FormatRule>,
    /// Per rule: its variant for each wish (none, text, HTML).
    by_rule: Vec<[u8; 3]>,
    /// docomo, SoftBank, au: for a profile that says so, at a domain without a rule for that carrier.
    carriers: [u8; 3],
    /// For the snapshot.
    pub variants: Vec<Variant>,
    checks: Vec<OnceLock<Check>>,
}

/// The words of `email_format` for carriers.
const CARRIERS: [(&str, Carrier); 3] =
    [("docomo", Carrier::Docomo), ("softbank", Carrier::SoftBank), ("au", Carrier::Au)];

impl Formats {
    /// From the draft and the rules; rules that do not fit any more are told.
    pub fn new(draft: &Draft, rules: &[FormatRule], warnings: &mut Vec<Problem>) -> Formats {
        let mut formats = Formats {
            choice: draft.format,
            rules: rules.to_vec(),
            by_rule: Vec::with_capacity(rules.len()),
            carriers: [0; 3],
            variants: Variant::standard(draft.encoding),
            checks: Vec::new(),
        };
        for rule in rules {
            let wishes = [VARIANT_ALTERNATIVE, VARIANT_TEXT, VARIANT_HTML];
            let variants = wishes.map(|wish| formats.add(of_rule(rule, draft, wish)));
            formats.by_rule.push(variants);
        }
        for (at, (_, carrier)) in CARRIERS.iter().enumerate() {
            let rule = rules.iter().position(|rule| carrier_of(rule) == Some(*carrier));
            formats.carriers[at] = match rule {
                Some(rule) => formats.by_rule[rule][0],
                None => formats.add(of_carrier(*carrier)),
            };
        }
        if formats.variants.len() >= VARIANTS_MAX {
            let text =
                format!("the format rules make more than {VARIANTS_MAX} formats; later ones are not used");
            warnings.push(Problem::new("format_rules", text));
        }
        formats.checks = formats.variants.iter().map(|_| OnceLock::new()).collect();
        formats
    }

    fn add(&mut self, variant: Variant) -> u8 {
        if let Some(at) = self.variants.iter().position(|known| *known == variant) {
            return at as u8;
        }
        if self.variants.len() >= VARIANTS_MAX {
            return VARIANT_ALTERNATIVE;
        }
        self.variants.push(variant);
        (self.variants.len() - 1) as u8
    }

    /// The variant for a recipient.
    pub fn variant_for(&self, email_format: &str, domain: &str) -> u8 {
        let rule = rule_for(&self.rules, domain).and_then(|rule| {
            let at = self.rules.iter().position(|known| std::ptr::eq(known, rule))?;
            Some((rule, &self.by_rule[at]))
        });
        let word = email_format.trim().to_ascii_lowercase();
        if let Some(at) = CARRIERS.iter().position(|(name, _)| *name == word) {
            // The domain's own rule is nearer, where it is for this carrier.
            let own = rule.filter(|(rule, _)| carrier_of(rule) == Some(CARRIERS[at].1));
            return match self.choice {
                FormatChoice::Text => {
                    self.text_of(own.map_or(self.carriers[at], |(_, variants)| variants[0]))
                }
                _ => own.map_or(self.carriers[at], |(_, variants)| variants[0]),
            };
        }
        let wish = match (self.choice, word.as_str()) {
            (FormatChoice::Text, _) | (FormatChoice::Recipient, "text") => VARIANT_TEXT,
            (FormatChoice::Recipient, "html") => VARIANT_HTML,
            _ => VARIANT_ALTERNATIVE,
        };
        match rule {
            Some((_, variants)) => variants[usize::from(wish)],
            None => wish,
        }
    }

    /// The text-only variant beside another one.
    fn text_of(&self, variant: u8) -> u8 {
        let of = &self.variants[usize::from(variant)];
        let is_twin = |other: &Variant| {
            other.structure == Structure::Text && other.text == of.text && other.subject == of.subject
        };
        self.variants.iter().position(is_twin).map_or(VARIANT_TEXT, |at| at as u8)
    }

    /// The name of a variant: `alternative`, `text`, `html`, `docomo`, `softbank`, `au`.
    pub fn name(&self, variant: u8) -> &'static str {
        let Some(variant) = self.variants.get(usize::from(variant)) else { return "alternative" };
        match (variant.carrier, variant.structure) {
            (Some(carrier), _) => {
                CARRIERS.iter().find(|(_, known)| *known == carrier).map_or("alternative", |(name, _)| *name)
            }
            (None, Structure::Alternative) => "alternative",
            (None, Structure::Text) => "text",
            (None, Structure::Html) => "html",
        }
    }

    /// Bits of the flags besides the variant's number, and what to tell the author of this message.
    pub fn examine(&self, snapshot: &Snapshot, slots: &Slots, variant: u8) -> (i64, Vec<Problem>) {
        let Some(of) = self.variants.get(usize::from(variant)) else { return (0, Vec::new()) };
        if is_plain(of) {
            return (0, Vec::new());
        }
        let check = self.checks[usize::from(variant)].get_or_init(|| Check::new(snapshot, of));
        let mut flags = 0;
        let mut missing: BTreeSet<(Charset, char)> = BTreeSet::new();
        for part in &snapshot.parts {
            let Some((charset, is_line_bound)) = writes(of, part.name) else { continue };
            let statics = &check.parts[check.at(part.name)];
            missing.extend(statics.missing.iter().map(|c| (charset, *c)));
            let pieces = slots.part(part.name).unwrap_or(&part.usual);
            let literals = pieces.iter().filter_map(|piece| match piece {
                Piece::Literal(text) => Some(text.as_str()),
                _ => None,
            });
            literals
                .for_each(|text| missing.extend(lacking(charset, text).into_iter().map(|c| (charset, c))));
            if is_line_bound && has_long_line(pieces, charset, &statics.shapes, snapshot.public_url.len()) {
                flags |= FLAGS_LONG_LINES;
            }
        }
        let problems =
            missing.into_iter().take(NAMED_MAX).map(|(charset, c)| unwritten(charset, c, of.carrier));
        (flags, problems.collect())
    }
}

/// UTF-8 in encodings that break lines: nothing to examine.
fn is_plain(variant: &Variant) -> bool {
    let plain = |body: BodyEncoding| {
        body.charset == Charset::UTF_8
            && !matches!(body.transfer, TransferChoice::SevenBit | TransferChoice::EightBit)
    };
    variant.subject == Charset::UTF_8 && plain(variant.html) && plain(variant.text)
}

/// The encoding of a part in a variant, and whether its lines must be short on the wire; nothing for a part that the
/// variant does not have.
fn writes(variant: &Variant, part: PartName) -> Option<(Charset, bool)> {
    let body = match part {
        PartName::Html => variant.html,
        PartName::Text => variant.text,
        PartName::Amp | PartName::FromAddress | PartName::ErrorAddress => return None,
        _ => return Some((variant.subject, false)),
    };
    let is_there = match part {
        PartName::Html => variant.structure != Structure::Text,
        _ => variant.structure != Structure::Html,
    };
    let is_line_bound = match body.transfer {
        TransferChoice::SevenBit | TransferChoice::EightBit => true,
        TransferChoice::Auto => body.charset == Charset::ISO_2022_JP,
        TransferChoice::QuotedPrintable | TransferChoice::Base64 => false,
    };
    is_there.then_some((body.charset, is_line_bound))
}

fn unwritten(charset: Charset, c: char, carrier: Option<Carrier>) -> Problem {
    let name = format!("“{c}” (U+{:04X}) is not in {}", c as u32, charset.name());
    match carrier {
        Some(_) => Problem::new("message", format!("{name}: it is sent as 〓"))
            .hint("use another character, or write it out for mobiles"),
        None => Problem::new("message", format!("{name}: these messages go out in UTF-8"))
            .hint("use another character, or send the delivery in UTF-8"),
    }
}

/// Characters of a text that an encoding lacks.
fn lacking(charset: Charset, text: &str) -> BTreeSet<char> {
    if charset.unmappable(text).is_none() {
        return BTreeSet::new();
    }
    let distinct: BTreeSet<char> = text.chars().filter(|c| !c.is_ascii()).collect();
    distinct.into_iter().filter(|c| charset.unmappable(c.encode_utf8(&mut [0; 4])).is_some()).collect()
}

/// What is known of the static text of a variant.
#[derive(Debug)]
struct Check {
    parts: Vec<PartCheck>,
}

#[derive(Debug)]
struct PartCheck {
    name: PartName,
    missing: BTreeSet<char>,
    shapes: Vec<Shape>,
}

/// The lines of a piece, in octets as encoded.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    first: usize,
    /// The longest one between first and last.
    longest: usize,
    /// Nothing without a line end in it.
    last: Option<usize>,
    /// It could be taken for the end of a MIME part.
    has_boundary: bool,
}

impl Shape {
    fn of(text: &str, charset: Charset) -> Shape {
        let length = |line: &str| if line.is_ascii() { line.len() } else { encoded_len(line, charset) };
        let mut lines = text.split('\n');
        let first = length(lines.next().unwrap_or_default());
        let mut shape = Shape { first, longest: 0, last: None, has_boundary: text.contains("=_") };
        for line in lines {
            shape.longest = shape.longest.max(shape.last.unwrap_or(0));
            shape.last = Some(length(line));
        }
        shape
    }
}

/// Octets of a line; one that cannot be encoded has 〓 in it or goes out in another way, so its length is a guess
/// to the safe side.
fn encoded_len(line: &str, charset: Charset) -> usize {
    charset.encode(line).map_or_else(|_| 2 * line.len() + 8, |octets| octets.len())
}

impl Check {
    fn new(snapshot: &Snapshot, variant: &Variant) -> Check {
        let of = |part: &Part| {
            let Some((charset, is_line_bound)) = writes(variant, part.name) else {
                return PartCheck { name: part.name, missing: BTreeSet::new(), shapes: Vec::new() };
            };
            let missing = part.segments.iter().flat_map(|segment| lacking(charset, segment)).collect();
            let shapes = if is_line_bound { part.segments.as_slice() } else { &[] };
            let shapes = shapes.iter().map(|segment| Shape::of(segment, charset)).collect();
            PartCheck { name: part.name, missing, shapes }
        };
        Check { parts: snapshot.parts.iter().map(of).collect() }
    }

    fn at(&self, name: PartName) -> usize {
        self.parts.iter().position(|part| part.name == name).unwrap_or(0)
    }
}

fn has_long_line(pieces: &[Piece], charset: Charset, statics: &[Shape], public_url_len: usize) -> bool {
    let mut column = 0;
    for piece in pieces {
        let shape = match piece {
            Piece::Static(number) => statics.get(*number as usize).copied().unwrap_or_default(),
            Piece::Literal(text) => Shape::of(text, charset),
            Piece::Link(_) => Shape { first: public_url_len + LINK_LEN, ..Shape::default() },
        };
        column += shape.first;
        if shape.has_boundary || column.max(shape.longest) > LINE_LEN_PLAIN_MAX {
            return true;
        }
        column = shape.last.unwrap_or(column);
    }
    column > LINE_LEN_PLAIN_MAX
}

fn carrier_of(rule: &FormatRule) -> Option<Carrier> {
    CARRIERS.iter().find(|(name, _)| *name == rule.carrier).map(|(_, carrier)| *carrier)
}

/// The variant of a rule for a recipient's wish.
fn of_rule(rule: &FormatRule, draft: &Draft, wish: u8) -> Variant {
    let structure = match rule.structure.as_str() {
        _ if draft.format == FormatChoice::Text => Structure::Text,
        "alternative" => Structure::Alternative,
        "text" => Structure::Text,
        "html" => Structure::Html,
        _ => match wish {
            VARIANT_TEXT => Structure::Text,
            VARIANT_HTML => Structure::Html,
            _ => Structure::Alternative,
        },
    };
    let charset = |name: &str| Charset::parse(name).unwrap_or(draft.encoding);
    Variant {
        structure,
        related: rule.related,
        images: if rule.inline_images { ImageMode::Inline } else { ImageMode::AsChosen },
        carrier: carrier_of(rule),
        amp: rule.amp && structure == Structure::Alternative,
        subject: charset(&rule.subject_charset),
        html: BodyEncoding { charset: charset(&rule.html_charset), transfer: transfer(&rule.html_transfer) },
        text: BodyEncoding { charset: charset(&rule.text_charset), transfer: transfer(&rule.text_transfer) },
    }
}

fn transfer(word: &str) -> TransferChoice {
    match word {
        "7bit" => TransferChoice::SevenBit,
        "8bit" => TransferChoice::EightBit,
        "quoted-printable" => TransferChoice::QuotedPrintable,
        "base64" => TransferChoice::Base64,
        _ => TransferChoice::Auto,
    }
}

/// A carrier's format where no rule describes it: the one of the rules that come with the program.
fn of_carrier(carrier: Carrier) -> Variant {
    let body = |charset, transfer| BodyEncoding { charset, transfer };
    let jis = body(Charset::ISO_2022_JP, TransferChoice::SevenBit);
    let (subject, html, text) = match carrier {
        Carrier::Docomo => (Charset::SHIFT_JIS, body(Charset::SHIFT_JIS, TransferChoice::EightBit), jis),
        Carrier::Au => (Charset::ISO_2022_JP, jis, jis),
        Carrier::SoftBank => {
            let utf_8 = body(Charset::UTF_8, TransferChoice::Base64);
            (Charset::UTF_8, utf_8, utf_8)
        }
    };
    let (structure, images) = (Structure::Alternative, ImageMode::Inline);
    Variant { structure, related: true, images, carrier: Some(carrier), amp: false, subject, html, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(mask: &str, carrier: &str, structure: &str) -> FormatRule {
        FormatRule {
            mask: mask.into(),
            carrier: carrier.into(),
            structure: structure.into(),
            ..FormatRule::default()
        }
    }

    fn formats(format: FormatChoice, rules: &[FormatRule]) -> Formats {
        let draft = Draft { format, ..Draft::default() };
        Formats::new(&draft, rules, &mut Vec::new())
    }

    #[test]
    fn preference_delivery_and_domain_decide() {
        let docomo =
            FormatRule { html_charset: "shift_jis".into(), ..rule("docomo.ne.jp", "docomo", "alternative") };
        let rules = [
            docomo,
            rule("*.text.example", "", "text"),
            FormatRule { related: true, ..rule("related.example", "", "") },
        ];
        let by_recipient = formats(FormatChoice::Recipient, &rules);
        let name = |formats: &Formats, email_format: &str, domain: &str| {
            let variant = formats.variant_for(email_format, domain);
            (formats.name(variant), formats.variants[usize::from(variant)].clone())
        };
        for (email_format, number) in [("", 0), ("text", 1), ("html", 2), ("nonsense", 0)] {
            assert_eq!(by_recipient.variant_for(email_format, "a.example"), number);
        }
        assert_eq!(name(&by_recipient, "", "docomo.ne.jp").0, "docomo");
        assert_eq!(name(&by_recipient, "html", "docomo.ne.jp").1.html.charset, Charset::SHIFT_JIS);
        assert_eq!(name(&by_recipient, "html", "a.text.example").0, "text");
        let (word, variant) = name(&by_recipient, "html", "related.example");
        assert!(word == "html" && variant.related);
        assert_eq!(
            name(&by_recipient, "docomo", "elsewhere.example").1,
            name(&by_recipient, "", "docomo.ne.jp").1
        );
        let (word, au) = name(&by_recipient, "au", "docomo.ne.jp");
        assert!(word == "au" && au.images == ImageMode::Inline && au.text.charset == Charset::ISO_2022_JP);
        let alternative = formats(FormatChoice::Alternative, &rules);
        assert_eq!(alternative.variant_for("text", "a.example"), VARIANT_ALTERNATIVE);
        let text = formats(FormatChoice::Text, &rules);
        for (email_format, domain) in [("html", "a.example"), ("", "docomo.ne.jp"), ("softbank", "x.example")]
        {
            let variant = text.variant_for(email_format, domain);
            assert_eq!(
                text.variants[usize::from(variant)].structure,
                Structure::Text,
                "{email_format} {domain}"
            );
        }
    }

    #[test]
    fn lines_are_measured_as_they_are_encoded() {
        let shape = Shape::of("ab\nあいう\nxyz", Charset::ISO_2022_JP);
        assert_eq!((shape.first, shape.longest, shape.last), (2, 12, Some(3)));
        let long = |text: &str| has_long_line(&[Piece::Literal(text.into())], Charset::ISO_2022_JP, &[], 30);
        assert!(!long(&"あ".repeat(492)));
        assert!(long(&"あ".repeat(493)));
        assert!(long("--=_x"));
        let pieces = [Piece::Literal("a".repeat(900)), Piece::Link(message::LinkKind::Open)];
        assert!(has_long_line(&pieces, Charset::ISO_2022_JP, &[], 30));
    }

    #[test]
    fn what_an_encoding_lacks_is_named_once() {
        let found = lacking(Charset::ISO_8859_1, "Zoë 😀 Ω 😀");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ['Ω', '😀']);
        let problem = unwritten(Charset::ISO_8859_1, '😀', None);
        assert_eq!(problem.message, "“😀” (U+1F600) is not in ISO-8859-1: these messages go out in UTF-8");
        assert!(
            unwritten(Charset::SHIFT_JIS, '😀', Some(Carrier::Docomo)).message.ends_with("it is sent as 〓")
        );
    }
}
