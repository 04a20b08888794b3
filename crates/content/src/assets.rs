//! Files by the hash of their bytes: images and attachments. A delivery, a template or everybody (the library) uses
//! a file under a name; the bytes are kept once, and as long as some use of them has not expired.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use store::{Lane, Row, Tx, binds};

use crate::error::{Error, Result};
use crate::limits::{
    ATTACHMENT_SIZE_MAX, FILES_MAX, FILES_SIZE_MAX, IMAGE_SIDE_MAX, IMAGE_SIZE_MAX, NAME_LEN_MAX,
    UNUSED_KEPT_US,
};
use crate::problem::Problem;
use crate::room::Content;
use crate::sniff::{Sniffed, ending_of, sniff};

/// Who uses a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A delivery, by number.
    Delivery(i64),
    /// A delivery template, by number.
    Template(i64),
    /// Everybody: blocks and all deliveries find these files, unless they have one of their own by that name.
    Library,
}

impl Owner {
    fn columns(self) -> (&'static str, i64) {
        match self {
            Owner::Delivery(id) => ("delivery", id),
            Owner::Template(id) => ("template", id),
            Owner::Library => ("library", 0),
        }
    }
}

/// A file under the name by which the content uses it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NamedAsset {
    /// As the content writes it, without `assets/` before it: `logo.png`, `img/logo.png`.
    pub name: String,
    /// blake3 of the bytes, hex.
    pub hash: String,
    /// By the first bytes.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// Pixels; 0 for what is no image.
    pub width: u32,
    /// Pixels; 0 for what is no image.
    pub height: u32,
    /// The author chose that this image goes into the message.
    pub inline: bool,
}

impl NamedAsset {
    /// The file is an image.
    #[must_use]
    pub fn is_image(&self) -> bool {
        self.content_type.starts_with("image/")
    }

    /// The last part of its public address, `{hash}.{ext}`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.hash, ending_of(&self.content_type))
    }
}

/// The bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetBytes {
    /// By the first bytes.
    pub content_type: String,
    /// All of them.
    pub bytes: Arc<[u8]>,
    /// When the last use of them ends (UTC microseconds); none: some use has no end, or they are not used yet.
    pub until_us: Option<i64>,
}

const NAMED: &str = "u.name, a.hash, a.content_type, a.size, a.width, a.height, u.inline";

impl Content {
    /// Keeps a file under a name, in the place of a file that had it.
    ///
    /// # Errors
    /// `Refused`: a file that lies about its type, is damaged, too large, or one too many; `Store`.
    pub async fn upload(&self, owner: Owner, name: &str, bytes: Vec<u8>, now_us: i64) -> Result<NamedAsset> {
        let name = checked_name(name)?;
        let sniffed = checked_bytes(&name, &bytes)?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        self.store
            .write(Lane::Bulk, move |tx| {
                check_room(tx, owner, &name, bytes.len())?;
                keep_bytes(tx, &hash, &sniffed, bytes, now_us)?;
                put_use(tx, owner, &name, &hash)
            })
            .await
    }

    /// Fetches an image from somebody else's address and keeps it under that address, in the place of what was fetched
    /// from there before.
    ///
    /// # Errors
    /// `Fetch`: it could not be had, or is no image; `Refused`: one file too many; `Store`.
    pub async fn fetch_image(
        &self,
        fetcher: &net::Fetcher,
        owner: Owner,
        url: &str,
        now_us: i64,
    ) -> Result<NamedAsset> {
        let failed = |reason: String| Error::Fetch { url: url.to_owned(), reason };
        let fetched = fetcher.get(url, net::FetchLimits::default()).await;
        let bytes = fetched.map_err(|error| failed(error.to_string()))?.bytes;
        let sniffed = sniff("the file", &bytes).map_err(|problem| failed(problem.message))?;
        if sniffed.width == 0 {
            return Err(failed("it is no image".to_owned()));
        }
        let (name, hash) = (url.to_owned(), blake3::hash(&bytes).to_hex().to_string());
        self.store
            .write(Lane::Bulk, move |tx| {
                check_room(tx, owner, &name, bytes.len())?;
                keep_bytes(tx, &hash, &sniffed, bytes, now_us)?;
                put_use(tx, owner, &name, &hash)
            })
            .await
    }

    /// Keeps a file whose bytes are here already under a name, in the place of a file that had it.
    ///
    /// # Errors
    /// `Refused`: a name that cannot be, or one file too many; `NotFound`: no bytes of that hash; `Store`.
    pub async fn use_asset(&self, owner: Owner, name: &str, hash: &str) -> Result<NamedAsset> {
        let (name, hash) = (checked_name(name)?, hash.to_owned());
        self.store
            .write(Lane::Urgent, move |tx| {
                let size = "SELECT size FROM asset WHERE hash = $1";
                let size = tx.query_opt::<_, Error>(size, &binds![hash.as_str()], |row| Ok(row.int(0)?))?;
                let size = size.ok_or(Error::NotFound("file"))?;
                check_room(tx, owner, &name, usize::try_from(size).unwrap_or(usize::MAX))?;
                put_use(tx, owner, &name, &hash)
            })
            .await
    }

