//! A compiled content, and what one recipient gets of it.

use std::time::{Duration, Instant};

use message::{
    CODES_MAX, Part, PartName, Piece, SLOTS_SIZE_MAX, Slots, Snapshot, Transfer, check_header_text,
};
use minijinja::Value;

use crate::cut::Cut;
use crate::drawn::{Codes, Drawn, Fault};
use crate::facts::{ContentFacts, is_link_tag};
use crate::fields::Fields;
use crate::formats::Formats;
use crate::links::FoundLink;
use crate::marks::CODE;
use crate::problem::{Place, Problem};
use crate::tags::{TagKind, scan};
use crate::template::PartTemplate;

/// Largest AMP part, in bytes: receivers ignore a larger one.
pub const AMP_SIZE_MAX: usize = 100 * 1024;
/// Longest name of an attached file, in characters.
pub const FILE_NAME_LEN_MAX: usize = 150;

/// A compiled content: the snapshot to freeze, and the templates to evaluate recipients with. Shared between
/// threads by reference.
#[derive(Debug)]
pub struct Compiled {
    /// What all messages share.
    pub snapshot: Snapshot,
    /// What the control rules ask about.
    pub facts: ContentFacts,
    /// Things to tell the author that do not forbid sending.
    pub warnings: Vec<Problem>,
    /// Things that the author may like to know.
    pub notes: Vec<Problem>,
    /// The text part's template source, also where it was made from the HTML.
    pub text_source: Option<String>,
    /// The http(s) links of all parts, in the order in which they first stand.
    pub links: Vec<FoundLink>,
    pub(crate) personal: Vec<PersonalPart>,
    pub(crate) formats: Formats,
    pub(crate) codes: Codes,
    /// Longest time of one evaluation.
    pub(crate) time_max: Option<Duration>,
}

/// What a recipient gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The recipient's own text.
    pub slots: Slots,
    /// For the message row: the variant's number and further bits.
    pub flags: i64,
    /// What the author should know of this message. The same thing has the same message for all recipients.
    pub warnings: Vec<Problem>,
}

/// A part that is evaluated for each recipient.
#[derive(Debug)]
pub(crate) struct PersonalPart {
    pub name: PartName,
    /// Stands before what a problem says: the name of a header, the number of an attachment.
    pub label: String,
    pub template: PartTemplate,
    pub cut: Cut,
}

impl Compiled {
    /// The number of the variant for a recipient: what the profile asks for (`text`, `html`, `docomo`, `softbank`,
    /// `au`, or empty), what the delivery chose, and the rules of the domain (ASCII, lower case).
    pub fn flags_for(&self, email_format: &str, domain: &str) -> u8 {
        self.formats.variant_for(email_format, domain)
    }

