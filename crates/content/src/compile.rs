//! Compile once per delivery, evaluate once per recipient.

use message::{
    HEADERS_MAX, PART_SIZE_MAX, Part, PartName, Piece, SLOTS_SIZE_MAX, Slots, Snapshot, Transfer,
    VARIANT_ALTERNATIVE, VARIANT_HTML, VARIANT_TEXT, check_header_text, is_header_name,
};
use minijinja::Value;

use crate::cut::Cut;
use crate::draft::{CompileOptions, Draft};
use crate::facts::{ContentFacts, PartFacts, is_link_tag, of_html, of_text};
use crate::fields::Fields;
use crate::preheader;
use crate::problem::{Place, Problem};
use crate::tags::{TagKind, foreign, scan};
use crate::template::{Escape, PartTemplate, without_marks};
use crate::text_part;

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
    /// The text part's template source, also where it was made from the HTML.
    pub text_source: Option<String>,
    personal: Vec<PersonalPart>,
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
struct PersonalPart {
    name: PartName,
    template: PartTemplate,
    cut: Cut,
}

/// Compiles the author's content.
///
/// # Errors
/// All problems of all parts, each at its place.
pub fn compile(draft: &Draft, options: &CompileOptions) -> Result<Compiled, Vec<Problem>> {
    let mut work = Work::new(options);
    let normal = |text: &str| without_marks(text).replace("\r\n", "\n").replace('\r', "\n");
    work.header(PartName::FromName, &normal(&draft.from_name));
    work.header(PartName::FromAddress, &normal(&draft.from_address));
    work.header(PartName::ReplyTo, &normal(&draft.reply_to));
    work.header(PartName::ErrorAddress, &normal(&draft.error_address));
    work.header(PartName::Subject, &normal(&draft.subject));
    let html = draft.html.as_deref().map(normal).filter(|html| !html.trim().is_empty());
    let text = draft.text.as_deref().map(normal).filter(|text| !text.trim().is_empty());
    let preheader = normal(&draft.preheader);
    if html.is_none() && text.is_none() {
        work.problems
            .push(Problem::new("message", "there is no content").hint("write an HTML or a text body"));
    }
    if let Some(html) = &html {
        work.html(html, &preheader);
    }
    let text_source = work.text(text.as_deref(), html.as_deref());
    work.foreign_tags(draft, html.as_deref(), text.as_deref());
    work.facts.subject = draft.subject.clone();
    work.facts.from_name = draft.from_name.clone();
    work.facts.from_address = draft.from_address.clone();
    work.facts.subject_personalised = !scan(&draft.subject).is_empty();
    work.facts.from_address_personalised = !scan(&draft.from_address).is_empty();
    work.headers(&draft.headers);
    work.finish(draft, text_source)
}

struct Work<'a> {
    options: &'a CompileOptions,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    facts: ContentFacts,
    parts: Vec<Part>,
    personal: Vec<PersonalPart>,
}

