//! Compose: snapshot + slots + stamp -> the bytes of one message.

use std::borrow::{Borrow, Cow};

use crate::body::Head;
use crate::dkim::{HeaderInput, KeyError, Signer};
use crate::header::{Fields, HeaderError, check_wire_address, date, split_named};
use crate::limits::SIGNERS_MAX;
use crate::links::Links;
use crate::plan::words;
use crate::prepared::{Own, Prepared};
use crate::slots::{LinkKind, PartName, Slots};
use crate::token::{Token, TokenKeys};

/// Whom a message is for.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The message's number: `delivery << 28 | n`.
    pub id: i64,
    /// The recipient's address, as on the wire (`address::Mailbox::smtp`).
    pub address: &'a str,
    /// The message row's flags: the variant's number ([`FLAGS_VARIANT`](crate::FLAGS_VARIANT); one that the snapshot
    /// does not have is the first) and [`FLAGS_LONG_LINES`](crate::FLAGS_LONG_LINES).
    pub flags: i64,
}

/// Set when the message's part is first claimed, and kept with the part. The signing keys, the other half of the
/// stamp, are handed to [`compose`] as signers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Date of the message, microseconds UTC.
    pub time_us: i64,
}

/// What a message is made of beside its snapshot and keys.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// What is its recipient's own.
    pub slots: &'a Slots,
    /// Whom it is for.
    pub envelope: Envelope<'a>,
    /// Its part's stamp.
    pub stamp: Stamp,
}

/// A message, ready for DATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Address for MAIL FROM, without brackets.
    pub return_path: String,
    /// The message, lines ended with CRLF, the last one too. A line of a 7bit or 8bit body can begin with a dot.
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
    /// What stands in the slots for a code is no image.
    #[error("code {0} is no image")]
    Code(u8),
    /// Signing failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// More than [`SIGNERS_MAX`] signers.
    #[error("too many signers")]
    Signers,
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
    let given = Given { slots, envelope: *envelope, stamp: *stamp };
    compose_in(Vec::new(), prepared, &given, signers, keys)
}

/// The same into a buffer that held a message before. What it held is gone.
///
/// # Errors
/// As [`compose`].
pub fn compose_in<S: Borrow<Signer>>(
    buffer: Vec<u8>,
    prepared: &Prepared,
    given: &Given<'_>,
    signers: &[S],
    keys: &TokenKeys,
) -> Result<Composed, ComposeError> {
    let Given { slots, envelope, stamp } = given;
    if signers.len() > SIGNERS_MAX {
        return Err(ComposeError::Signers);
    }
    let snapshot = &prepared.snapshot();
    let token = Token { message: envelope.id, inert: snapshot.inert };
    let own = Own { slots, flags: envelope.flags, links: Links::new(snapshot, token, Some(keys)) };
    let message_id = keys.message_id(&snapshot.message_id_domain, token);
    let content = prepared.body(&own, !signers.is_empty(), buffer)?;
    let (fields, smtputf8) = headers(prepared, &own, envelope, stamp, &message_id, &content.head)?;

    let mut header = Vec::with_capacity(fields.bytes.len() + 1_024 * signers.len() + 2);
    if let Some(hash) = content.hash {
        let input = HeaderInput::new(&fields);
        for signer in signers {
            let time_s = stamp.time_us.div_euclid(1_000_000);
            header.extend_from_slice(&signer.borrow().field(&input, &hash, time_s)?);
        }
    }
    header.extend_from_slice(&fields.bytes);
    header.extend_from_slice(b"\r\n");
    let bytes = behind(&header, content.wire);

    let error_address = prepared.text_of(PartName::ErrorAddress, &own)?;
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

/// The body in its own buffer, moved behind its header: that is known last, because it holds the body's hash.
fn behind(header: &[u8], mut body: Vec<u8>) -> Vec<u8> {
    let length = body.len();
    body.resize(length + header.len(), 0);
    body.copy_within(..length, header.len());
    body[..header.len()].copy_from_slice(header);
    body
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
    own: &Own<'_>,
    envelope: &Envelope<'_>,
    stamp: &Stamp,
    message_id: &str,
    head: &Head,
) -> Result<(Fields, bool), ComposeError> {
    let snapshot = &prepared.snapshot();
    let in_part = |part: &'static str| move |error| ComposeError::Header { part, error };
    let mut fields = Fields::new(words(prepared.variant(own.flags).1));
    fields.raw("Message-ID", &format!("<{message_id}>"));
    fields.raw("Date", &date(stamp.time_us));
    let from_address = prepared.text_of(PartName::FromAddress, own)?;
    wire_address("from_address", &from_address)?;
    let from_name = prepared.text_of(PartName::FromName, own)?;
    fields.mailbox("From", &from_name, &from_address).map_err(in_part("from_name"))?;
    let reply_to = prepared.text_of(PartName::ReplyTo, own)?;
    if !reply_to.trim().is_empty() {
        let (name, address) = split_named(&reply_to);
        wire_address("reply_to", address)?;
        fields.mailbox("Reply-To", &name, address).map_err(in_part("reply_to"))?;
    }
    let smtputf8 = !check_wire_address(envelope.address).map_err(in_part("to"))?;
    fields.mailbox("To", "", envelope.address).map_err(in_part("to"))?;
    let subject = prepared.text_of(PartName::Subject, own)?;
    let subject = format!("{}{subject}", snapshot.subject_prefix);
    fields.unstructured("Subject", &subject).map_err(in_part("subject"))?;
    if snapshot.list_unsubscribe {
        fields.raw("List-Unsubscribe", &format!("<{}>", own.links.url(LinkKind::Unsubscribe, &[])));
        fields.raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"); // RFC 8058 section 3.1
    }
    if !snapshot.feedback_id.is_empty() {
        fields.unstructured("Feedback-ID", &snapshot.feedback_id).map_err(in_part("feedback_id"))?;
    }
    added_headers(&mut fields, prepared, own)?;
    fields.raw("MIME-Version", "1.0");
    for (name, value) in head {
        fields.raw(name, value);
    }
    Ok((fields, smtputf8))
}

/// Precedence, and the headers that the author added.
fn added_headers(fields: &mut Fields, prepared: &Prepared, own: &Own<'_>) -> Result<(), ComposeError> {
    let snapshot = prepared.snapshot();
    let in_headers = |error| ComposeError::Header { part: "headers", error };
    let mut added: Vec<(&str, Cow<'_, str>)> =
        snapshot.headers.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))).collect();
    for (number, name) in snapshot.header_names.iter().enumerate() {
        // Snapshot::check keeps their count far below 256.
        let value = prepared.text_of(PartName::Header(number as u8), own)?;
        if !value.trim().is_empty() {
            added.push((name, value));
        }
    }
    let own = added.iter().any(|(name, _)| name.eq_ignore_ascii_case("Precedence"));
    if !snapshot.precedence.is_empty() && !own {
        fields.raw("Precedence", &snapshot.precedence);
    }
    for (name, value) in &added {
        fields.unstructured(name, value).map_err(in_headers)?;
    }
    Ok(())
}