    /// The word for a variant: `alternative`, `text`, `html`, `docomo`, `softbank` or `au`.
    pub fn format_name(&self, variant: u8) -> &'static str {
        self.formats.name(variant)
    }

    /// What one recipient gets in a variant. A part that is the same for everybody is not in the slots.
    ///
    /// # Errors
    /// The first [`Problem`] of this recipient, at its place in the template.
    pub fn evaluate(&self, fields: &Fields, variant: u8) -> Result<Evaluation, Problem> {
        let slots = self.slots(fields, variant)?;
        let (bits, warnings) = self.formats.examine(&self.snapshot, &slots, variant);
        Ok(Evaluation { slots, flags: i64::from(variant) | bits, warnings })
    }

    fn slots(&self, fields: &Fields, variant: u8) -> Result<Slots, Problem> {
        let value = fields.as_value();
        let variants = &self.snapshot.variants;
        let mut drawn = variants
            .get(usize::from(variant))
            .or(variants.first())
            .map(|of| self.codes.of(&self.snapshot, of));
        // The clock decides nothing about the bytes: it only ends what takes too long. Fuel bounds each part, so
        // looking at it between parts is enough.
        let deadline = self.time_max.map(|time| (Instant::now(), time));
        let mut parts = Vec::with_capacity(self.personal.len());
        for part in &self.personal {
            let mut pieces = part.evaluate(&value, drawn.as_mut().filter(|_| part.name == PartName::Html))?;
            if part.name == PartName::Subject {
                pieces = trimmed(pieces);
            }
            parts.push((part.name, pieces));
            if let Some((start, time)) = deadline
                && start.elapsed() > time
            {
                let message = format!("the personalisation takes longer than {} ms", time.as_millis());
                return Err(Problem::new(part.name.as_str(), message)
                    .hint("simplify the loops, or raise personalization_time"));
            }
        }
        parts.extend(drawn.into_iter().flat_map(Drawn::parts));
        let slots = Slots { parts };
        let size = slots.parts.iter().flat_map(|(_, pieces)| pieces).map(literal_len).sum::<usize>();
        if size > SLOTS_SIZE_MAX - 1_024 && slots.to_bytes().len() > SLOTS_SIZE_MAX {
            let message = format!("this recipient's own text is larger than {} KB", SLOTS_SIZE_MAX >> 10);
            return Err(
                Problem::new("message", message).hint("shorten the loops and fields that are written")
            );
        }
        Ok(slots)
    }

    /// Names that some template may ask for, each once.
    pub fn variables(&self) -> std::collections::BTreeSet<String> {
        self.personal.iter().flat_map(|part| part.template.variables()).cloned().collect()
    }

    /// True when some part is evaluated for each recipient.
    pub fn is_personalised(&self) -> bool {
        !self.personal.is_empty()
    }

    /// Names that the templates ask for and which are no column, attribute or built-in of `columns`, with their part.
    pub fn unknown_names(&self, columns: &crate::Columns) -> Vec<(PartName, String)> {
        let names = self
            .personal
            .iter()
            .flat_map(|part| part.template.variables().iter().map(|name| (part.name, name.clone())));
        names.filter(|(_, name)| !columns.knows(name)).collect()
    }
}

impl PersonalPart {
    pub fn new(name: PartName, label: String, template: PartTemplate) -> PersonalPart {
        let cut = Cut::new(&template.source.text);
        PersonalPart { name, label, template, cut }
    }

    /// The same for all recipients, but for links.
    pub fn is_constant(&self) -> bool {
        let source = &self.template.source.text;
        scan(source).iter().all(|tag| match tag.kind {
            TagKind::Comment | TagKind::Raw { .. } => true,
            TagKind::Expression => is_link_tag(&source[tag.range.clone()]),
            TagKind::Statement => false,
        })
    }

    /// The part of the snapshot, without usual pieces.
    pub fn part(&self) -> Part {
        Part {
            name: self.name,
            segments: self.cut.segments.clone(),
            usual: Vec::new(),
            transfer: Transfer::for_text(&self.cut.segments),
        }
    }

    /// `codes` takes what this part draws; without it nothing is.
    pub fn evaluate(&self, fields: &Value, codes: Option<&mut Drawn<'_>>) -> Result<Vec<Piece>, Problem> {
        self.pieces(fields, codes).map_err(|mut problem| {
            if !self.label.is_empty() {
                problem.message = format!("{}: {}", self.label, problem.message);
            }
            problem
        })
    }

    fn pieces(&self, fields: &Value, codes: Option<&mut Drawn<'_>>) -> Result<Vec<Piece>, Problem> {
        let (output, spans) = self.template.render(fields)?;
        let (pieces, met) = self.cut.pieces(&output, &spans);
        if met.broken {
            return Err(Problem::new(self.name.as_str(), "a filter changes a built-in link")
                .hint("write {{ unsubscribe_url }} or {{ mirror_url }} without a filter"));
        }
        // A code's mark is made while the template runs, so it stands in what varies: the rest need not be read again.
        let pieces = match codes.filter(|_| met.code) {
            Some(codes) => codes.place(pieces).map_err(|(number, fault)| {
                let at = output.match_indices(CODE).nth(number).map_or(0, |(at, _)| at);
                let span = spans.iter().find(|span| span.output_range().contains(&at));
                self.template
                    .source
                    .problem(span.map_or(0, |span| span.source_range().start), told(fault).0)
                    .hint(told(fault).1)
            })?,
            None => pieces,
        };
        if self.name == PartName::Amp && size(&pieces, &self.cut.segments) >= AMP_SIZE_MAX {
            let message = format!("the AMP part is not below {} KB", AMP_SIZE_MAX >> 10);
            return Err(Problem::new("amp", message).hint("receivers ignore a larger one"));
        }
        if self.name.is_header() { self.header(pieces, &output) } else { Ok(pieces) }
    }