impl<'a> Work<'a> {
    fn new(options: &'a CompileOptions) -> Work<'a> {
        Work {
            options,
            problems: Vec::new(),
            warnings: Vec::new(),
            facts: ContentFacts::default(),
            parts: Vec::new(),
            personal: Vec::new(),
        }
    }

    fn header(&mut self, name: PartName, source: &str) {
        let part = name.as_str();
        let source = source.trim();
        if source.is_empty() {
            match name {
                PartName::Subject => self.problems.push(Problem::new(part, "the subject is empty")),
                PartName::FromAddress => {
                    self.problems.push(Problem::new(part, "the sender's address is empty"))
                }
                _ => {}
            }
            return;
        }
        if let Err(error) = check_header_text(source) {
            self.problems.push(Problem::new(part, error.to_string()));
            return;
        }
        self.part(name, source.to_owned(), 0..0, Escape::Header);
    }

    fn html(&mut self, html: &str, preheader: &str) {
        if html.len() > PART_SIZE_MAX {
            self.problems.push(Problem::new("html", format!("larger than {} MB", PART_SIZE_MAX >> 20)));
            return;
        }
        // On its own first, so that an error in it has its own place.
        if let Err(problem) =
            PartTemplate::new("preheader", preheader.to_owned(), 0..0, Escape::Html, self.options.now_us)
        {
            self.problems.push(problem);
            return;
        }
        let (source, inserted) = preheader::insert(html, preheader);
        self.facts.html = Some(PartFacts::of(html));
        (self.facts.links, self.facts.images) = of_html(html);
        self.part(PartName::Html, source, inserted, Escape::Html);
    }

    /// The text part, the author's or made from the HTML; returns its source.
    fn text(&mut self, text: Option<&str>, html: Option<&str>) -> Option<String> {
        let source = match (text, html) {
            (Some(text), _) => {
                self.facts.links.extend(of_text(text));
                text.to_owned()
            }
            (None, Some(html)) => {
                // A template that did not compile as HTML would be reported twice.
                if !self.problems.is_empty() {
                    return None;
                }
                let made = text_part::generate(html).filter(|made| {
                    PartTemplate::new("text", made.clone(), 0..0, Escape::Text, self.options.now_us).is_ok()
                });
                let Some(made) = made else {
                    let hint = "write a text body";
                    self.warnings
                        .push(Problem::new("text", "no text body could be made from the HTML").hint(hint));
                    return None;
                };
                self.facts.text_generated = true;
                made
            }
            (None, None) => return None,
        };
        if source.len() > PART_SIZE_MAX {
            self.problems.push(Problem::new("text", format!("larger than {} MB", PART_SIZE_MAX >> 20)));
            return None;
        }
        self.facts.text = Some(PartFacts::of(&source));
        self.part(PartName::Text, source.clone(), 0..0, Escape::Text);
        Some(source)
    }

    /// Compiles a part; one that is the same for everybody is evaluated now.
    fn part(&mut self, name: PartName, source: String, inserted: std::ops::Range<usize>, escape: Escape) {
        let template = match PartTemplate::new(name.as_str(), source, inserted, escape, self.options.now_us) {
            Ok(template) => template,
            Err(problem) => return self.problems.push(problem),
        };
        let tags = scan(&template.source);
        let is_constant = tags.iter().all(|tag| match tag.kind {
            TagKind::Comment | TagKind::Raw { .. } => true,
            TagKind::Expression => is_link_tag(&template.source[tag.range.clone()]),
            TagKind::Statement => false,
        });
        let cut = Cut::new(&template.source);
        let mut part = Part {
            name,
            segments: cut.segments.clone(),
            usual: Vec::new(),
            transfer: Transfer::for_text(&cut.segments),
        };
        let personal = PersonalPart { name, template, cut };
        if is_constant {
            match personal.evaluate(&Value::from_pairs([("", "")])) {
                Ok(pieces) => constant(&mut part, pieces),
                Err(problem) => return self.problems.push(problem),
            }
        } else {
            self.personal.push(personal);
        }
        self.parts.push(part);
    }

    /// One warning for all merge tags of another system, at the first one.
    fn foreign_tags(&mut self, draft: &Draft, html: Option<&str>, text: Option<&str>) {
        let sources = [
            ("subject", draft.subject.as_str()),
            ("from_name", draft.from_name.as_str()),
            ("preheader", draft.preheader.as_str()),
            ("html", html.unwrap_or_default()),
            ("text", text.unwrap_or_default()),
        ];
        let mut first: Option<Problem> = None;
        for (part, source) in sources {
            let found = foreign(source);
            self.facts.foreign_tags += found.len();
            if let (None, Some(range)) = (&first, found.first()) {
                let message = source[range.clone()].to_owned();
                first = Some(Problem::new(part, message).at(Place::of(source, range.start)));
            }
        }
        if let Some(mut problem) = first {
            let count = self.facts.foreign_tags;
            let example = std::mem::take(&mut problem.message);
            problem.message = if count == 1 {
                format!("the merge tag {example} of another system is sent as text")
            } else {
                format!("{count} merge tags of another system ({example}, …) are sent as text")
            };
            self.warnings.push(problem.hint("a field is written {{ first_name }}"));
        }
    }

    fn headers(&mut self, headers: &[(String, String)]) {
        if headers.len() > HEADERS_MAX {
            self.problems.push(Problem::new("headers", format!("more than {HEADERS_MAX} headers")));
        }
        for (name, value) in headers {
            if !is_header_name(name) {
                self.problems.push(Problem::new(
                    "headers",
                    format!("the header name `{}` cannot be used", name.escape_debug()),
                ));
            } else if let Err(error) = check_header_text(value) {
                self.problems.push(Problem::new("headers", format!("{name}: {error}")));
            }
        }
    }

    fn finish(mut self, draft: &Draft, text_source: Option<String>) -> Result<Compiled, Vec<Problem>> {
        let options = self.options;
        let message_id_domain = if options.message_id_domain.is_empty() {
            let constant = self.parts.iter().find(|part| part.name == PartName::FromAddress);
            let address =
                constant.filter(|part| !part.usual.is_empty()).and_then(|part| part.segments.first());
            address
                .and_then(|address| address.rsplit('@').next())
                .unwrap_or(&options.bounce_domain)
                .to_owned()
        } else {
            options.message_id_domain.clone()
        };
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        self.parts.sort_by_key(|part| part.name);
        let snapshot = Snapshot {
            delivery: options.delivery,
            inert: options.inert,
            subject_prefix: options.subject_prefix.clone(),
            parts: self.parts,
            public_url: options.public_url.trim_end_matches('/').to_owned(),
            bounce_domain: options.bounce_domain.clone(),
            message_id_domain,
            list_unsubscribe: options.list_unsubscribe,
            feedback_id: options.feedback_id.clone(),
            headers: draft.headers.clone(),
            ..Snapshot::default()
        };
        if let Err(error) = snapshot.check() {
            return Err(vec![Problem::new("message", error.to_string())]);
        }
        Ok(Compiled {
            snapshot,
            facts: self.facts,
            warnings: self.warnings,
            text_source,
            personal: self.personal,
        })
    }
}

/// Stores the pieces of a part that is the same for everybody; a header's as one segment.
fn constant(part: &mut Part, pieces: Vec<Piece>) {
    if part.name.is_header() && !pieces.iter().any(|piece| matches!(piece, Piece::Link(_))) {
        part.segments = vec![text_of(&pieces, &part.segments)];
        part.usual = vec![Piece::Static(0)];
    } else if pieces.is_empty() {
        // Nothing but a comment: no pieces would mean that every recipient has its own.
        part.segments = vec![String::new()];
        part.usual = vec![Piece::Static(0)];
    } else {
        part.usual = pieces;
    }
}

/// Text of pieces without links.
fn text_of(pieces: &[Piece], segments: &[String]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Static(number) => segments[*number as usize].clone(),
        Piece::Literal(text) => text.clone(),
        Piece::Link(_) => String::new(),
    };
    pieces.iter().map(text).collect()
}

