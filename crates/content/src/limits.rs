//! Every limit of what this room keeps, in one place.

/// Length of a name of a block or a file, in characters.
pub const NAME_LEN_MAX: usize = 120;
/// Reusable blocks.
pub const BLOCKS_MAX: usize = 1_000;
/// Source of one form of a block, in bytes.
pub const BLOCK_SIZE_MAX: usize = 256 * 1024;
/// An image, in bytes. A mail with larger ones is not read on a phone.
pub const IMAGE_SIZE_MAX: usize = 5 * 1024 * 1024;
/// Width and height of an image, in pixels.
pub const IMAGE_SIDE_MAX: u32 = 16_384;
/// A file to attach, in bytes: most receivers refuse a message above 25 MB, a third of which is base64's growth.
pub const ATTACHMENT_SIZE_MAX: usize = 15 * 1024 * 1024;
/// Files of one delivery.
pub const FILES_MAX: usize = 500;
/// Bytes of all files of one delivery.
pub const FILES_SIZE_MAX: u64 = 100 * 1024 * 1024;
/// An unused file is kept so long, because an upload comes before the save that names it. Microseconds.
pub const UNUSED_KEPT_US: i64 = 24 * 3_600 * 1_000_000;
/// Format rules.
pub const FORMAT_RULES_MAX: usize = 1_000;
