//! Compose: snapshot + slots + stamp -> the bytes of one message.

use std::borrow::{Borrow, Cow};

use aws_lc_rs::digest::{Context, SHA256};

use crate::dkim::{HeaderInput, KeyError, Signer};
use crate::header::{Fields, HeaderError, check_header_text, check_wire_address, date, split_named};
use crate::limits::{HEADER_TEXT_LEN_MAX, SIGNERS_MAX};
use crate::quoted_printable::Segment;
use crate::slots::{LinkKind, PartName, Piece, Slots};
use crate::snapshot::{MailFormat, Part, Snapshot, SnapshotError, Transfer};
use crate::splice::{Splice, push_crlf};
use crate::token::{Token, TokenKeys};

/// Whom a message is for.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The message's number: `delivery << 28 | n`.
    pub id: i64,
    /// The recipient's address, as on the wire (`address::Mailbox::smtp`).
    pub address: &'a str,
    /// What the recipient wants to get.
    pub format: MailFormat,
}

/// Set when the message's part is first claimed, and kept with the part. The signing keys, the other half of the
/// stamp, are handed to [`compose`] as signers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Date of the message, microseconds UTC.
    pub time_us: i64,
}

/// A message, ready for DATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Address for MAIL FROM, without brackets.
    pub return_path: String,
    /// The message, lines ended with CRLF, the last one too. No line begins with a dot: needs no dot-stuffing.
    pub bytes: Vec<u8>,
    /// First 16 octets of BLAKE3 of `bytes`.
    pub digest: [u8; 16],
    /// Message-ID without angle brackets.
    pub message_id: String,
    /// True when the recipient's local part is not ASCII, so that the message needs SMTPUTF8.
    pub smtputf8: bool,
}

/// A message that cannot be composed. After a clean analysis none of these happens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// A text cannot stand in its header.
    #[error("{part}: {error}")]
    Header {
        /// The part, or `to`.
        part: &'static str,
        /// Why.
        error: HeaderError,
    },
    /// The slots name a segment that the snapshot does not have.
    #[error("{}: static segment {number} is not in the snapshot", .part.as_str())]
    Segment {
        /// In this part.
        part: PartName,
        /// The segment.
        number: u32,
    },
    /// A part has neither slots nor usual pieces.
    #[error("no pieces for part {}", .0.as_str())]
    NoPieces(PartName),
    /// Signing failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// More than [`SIGNERS_MAX`] signers.
    #[error("too many signers")]
    Signers,
}

/// A snapshot made ready for many messages: static text encoded, constant beginnings hashed. Made once per
/// delivery and node, then shared between threads.
pub struct Prepared {
    snapshot: Snapshot,
    hash: String,
    html: Option<Body>,
    text: Option<Body>,
    /// By `MailFormat` number.
    prefixes: Vec<Prefix>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({})", self.hash)
    }
}

/// A body part's static text in its encoded form.
struct Body {
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

    fn head(&self) -> String {
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

struct Links<'a> {
    snapshot: &'a Snapshot,
    token: Token,
    keys: Option<&'a TokenKeys>,
}

impl Links<'_> {
    fn url(&self, kind: LinkKind) -> String {
        let Some(keys) = self.keys else { return String::new() };
        match kind {
            LinkKind::Unsubscribe => keys.unsubscribe_url(&self.snapshot.public_url, self.token),
            LinkKind::Mirror => keys.mirror_url(&self.snapshot.public_url, self.token),
        }
    }
}

