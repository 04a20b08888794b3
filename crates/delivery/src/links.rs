//! The links of a content as its author looks at them: each URL once, with its choice.

use content::{CompileOptions, FoundLink};

use crate::Deliveries;
use crate::definition::Definition;
use crate::types::{DeliveryId, Error, Result, Sources};

impl Deliveries {
    /// The links of the saved content, in order of their first appearance. [`Error::Content`] when it does not compile.
    pub async fn links(&self, id: DeliveryId) -> Result<Vec<FoundLink>> {
        let delivery = self.get(id).await?;
        self.links_of(&delivery.definition, &delivery.sources(), id).await
    }

    /// The same for an edit that is not saved; `id` names the delivery whose files it uses, 0: none.
    pub async fn links_of(
        &self,
        definition: &Definition,
        sources: &Sources,
        id: DeliveryId,
    ) -> Result<Vec<FoundLink>> {
        let files = if id == 0 { Vec::new() } else { self.assets(id).await? };
        let draft = self.draft_of(definition, sources, &files).map_err(Error::Content)?;
        let options = CompileOptions { delivery: 0, ..self.compile_options(id, definition, 0, true).await? };
        let compiled = tokio::task::spawn_blocking(move || content::compile(&draft, &options))
            .await
            .map_err(|panic| Error::Internal(format!("compiling panicked: {panic}")))?
            .map_err(Error::Content)?;
        Ok(compiled.links)
    }
}