    /// Those of the hashes whose bytes are here.
    ///
    /// # Errors
    /// `Store`.
    pub async fn known_hashes(&self, hashes: Vec<String>) -> Result<Vec<String>> {
        self.store
            .read(move |tx| {
                let mut known = Vec::new();
                for hash in hashes.into_iter().filter(|hash| is_hash(hash)) {
                    let sql = "SELECT hash FROM asset WHERE hash = $1";
                    known.extend(tx.query_opt::<_, Error>(sql, &binds![hash], |row| Ok(row.text(0)?))?);
                }
                Ok(known)
            })
            .await
    }

    /// The files of an owner, by name.
    ///
    /// # Errors
    /// `Store`.
    pub async fn assets(&self, owner: Owner) -> Result<Vec<NamedAsset>> {
        self.store.read(move |tx| named(tx, owner)).await
    }

    /// The files that a content of this owner finds: its own, and those of the library whose names it has not.
    ///
    /// # Errors
    /// `Store`.
    pub async fn assets_for(&self, owner: Owner) -> Result<Vec<NamedAsset>> {
        self.store
            .read(move |tx| {
                let library = named(tx, Owner::Library)?.into_iter();
                let own = named(tx, owner)?.into_iter();
                let all: BTreeMap<String, NamedAsset> =
                    library.chain(own).map(|asset| (asset.name.clone(), asset)).collect();
                Ok(all.into_values().collect())
            })
            .await
    }

    /// Chooses whether an image goes into the message. Answers whether the file was there.
    ///
    /// # Errors
    /// `Store`.
    pub async fn set_inline(&self, owner: Owner, name: &str, inline: bool) -> Result<bool> {
        let (name, (kind, id)) = (plain_name(name).to_owned(), owner.columns());
        let sql = "UPDATE asset_use SET inline = $4 WHERE owner_kind = $1 AND owner = $2 AND name = $3";
        let changed = self
            .store
            .write(Lane::Urgent, move |tx| tx.execute(sql, &binds![kind, id, name, inline]))
            .await?;
        Ok(changed > 0)
    }

    /// Takes a name away. Answers whether it was there. A snapshot that has the file keeps it: see [`hold_assets`].
    ///
    /// # Errors
    /// `Store`.
    pub async fn remove_asset(&self, owner: Owner, name: &str) -> Result<bool> {
        let (name, (kind, id)) = (plain_name(name).to_owned(), owner.columns());
        let sql = "DELETE FROM asset_use WHERE owner_kind = $1 AND owner = $2 AND name = $3";
        let removed =
            self.store.write(Lane::Urgent, move |tx| tx.execute(sql, &binds![kind, id, name])).await?;
        Ok(removed > 0)
    }

    /// Gives all files of one owner to another as well: a delivery is duplicated, or made from a template.
    ///
    /// # Errors
    /// `Store`.
    pub async fn copy_assets(&self, from: Owner, to: Owner) -> Result<()> {
        self.store.write(Lane::Urgent, move |tx| copy_assets(tx, from, to)).await
    }

    /// The bytes of a file by its hash, for composing and for whoever may see all files.
    ///
    /// # Errors
    /// `Store`.
    pub async fn asset(&self, hash: &str) -> Result<Option<AssetBytes>> {
        if !is_hash(hash) {
            return Ok(None);
        }
        let hash = hash.to_owned();
        self.store
            .read(move |tx| {
                let sql = "SELECT a.content_type, a.bytes,
                           (SELECT CASE WHEN count(*) = count(u.expires_at) THEN max(u.expires_at) END
                            FROM asset_use u WHERE u.hash = a.hash)
                           FROM asset a WHERE a.hash = $1";
                tx.query_opt(sql, &binds![hash], |row| {
                    let bytes = row.bytes(1)?.into();
                    Ok(AssetBytes { content_type: row.text(0)?, bytes, until_us: row.int_opt(2)? })
                })
            })
            .await
    }

    /// The bytes of an image by the last part of its public address, `{hash}.{ext}`. Only images are public: an
    /// attachment is for whom it was sent to, and what a browser would run must not come from the tracking domain.
    ///
    /// # Errors
    /// `Store`.
    pub async fn public_image(&self, file_name: &str) -> Result<Option<AssetBytes>> {
        let Some((hash, ending)) = file_name.split_once('.') else { return Ok(None) };
        let found = self.asset(hash).await?;
        Ok(found.filter(|asset| {
            asset.content_type.starts_with("image/") && ending_of(&asset.content_type) == ending
        }))
    }

