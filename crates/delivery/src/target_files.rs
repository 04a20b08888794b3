//! External files in a target: rows that are imported into a list of their own, or kept beside the delivery as guests.
//!
//! The file is one of the delivery's files; it is read when its target is counted or analysed first, and again when its
//! bytes changed. Rows that came by upload (`prepare_guest_import`) need no file here.

use audience::{ImportOptions, ImportReport};
use content::NamedAsset;
use store::{Lane, Relation, binds};
use typology::{Finding, Level};

use crate::Deliveries;
use crate::definition::Target;
use crate::folder::Refusal;
use crate::target::file_needs_delivery;
use crate::types::{DeliveryId, Error, Result};
use crate::words;

/// What was read of a file before.
struct Read {
    hash: String,
    list: Option<i64>,
}

impl Deliveries {
    /// The recipients of an imported file. It is imported now when it was not yet.
    pub(crate) async fn imported(&self, field: &str, file: &str, id: Option<DeliveryId>) -> Result<Relation> {
        let id = id.ok_or_else(|| file_needs_delivery(field))?;
        let mut known = self.read_before(id, file).await?;
        // The list may have been deleted since: the file is then read again.
        if let Some(list) = known.as_ref().and_then(|known| known.list)
            && self.rooms.audience.list(list).await?.is_none()
        {
            known = None;
        }
        let asset = self.target_file(id, file).await?;
        let list = match (known, asset) {
            (Some(Read { hash, list: Some(list) }), asset)
                if asset.as_ref().is_none_or(|a| a.hash == hash) =>
            {
                list
            }
            (_, Some(asset)) => self.import_file(id, file, &asset).await?,
            (_, None) => return Err(missing(field, file).into()),
        };
        Ok(self.rooms.audience.recipients_in_list(list))
    }

    /// Makes sure that the rows of a file that is not imported are there.
    pub(crate) async fn check_guests(&self, id: DeliveryId, file: &str) -> Result<()> {
        let known = self.read_before(id, file).await?;
        match self.target_file(id, file).await? {
            Some(asset)
                if known.as_ref().is_some_and(|known| known.list.is_none() && known.hash == asset.hash) =>
            {
                Ok(())
            }
            Some(asset) => {
                let (bytes, options) = self.source(&asset, file, String::new()).await?;
                let audience = &self.rooms.audience;
                let run = audience.prepare_guest_import(id, bytes, options, self.now_us()).await?;
                let report = run.run().await?;
                self.remember(id, file, &asset, None, &report).await
            }
            None => {
                let uploaded = self.rooms.audience.guest_files(id).await?;
                match uploaded.iter().any(|known| known.file == file) {
                    true => Ok(()),
                    false => Err(missing("target.include", file).into()),
                }
            }
        }
    }

    async fn import_file(&self, id: DeliveryId, file: &str, asset: &NamedAsset) -> Result<i64> {
        let list = format!("{file} of delivery {id}");
        let (bytes, options) = self.source(asset, file, list.clone()).await?;
        let report = self.rooms.audience.import(bytes, options, self.now_us()).await?;
        let list = self.rooms.audience.list_by_name(&list).await?;
        let list = list.ok_or_else(|| Error::Internal("an import made no list".into()))?.id;
        self.remember(id, file, asset, Some(list), &report).await?;
        Ok(list)
    }

    /// Rows of the target's files that were not taken, as warnings.
    pub(crate) async fn rejected_rows(&self, id: DeliveryId, target: &Target) -> Result<Vec<Finding>> {
        let named: Vec<String> =
            target.include.iter().chain(&target.exclude).filter_map(|item| item.file.clone()).collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .store
            .read(move |tx| {
                let sql = "SELECT file, rejected FROM target_file WHERE delivery = $1 AND rejected > 0 ORDER BY file";
                tx.query(sql, &binds![id], |row| Ok::<_, Error>((row.text(0)?, row.int(1)?)))
            })
            .await?;
        let warnings = rows.into_iter().filter(|(file, _)| named.contains(file)).map(|(file, rejected)| {
            let rows = words::counted(rejected, "row", "rows");
            let mut finding =
                Finding::new("target_file", Level::Warning, format!("{rows} of {file} could not be taken"));
            finding.hint = Some("the page Imports says which, and why".into());
            finding
        });
        Ok(warnings.collect())
    }

    async fn source(
        &self,
        asset: &NamedAsset,
        file: &str,
        list: String,
    ) -> Result<(Box<dyn std::io::Read + Send>, ImportOptions)> {
        let found = self.rooms.content.asset(&asset.hash).await?;
        let bytes = found.ok_or_else(|| Error::Internal("a file without its bytes".into()))?.bytes;
        let options = ImportOptions {
            list,
            file_name: file.to_owned(),
            encoding: None,
            mapping: Vec::new(),
            dry_run: false,
            bytes_total: Some(asset.size),
            work_dir: std::env::temp_dir(),
        };
        Ok((Box::new(std::io::Cursor::new(bytes)), options))
    }

    async fn target_file(&self, id: DeliveryId, file: &str) -> Result<Option<NamedAsset>> {
        let name = file.strip_prefix("assets/").unwrap_or(file);
        Ok(self.assets(id).await?.into_iter().find(|asset| asset.name == name || asset.name == file))
    }

    async fn read_before(&self, id: DeliveryId, file: &str) -> Result<Option<Read>> {
        let file = file.to_owned();
        self.store
            .read(move |tx| {
                let sql = "SELECT hash, list FROM target_file WHERE delivery = $1 AND file = $2";
                tx.query_opt(sql, &binds![id, file], |row| {
                    Ok(Read { hash: row.text(0)?, list: row.int_opt(1)? })
                })
            })
            .await
    }

    async fn remember(
        &self,
        id: DeliveryId,
        file: &str,
        asset: &NamedAsset,
        list: Option<i64>,
        report: &ImportReport,
    ) -> Result<()> {
        let (file, hash, rejected) = (file.to_owned(), asset.hash.clone(), report.counts.rejected);
        self.store
            .write(Lane::Bulk, move |tx| {
                tx.execute(
                    "INSERT INTO target_file (delivery, file, hash, list, rejected) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (delivery, file) DO UPDATE SET hash = excluded.hash, list = excluded.list, \
                     rejected = excluded.rejected",
                    &binds![id, file, hash, list, rejected],
                )?;
                Ok::<_, Error>(())
            })
            .await
    }
}

fn missing(field: &str, file: &str) -> Refusal {
    let text = format!(
        "names the file {file:?}, which the delivery does not have: add it to its files, or upload its rows"
    );
    Refusal::new(field, text)
}
