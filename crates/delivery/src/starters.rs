//! The starting templates that come with the program: folders as `delivery push` takes them, put in once as delivery
//! templates that everybody may change or delete.

use store::{Lane, binds};

use crate::types::{Error, Result};
use crate::{Deliveries, New, folder, push};

#[path = "../starters/list.rs"]
mod list;

use list::{STARTERS, Starter};

impl Deliveries {
    /// Puts in the starting templates, when somebody asks for templates for the first time. Not at the start: an instance
    /// that is used without templates has its own deliveries only, numbered from 1.
    pub(crate) async fn have_starters(&self) -> Result<()> {
        self.starters.get_or_try_init(|| self.load_starters()).await.map(drop)
    }

    /// Puts in the starting templates that were never put in here.
    pub(crate) async fn load_starters(&self) -> Result<()> {
        let loaded: Vec<String> = self
            .store
            .read(|tx| tx.query("SELECT name FROM starter", &[], |row| row.text(0).map_err(Error::from)))
            .await?;
        for starter in STARTERS.iter().filter(|starter| !loaded.contains(&name_of(starter))) {
            self.load_starter(starter).await?;
        }
        Ok(())
    }

    async fn load_starter(&self, starter: &Starter) -> Result<()> {
        let (now_us, name) = (self.now_us(), name_of(starter));
        let mut folder = folder_of(starter);
        let toml = folder.toml()?;
        let mut definition = folder::parse_template(&toml)?;
        // A template of that name is somebody's own by now.
        if self.stored_template(&definition.label).await?.is_none() {
            let sources = folder.sources(&mut definition)?;
            let new = New { definition, sources, is_template: true, ..New::default() };
            let template = self.create_new(new).await?;
            for (name, bytes) in folder.rest() {
                self.keep_file(template.id, &name, bytes).await?;
            }
            self.rehash(template.id).await?;
        }
        self.store
            .write(Lane::Urgent, move |tx| {
                tx.execute(
                    "INSERT INTO starter (name, loaded_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                    &binds![name, now_us],
                )?;
                Ok(())
            })
            .await
    }
}

fn name_of(starter: &Starter) -> String {
    format!("{}/{}", starter.slug, starter.language)
}

fn folder_of(starter: &Starter) -> push::Folder {
    let files = starter.files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    push::Folder::new(files.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_starter_is_a_folder_that_can_be_read() {
        let mut labels = std::collections::BTreeSet::new();
        for starter in STARTERS {
            let mut folder = folder_of(starter);
            let toml = folder.toml().unwrap();
            let mut definition = folder::parse_template(&toml).unwrap();
            let sources = folder.sources(&mut definition).unwrap();
            assert!(sources.mjml.is_some() || sources.html.is_some(), "{}", starter.slug);
            assert!(sources.text.is_some(), "{}", starter.slug);
            assert!(folder.rest().keys().all(|name| name.starts_with("assets/")), "{}", starter.slug);
            assert!(labels.insert(definition.label), "{}: two templates of one name", starter.slug);
        }
    }
}
