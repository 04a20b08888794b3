//! The bounds of this crate, each with its reason.

/// Longest line on the wire without its CRLF, in octets (RFC 5322 section 2.1.1).
pub const LINE_LEN_MAX: usize = 998;
/// Longest header text (subject, a name, an added header), in bytes of UTF-8 before encoding.
pub const HEADER_TEXT_LEN_MAX: usize = 2_000;
/// Longest line of a body in 7bit or 8bit, in octets: room below [`LINE_LEN_MAX`] for what relays add to a line.
pub const LINE_LEN_PLAIN_MAX: usize = 990;
/// Headers an author may add to a delivery.
pub const HEADERS_MAX: usize = 50;
/// Static text of one body part, in bytes.
pub const PART_SIZE_MAX: usize = 4 * 1024 * 1024;
/// Static segments of one part.
pub const SEGMENTS_MAX: usize = 100_000;
/// Pieces in one part of one message.
pub const PIECES_MAX: usize = 1_000_000;
/// One message's encoded slots, in bytes: an analysis refuses a recipient above it.
pub const SLOTS_SIZE_MAX: usize = 64 * 1024;
/// Above this size of one message's encoded slots an analysis warns.
pub const SLOTS_SIZE_WARN: usize = 16 * 1024;
/// Signatures on one message: RSA and Ed25519, each with a key in rotation.
pub const SIGNERS_MAX: usize = 4;
/// Variants of one delivery: the number fits the low octet of a message row's flags.
pub const VARIANTS_MAX: usize = 256;
/// Places where the HTML names its own encoding.
pub const CHARSET_PLACES_MAX: usize = 100;
/// Links of one delivery: the number is 16 bits wide.
pub const LINKS_MAX: usize = 65_535;
/// Longest URL of a link, in bytes.
pub const LINK_URL_LEN_MAX: usize = 8_000;
/// Images of one delivery.
pub const IMAGES_MAX: usize = 1_000;
/// QR and bar codes that go along in one message: each takes about a kilobyte of its slots.
pub const CODES_MAX: u8 = 10;
/// Attachments of one delivery.
pub const ATTACHMENTS_MAX: usize = 20;
/// All images and attachments that go along in one delivery's messages, in bytes before base64. Receivers refuse
/// messages above 20 to 25 MB.
pub const ASSETS_SIZE_MAX: u64 = 20 * 1024 * 1024;
