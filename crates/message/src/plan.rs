//! How the parts of a message nest: mixed( related( alternative( text, amp, html ), inline images, codes ), attachments ).
//!
//! The order is that of RFC 2046 section 5.1.4 (the richest alternative last) and of RFC 2387 (the root first);
//! Japanese carriers want related outside of alternative too. A level that has nothing to hold is left out.

use crate::body::{Body, Head, head_bytes};
use crate::header::Words;
use crate::parameter;
use crate::slots::PartName;
use crate::snapshot::Snapshot;
use crate::variant::{Asset, ImageMode, Structure, Variant};

/// What is written one after the other.
pub(crate) enum Step {
    /// Boundaries, and heads that are the same for all.
    Syntax(Vec<u8>),
    /// A body of this number, its head with it.
    Text(usize),
    /// Pre-encoded bytes of the image of this number.
    Image(usize),
    /// The message's own codes.
    Codes,
}

/// A message's structure, without the attachments, which not every recipient gets.
pub(crate) struct Plan {
    /// Fields for the message's own header; none when the one body's stand there.
    pub head: Option<Head>,
    pub steps: Vec<Step>,
    /// The outermost level is multipart/mixed: attachments and its end are still to come.
    pub mixed: bool,
}

/// Which parts a variant's messages have.
pub(crate) fn part_names(snapshot: &Snapshot, variant: &Variant) -> Vec<PartName> {
    let has = |name: &PartName| snapshot.part(*name).is_some();
    let first = |names: [PartName; 2]| names.into_iter().find(has).into_iter().collect::<Vec<_>>();
    match variant.structure {
        Structure::Text => first([PartName::Text, PartName::Html]),
        Structure::Html => first([PartName::Html, PartName::Text]),
        Structure::Alternative => [PartName::Text, PartName::Amp, PartName::Html]
            .into_iter()
            .filter(|name| has(name) && (*name != PartName::Amp || variant.amp))
            .collect(),
    }
}

/// The images that a variant's messages carry along.
pub(crate) fn inline_images(snapshot: &Snapshot, variant: &Variant) -> Vec<usize> {
    if !part_names(snapshot, variant).contains(&PartName::Html) {
        return Vec::new();
    }
    let goes_along = |image: &Asset| image.inline || variant.images == ImageMode::Inline;
    (0..snapshot.images.len()).filter(|number| goes_along(&snapshot.images[*number])).collect()
}

/// Name of an image in its message: what stands in Content-ID, and after `cid:`.
pub(crate) fn content_id(snapshot: &Snapshot, number: usize) -> String {
    format!("image{number}.{:x}@{}", snapshot.delivery, snapshot.message_id_domain)
}

/// Name of a code in its message.
pub(crate) fn code_id(snapshot: &Snapshot, message: i64, number: u8) -> String {
    format!("code{number}.{message:x}@{}", snapshot.message_id_domain)
}

pub(crate) fn words(variant: &Variant) -> Words {
    Words { charset: variant.subject, geta: variant.carrier.is_some() }
}

/// An entity: its head, and how its content is written.
struct Entity {
    head: Option<Head>,
    steps: Vec<Step>,
}

impl Entity {
    fn multipart(subtype: &str, parameters: &str, boundary: &str, children: Vec<Entity>) -> Entity {
        let mut steps = Vec::new();
        for (number, child) in children.into_iter().enumerate() {
            let before = if number > 0 { "\r\n" } else { "" };
            let mut syntax = format!("{before}--{boundary}\r\n").into_bytes();
            if let Some(head) = &child.head {
                syntax.extend_from_slice(&head_bytes(head));
            }
            steps.push(Step::Syntax(syntax));
            steps.extend(child.steps);
        }
        steps.push(Step::Syntax(format!("\r\n--{boundary}--\r\n").into_bytes()));
        let value = format!("multipart/{subtype};{parameters}\r\n\tboundary=\"{boundary}\"");
        Entity { head: Some(vec![("Content-Type", value)]), steps }
    }

    fn kind(&self, bodies: &[Body]) -> &'static str {
        match self.steps.as_slice() {
            [Step::Text(number)] if bodies[*number].key.name == PartName::Html => "text/html",
            [Step::Text(_)] => "text/plain",
            _ => "multipart/alternative",
        }
    }
}

/// The boundary of a level, the same for all messages of a delivery. `=_` stands neither in quoted-printable nor in
/// base64 (RFC 2045 section 6.7), and a 7bit or 8bit body that has it at a line's start is written in base64.
pub(crate) fn boundary(snapshot: &Snapshot, level: &str) -> String {
    format!("=_{:x}_{level}", snapshot.delivery)
}

impl Plan {
    /// `numbers` are the bodies in their order; `codes` says whether the message has codes of its own.
    pub fn new(
        snapshot: &Snapshot,
        variant: &Variant,
        numbers: &[usize],
        bodies: &[Body],
        (mixed, codes): (bool, bool),
    ) -> Plan {
        let mut leaves: Vec<Entity> =
            numbers.iter().map(|number| Entity { head: None, steps: vec![Step::Text(*number)] }).collect();
        let mut inner = match leaves.pop() {
            Some(only) if leaves.is_empty() => only,
            last => {
                leaves.extend(last);
                Entity::multipart("alternative", "", &boundary(snapshot, "alternative"), leaves)
            }
        };
        let images = inline_images(snapshot, variant);
        let has_html = numbers.iter().any(|number| bodies[*number].key.name == PartName::Html);
        if !images.is_empty() || ((variant.related || codes) && has_html) {
            let kind = format!("\r\n\ttype=\"{}\";", inner.kind(bodies));
            let mut children = vec![inner];
            children.extend(images.into_iter().map(|number| Entity {
                head: Some(image_head(snapshot, variant, number)),
                steps: vec![Step::Image(number)],
            }));
            inner = Entity::multipart("related", &kind, &boundary(snapshot, "related"), children);
            if codes {
                inner.steps.insert(inner.steps.len() - 1, Step::Codes);
            }
        }
        if !mixed {
            return Plan { head: inner.head, steps: inner.steps, mixed };
        }
        let mut outer = Entity::multipart("mixed", "", &boundary(snapshot, "mixed"), vec![inner]);
        // Its end comes after the attachments.
        outer.steps.pop();
        Plan { head: outer.head, steps: outer.steps, mixed }
    }
}

fn image_head(snapshot: &Snapshot, variant: &Variant, number: usize) -> Head {
    let image = &snapshot.images[number];
    let name = file_name(&image.name);
    let mut head = file_head(image, &name, "inline", words(variant));
    head.insert(2, ("Content-ID", format!("<{}>", content_id(snapshot, number))));
    head
}

/// Head of an image or attachment.
pub(crate) fn file_head(asset: &Asset, name: &str, disposition: &str, words: Words) -> Head {
    let mut kind = asset.content_type.clone();
    let mut disposition = disposition.to_owned();
    if !name.is_empty() {
        parameter::push(&mut kind, "name", name, words);
        parameter::push(&mut disposition, "filename", name, words);
    }
    vec![
        ("Content-Type", kind),
        ("Content-Transfer-Encoding", "base64".to_owned()),
        ("Content-Disposition", disposition),
    ]
}

/// A file's name without what separates folders.
pub(crate) fn file_name(name: &str) -> String {
    name.trim().replace(['/', '\\'], "_")
}