    /// Names, addresses and subjects are checked as they will stand: static text and values together.
    fn header(&self, pieces: Vec<Piece>, output: &str) -> Result<Vec<Piece>, Problem> {
        let problem =
            |message: String| Problem::new(self.name.as_str(), message).at(Place { line: 1, column: 1 });
        check_header_text(output).map_err(|error| problem(error.to_string()))?;
        let text = output.trim();
        let written = match self.name {
            PartName::ErrorAddress | PartName::ReplyTo if text.is_empty() => String::new(),
            PartName::FromAddress | PartName::ErrorAddress => {
                wire(text, address::parse(text)).map_err(problem)?
            }
            PartName::ReplyTo => reply_to(text).map_err(problem)?,
            PartName::Subject if text.is_empty() => return Err(problem("the subject is empty".to_owned())),
            PartName::Attachment(_) => file_name(text).map_err(problem)?,
            PartName::Header(_) if text.is_empty() => String::new(),
            _ => return Ok(pieces),
        };
        Ok(vec![Piece::Literal(written)])
    }
}

/// A sentence and a hint.
fn told(fault: Fault) -> (String, &'static str) {
    match fault {
        Fault::Changed => {
            ("a filter changes a code".to_owned(), "write {{ qr(…) }} and {{ barcode(…) }} without a filter")
        }
        Fault::TooMany => (
            format!("more than {CODES_MAX} codes go along with this message"),
            "write inline=false for the others, so that they stand at an address",
        ),
    }
}

/// Bytes of pieces, links apart.
fn size(pieces: &[Piece], segments: &[String]) -> usize {
    let length = |piece: &Piece| match piece {
        Piece::Static(number) => segments.get(*number as usize).map_or(0, String::len),
        Piece::Literal(text) => text.len(),
        Piece::Link(_) => 0,
    };
    pieces.iter().map(length).sum()
}

/// A name, not a path.
fn file_name(text: &str) -> Result<String, String> {
    let name: String = text.chars().map(|c| if matches!(c, '/' | '\\') { '-' } else { c }).collect();
    if name.chars().count() > FILE_NAME_LEN_MAX {
        return Err(format!("the file name is longer than {FILE_NAME_LEN_MAX} characters"));
    }
    if !name.is_empty() && name.chars().all(|c| c == '.') {
        return Err("the file has no name".to_owned());
    }
    Ok(name)
}

/// An address of ours as it stands on the wire; one that needs SMTPUTF8 would shut out receivers without it.
fn wire(text: &str, parsed: Result<address::Mailbox, address::AddressError>) -> Result<String, String> {
    let mailbox = parsed.map_err(|error| format!("`{text}`: {error}"))?;
    if mailbox.needs_smtputf8() {
        return Err(format!("`{text}`: the part before the @ must be ASCII"));
    }
    Ok(mailbox.smtp())
}

fn reply_to(text: &str) -> Result<String, String> {
    let named = address::parse_named(text).map_err(|error| format!("`{text}`: {error}"))?;
    let address = wire(text, Ok(named.mailbox))?;
    Ok(match named.name {
        Some(name) => format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\"")),
        None => address,
    })
}

fn literal_len(piece: &Piece) -> usize {
    match piece {
        Piece::Literal(text) => text.len() + 4,
        Piece::Static(_) | Piece::Link(_) => 4,
    }
}

/// A value that ends the subject may bring blanks with it.
fn trimmed(mut pieces: Vec<Piece>) -> Vec<Piece> {
    if let Some(Piece::Literal(first)) = pieces.first_mut() {
        first.drain(..first.len() - first.trim_start().len());
    }
    if let Some(Piece::Literal(last)) = pieces.last_mut() {
        last.truncate(last.trim_end().len());
    }
    pieces
}
