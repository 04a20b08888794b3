//! Compile once per delivery: from the author's sources to a snapshot and the templates of its personal parts.
//!
//! Order: blocks, MJML, CSS, images, links, preheader and pixel, template. Each step edits a [`Source`], which knows
//! the author's lines.

use std::time::Duration;

use message::{
    ATTACHMENTS_MAX, Asset, HEADERS_MAX, MirrorMode, PART_SIZE_MAX, Part, PartName, Piece, Snapshot,
    check_header_text, is_header_name,
};
use minijinja::Value;

use crate::balance;
use crate::compiled::{AMP_SIZE_MAX, Compiled, PersonalPart};
use crate::draft::{AttachmentDraft, CompileOptions, Draft, ImageChoice};
use crate::drawn::Codes;
use crate::facts::{ContentFacts, PartFacts, of_html, of_text, seen_of_html, seen_of_text};
use crate::formats::Formats;
use crate::includes::{Blocks, Form};
use crate::links::LinkTable;
use crate::marks::{self, without_marks};
use crate::problem::{Place, Problem};
use crate::source::{Bit, Edit, Source};
use crate::tags::{foreign, scan};
use crate::template::{Escape, PartTemplate, Setting};
use crate::{images, inline_css, meta, mjml, mobile, preheader, text_part};

/// Compiles the author's content.
///
/// # Errors
/// All problems of all parts, each at its place.
pub fn compile(draft: &Draft, options: &CompileOptions) -> Result<Compiled, Vec<Problem>> {
    let mut work = Work::new(draft, options);
    work.header(PartName::FromName, &draft.from_name);
    work.header(PartName::FromAddress, &draft.from_address);
    work.header(PartName::ReplyTo, &draft.reply_to);
    work.header(PartName::ErrorAddress, &draft.error_address);
    work.header(PartName::Subject, &draft.subject);
    let html = work.html_source();
    let text = draft.text.as_deref().filter(|text| !text.trim().is_empty());
    work.what_there_is(html.is_some(), text.is_some());
    let rendered = html.as_ref().and_then(|html| work.html(html));
    work.amp();
    let text_source = work.text(text, html.as_ref().filter(|html| html.part == "html"), rendered.as_ref());
    work.foreign_tags();
    work.facts.subject = draft.subject.clone();
    work.facts.from_name = draft.from_name.clone();
    work.facts.from_address = draft.from_address.clone();
    work.facts.subject_personalised = draft.personalise && !scan(&draft.subject).is_empty();
    work.facts.from_address_personalised = draft.personalise && !scan(&draft.from_address).is_empty();
    work.facts.mirror_page =
        html.is_some() && matches!(draft.mirror, MirrorMode::WhenLinked | MirrorMode::Always);
    work.headers();
    work.attachments();
    work.finish(text_source)
}

struct Work<'a> {
    draft: &'a Draft,
    options: &'a CompileOptions,
    setting: Setting,
    blocks: Blocks<'a>,
    links: LinkTable<'a>,
    images: Vec<Asset>,
    attached: Vec<Asset>,
    constant_headers: Vec<(String, String)>,
    header_names: Vec<String>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    facts: ContentFacts,
    parts: Vec<Part>,
    personal: Vec<PersonalPart>,
}

