//! Images at other people's addresses that must travel with the message: fetched once per analysis, before the content
//! is frozen, over guarded connections. One that cannot be had stays at its address, with a warning.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use content::{CompileOptions, Compiled, Draft, ImageChoice, ImageFact, Owner};
use message::{ImageMode, Structure};
use store::{Tx, binds};
use tokio::task::JoinSet;
use typology::{Finding, Level};

use crate::analyse::{Source, Work};
use crate::analysis::Step;
use crate::numbering::DomainShare;
use crate::types::{DeliveryId, Error, Result};

/// Images fetched for one content; further ones stay at their addresses.
pub const REMOTE_IMAGES_MAX: usize = 100;
/// Fetches at once: an image host takes so many from a browser too.
const TOGETHER: usize = 4;
/// All fetches of one analysis together.
const BUDGET: Duration = Duration::from_secs(120);

/// A content on its way to be frozen.
pub(crate) struct Written {
    pub draft: Draft,
    pub options: CompileOptions,
    pub compiled: Compiled,
}

impl Work<'_> {
    /// Fetches what must travel with some message, and compiles again with it.
    pub async fn with_images(
        &mut self,
        written: Written,
        source: &Source,
        shares: &[DomainShare],
    ) -> Result<Compiled> {
        let mut wanted = remote(&written);
        // Whoever gets a format that takes all images along is only asked for when there is something to fetch.
        let all = !wanted.is_empty()
            && (written.draft.image_mode == ImageChoice::Inline
                || self.takes_all(&written.compiled, source, shares).await?);
        wanted.retain(|image| all || written.draft.image_inline.contains(&image.src));
        if wanted.is_empty() {
            return Ok(written.compiled);
        }
        let failed = self.fetch(&wanted).await?;
        let Written { draft, mut options, .. } = written;
        options.assets = self.this.rooms.content.assets_for(Owner::Delivery(self.delivery.id)).await?;
        let compiled = tokio::task::spawn_blocking(move || content::compile(&draft, &options))
            .await
            .map_err(|panic| Error::Internal(format!("compiling panicked: {panic}")))?;
        let mut compiled = compiled.map_err(Error::Content)?;
        // Said already, with the reason.
        compiled
            .warnings
            .retain(|warning| !failed.iter().any(|url| warning.message.starts_with(url.as_str())));
        Ok(compiled)
    }

    /// True when some recipient's format takes all images along: by the domain's rule, or by a profile that names a
    /// carrier, whatever the domain.
    async fn takes_all(&self, compiled: &Compiled, source: &Source, shares: &[DomainShare]) -> Result<bool> {
        let takes = |format: &str, domain: &str| {
            let variant = usize::from(compiled.flags_for(format, domain));
            let variant = compiled.snapshot.variants.get(variant);
            variant.is_some_and(|of| of.images == ImageMode::Inline && of.structure != Structure::Text)
        };
        match source {
            Source::Readers(readers) => {
                Ok(readers.iter().any(|reader| takes(reader.row.email_format(), &reader.domain)))
            }
            Source::Target if shares.iter().any(|share| takes("", &share.domain)) => Ok(true),
            Source::Target => {
                let id = self.delivery.id;
                let profiles = self.this.store.read(move |tx| carrier_profiles(tx, id)).await?;
                Ok(profiles.iter().any(|(format, domain)| takes(format, domain)))
            }
        }
    }

    /// Fetches; answers the addresses that gave nothing, each with a finding.
    async fn fetch(&mut self, wanted: &[ImageFact]) -> Result<Vec<String>> {
        let started = Instant::now();
        self.handle.enter(Step::Images, wanted.len() as u64);
        let mut failed = Vec::new();
        for group in wanted.chunks(TOGETHER) {
            let left = BUDGET.saturating_sub(started.elapsed());
            let mut fetches = JoinSet::new();
            for image in group.iter().cloned() {
                let (content, fetcher) =
                    (self.this.rooms.content.clone(), Arc::clone(&self.this.rooms.fetcher));
                let (owner, now_us) = (Owner::Delivery(self.delivery.id), self.this.now_us());
                fetches.spawn(async move {
                    let fetched = content.fetch_image(&fetcher, owner, &image.src, now_us);
                    let outcome = match tokio::time::timeout(left, fetched).await {
                        Ok(Ok(_)) => None,
                        Ok(Err(error)) => Some(reason(error)),
                        Err(_) => {
                            Some(format!("the images take longer than {} s together", BUDGET.as_secs()))
                        }
                    };
                    (image, outcome)
                });
            }
            while let Some(done) = fetches.join_next().await {
                let (image, outcome) =
                    done.map_err(|panic| Error::Internal(format!("a fetch panicked: {panic}")))?;
                if let Some(reason) = outcome {
                    self.findings.push(not_fetched(&image, &reason));
                    failed.push(image.src);
                }
                self.handle.advance(1);
            }
            if self.handle.is_stopped() {
                break;
            }
        }
        Ok(failed)
    }
}

fn reason(error: content::Error) -> String {
    match error {
        content::Error::Fetch { reason, .. } => reason,
        other => other.to_string(),
    }
}

fn not_fetched(image: &ImageFact, reason: &str) -> Finding {
    let text = format!("{} could not be fetched ({reason}), so it stays at its address", image.src);
    Finding::new("remote_image", Level::Warning, text).in_part("html").at(image.line, image.column)
}

/// Images at other people's addresses, each once.
fn remote(written: &Written) -> Vec<ImageFact> {
    let public_url = &written.options.public_url;
    let mut seen = BTreeSet::new();
    let images = written.compiled.facts.images.iter();
    images
        .filter(|image| is_remote(&image.src, public_url) && seen.insert(image.src.as_str()))
        .take(REMOTE_IMAGES_MAX)
        .cloned()
        .collect()
}

/// Profiles of the target that name a carrier, with their domains.
fn carrier_profiles(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Vec<(String, String)>> {
    tx.query(
        "SELECT DISTINCT r.email_format, t.domain FROM target t JOIN recipient r ON r.id = t.recipient \
         WHERE t.delivery = $1 AND t.reason IS NULL AND r.email_format IN ('docomo', 'softbank', 'au')",
        &binds![id],
        |row| Ok::<_, Error>((row.text(0)?, row.text(1)?)),
    )
}

/// An image that is the same for all, at an address that is not ours.
fn is_remote(src: &str, public_url: &str) -> bool {
    let lower = src.to_ascii_lowercase();
    (lower.starts_with("http://") || lower.starts_with("https://"))
        && !src.contains("{{")
        && !src.contains("{%")
        && !src.starts_with(&format!("{public_url}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fixed_addresses_of_others_are_fetched() {
        let ours = "https://mail.shop.example";
        assert!(is_remote("HTTPS://cdn.example/a.png", ours));
        for src in [
            "assets/a.png",
            "cid:x",
            "https://cdn.example/{{ city }}.png",
            "https://mail.shop.example/a/x.png",
        ] {
            assert!(!is_remote(src, ours), "{src}");
        }
    }
}