    /// Says until when a delivery's files are kept: the end of its resource validity, when it is confirmed.
    ///
    /// # Errors
    /// `Store`.
    pub async fn expire_assets(&self, owner: Owner, expires_at_us: i64) -> Result<()> {
        self.store.write(Lane::Urgent, move |tx| expire_assets(tx, owner, expires_at_us)).await
    }

    /// Forgets an owner's files; the bytes go with the next purge when nobody else uses them.
    ///
    /// # Errors
    /// `Store`.
    pub async fn release_assets(&self, owner: Owner) -> Result<()> {
        self.store.write(Lane::Urgent, move |tx| release_assets(tx, owner)).await
    }

    /// Forgets expired uses, and removes the bytes that nobody uses. Answers how many files went.
    ///
    /// # Errors
    /// `Store`.
    pub async fn purge_assets(&self, now_us: i64) -> Result<u64> {
        self.store
            .write(Lane::Bulk, move |tx| {
                tx.execute("DELETE FROM asset_use WHERE expires_at < $1", &binds![now_us])?;
                let sql = "DELETE FROM asset WHERE created_at < $1
                           AND NOT EXISTS (SELECT 1 FROM asset_use u WHERE u.hash = asset.hash)";
                Ok(tx.execute(sql, &binds![now_us - UNUSED_KEPT_US])?)
            })
            .await
    }
}

/// Gives the bytes of a hash a name, and says what they are.
fn put_use(tx: &mut Tx<'_>, owner: Owner, name: &str, hash: &str) -> Result<NamedAsset> {
    let (kind, id) = owner.columns();
    tx.execute(
        "INSERT INTO asset_use (owner_kind, owner, name, hash, inline, expires_at)
         VALUES ($1, $2, $3, $4, 0, NULL)
         ON CONFLICT (owner_kind, owner, name) DO UPDATE SET hash = $4",
        &binds![kind, id, name, hash],
    )?;
    let sql = format!(
        "SELECT {NAMED} FROM asset_use u JOIN asset a ON a.hash = u.hash
         WHERE u.owner_kind = $1 AND u.owner = $2 AND u.name = $3"
    );
    tx.query_one(&sql, &binds![kind, id, name], read)
}

/// As [`Content::assets`], in a transaction of another room.
///
/// # Errors
/// `Store`.
pub fn assets_of(tx: &mut Tx<'_>, owner: Owner) -> Result<Vec<NamedAsset>> {
    named(tx, owner)
}

/// As [`Content::copy_assets`], in a transaction of another room.
///
/// # Errors
/// `Store`.
pub fn copy_assets(tx: &mut Tx<'_>, from: Owner, to: Owner) -> Result<()> {
    let ((from_kind, from), (to_kind, to)) = (from.columns(), to.columns());
    tx.execute(
        "INSERT INTO asset_use (owner_kind, owner, name, hash, inline, expires_at)
         SELECT $3, $4, name, hash, inline, NULL FROM asset_use WHERE owner_kind = $1 AND owner = $2
         ON CONFLICT (owner_kind, owner, name) DO NOTHING",
        &binds![from_kind, from, to_kind, to],
    )?;
    Ok(())
}

/// Keeps the files of a frozen snapshot until `expires_at_us`, whatever becomes of the names in the draft and the
/// library. Called with the hashes of `Snapshot::images` and `attachments` when a delivery or a proof is analysed, and
/// again with the end of the resource validity when it is confirmed.
///
/// # Errors
/// `Store`.
pub fn hold_assets(tx: &mut Tx<'_>, delivery: i64, hashes: &[String], expires_at_us: i64) -> Result<()> {
    tx.execute("DELETE FROM asset_use WHERE owner_kind = 'snapshot' AND owner = $1", &binds![delivery])?;
    for hash in hashes {
        tx.execute(
            "INSERT INTO asset_use (owner_kind, owner, name, hash, inline, expires_at)
             SELECT 'snapshot', $1, $2, hash, 0, $3 FROM asset WHERE hash = $2
             ON CONFLICT (owner_kind, owner, name) DO NOTHING",
            &binds![delivery, hash.as_str(), expires_at_us],
        )?;
    }
    Ok(())
}

/// As [`Content::expire_assets`], in a transaction of another room: the confirm's.
///
/// # Errors
/// `Store`.
pub fn expire_assets(tx: &mut Tx<'_>, owner: Owner, expires_at_us: i64) -> Result<()> {
    let (kind, id) = owner.columns();
    let sql = "UPDATE asset_use SET expires_at = $3 WHERE owner_kind = $1 AND owner = $2";
    tx.execute(sql, &binds![kind, id, expires_at_us])?;
    Ok(())
}

