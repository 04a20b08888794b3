//! A snapshot made ready: static text encoded once, the constant beginning of each body hashed once.

use std::borrow::Cow;

use aws_lc_rs::digest::{Context, SHA256};

use crate::compose::ComposeError;
use crate::header::{HeaderError, check_header_text};
use crate::limits::HEADER_TEXT_LEN_MAX;
use crate::quoted_printable::Segment;
use crate::slots::{LinkKind, PartName, Piece, Slots};
use crate::snapshot::{Part, Snapshot, SnapshotError, Transfer};
use crate::splice::{Splice, push_crlf};
use crate::token::{Token, TokenKeys};
use crate::variant::{FLAGS_VARIANT, Structure};
use std::sync::Arc;

/// A snapshot made ready for many messages: static text encoded, constant beginnings hashed. Made once per
/// delivery and node, then shared between threads.
pub struct Prepared {
    snapshot: Snapshot,
    hash: String,
    html: Option<Body>,
    text: Option<Body>,
    /// By the variant's number.
    prefixes: Vec<Prefix>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({})", self.hash)
    }
}

/// A body part's static text in its encoded form.
pub(crate) struct Body {
    name: PartName,
    usual: Vec<Piece>,
    segments: Segments,
    /// Octets of all segments, to size the buffers.
    size: usize,
}

enum Segments {
    QuotedPrintable(Vec<Segment>),
    /// Text with CRLF line ends, encoded when the part is complete.
    Base64(Vec<Vec<u8>>),
}

/// The beginning of a body that is the same for every message of a format.
struct Prefix {
    /// Body as far as it goes; `canonical` holds only the line ends that are not hashed yet.
    splice: Splice,
    hashed: Context,
    /// Whether `hashed` has seen an octet.
    begun: bool,
    /// Bodies that are wholly inside.
    bodies: usize,
    /// The next body's segment 0 is inside too.
    opening: bool,
}

impl Body {
    fn new(part: &Part) -> Body {
        let segments = match part.transfer {
            Transfer::QuotedPrintable => {
                Segments::QuotedPrintable(part.segments.iter().map(|text| Segment::new(text)).collect())
            }
            Transfer::Base64 => Segments::Base64(
                part.segments
                    .iter()
                    .map(|text| {
                        let mut bytes = Vec::with_capacity(text.len());
                        push_crlf(&mut bytes, text);
                        bytes
                    })
                    .collect(),
            ),
        };
        let size = match &segments {
            Segments::QuotedPrintable(segments) => {
                segments.iter().map(|segment| segment.wire().len() + 3).sum()
            }
            Segments::Base64(segments) => segments.iter().map(|segment| segment.len() * 3 / 2).sum(),
        };
        Body { name: part.name, usual: part.usual.clone(), segments, size }
    }

    /// True when every message has the same text here.
    fn is_constant(&self) -> bool {
        !self.usual.is_empty() && self.usual.iter().all(|piece| !matches!(piece, Piece::Link(_)))
    }

    pub fn head(&self) -> String {
        let subtype = if self.name == PartName::Html { "html" } else { "plain" };
        let transfer = match self.segments {
            Segments::QuotedPrintable(_) => "quoted-printable",
            Segments::Base64(_) => "base64",
        };
        format!("Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {transfer}\r\n")
    }

    /// Splices the pieces from `skip` on.
    fn write(
        &self,
        splice: &mut Splice,
        pieces: &[Piece],
        skip: usize,
        links: &Links<'_>,
    ) -> Result<(), ComposeError> {
        let missing = |number| ComposeError::Segment { part: self.name, number };
        match &self.segments {
            Segments::QuotedPrintable(segments) => {
                for piece in &pieces[skip..] {
                    match piece {
                        Piece::Static(n) => {
                            splice.segment(segments.get(*n as usize).ok_or_else(|| missing(*n))?)
                        }
                        Piece::Literal(text) => splice.literal(text),
                        Piece::Link(kind) => splice.literal(&links.url(*kind)),
                    }
                }
            }
            Segments::Base64(segments) => {
                let mut text = Vec::with_capacity(self.size);
                for piece in pieces {
                    match piece {
                        Piece::Static(n) => {
                            text.extend_from_slice(segments.get(*n as usize).ok_or_else(|| missing(*n))?);
                        }
                        Piece::Literal(literal) => push_crlf(&mut text, literal),
                        Piece::Link(kind) => push_crlf(&mut text, &links.url(*kind)),
                    }
                }
                splice.base64(&text);
            }
        }
        Ok(())
    }
}

