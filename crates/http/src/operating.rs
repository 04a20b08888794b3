//! What an operator does to a site's paths and to what waits for it, and what the audit log is told of it: the same by
//! REST and by the pages' forms.

use crate::{acts::Told, limits::DROP_PATIENCE, problem::Answer, state::AppState};

/// Paths that something is to be done to.
pub(crate) struct Paths {
    /// None: from every source.
    pub source: Option<String>,
    /// The site, as [`mta::PathFigures::site`] names it.
    pub site: String,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// Who.
    pub by: String,
}

impl Paths {
    /// For [`mta::Action::Suspend`].
    pub async fn suspend(self, state: &AppState, until_us: Option<i64>) -> Answer<Told> {
        let told = self.told();
        let Paths { source, site, reason, by } = self;
        act(state, told, mta::Action::Suspend { source, site, until_us, reason, by }).await
    }

    /// For [`mta::Action::Resume`].
    pub async fn resume(self, state: &AppState) -> Answer<Told> {
        let told = self.told();
        act(state, told, mta::Action::Resume { source: self.source, site: self.site, by: self.by }).await
    }

    /// For [`mta::Action::Drain`].
    pub async fn drain(self, state: &AppState) -> Answer<Told> {
        let told = self.told();
        let Paths { source, site, reason, by } = self;
        act(state, told, mta::Action::Drain { source, site, reason, by }).await
    }

    /// For [`mta::Action::Forget`].
    pub async fn forget(self, state: &AppState) -> Answer<Told> {
        let told = self.told();
        act(state, told, mta::Action::Forget { source: self.source, site: self.site }).await
    }

    fn told(&self) -> Told {
        let from = self.source.as_deref().unwrap_or("all sources");
        Told { subject: self.site.clone(), detail: format!("{from}; {}", self.reason) }
    }
}

async fn act(state: &AppState, told: Told, action: mta::Action) -> Answer<Told> {
    state.engine.act(action).await?;
    Ok(told)
}

fn told_of(site: String, messages: u64) -> Told {
    Told { subject: site, detail: format!("{messages} messages") }
}

/// Rests of the site's paths are forgotten and what waits is due now, of one delivery or of all; with how many messages.
pub(crate) async fn retry_now(state: &AppState, site: String, delivery: Option<i64>) -> Answer<(u64, Told)> {
    let which = state.waiters(&site, delivery).await;
    let hurried = state.queue.retry_now(which, state.clock.now_us()).await?;
    state.engine.act(mta::Action::RetryNow { site: site.clone() }).await?;
    Ok((hurried, told_of(site, hurried)))
}

/// What waits for the site is cancelled for good, of one delivery or of all.
pub(crate) async fn drop_waiting(
    state: &AppState,
    site: String,
    delivery: Option<i64>,
) -> Answer<(queue::Dropped, Told)> {
    let which = state.waiters(&site, delivery).await;
    let dropped = state.queue.drop_waiting(which, state.clock.now_us(), DROP_PATIENCE).await?;
    Ok((dropped, told_of(site, dropped.messages)))
}
