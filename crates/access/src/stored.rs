//! Settings made on the web: their rows, sealed where secret, and the change that everybody sees.

use crate::error::{Error, Result};
use crate::settings::{self, Place, Settings};
use crate::{Access, audit};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Lane, Store, Vault, binds};

/// Purpose of the seal of `key`: a sealed value cannot be moved to another setting.
fn purpose(key: &str) -> String {
    format!("setting {key}")
}

/// All stored settings, opened. One that cannot be opened is left out and named in the log.
pub(crate) async fn load(store: &Store, vault: &Vault) -> Result<BTreeMap<String, String>> {
    let rows = store
        .read(|tx| {
            tx.query("SELECT key, value, sealed FROM setting", &[], |row| {
                Ok::<_, store::Error>((row.text(0)?, row.text_opt(1)?, row.blob_opt(2)?))
            })
        })
        .await?;
    let mut stored = BTreeMap::new();
    for (key, value, sealed) in rows {
        let opened = match sealed {
            None => value,
            Some(sealed) => match vault.unseal(&purpose(&key), &sealed) {
                Ok(octets) => String::from_utf8(octets).ok(),
                Err(error) => {
                    tracing::error!(key, %error, "a stored setting cannot be opened and counts as not set");
                    None
                }
            },
        };
        if let Some(value) = opened {
            stored.insert(key, value);
        }
    }
    Ok(stored)
}

impl Access {
    /// Stores a setting, or with an empty `value` forgets it, and tells every watcher.
    ///
    /// # Errors
    /// [`Error::Setting`] when the value does not fit, or the file or environment has the last word.
    pub async fn set(&self, actor: &str, key: &str, value: &str, now_us: i64) -> Result<()> {
        let setting = settings::find(key).ok_or_else(|| Error::NotFound(format!("setting named {key}")))?;
        if let Some(origin) = self.inner.fixed.pinned(key) {
            return Err(Error::Setting(format!("{key} comes from the {}; change it there", origin.word())));
        }
        if setting.place == Place::Start {
            return Err(Error::Setting(format!("{key} is set in the configuration file or the environment")));
        }
        settings::check(setting, value, key)?;
        let value = value.trim();
        let (plain, sealed) = match (value.is_empty(), setting.secret) {
            (true, _) => (None, None),
            (_, true) => (None, Some(self.inner.vault.seal(&purpose(key), value.as_bytes())?)),
            _ => (Some(value.to_string()), None),
        };
        let detail = if setting.secret { "(secret)".to_string() } else { value.to_string() };
        let actor = actor.to_string();
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                if plain.is_none() && sealed.is_none() {
                    tx.execute("DELETE FROM setting WHERE key = $1", &binds![setting.key])?;
                } else {
                    tx.execute(
                        "INSERT INTO setting (key, value, sealed, at) VALUES ($1, $2, $3, $4) ON CONFLICT (key) \
                         DO UPDATE SET value = excluded.value, sealed = excluded.sealed, at = excluded.at",
                        &binds![setting.key, plain, sealed, now_us],
                    )?;
                }
                audit::record(tx, now_us, &actor, "setting.set", setting.key, &detail)
            })
            .await?;
        self.reload_settings().await
    }

    /// Reads the stored settings again (after a change here, or now and then for changes on another node).
    pub async fn reload_settings(&self) -> Result<()> {
        let stored = load(&self.inner.store, &self.inner.vault).await?;
        let settings = Arc::new(Settings::resolve(&self.inner.fixed, &stored));
        self.inner.settings.send_if_modified(|held| {
            let changed = **held != *settings;
            *held = settings;
            changed
        });
        Ok(())
    }
}