impl Prepared {
    /// Encodes the static text. Some milliseconds for a large newsletter; once per delivery and node.
    ///
    /// # Errors
    /// When the snapshot does not pass [`Snapshot::check`].
    pub fn new(snapshot: Snapshot) -> Result<Prepared, SnapshotError> {
        snapshot.check()?;
        let hash = snapshot.hash();
        let html = snapshot.part(PartName::Html).map(Body::new);
        let text = snapshot.part(PartName::Text).map(Body::new);
        let mut prepared = Prepared { snapshot, hash, html, text, prefixes: Vec::new() };
        for format in [MailFormat::Alternative, MailFormat::Text, MailFormat::Html] {
            let prefix = prepared.prefix(format);
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

    fn bodies(&self, format: MailFormat) -> Vec<&Body> {
        let (text, html) = (self.text.as_ref(), self.html.as_ref());
        match format {
            MailFormat::Alternative => text.into_iter().chain(html).collect(),
            MailFormat::Text => text.or(html).into_iter().collect(),
            MailFormat::Html => html.or(text).into_iter().collect(),
        }
    }

    /// `=_` occurs neither in quoted-printable nor in base64 (RFC 2045 section 6.7), so no body contains it.
    fn boundary(&self) -> String {
        format!("=_{:x}_alternative", self.snapshot.delivery)
    }

    fn prefix(&self, format: MailFormat) -> Prefix {
        let bodies = self.bodies(format);
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
    fn body(
        &self,
        slots: &Slots,
        format: MailFormat,
        links: &Links<'_>,
        signing: bool,
    ) -> Result<(Vec<u8>, Option<[u8; 32]>), ComposeError> {
        let bodies = self.bodies(format);
        let prefix = &self.prefixes[format.number() as usize];
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
    fn text_of<'a>(
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

/// One message. Pure: see the crate's head. Takes some 20 µs for 30 KB besides the RSA signature.
///
/// # Errors
/// [`ComposeError`]; after an analysis without errors it does not happen.
pub fn compose<S: Borrow<Signer>>(
    prepared: &Prepared,
    slots: &Slots,
    envelope: &Envelope<'_>,
    stamp: &Stamp,
    signers: &[S],
    keys: &TokenKeys,
) -> Result<Composed, ComposeError> {
    if signers.len() > SIGNERS_MAX {
        return Err(ComposeError::Signers);
    }
    let snapshot = &prepared.snapshot;
    let token = Token { message: envelope.id, inert: snapshot.inert };
    let links = Links { snapshot, token, keys: Some(keys) };
    let message_id = keys.message_id(&snapshot.message_id_domain, token);
    let (body, hash) = prepared.body(slots, envelope.format, &links, !signers.is_empty())?;
    let (fields, smtputf8) = headers(prepared, slots, envelope, stamp, &links, &message_id)?;

    let mut bytes = Vec::with_capacity(body.len() + fields.bytes.len() + 1_024 * signers.len() + 2);
    if let Some(hash) = hash {
        let input = HeaderInput::new(&fields);
        for signer in signers {
            let time_s = stamp.time_us.div_euclid(1_000_000);
            bytes.extend_from_slice(&signer.borrow().field(&input, &hash, time_s)?);
        }
    }
    bytes.extend_from_slice(&fields.bytes);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);

    let error_address = prepared.text_of(PartName::ErrorAddress, slots, &links)?;
    let return_path = if error_address.is_empty() {
        keys.return_path(&snapshot.bounce_domain, token)
    } else {
        wire_address("error_address", &error_address)?;
        error_address.into_owned()
    };
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
    Ok(Composed { return_path, bytes, digest, message_id, smtputf8 })
}

/// An address of our own must be ASCII: only the recipient's may need SMTPUTF8.
fn wire_address(part: &'static str, address: &str) -> Result<(), ComposeError> {
    match check_wire_address(address) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ComposeError::Header { part, error: HeaderError::Address }),
        Err(error) => Err(ComposeError::Header { part, error }),
    }
}

fn headers(
    prepared: &Prepared,
    slots: &Slots,
    envelope: &Envelope<'_>,
    stamp: &Stamp,
    links: &Links<'_>,
    message_id: &str,
) -> Result<(Fields, bool), ComposeError> {
    let snapshot = &prepared.snapshot;
    let in_part = |part: &'static str| move |error| ComposeError::Header { part, error };
    let mut fields = Fields::default();
    fields.bytes.reserve(2_048);
    fields.raw("Message-ID", &format!("<{message_id}>"));
    fields.raw("Date", &date(stamp.time_us));
    let from_address = prepared.text_of(PartName::FromAddress, slots, links)?;
    wire_address("from_address", &from_address)?;
    let from_name = prepared.text_of(PartName::FromName, slots, links)?;
    fields.mailbox("From", &from_name, &from_address).map_err(in_part("from_name"))?;
    let reply_to = prepared.text_of(PartName::ReplyTo, slots, links)?;
    if !reply_to.trim().is_empty() {
        let (name, address) = split_named(&reply_to);
        wire_address("reply_to", address)?;
        fields.mailbox("Reply-To", &name, address).map_err(in_part("reply_to"))?;
    }
    let smtputf8 = !check_wire_address(envelope.address).map_err(in_part("to"))?;
    fields.mailbox("To", "", envelope.address).map_err(in_part("to"))?;
    let subject = prepared.text_of(PartName::Subject, slots, links)?;
    let subject = format!("{}{subject}", snapshot.subject_prefix);
    fields.unstructured("Subject", &subject).map_err(in_part("subject"))?;
    if snapshot.list_unsubscribe {
        fields.raw("List-Unsubscribe", &format!("<{}>", links.url(LinkKind::Unsubscribe)));
        fields.raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"); // RFC 8058 section 3.1
    }
    if !snapshot.feedback_id.is_empty() {
        fields.unstructured("Feedback-ID", &snapshot.feedback_id).map_err(in_part("feedback_id"))?;
    }
    for (name, value) in &snapshot.headers {
        fields.unstructured(name, value).map_err(in_part("headers"))?;
    }
    fields.raw("MIME-Version", "1.0");
    let bodies = prepared.bodies(envelope.format);
    if bodies.len() > 1 {
        fields.raw(
            "Content-Type",
            &format!("multipart/alternative;\r\n\tboundary=\"{}\"", prepared.boundary()),
        );
    } else {
        for line in bodies[0].head().trim_end().split("\r\n") {
            let (name, value) = line.split_once(": ").expect("head lines are fields");
            fields.raw(name, value);
        }
    }
    Ok((fields, smtputf8))
}
