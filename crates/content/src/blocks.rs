//! Reusable blocks: kept here, included by templates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Lane, Row, binds};

use crate::error::{Error, Result};
use crate::limits::{BLOCK_SIZE_MAX, BLOCKS_MAX, NAME_LEN_MAX};
use crate::problem::Problem;
use crate::room::Content;
use crate::source::Source;
use crate::template::{Escape, PartTemplate, Setting};

/// What a template includes: the two forms of a block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Block {
    /// Template source for HTML parts.
    pub html: String,
    /// Template source for text parts; empty: made from the HTML form.
    pub text: String,
}

/// A block as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoredBlock {
    /// Unique; what `{% include "name" %}` names.
    pub name: String,
    /// What the editor's menu shows; empty: the name.
    #[serde(default)]
    pub label: String,
    /// Template source for HTML parts.
    #[serde(default)]
    pub html: String,
    /// Template source for text parts; empty: made from the HTML form.
    #[serde(default)]
    pub text: String,
    /// In the editor's menu.
    #[serde(default = "yes")]
    pub visible: bool,
    /// Last change, microseconds UTC; not read when a block is saved.
    #[serde(default)]
    pub updated_at: i64,
}

fn yes() -> bool {
    true
}

const COLUMNS: &str = "name, label, html, text, visible, updated_at";

impl Content {
    /// All blocks in the order of their names.
    ///
    /// # Errors
    /// `Store`.
    pub async fn blocks(&self) -> Result<Vec<StoredBlock>> {
        let sql = format!("SELECT {COLUMNS} FROM block ORDER BY name");
        self.store.read(move |tx| tx.query(&sql, &[], read)).await
    }

    /// All blocks as a compile wants them.
    ///
    /// # Errors
    /// `Store`.
    pub async fn block_sources(&self) -> Result<BTreeMap<String, Block>> {
        let blocks = self.blocks().await?.into_iter();
        Ok(blocks.map(|block| (block.name, Block { html: block.html, text: block.text })).collect())
    }

    /// One block.
    ///
    /// # Errors
    /// `Store`.
    pub async fn block(&self, name: &str) -> Result<Option<StoredBlock>> {
        let (sql, name) = (format!("SELECT {COLUMNS} FROM block WHERE name = $1"), name.to_owned());
        self.store.read(move |tx| tx.query_opt(&sql, &binds![name], read)).await
    }

    /// Keeps a block, new or in the place of the one with its name. Its templates are compiled first, so that a
    /// broken block is refused here and not in every delivery that includes it.
    ///
    /// # Errors
    /// `Refused` with the place; `Store`.
    pub async fn save_block(&self, block: StoredBlock, now_us: i64) -> Result<StoredBlock> {
        let block = checked(block, now_us)?;
        let saved = block.clone();
        self.store
            .write(Lane::Urgent, move |tx| {
                let others = "SELECT count(*) FROM block WHERE name <> $1";
                let others = tx.query_one::<_, Error>(others, &binds![block.name.clone()], |row| Ok(row.int(0)?))?;
                if others >= BLOCKS_MAX as i64 {
                    return Err(Error::refused("block", format!("there are {BLOCKS_MAX} blocks already")));
                }
                tx.execute(
                    "INSERT INTO block (name, label, html, text, visible, created_at, updated_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $6)
                     ON CONFLICT (name) DO UPDATE SET label = $2, html = $3, text = $4, visible = $5, updated_at = $6",
                    &binds![block.name, block.label, block.html, block.text, block.visible, block.updated_at],
                )?;
                Ok(())
            })
            .await?;
        Ok(saved)
    }

    /// Removes a block; answers whether it was there. Deliveries that were analysed keep what they included.
    ///
    /// # Errors
    /// `Store`.
    pub async fn delete_block(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        let deleted = self
            .store
            .write(Lane::Urgent, move |tx| tx.execute("DELETE FROM block WHERE name = $1", &binds![name]))
            .await?;
        Ok(deleted > 0)
    }
}

/// Names stand in quotes in a template, and in URLs.
fn checked(mut block: StoredBlock, now_us: i64) -> Result<StoredBlock> {
    block.name = block.name.trim().to_owned();
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    if block.name.is_empty() || block.name.chars().count() > NAME_LEN_MAX || !block.name.chars().all(fits) {
        let hint = "letters, digits, blanks and _ - . can be used";
        return Err(Problem::new(
            "block",
            format!("`{}` cannot be a block's name", block.name.escape_debug()),
        )
        .hint(hint)
        .into());
    }
    block.label = match block.label.trim() {
        "" => block.name.clone(),
        label => label.chars().take(NAME_LEN_MAX).collect(),
    };
    for (part, source, escape) in [("html", &block.html, Escape::Html), ("text", &block.text, Escape::Text)] {
        if source.len() > BLOCK_SIZE_MAX {
            return Err(Error::refused(part, format!("larger than {} KB", BLOCK_SIZE_MAX >> 10)));
        }
        PartTemplate::new(
            Source::new(part, source.clone()),
            escape,
            &Setting { now_us, ..Setting::default() },
        )?;
    }
    block.updated_at = now_us;
    Ok(block)
}

fn read(row: &Row<'_>) -> Result<StoredBlock> {
    Ok(StoredBlock {
        name: row.text(0)?,
        label: row.text(1)?,
        html: row.text(2)?,
        text: row.text(3)?,
        visible: row.bool(4)?,
        updated_at: row.int(5)?,
    })
}