impl<'a> Work<'a> {
    fn new(draft: &'a Draft, options: &'a CompileOptions) -> Work<'a> {
        let setting = Setting {
            now_us: options.now_us,
            public_url: options.public_url.clone(),
            code_key: options.code_key.clone(),
        };
        Work {
            draft,
            options,
            blocks: Blocks::new(&options.blocks, &options.assets, setting.clone()),
            setting,
            links: LinkTable::new(draft),
            images: Vec::new(),
            attached: Vec::new(),
            constant_headers: Vec::new(),
            header_names: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            facts: ContentFacts::default(),
            parts: Vec::new(),
            personal: Vec::new(),
        }
    }

    /// What the author wrote, in the form that all steps work on.
    fn source(&self, part: &'static str, text: &str) -> Source {
        let text = without_marks(text).replace("\r\n", "\n").replace('\r', "\n");
        Source::new(part, if self.draft.personalise { text } else { marks::without_tags(&text) })
    }

    /// The same with its blocks; problems are kept.
    fn expanded(&mut self, source: &Source, form: Form) -> Option<Source> {
        if !self.draft.personalise {
            return Some(source.clone());
        }
        self.blocks.expand(source, form).map_err(|problems| self.problems.extend(problems)).ok()
    }

    fn what_there_is(&mut self, html: bool, text: bool) {
        if self.draft.mjml.is_some() && self.draft.html.as_deref().is_some_and(|html| !html.trim().is_empty())
        {
            let hint = "keep one of them";
            self.problems.push(Problem::new("message", "there is HTML and MJML").hint(hint));
        }
        let amp = self.draft.amp.as_deref().is_some_and(|amp| !amp.trim().is_empty());
        let problem = match (html || text, amp) {
            (true, _) => return,
            (false, true) => {
                Problem::new("amp", "an AMP part cannot stand alone").hint("write an HTML or a text body")
            }
            (false, false) => {
                Problem::new("message", "there is no content").hint("write an HTML or a text body")
            }
        };
        self.problems.push(problem);
    }

    fn header(&mut self, name: PartName, text: &str) {
        let part = name.as_str();
        let source = self.source(part, text.trim());
        if source.text.is_empty() {
            match name {
                PartName::Subject => self.problems.push(Problem::new(part, "the subject is empty")),
                PartName::FromAddress => {
                    self.problems.push(Problem::new(part, "the sender's address is empty"))
                }
                _ => {}
            }
            return;
        }
        let Some(source) = self.expanded(&source, Form::Text) else { return };
        if let Err(error) = check_header_text(&source.text) {
            self.problems.push(Problem::new(part, error.to_string()));
            return;
        }
        self.part(name, String::new(), source, Escape::Header);
    }

    /// The author's HTML or MJML, if it can be worked on.
    fn html_source(&mut self) -> Option<Source> {
        let written = |source: &'a Option<String>| source.as_deref().filter(|text| !text.trim().is_empty());
        let (part, text) = match (written(&self.draft.html), written(&self.draft.mjml)) {
            (Some(html), _) => ("html", html),
            (None, Some(mjml)) => ("mjml", mjml),
            (None, None) => return None,
        };
        Some(self.source(part, text))
    }

    /// Size and characters of a body.
    fn is_sound(&mut self, source: &Source) -> bool {
        if source.text.len() > PART_SIZE_MAX {
            let message = format!("larger than {} MB, which is here", PART_SIZE_MAX >> 20);
            self.problems.push(source.problem(PART_SIZE_MAX, message));
            return false;
        }
        if let Some(at) = source.text.find('\0') {
            let message = "a NUL character (U+0000) cannot be sent";
            self.problems.push(source.problem(at, message).hint("the file may not be text, or not UTF-8"));
            return false;
        }
        true
    }

    /// The HTML part; returns the HTML before images and links, for the text part.
    fn html(&mut self, author: &Source) -> Option<Source> {
        if !self.is_sound(author) {
            return None;
        }
        let expanded = self.expanded(author, Form::Html)?;
        let preheader = self.preheader()?;
        // Before any tool sees it: what is no template would be told in a tool's words.
        if let Err(problem) = PartTemplate::new(expanded.clone(), Escape::Html, &self.setting) {
            self.problems.push(problem);
            return None;
        }
        let is_mjml = author.part == "mjml";
        self.html_facts(&expanded, is_mjml);
        let rendered = if is_mjml {
            match mjml::render(&expanded, self.draft.inline_css, &mut self.warnings) {
                Ok(rendered) => rendered,
                Err(problems) => {
                    self.problems.extend(problems);
                    return None;
                }
            }
        } else {
            expanded
        };
        self.facts.elements = mobile::elements(&rendered);
        if let Some(facts) = &mut self.facts.html {
            facts.seen = seen_of_html(&rendered.text);
        }
        let mut source = rendered.clone();
        if self.draft.inline_css {
            match inline_css::inline(&source) {
                Ok(inlined) => source = inlined,
                Err(warning) => self.warnings.push(warning),
            }
        }
        source = images::place(&source, self.draft, self.options, &mut self.images, &mut self.warnings);
        source = self.links.html(&source);
        let mut edits: Vec<Edit> = preheader::insertion(&source.text, &preheader).into_iter().collect();
        edits.extend(self.options.banner.iter().map(|banner| preheader::banner(&source.text, &banner.html)));
        if self.draft.track_opens {
            edits.push(preheader::pixel(&source.text));
        }
        self.part(PartName::Html, String::new(), source.edited(edits), Escape::Html);
        Some(rendered)
    }

    /// The preheader with its blocks, compiled on its own first so that an error in it has its own place.
    fn preheader(&mut self) -> Option<String> {
        let source = self.source("preheader", &self.draft.preheader);
        let source = self.expanded(&source, Form::Text)?;
        match PartTemplate::new(source.clone(), Escape::Html, &self.setting) {
            Ok(_) => Some(source.text),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn html_facts(&mut self, source: &Source, is_mjml: bool) {
        self.facts.html = Some(PartFacts::of(&source.text));
        let found = of_html(source, is_mjml);
        (self.facts.links, self.facts.images) = (found.links, found.images);
        if let Some(first) = found.scripts.first() {
            let message = match found.scripts.len() {
                1 => "a script stays in the message".to_owned(),
                count => format!("{count} scripts stay in the message; the first is here"),
            };
            let hint = "mail programs do not run scripts, and many receivers reject such mail: take it out";
            self.warnings.push(source.problem(*first, message).hint(hint));
        }
        if !is_mjml && let Some((at, message)) = balance::first_fault(&source.text) {
            self.warnings
                .push(source.problem(at, message).hint("mail programs mend it, each in its own way"));
        }
    }

    fn amp(&mut self) {
        let Some(text) = self.draft.amp.as_deref().filter(|text| !text.trim().is_empty()) else { return };
        let author = self.source("amp", text);
        if !self.is_sound(&author) {
            return;
        }
        let Some(source) = self.expanded(&author, Form::Html) else { return };
        if source.text.len() >= 4 * AMP_SIZE_MAX {
            let message = format!("the AMP part is not below {} KB", AMP_SIZE_MAX >> 10);
            self.problems.push(Problem::new("amp", message));
            return;
        }
        if let Err(problem) = PartTemplate::new(source.clone(), Escape::Html, &self.setting) {
            self.problems.push(problem);
            return;
        }
        let lower = source.text.to_ascii_lowercase();
        if !lower.contains("amp4email") && !lower.contains("⚡4email") {
            let message = "the AMP part is not marked as AMP4EMAIL, so receivers will ignore it";
            self.warnings
                .push(Problem::new("amp", message).hint("begin it with <!doctype html><html ⚡4email>"));
        }
        let source = images::place(&source, self.draft, self.options, &mut self.images, &mut self.warnings);
        let source = self.links.html(&source);
        self.part(PartName::Amp, String::new(), source, Escape::Html);
    }

    /// The text part, the author's or made from the HTML; returns its source.
    fn text(
        &mut self,
        text: Option<&str>,
        html: Option<&Source>,
        rendered: Option<&Source>,
    ) -> Option<String> {
        let source = match text {
            Some(text) => {
                let author = self.source("text", text);
                if !self.is_sound(&author) {
                    return None;
                }
                let source = self.expanded(&author, Form::Text)?;
                self.facts.links.extend(of_text(&source));
                source
            }
            None => {
                // An HTML that did not compile would be reported twice.
                let rendered = rendered.filter(|_| self.problems.is_empty())?;
                let Some(made) = self.generated(html.unwrap_or(rendered)) else {
                    let hint = "write a text body";
                    self.warnings
                        .push(Problem::new("text", "no text body could be made from the HTML").hint(hint));
                    return None;
                };
                self.facts.text_generated = true;
                made
            }
        };
        if source.text.len() > PART_SIZE_MAX {
            self.problems.push(Problem::new("text", format!("larger than {} MB", PART_SIZE_MAX >> 20)));
            return None;
        }
        let shown = marks::readable(&source.text);
        self.facts.text = Some(PartFacts { seen: seen_of_text(&source.text), ..PartFacts::of(&source.text) });
        let mut source = self.links.text(&source);
        if let Some(banner) = &self.options.banner {
            source = source.edited(vec![Edit { range: 0..0, with: vec![Bit::Ours(banner.text.clone())] }]);
        }
        self.part(PartName::Text, String::new(), source, Escape::Text);
        Some(shown)
    }

    /// A text made from HTML. Blocks are still names in it, so that they come in their text form.
    fn generated(&self, html: &Source) -> Option<Source> {
        let made = Source::new("text", text_part::generate(&self.blocks.set_apart(html).text)?);
        let made = if self.draft.personalise { self.blocks.expand(&made, Form::Text).ok()? } else { made };
        PartTemplate::new(made.clone(), Escape::Text, &self.setting).is_ok().then_some(made)
    }

    /// Compiles a part; one that is the same for everybody is evaluated now.
    fn part(&mut self, name: PartName, label: String, source: Source, escape: Escape) {
        let template = match PartTemplate::new(source, escape, &self.setting) {
            Ok(template) => template,
            Err(mut problem) => {
                if !label.is_empty() {
                    problem.message = format!("{label}: {}", problem.message);
                }
                return self.problems.push(problem);
            }
        };
        let personal = PersonalPart::new(name, label, template);
        let mut part = personal.part();
        if personal.is_constant() {
            match personal.evaluate(&Value::from_pairs([("", "")]), None) {
                Ok(pieces) => constant(&mut part, pieces),
                Err(problem) => return self.problems.push(problem),
            }
        } else {
            self.personal.push(personal);
        }
        self.parts.push(part);
    }

    /// One warning for all merge tags of another system, at the first one.
    fn foreign_tags(&mut self) {
        let draft = self.draft;
        let html = draft.html.as_deref().filter(|html| !html.trim().is_empty());
        let sources = [
            ("subject", draft.subject.as_str()),
            ("from_name", draft.from_name.as_str()),
            ("preheader", draft.preheader.as_str()),
            ("html", html.unwrap_or_default()),
            ("mjml", if html.is_none() { draft.mjml.as_deref().unwrap_or_default() } else { "" }),
            ("text", draft.text.as_deref().unwrap_or_default()),
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

    /// Added headers: those that are the same for all, and those that are parts.
    fn headers(&mut self) {
        let headers = &self.draft.headers;
        if headers.len() > HEADERS_MAX {
            self.problems.push(Problem::new("headers", format!("more than {HEADERS_MAX} headers")));
            return;
        }
        for (name, value) in headers {
            if !is_header_name(name) {
                let message = format!("the header name `{}` cannot be used", name.escape_debug());
                let hint = "Mailwright writes it itself, or it is no name of a header";
                self.problems.push(Problem::new("headers", message).hint(hint));
                continue;
            }
            let source = self.source("headers", value.trim());
            let Some(source) = self.expanded(&source, Form::Text) else { continue };
            if let Err(error) = check_header_text(&source.text) {
                self.problems.push(Problem::new("headers", format!("{name}: {error}")));
            } else if scan(&source.text).is_empty() {
                self.constant_headers.push((name.clone(), marks::readable(&source.text)));
            } else {
                // HEADERS_MAX keeps the number small.
                let number = self.header_names.len() as u8;
                self.header_names.push(name.clone());
                self.part(PartName::Header(number), name.clone(), source, Escape::Header);
            }
        }
        self.banner_header();
    }

    /// The banner's header, unless the author's own take every place: the banner itself says the same.
    fn banner_header(&mut self) {
        let Some(banner) = &self.options.banner else { return };
        if self.draft.headers.len() >= HEADERS_MAX {
            return;
        }
        let (name, value) = banner.header.clone();
        let number = self.header_names.len() as u8;
        self.header_names.push(name.clone());
        let source = Source::new("headers", value);
        self.part(PartName::Header(number), name, source, Escape::Header);
    }

    fn attachments(&mut self) {
        let attachments = &self.draft.attachments;
        if attachments.len() > ATTACHMENTS_MAX {
            let message = format!("more than {ATTACHMENTS_MAX} attachments");
            self.problems.push(Problem::new("attachments", message));
            return;
        }
        for (number, attachment) in attachments.iter().enumerate() {
            self.attachment(number as u8, attachment);
        }
    }

    /// Its part is the file's name, empty for who does not get it.
    fn attachment(&mut self, number: u8, attachment: &AttachmentDraft) {
        let label = format!("attachment {}", u32::from(number) + 1);
        let problem = |message: &str| Problem::new("attachments", format!("{label}: {message}"));
        let when = attachment.when.trim();
        if attachment.name.trim().is_empty() {
            return self.problems.push(problem("the file has no name"));
        }
        if when.contains("%}") || when.contains("{%") || when.contains("{{") || when.len() > 1_000 {
            let hint = "write an expression: country == 'DE'";
            return self.problems.push(problem("the condition is no expression").hint(hint));
        }
        let name = self.source("attachments", attachment.name.trim());
        let Some(mut source) = self.expanded(&name, Form::Text) else { return };
        if !when.is_empty() {
            let end = source.text.len();
            source = source.edited(vec![
                Edit { range: 0..0, with: vec![Bit::Ours(format!("{{% if ({when}) %}}"))] },
                Edit::text(end..end, "{% endif %}"),
            ]);
        }
        self.attached.push(Asset {
            hash: attachment.hash.clone(),
            content_type: attachment.content_type.clone(),
            name: attachment.name.trim().to_owned(),
            size: attachment.size,
            inline: false,
        });
        self.part(PartName::Attachment(number), label, source, Escape::Header);
    }

    fn finish(mut self, text_source: Option<String>) -> Result<Compiled, Vec<Problem>> {
        let notes = self.links.finish();
        self.problems.append(&mut self.links.problems);
        self.warnings.append(&mut self.links.warnings);
        let formats = Formats::new(self.draft, &self.options.format_rules, &mut self.warnings);
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        if self.parts.iter().any(|part| part.name == PartName::Amp)
            && !formats.variants.iter().any(|one| one.amp)
        {
            let hint = "add a rule under Settings, Formats for the receivers that you are registered with";
            self.warnings.push(Problem::new("amp", "no format rule sends the AMP part").hint(hint));
        }
        let message_id_domain = self.message_id_domain();
        self.parts.sort_by_key(|part| part.name);
        let html = self.parts.iter().find(|part| part.name == PartName::Html);
        let charset_places = html.map(|html| meta::charset_places(&html.segments)).unwrap_or_default();
        let options = self.options;
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
            headers: self.constant_headers,
            precedence: self.draft.precedence.trim().to_owned(),
            header_names: self.header_names,
            variants: formats.variants.clone(),
            links: self.links.links,
            images: self.images,
            attachments: self.attached,
            mirror: self.draft.mirror,
            charset_places,
        };
        if let Err(error) = snapshot.check() {
            return Err(vec![Problem::new("message", error.to_string())]);
        }
        let time_ms = options.personalization_time_ms;
        Ok(Compiled {
            snapshot,
            facts: self.facts,
            warnings: self.warnings,
            notes,
            text_source,
            links: self.links.found,
            personal: self.personal,
            formats,
            codes: Codes::new(
                &options.public_url,
                options.code_key.as_ref(),
                self.draft.image_mode == ImageChoice::Inline,
            ),
            time_max: (time_ms > 0).then(|| Duration::from_millis(time_ms)),
        })
    }

    /// The domain on the right of the Message-ID.
    fn message_id_domain(&self) -> String {
        let options = self.options;
        if !options.message_id_domain.is_empty() {
            return options.message_id_domain.clone();
        }
        let constant = self.parts.iter().find(|part| part.name == PartName::FromAddress);
        let address = constant.filter(|part| !part.usual.is_empty()).and_then(|part| part.segments.first());
        let domain = address.and_then(|address| address.rsplit('@').next());
        domain.unwrap_or(&options.bounce_domain).to_owned()
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
