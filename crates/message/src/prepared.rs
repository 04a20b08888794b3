//! A snapshot made ready: static text encoded once, the constant beginning of each body hashed once.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use crate::base64_lines;
use crate::body::{Body, BodyKey, Head, Written, head_bytes};
use crate::charset::Charset;
use crate::codes;
use crate::compose::ComposeError;
use crate::header::{HeaderError, check_header_text};
use crate::limits::HEADER_TEXT_LEN_MAX;
use crate::links::Links;
use crate::plan::{Plan, Step, boundary, content_id, file_head, file_name, inline_images, part_names, words};
use crate::slots::{PartName, Piece, Slots};
use crate::snapshot::{Snapshot, SnapshotError};
use crate::splice::Splice;
use crate::token::{Token, TokenKeys};
use crate::variant::{Asset, BodyEncoding, FLAGS_LONG_LINES, FLAGS_VARIANT, TransferChoice, Variant};

/// A snapshot made ready for many messages: static text encoded, constant beginnings hashed. Made once per
/// delivery and node, then shared between threads.
pub struct Prepared {
    snapshot: Snapshot,
    hash: String,
    /// URLs of the images, for pages and for variants that carry none along.
    image_urls: Arc<[String]>,
    bodies: Vec<Body>,
    /// By the variant's number.
    variants: Vec<Built>,
    /// Encoded images, where a variant carries them along.
    images: Vec<Vec<u8>>,
    attachments: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({})", self.hash)
    }
}

/// A variant made ready: without attachments, and with some; each also for messages with codes of their own, made when
/// the first of those is composed, because most deliveries have none.
struct Built {
    /// Its bodies.
    numbers: Vec<usize>,
    alone: Ready,
    mixed: Option<Ready>,
    /// Without attachments, and with some.
    coded: [OnceLock<Ready>; 2],
}

struct Ready {
    plan: Plan,
    prefix: Prefix,
    /// Octets of its static text and images, to size the buffers.
    size: usize,
}

/// The beginning of a body that is the same for every message of a variant.
struct Prefix {
    splice: Splice,
    /// The first step that is not wholly inside.
    step: usize,
    /// That step's head and segment 0 are inside too.
    opening: bool,
    /// Bodies that are inside with their usual pieces.
    usual: Vec<usize>,
}

/// Room for the header, which comes before the body when that is complete, and for what a connection adds: signatures
/// with two keys take some two thousand octets. A longer one grows the buffer.
const HEADER_ROOM: usize = 5_120;

/// What is one message's own.
pub(crate) struct Own<'a> {
    pub slots: &'a Slots,
    pub flags: i64,
    pub links: Links<'a>,
}

/// A message's body.
pub(crate) struct Content {
    pub wire: Vec<u8>,
    /// DKIM's body hash, when it is to be signed.
    pub hash: Option<[u8; 32]>,
    /// Fields for the message's header.
    pub head: Head,
}

impl Prepared {
    /// Encodes the static text and the files, which `assets` gives by their hash. Some milliseconds for a large
    /// newsletter; once per delivery and node.
    ///
    /// # Errors
    /// When the snapshot does not pass [`Snapshot::check`], or a file that goes along is not there.
    pub fn new(
        snapshot: Snapshot,
        assets: impl Fn(&str) -> Option<Arc<[u8]>>,
    ) -> Result<Prepared, SnapshotError> {
        snapshot.check()?;
        let hash = snapshot.hash();
        let image_urls = snapshot.images.iter().map(|image| image.url(&snapshot.public_url)).collect();
        let encode = |asset: &Asset| {
            let bytes = assets(&asset.hash).filter(|bytes| asset.is_of(bytes));
            let bytes = bytes.ok_or_else(|| SnapshotError::Asset(asset.name.clone()))?;
            let mut wire = Vec::new();
            base64_lines::encode(&mut wire, &bytes);
            Ok::<_, SnapshotError>(wire)
        };
        let along: Vec<usize> =
            snapshot.variants.iter().flat_map(|variant| inline_images(&snapshot, variant)).collect();
        let image = |(number, asset)| if along.contains(&number) { encode(asset) } else { Ok(Vec::new()) };
        let images = snapshot.images.iter().enumerate().map(image).collect::<Result<_, _>>()?;
        let attachments = snapshot.attachments.iter().map(encode).collect::<Result<_, _>>()?;
        let variants = Vec::new();
        let mut prepared =
            Prepared { hash, image_urls, bodies: Vec::new(), variants, images, attachments, snapshot };
        for number in 0..prepared.snapshot.variants.len() {
            let built = prepared.build(number);
            prepared.variants.push(built);
        }
        Ok(prepared)
    }

