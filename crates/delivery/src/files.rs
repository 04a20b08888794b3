//! A delivery's files: images that its content names, and attachments. The bytes are the content room's, once for all
//! deliveries that have the same; here it is said when a change of them is an edit.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use content::{NamedAsset, Owner};
use message::Snapshot;
use store::{Lane, Tx};

use crate::life::{editable, edited};
use crate::types::{DeliveryId, Result};
use crate::{Deliveries, records, states};

impl Deliveries {
    /// The files of a delivery or template, by name.
    pub async fn assets(&self, id: DeliveryId) -> Result<Vec<NamedAsset>> {
        let mut files = self.rooms.content.assets(Owner::Delivery(id)).await?;
        files.retain(|file| !is_fetched(file));
        Ok(files)
    }

    /// Keeps a file under a name, in the place of one that had it. Images are checked by their bytes.
    pub async fn put_asset(
        &self,
        id: DeliveryId,
        name: &str,
        bytes: Vec<u8>,
        by: &str,
    ) -> Result<NamedAsset> {
        editable(&self.get(id).await?)?;
        let kept = self.rooms.content.upload(Owner::Delivery(id), name, bytes, self.now_us()).await?;
        self.touch(id, by).await?;
        Ok(kept)
    }

    /// Takes a file away.
    pub async fn remove_asset(&self, id: DeliveryId, name: &str, by: &str) -> Result<()> {
        editable(&self.get(id).await?)?;
        if !self.rooms.content.remove_asset(Owner::Delivery(id), name).await? {
            return Err(content::Error::NotFound("file").into());
        }
        self.touch(id, by).await
    }

    /// Chooses whether an image travels with the message.
    pub async fn set_inline(&self, id: DeliveryId, name: &str, inline: bool, by: &str) -> Result<()> {
        editable(&self.get(id).await?)?;
        if !self.rooms.content.set_inline(Owner::Delivery(id), name, inline).await? {
            return Err(content::Error::NotFound("file").into());
        }
        self.touch(id, by).await
    }

    pub(crate) async fn keep_file(&self, id: DeliveryId, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.rooms.content.upload(Owner::Delivery(id), name, bytes, self.now_us()).await?;
        Ok(())
    }

    pub(crate) async fn keep_known_file(&self, id: DeliveryId, name: &str, hash: &str) -> Result<()> {
        self.rooms.content.use_asset(Owner::Delivery(id), name, hash).await?;
        Ok(())
    }

    pub(crate) async fn drop_file(&self, id: DeliveryId, name: &str) -> Result<()> {
        self.rooms.content.remove_asset(Owner::Delivery(id), name).await?;
        Ok(())
    }

    /// Which of these hashes (blake3, hex) have their bytes here: those need not be sent again.
    pub async fn known_hashes(&self, hashes: Vec<String>) -> Result<Vec<String>> {
        Ok(self.rooms.content.known_hashes(hashes).await?)
    }

    /// A change of the files is an edit: what was analysed or proofed before is out of date.
    pub(crate) async fn touch(&self, id: DeliveryId, by: &str) -> Result<()> {
        let (now_us, by) = (self.now_us(), by.to_owned());
        self.store
            .write(Lane::Urgent, move |tx| {
                states::lock(tx, id)?;
                let mut delivery = records::get(tx, id)?;
                editable(&delivery)?;
                delivery.edited_by = by;
                edited(tx, &delivery, now_us)
            })
            .await
    }

    pub(crate) async fn rehash(&self, id: DeliveryId) -> Result<()> {
        self.store.write(Lane::Urgent, move |tx| records::rehash(tx, id)).await
    }
}

/// An image that an analysis fetched: its name is its address. The author did nothing of the kind.
pub(crate) fn is_fetched(file: &NamedAsset) -> bool {
    file.name.contains("://")
}

/// Gives the files of one delivery to another, in the transaction that makes it.
pub(crate) fn copy(tx: &mut Tx<'_>, from: DeliveryId, to: DeliveryId) -> Result<()> {
    content::copy_assets(tx, Owner::Delivery(from), Owner::Delivery(to))?;
    records::rehash(tx, to)
}

/// How often files that nobody uses any more are looked for.
const PURGE_PERIOD_US: i64 = 3_600 * crate::parameters::SECOND_US;

impl Deliveries {
    /// Removes files that nobody uses any more and whose time is over; does nothing within an hour of the last time.
    pub(crate) async fn purge_files(&self, now_us: i64) -> Result<()> {
        let last_us = self.purged_at.load(Ordering::Relaxed);
        if now_us - last_us < PURGE_PERIOD_US {
            return Ok(());
        }
        self.purged_at.store(now_us, Ordering::Relaxed);
        self.store.write(Lane::Bulk, move |tx| crate::notices::purge(tx, now_us)).await?;
        let removed = self.rooms.content.purge_assets(now_us).await?;
        if removed > 0 {
            tracing::info!(removed, "files that nobody uses any more are removed");
        }
        Ok(())
    }
}

/// What a proof shows of the files: names, bytes, and which travel with the message.
pub(crate) fn digest(tx: &mut Tx<'_>, id: DeliveryId) -> Result<String> {
    let mut files = content::assets_of(tx, Owner::Delivery(id))?;
    files.retain(|file| !is_fetched(file));
    if files.is_empty() {
        return Ok(String::new());
    }
    let mut hasher = blake3::Hasher::new();
    for file in &files {
        for piece in [file.name.as_str(), file.hash.as_str(), if file.inline { "inline" } else { "link" }] {
            hasher.update(&(piece.len() as u64).to_le_bytes());
            hasher.update(piece.as_bytes());
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Keeps what frozen snapshots need until then, whatever becomes of the draft's files, in the transaction that
/// freezes or confirms.
pub(crate) fn hold<'a>(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    snapshots: impl Iterator<Item = &'a Snapshot>,
    until_us: i64,
) -> Result<()> {
    let assets = snapshots.flat_map(|snapshot| snapshot.images.iter().chain(&snapshot.attachments));
    let hashes: Vec<String> = assets.map(|asset| asset.hash.clone()).collect();
    Ok(content::hold_assets(tx, id, &hashes, until_us)?)
}

/// The bytes of a snapshot's files, by hash.
pub(crate) type Bytes = HashMap<String, Arc<[u8]>>;

impl Deliveries {
    /// Loads what composing a snapshot's messages needs.
    pub(crate) async fn bytes_of(&self, snapshot: &Snapshot) -> Result<Bytes> {
        let mut bytes = Bytes::new();
        for asset in snapshot.images.iter().chain(&snapshot.attachments) {
            if !bytes.contains_key(&asset.hash)
                && let Some(found) = self.rooms.content.asset(&asset.hash).await?
            {
                bytes.insert(asset.hash.clone(), found.bytes);
            }
        }
        Ok(bytes)
    }
}