/// Makes the links of one message.
pub(crate) struct Links<'a> {
    pub snapshot: &'a Snapshot,
    pub token: Token,
    /// None while a prefix is prepared, where no link stands.
    pub keys: Option<&'a TokenKeys>,
}

impl Links<'_> {
    pub fn url(&self, kind: LinkKind) -> String {
        let Some(keys) = self.keys else { return String::new() };
        match kind {
            LinkKind::Unsubscribe => keys.unsubscribe_url(&self.snapshot.public_url, self.token),
            LinkKind::Mirror => keys.mirror_url(&self.snapshot.public_url, self.token),
            LinkKind::Open => keys.open_url(&self.snapshot.public_url, self.token),
            LinkKind::Tracked(n) => {
                format!("{}{n}", keys.click_base(&self.snapshot.public_url, self.token))
            }
            LinkKind::Image(n) => self
                .snapshot
                .images
                .get(usize::from(n))
                .map_or_else(String::new, |image| image.url(&self.snapshot.public_url)),
        }
    }
}

impl Prepared {
    /// Encodes the static text. Some milliseconds for a large newsletter; once per delivery and node.
    ///
    /// # Errors
    /// When the snapshot does not pass [`Snapshot::check`].
    pub fn new(
        snapshot: Snapshot,
        assets: impl Fn(&str) -> Option<Arc<[u8]>>,
    ) -> Result<Prepared, SnapshotError> {
        snapshot.check()?;
        let _ = assets;
        let hash = snapshot.hash();
        let html = snapshot.part(PartName::Html).map(Body::new);
        let text = snapshot.part(PartName::Text).map(Body::new);
        let mut prepared = Prepared { snapshot, hash, html, text, prefixes: Vec::new() };
        for number in 0..prepared.snapshot.variants.len() {
            let prefix = prepared.prefix(number);
            prepared.prefixes.push(prefix);
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

    /// Approximate size of one message in octets, for memory permits.
    pub fn size_hint(&self) -> usize {
        self.html.as_ref().map_or(0, |body| body.size)
            + self.text.as_ref().map_or(0, |body| body.size)
            + 4_096
    }

    /// A part's text for one message, links in place, line ends LF: for previews and the mirror page. Empty when the
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
        let Some(part) = self.snapshot.part(name) else { return Ok(String::new()) };
        let token = Token { message: id, inert: self.snapshot.inert };
        let links = Links { snapshot: &self.snapshot, token, keys: Some(keys) };
        let mut text = String::new();
        for piece in slots.part(name).unwrap_or(&part.usual) {
            match piece {
                Piece::Static(number) => {
                    let segment = part.segments.get(*number as usize);
                    text.push_str(segment.ok_or(ComposeError::Segment { part: name, number: *number })?);
                }
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Link(kind) => text.push_str(&links.url(*kind)),
            }
        }
        Ok(text)
    }

    /// The variant's number in a message row's flags.
    pub(crate) fn variant(&self, flags: i64) -> usize {
        let number = (flags & FLAGS_VARIANT) as usize;
        if number < self.prefixes.len() { number } else { 0 }
    }

    /// The bodies of a variant, in the order in which they stand.
    pub(crate) fn bodies(&self, variant: usize) -> Vec<&Body> {
        let (text, html) = (self.text.as_ref(), self.html.as_ref());
        match self.snapshot.variants[variant].structure {
            Structure::Alternative => text.into_iter().chain(html).collect(),
            Structure::Text => text.or(html).into_iter().collect(),
            Structure::Html => html.or(text).into_iter().collect(),
        }
    }

    /// `=_` occurs neither in quoted-printable nor in base64 (RFC 2045 section 6.7), so no body contains it.
    pub(crate) fn boundary(&self) -> String {
        format!("=_{:x}_alternative", self.snapshot.delivery)
    }

    fn prefix(&self, variant: usize) -> Prefix {
        let bodies = self.bodies(variant);
        let mut splice = Splice { signing: true, ..Splice::default() };
        let links = Links { snapshot: &self.snapshot, token: Token { message: 0, inert: true }, keys: None };
        let (mut inside, mut opening) = (0, false);
        for body in &bodies {
            self.open_part(&mut splice, body, inside, bodies.len());
            if body.is_constant() {
                body.write(&mut splice, &body.usual, 0, &links)
                    .expect("usual pieces were checked, and hold no link");
                inside += 1;
                continue;
            }
            if let Segments::QuotedPrintable(segments) = &body.segments
                && let Some(segment) = segments.first()
            {
                splice.segment(segment);
                opening = true;
            }
            break;
        }
        let mut hashed = Context::new(&SHA256);
        let held = splice.canonical.iter().rev().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
        let cut = splice.canonical.len() - held;
        hashed.update(&splice.canonical[..cut]);
        splice.canonical.drain(..cut);
        Prefix { splice, hashed, begun: cut > 0, bodies: inside, opening }
    }

    /// Writes what stands before body number `number` of `count`.
    fn open_part(&self, splice: &mut Splice, body: &Body, number: usize, count: usize) {
        if count < 2 {
            return;
        }
        if number > 0 {
            splice.syntax(b"\r\n");
        }
        splice.syntax(format!("--{}\r\n{}\r\n", self.boundary(), body.head()).as_bytes());
    }

    /// The pieces of a body in this message.
    fn pieces<'a>(body: &'a Body, slots: &'a Slots) -> Result<&'a [Piece], ComposeError> {
        match slots.part(body.name) {
            Some(pieces) => Ok(pieces),
            None if body.usual.is_empty() => Err(ComposeError::NoPieces(body.name)),
            None => Ok(&body.usual),
        }
    }

    /// The body, and its DKIM hash when it is to be signed.
    pub(crate) fn body(
        &self,
        slots: &Slots,
        variant: usize,
        links: &Links<'_>,
        signing: bool,
    ) -> Result<(Vec<u8>, Option<[u8; 32]>), ComposeError> {
        let bodies = self.bodies(variant);
        let prefix = &self.prefixes[variant];
        let fits = bodies[..prefix.bodies].iter().all(|body| slots.part(body.name).is_none())
            && (!prefix.opening
                || Self::pieces(bodies[prefix.bodies], slots)?.first() == Some(&Piece::Static(0)));
        let mut splice = Splice { signing, ..Splice::default() };
        let size: usize = bodies.iter().map(|body| body.size).sum::<usize>() + 2_048;
        splice.wire.reserve(size);
        if signing {
            splice.canonical.reserve(size);
        }
        if fits {
            splice.wire.extend_from_slice(&prefix.splice.wire);
            splice.canonical.extend_from_slice(&prefix.splice.canonical);
            splice.column = prefix.splice.column;
        }
        let first = if fits { prefix.bodies } else { 0 };
        for (number, body) in bodies.iter().enumerate().skip(first) {
            let pieces = Self::pieces(body, slots)?;
            let opened = fits && number == first && number < bodies.len();
            if !opened {
                self.open_part(&mut splice, body, number, bodies.len());
            }
            body.write(&mut splice, pieces, usize::from(opened && prefix.opening), links)?;
        }
        if bodies.len() > 1 {
            splice.syntax(format!("\r\n--{}--\r\n", self.boundary()).as_bytes());
        } else {
            splice.end_line();
        }
        let hash = signing.then(|| {
            let (context, begun) =
                if fits { (prefix.hashed.clone(), prefix.begun) } else { (Context::new(&SHA256), false) };
            body_hash(context, begun, &splice.canonical)
        });
        Ok((splice.wire, hash))
    }

    /// A header part as text.
    pub(crate) fn text_of<'a>(
        &'a self,
        name: PartName,
        slots: &'a Slots,
        links: &Links<'_>,
    ) -> Result<Cow<'a, str>, ComposeError> {
        let Some(part) = self.snapshot.part(name) else { return Ok(Cow::Borrowed("")) };
        let pieces = slots.part(name).unwrap_or(&part.usual);
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
                Piece::Link(kind) => text.push_str(&links.url(*kind)),
            }
            if text.len() > HEADER_TEXT_LEN_MAX {
                return Err(ComposeError::Header { part: name.as_str(), error: HeaderError::TooLong });
            }
        }
        check_header_text(&text).map_err(|error| ComposeError::Header { part: name.as_str(), error })?;
        Ok(Cow::Owned(text))
    }
}

/// SHA-256 of a relaxed body: empty lines at its end do not count, and it ends with one CRLF (RFC 6376 section 3.4.4).
fn body_hash(mut context: Context, begun: bool, canonical: &[u8]) -> [u8; 32] {
    let held = canonical.iter().rev().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
    let text = &canonical[..canonical.len() - held];
    context.update(text);
    if begun || !text.is_empty() {
        context.update(b"\r\n");
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 octets")
}