    /// The snapshot's name, 64 hex digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Approximate size of one message in octets, for memory permits: that of the largest variant.
    pub fn size_hint(&self) -> usize {
        let largest = self.variants.iter().map(|built| built.alone.size).max().unwrap_or(0);
        largest + self.attachments.iter().map(Vec::len).sum::<usize>() + 4_096
    }

    /// A part's text for one message, links in place, line ends LF: for previews. Images are URLs. Empty when the
    /// snapshot has no such part.
    ///
    /// # Errors
    /// When the slots do not belong to this snapshot.
    pub fn part_text(
        &self,
        name: PartName,
        slots: &Slots,
        id: i64,
        keys: &TokenKeys,
    ) -> Result<String, ComposeError> {
        self.part_text_for(name, slots, Token { message: id, inert: self.snapshot.inert }, keys)
    }

    /// As [`Prepared::part_text`], with the links of any token: an inert one's act on nobody (an operator's view).
    ///
    /// # Errors
    /// When the slots do not belong to this snapshot.
    pub fn part_text_for(
        &self,
        name: PartName,
        slots: &Slots,
        token: Token,
        keys: &TokenKeys,
    ) -> Result<String, ComposeError> {
        self.snapshot.part_text(name, slots, token, keys)
    }

    /// The variant of a message row's flags, and its number. A number that the snapshot does not have is the first.
    pub(crate) fn variant(&self, flags: i64) -> (usize, &Variant) {
        let number = (flags & FLAGS_VARIANT) as usize;
        let number = if number < self.snapshot.variants.len() { number } else { 0 };
        (number, &self.snapshot.variants[number])
    }

    /// Encodes what a variant needs and no earlier one has.
    fn build(&mut self, number: usize) -> Built {
        let variant = self.snapshot.variants[number].clone();
        let along = inline_images(&self.snapshot, &variant);
        let images: Arc<[String]> = if along.is_empty() {
            Arc::clone(&self.image_urls)
        } else {
            let urls = self.image_urls.iter().enumerate();
            urls.map(|(number, url)| {
                let goes_along = along.contains(&number);
                if goes_along { format!("cid:{}", content_id(&self.snapshot, number)) } else { url.clone() }
            })
            .collect()
        };
        let geta = variant.carrier.is_some();
        let numbers: Vec<usize> = part_names(&self.snapshot, &variant)
            .into_iter()
            .map(|name| {
                let encoding = match name {
                    PartName::Html => variant.html,
                    PartName::Amp => BodyEncoding::default(), // AMP is UTF-8 by its specification
                    _ => variant.text,
                };
                self.encode_body(BodyKey { name, encoding, geta, images: Arc::clone(&images) })
            })
            .collect();
        let mixed = (!self.attachments.is_empty()).then(|| self.ready(&variant, &numbers, (true, false)));
        let alone = self.ready(&variant, &numbers, (false, false));
        Built { alone, mixed, coded: Default::default(), numbers }
    }

    /// The number of a body, encoded now when no earlier variant has it. One that can lack characters is followed by
    /// its UTF-8 form.
    fn encode_body(&mut self, key: BodyKey) -> usize {
        if let Some(number) = self.bodies.iter().position(|body| body.key == key) {
            return number;
        }
        let part = self.snapshot.part(key.name).expect("part_names are those of parts");
        let utf8 = BodyEncoding { charset: Charset::UTF_8, transfer: TransferChoice::Auto };
        let fallback = BodyKey { encoding: utf8, ..key.clone() };
        let body = Body::new(key, part, &self.snapshot);
        let can_lack = body.key.encoding.charset != Charset::UTF_8;
        self.bodies.push(body);
        let number = self.bodies.len() - 1;
        if can_lack {
            self.bodies.push(Body::new(fallback, part, &self.snapshot));
        }
        number
    }

