//! Proofs: the delivery as a few people will judge it. Each is a delivery of its own, numbered, analysed and logged
//! like any other, outside every indicator; its links act on nobody.

use std::sync::Arc;

use store::{Lane, binds};
use typology::Level;

use crate::analyse::Source;
use crate::folder::Refusal;
use crate::personalise::Reader;
use crate::records::{self, NewDelivery};
use crate::states::{self, By};
use crate::types::{
    Analysis, Delivery, DeliveryId, Error, ListFilter, ProofTarget, Purpose, Result, State, Summary,
};
use crate::{Deliveries, facts, files, journal, life};

/// A proof on its way.
pub struct StartedProof {
    /// The proof's own delivery.
    pub proof: Delivery,
    task: tokio::task::JoinHandle<Result<Analysis>>,
}

impl StartedProof {
    /// Waits until it is analysed and, when that found no error, confirmed.
    pub async fn analysed(self) -> Result<Analysis> {
        self.task.await.map_err(|panic| Error::Internal(format!("the proof panicked: {panic}")))?
    }
}

impl Deliveries {
    /// Sends a proof. The answer comes at once; the proof analyses and confirms itself.
    pub async fn proof(&self, id: DeliveryId, target: ProofTarget, by: &By) -> Result<StartedProof> {
        let parent = self.get(id).await?;
        if parent.parent.is_some() {
            return Err(
                Refusal::new("delivery", "is a proof itself: send the proof from its delivery").into()
            );
        }
        life::sendable(&parent)?;
        if matches!(parent.state, State::Deleted | State::Cancelled) {
            let reason = "it is over: duplicate it first".into();
            return Err(Error::State { id, state: parent.state, reason });
        }
        let readers = Arc::new(self.readers(&parent.definition, target).await?);
        let proof = self.create_proof(&parent, by).await?;
        let (this, proof_id) = (self.clone(), proof.id);
        let task = tokio::spawn(async move { this.run_proof(id, proof_id, readers).await });
        Ok(StartedProof { proof, task })
    }

    /// The proofs of a delivery, newest first.
    pub async fn proofs(&self, id: DeliveryId) -> Result<Vec<Summary>> {
        self.list(ListFilter { proofs_of: Some(id), ..ListFilter::default() }).await
    }

    async fn create_proof(&self, parent: &Delivery, by: &By) -> Result<Delivery> {
        let (parent, by, now_us) = (parent.clone(), by.clone(), self.now_us());
        self.store
            .write(Lane::Urgent, move |tx| {
                // Of two who ask at once, each has a number of its own.
                states::lock(tx, parent.id)?;
                let last: i64 = tx.query_one(
                    "SELECT coalesce(max(proof_no), 0) FROM delivery WHERE parent = $1",
                    &binds![parent.id],
                    |row| row.int(0).map_err(Error::from),
                )?;
                let proof_no = last + 1;
                let label = format!("{}{}", facts::prefix(&parent.definition, proof_no), parent.label);
                let mut definition = parent.definition.clone();
                if !definition.proof.keep_code {
                    definition.code = String::new();
                }
                let new = NewDelivery {
                    definition: &definition,
                    sources: &parent.sources(),
                    is_template: false,
                    by: &by.name,
                    parent: Some(parent.id),
                    proof_no,
                    label: &label,
                    origin: None,
                    purpose: Purpose::Delivery,
                    now_us,
                };
                let id = records::insert(tx, &new)?;
                files::copy(tx, parent.id, id)?;
                let text = format!("Proof #{proof_no} asked for{}", by.suffix());
                journal::note(tx, parent.id, now_us, Level::Info, &text)?;
                records::get(tx, id)
            })
            .await
    }

    async fn run_proof(
        &self,
        parent: DeliveryId,
        proof: DeliveryId,
        readers: Arc<Vec<Reader>>,
    ) -> Result<Analysis> {
        let analysis = self
            .start_analysis_of(proof, Source::Readers(readers), false, &By::system())
            .await?
            .wait()
            .await?;
        if analysis.state != State::Ready {
            return Ok(analysis);
        }
        self.confirm(proof, analysis.snapshot.as_deref(), &By::system()).await?;
        self.store
            .write(Lane::Urgent, move |tx| {
                // The content that this proof shows is the proof's own, also when the parent was edited meanwhile.
                tx.execute(
                    "UPDATE delivery SET proof_hash = (SELECT p.content_hash FROM delivery p WHERE p.id = $2) WHERE id = $1",
                    &binds![parent, proof],
                )
                .map_err(Error::from)
            })
            .await?;
        Ok(analysis)
    }
}