/// As [`Content::release_assets`], in a transaction of another room.
///
/// # Errors
/// `Store`.
pub fn release_assets(tx: &mut Tx<'_>, owner: Owner) -> Result<()> {
    let (kind, id) = owner.columns();
    tx.execute("DELETE FROM asset_use WHERE owner_kind = $1 AND owner = $2", &binds![kind, id])?;
    Ok(())
}

/// Takes `./` and `assets/` away: the folder's name and the content's both mean the same file.
pub(crate) fn plain_name(name: &str) -> &str {
    let name = name.trim();
    let name = name.strip_prefix("./").unwrap_or(name);
    name.strip_prefix("assets/").unwrap_or(name)
}

fn checked_name(name: &str) -> Result<String> {
    let plain = plain_name(name);
    let is_path = !plain.starts_with('/') && plain.split('/').all(|piece| !matches!(piece, "" | "." | ".."));
    let fits = |c: char| !c.is_control() && !matches!(c, '\\' | '"' | '<' | '>' | '{' | '}' | '|');
    if !is_path || plain.chars().count() > NAME_LEN_MAX || !plain.chars().all(fits) {
        let message = format!("`{}` cannot be a file's name", name.escape_debug());
        return Err(Error::refused("assets", message));
    }
    Ok(plain.to_owned())
}

fn checked_bytes(name: &str, bytes: &[u8]) -> Result<Sniffed> {
    let sniffed = sniff(name, bytes)?;
    let (what, size_max) =
        if sniffed.width > 0 { ("an image", IMAGE_SIZE_MAX) } else { ("a file", ATTACHMENT_SIZE_MAX) };
    if bytes.len() > size_max {
        let message = format!("{name} has {} KB, {what} may have {} KB", bytes.len() >> 10, size_max >> 10);
        return Err(Error::refused("assets", message));
    }
    if sniffed.width > IMAGE_SIDE_MAX || sniffed.height > IMAGE_SIDE_MAX {
        let message = format!(
            "{name} is {} × {} pixels, a side may have {IMAGE_SIDE_MAX}",
            sniffed.width, sniffed.height
        );
        return Err(Error::refused("assets", message));
    }
    Ok(sniffed)
}

/// Count and size of the owner's other files leave room for this one.
fn check_room(tx: &mut Tx<'_>, owner: Owner, name: &str, size: usize) -> Result<()> {
    let (kind, id) = owner.columns();
    // PostgreSQL's sum of bigints is a numeric.
    let sql = "SELECT count(*), CAST(coalesce(sum(a.size), 0) AS BIGINT)
               FROM asset_use u JOIN asset a ON a.hash = u.hash
               WHERE u.owner_kind = $1 AND u.owner = $2 AND u.name <> $3";
    let (count, total) =
        tx.query_one::<_, Error>(sql, &binds![kind, id, name], |row| Ok((row.int(0)?, row.int(1)?)))?;
    if count >= FILES_MAX as i64 {
        return Err(Error::refused("assets", format!("there are {FILES_MAX} files already")));
    }
    if total as u64 + size as u64 > FILES_SIZE_MAX {
        let message = format!("with {name} the files would have more than {} MB", FILES_SIZE_MAX >> 20);
        return Err(Problem::new("assets", message)
            .hint("remove files that the content does not use")
            .into());
    }
    Ok(())
}

/// Keeps bytes that are not kept yet. A new upload of kept ones starts their day without use anew.
pub(crate) fn keep_bytes(
    tx: &mut Tx<'_>,
    hash: &str,
    sniffed: &Sniffed,
    bytes: Vec<u8>,
    now_us: i64,
) -> Result<()> {
    let known = tx.execute("UPDATE asset SET created_at = $2 WHERE hash = $1", &binds![hash, now_us])?;
    if known == 0 {
        tx.execute(
            "INSERT INTO asset (hash, content_type, size, width, height, bytes, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (hash) DO NOTHING",
            &binds![hash, sniffed.content_type, bytes.len(), sniffed.width, sniffed.height, bytes, now_us],
        )?;
    }
    Ok(())
}

fn named(tx: &mut Tx<'_>, owner: Owner) -> Result<Vec<NamedAsset>> {
    let sql = format!(
        "SELECT {NAMED} FROM asset_use u JOIN asset a ON a.hash = u.hash
         WHERE u.owner_kind = $1 AND u.owner = $2 ORDER BY u.name"
    );
    let (kind, id) = owner.columns();
    tx.query(&sql, &binds![kind, id], read)
}

fn read(row: &Row<'_>) -> Result<NamedAsset> {
    Ok(NamedAsset {
        name: row.text(0)?,
        hash: row.text(1)?,
        content_type: row.text(2)?,
        size: row.int(3)?.unsigned_abs(),
        width: row.int(4)?.try_into().unwrap_or(0),
        height: row.int(5)?.try_into().unwrap_or(0),
        inline: row.bool(6)?,
    })
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'))
}