    /// `levels`: whether there are attachments, and codes of the message's own.
    fn ready(&self, variant: &Variant, numbers: &[usize], levels: (bool, bool)) -> Ready {
        let plan = Plan::new(&self.snapshot, variant, numbers, &self.bodies, levels);
        let size = plan.steps.iter().map(|step| match step {
            Step::Syntax(bytes) => bytes.len(),
            Step::Text(number) => self.bodies[*number].size,
            Step::Image(number) => self.images[*number].len(),
            Step::Codes => 0,
        });
        Ready { size: size.sum(), prefix: self.prefix(&plan), plan }
    }

    fn prefix(&self, plan: &Plan) -> Prefix {
        let mut prefix = Prefix { splice: Splice::new(true), step: 0, opening: false, usual: Vec::new() };
        let links = Links::new(&self.snapshot, Token { message: 0, inert: true }, None);
        for step in &plan.steps {
            match step {
                Step::Syntax(bytes) => prefix.splice.head(bytes),
                // Large, and copied quickly later.
                Step::Image(_) | Step::Codes => break,
                Step::Text(number) => {
                    let body = &self.bodies[*number];
                    if !body.is_sure() {
                        break;
                    }
                    if body.is_constant() {
                        body.write(&mut prefix.splice, &body.usual, &links, false, plan.head.is_none())
                            .expect("usual pieces were checked");
                        prefix.usual.push(*number);
                    } else if let Some(segment) = body.opening() {
                        if plan.head.is_some() {
                            prefix.splice.head(&head_bytes(&body.sure_head()));
                        }
                        prefix.splice.segment(segment);
                        prefix.opening = true;
                        break;
                    } else {
                        break;
                    }
                }
            }
            prefix.step += 1;
        }
        prefix
    }

    /// True when a message begins with the prepared beginning.
    fn begins_with(&self, ready: &Ready, slots: &Slots) -> Result<bool, ComposeError> {
        let prefix = &ready.prefix;
        let usual = |number: &usize| slots.part(self.bodies[*number].key.name).is_none();
        let opened = match ready.plan.steps.get(prefix.step) {
            Some(Step::Text(number)) if prefix.opening => {
                self.bodies[*number].pieces(slots)?.first() == Some(&Piece::Static(0))
            }
            _ => !prefix.opening,
        };
        Ok(opened && prefix.usual.iter().all(usual))
    }

    /// The body, its DKIM hash when it is to be signed, and the fields that describe it.
    pub(crate) fn body(
        &self,
        own: &Own<'_>,
        signing: bool,
        buffer: Vec<u8>,
    ) -> Result<Content, ComposeError> {
        let (number, variant) = self.variant(own.flags);
        let (slots, links) = (own.slots, &own.links);
        let attached = self.attached(own)?;
        let ready = self.ready_for(number, slots, !attached.is_empty());
        let plan = &ready.plan;
        let mut splice = Splice::over(buffer, signing);
        let files: usize = attached.iter().map(|(number, _)| self.attachments[*number].len() + 512).sum();
        splice.wire.reserve(ready.size + files + slots.text_len() + HEADER_ROOM);
        let mut head = plan.head.clone();
        let mut first = 0;
        if self.begins_with(ready, slots)? {
            splice.resume(&ready.prefix.splice);
            first = ready.prefix.step;
            if let (None, Some(Step::Text(number))) = (&head, plan.steps.first()) {
                head = self.bodies[*number].is_sure().then(|| self.bodies[*number].sure_head());
            }
            if let (true, Some(Step::Text(number))) = (ready.prefix.opening, plan.steps.get(first)) {
                let body = &self.bodies[*number];
                body.write_quoted(&mut splice, &body.pieces(slots)?[1..], links)?;
                first += 1;
            }
        }
        for step in &plan.steps[first..] {
            match step {
                Step::Syntax(bytes) => splice.head(bytes),
                Step::Image(number) => splice.syntax(&self.images[*number]),
                Step::Codes => {
                    let boundary = boundary(&self.snapshot, "related");
                    let place = (links.message(), boundary.as_str(), words(variant));
                    codes::write(&mut splice, slots, &self.snapshot, place)?;
                }
                Step::Text(number) => {
                    let written = self.write_text(&mut splice, *number, own, plan.head.is_none())?;
                    head.get_or_insert(written);
                }
            }
        }
        if plan.mixed {
            self.write_attachments(&mut splice, &attached, variant);
        } else {
            splice.end_line();
        }
        let hash = splice.hash.map(|hash| hash.finish());
        Ok(Content { wire: splice.wire, hash, head: head.unwrap_or_default() })
    }