impl PersonalPart {
    fn evaluate(&self, fields: &Value) -> Result<Vec<Piece>, Problem> {
        let (output, spans) = self.template.render(fields)?;
        // A filter such as `urlencode` on a built-in link would send the mark itself.
        if output.contains("%EF%B7%9") {
            return Err(Problem::new(self.name.as_str(), "a filter changes a built-in link")
                .hint("write {{ unsubscribe_url }} or {{ mirror_url }} without a filter"));
        }
        let pieces = self.cut.pieces(&output, &spans);
        if !self.name.is_header() {
            return Ok(pieces);
        }
        // Names, addresses and subjects are checked as they will stand: static text and values together.
        let problem =
            |message: String| Problem::new(self.name.as_str(), message).at(Place { line: 1, column: 1 });
        check_header_text(&output).map_err(|error| problem(error.to_string()))?;
        let text = output.trim();
        let written = match self.name {
            PartName::FromAddress | PartName::ErrorAddress
                if text.is_empty() && self.name == PartName::ErrorAddress =>
            {
                String::new()
            }
            PartName::FromAddress | PartName::ErrorAddress => {
                wire(text, address::parse(text)).map_err(problem)?
            }
            PartName::ReplyTo if text.is_empty() => String::new(),
            PartName::ReplyTo => reply_to(text).map_err(problem)?,
            PartName::Subject if text.is_empty() => return Err(problem("the subject is empty".to_owned())),
            _ => return Ok(pieces),
        };
        Ok(vec![Piece::Literal(written)])
    }
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

impl Compiled {
    /// The number of the variant for a recipient: what the profile asks for (`text`, `html`, `docomo`, `softbank`,
    /// `au`, or empty), what the delivery chose, and the rules of the domain (ASCII, lower case).
    pub fn flags_for(&self, email_format: &str, domain: &str) -> u8 {
        let _ = domain;
        match email_format {
            "text" => VARIANT_TEXT,
            "html" => VARIANT_HTML,
            _ => VARIANT_ALTERNATIVE,
        }
    }

    /// What one recipient gets in a variant. A part that is the same for everybody is not in the slots.
    ///
    /// # Errors
    /// The first [`Problem`] of this recipient, at its place in the template.
    pub fn evaluate(&self, fields: &Fields, variant: u8) -> Result<Evaluation, Problem> {
        let slots = self.slots(fields)?;
        Ok(Evaluation { slots, flags: i64::from(variant), warnings: Vec::new() })
    }

    fn slots(&self, fields: &Fields) -> Result<Slots, Problem> {
        let value = fields.as_value();
        let mut parts = Vec::with_capacity(self.personal.len());
        for part in &self.personal {
            let mut pieces = part.evaluate(&value)?;
            if part.name == PartName::Subject {
                pieces = trimmed(pieces);
            }
            parts.push((part.name, pieces));
        }
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
