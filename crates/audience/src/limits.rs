//! Every bound of this room, named. A value past a bound is refused with the bound in the message.

/// Longest value of a recipient field (first_name, city …), in bytes of UTF-8.
pub const FIELD_LEN_MAX: usize = 1_024;
/// Longest value of an attribute, in bytes of UTF-8.
pub const ATTRIBUTE_LEN_MAX: usize = 8_192;
/// Longest name of an attribute, in characters.
pub const ATTRIBUTE_NAME_LEN_MAX: usize = 64;
/// Attributes that one recipient can have.
pub const ATTRIBUTES_MAX: usize = 200;
/// Longest name of a list or a segment, in characters.
pub const NAME_LEN_MAX: usize = 200;
/// Longest receiver's reply kept with a quarantined address, in bytes.
pub const REPLY_LEN_MAX: usize = 512;

/// Longest row of an imported file, in bytes of UTF-8 and without quotes. A longer one is read to its
/// end without being kept, and rejected.
pub const ROW_LEN_MAX: usize = 256 * 1_024;
/// Columns an imported file can have.
pub const COLUMNS_MAX: usize = 256;
/// What the rejects report shows of a row, in bytes.
pub const RAW_LEN_MAX: usize = 2_048;
/// How far below normal an import reads, parses and sorts. Composing stands at 5, the archive at 10.
pub const NICE: i32 = 15;
/// Bytes of rows that an import sorts in memory before it spills them to its temporary file.
pub const SORT_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Rows of one bulk transaction on SQLite: the writer is shared with the queue, which must not wait.
pub const CHUNK_ROWS_SQLITE: usize = 2_000;
/// Rows of one bulk transaction on PostgreSQL.
pub const CHUNK_ROWS_POSTGRES: usize = 10_000;
/// Bytes of rows in one bulk transaction, whichever comes first.
pub const CHUNK_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// Rejected rows of one bulk transaction.
pub const REJECT_ROWS_MAX: usize = 1_000;

/// Deepest nesting of a segment's filter; the root counts as 1.
pub const FILTER_DEPTH_MAX: usize = 12;
/// Nodes of a segment's filter.
pub const FILTER_NODES_MAX: usize = 200;
/// Values of one `in`.
pub const FILTER_VALUES_MAX: usize = 1_000;
/// Longest text value in a filter, in bytes.
pub const FILTER_TEXT_LEN_MAX: usize = 1_024;
/// Longest duration in a filter, in days (about 100 years).
pub const FILTER_DAYS_MAX: i64 = 36_525;

/// Nodes of a segment's filter with the filters of all segments it names. SQLite nests an expression 1,000 deep at most, and a
/// list of terms joined by AND is as deep as it is long.
pub const FILTER_EXPANDED_MAX: usize = 800;
/// Values of all `in` of such a filter: each is a bound parameter, of which SQLite takes 32,766 in a statement.
pub const FILTER_EXPANDED_VALUES_MAX: usize = 5_000;

/// Seeds that there can be: a group is read whole into an analysis.
pub const SEEDS_MAX: usize = 2_000;
/// Seed groups that there can be.
pub const SEED_GROUPS_MAX: usize = 500;

/// Longest line of a suppression file that is read, in bytes; the rest of it is passed over.
pub const SUPPRESSION_LINE_MAX: usize = 1_024;
/// Lines of a suppression file that its report names.
pub const SUPPRESSION_FAULTS_MAX: usize = 100;

/// Recipients, rejects or quarantined addresses of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Longest search text, in bytes.
pub const SEARCH_LEN_MAX: usize = 256;