    fn ready_for(&self, number: usize, slots: &Slots, attached: bool) -> &Ready {
        let built = &self.variants[number];
        if slots.codes().next().is_some() {
            let make = || self.ready(&self.snapshot.variants[number], &built.numbers, (attached, true));
            return built.coded[usize::from(attached)].get_or_init(make);
        }
        built.mixed.as_ref().filter(|_| attached).unwrap_or(&built.alone)
    }

    /// Writes a body; in UTF-8 where its own encoding lacks a character. Returns its head.
    fn write_text(
        &self,
        splice: &mut Splice,
        number: usize,
        own: &Own<'_>,
        alone: bool,
    ) -> Result<Head, ComposeError> {
        let long_lines = own.flags & FLAGS_LONG_LINES != 0;
        let body = &self.bodies[number];
        let pieces = body.pieces(own.slots)?;
        let can_lack = body.key.encoding.charset != Charset::UTF_8;
        let mark = can_lack.then(|| splice.mark());
        for (body, mark) in
            [(body, mark)].into_iter().chain(can_lack.then(|| (&self.bodies[number + 1], None)))
        {
            match body.write(splice, pieces, &own.links, long_lines, alone)? {
                Written::As(form) => return Ok(body.head(form)),
                Written::Lacks => mark.into_iter().for_each(|mark| splice.back_to(mark)),
            }
        }
        unreachable!("UTF-8 lacks no character")
    }

    /// Numbers and names of the attachments that this recipient gets.
    fn attached(&self, own: &Own<'_>) -> Result<Vec<(usize, String)>, ComposeError> {
        let mut attached = Vec::new();
        for number in 0..self.snapshot.attachments.len() {
            // Snapshot::check keeps their count far below 256.
            let name = self.text_of(PartName::Attachment(number as u8), own)?;
            if !name.trim().is_empty() {
                attached.push((number, file_name(&name)));
            }
        }
        Ok(attached)
    }

    /// Attachments, and the end of multipart/mixed.
    fn write_attachments(&self, splice: &mut Splice, attached: &[(usize, String)], variant: &Variant) {
        let boundary = boundary(&self.snapshot, "mixed");
        for (number, name) in attached {
            splice.syntax(format!("\r\n--{boundary}\r\n").as_bytes());
            let asset = &self.snapshot.attachments[*number];
            splice.head(&head_bytes(&file_head(asset, name, "attachment", words(variant))));
            splice.syntax(&self.attachments[*number]);
        }
        splice.syntax(format!("\r\n--{boundary}--\r\n").as_bytes());
    }

    /// A header part as text.
    pub(crate) fn text_of<'a>(&'a self, name: PartName, own: &Own<'_>) -> Result<Cow<'a, str>, ComposeError> {
        let Some(part) = self.snapshot.part(name) else { return Ok(Cow::Borrowed("")) };
        let pieces = own.slots.part(name).unwrap_or(&part.usual);
        if let [Piece::Static(number)] = pieces {
            let segment = part.segments.get(*number as usize);
            return segment
                .map(|text| Cow::Borrowed(text.as_str()))
                .ok_or(ComposeError::Segment { part: name, number: *number });
        }
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Static(number) => text.push_str(
                    part.segments
                        .get(*number as usize)
                        .ok_or(ComposeError::Segment { part: name, number: *number })?,
                ),
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Link(kind) => text.push_str(&own.links.url(*kind, &self.image_urls)),
            }
            if text.len() > HEADER_TEXT_LEN_MAX {
                return Err(ComposeError::Header { part: name.as_str(), error: HeaderError::TooLong });
            }
        }
        check_header_text(&text).map_err(|error| ComposeError::Header { part: name.as_str(), error })?;
        Ok(Cow::Owned(text))
    }
}
