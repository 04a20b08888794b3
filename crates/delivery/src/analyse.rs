//! The analysis: from a draft to a frozen snapshot with a row for every recipient, and a verdict.
//!
//! Steps: content (compile, rules on it) -> target (who, and who is left out, by ranges of ids) -> domains (number
//! order) -> personalisation (every recipient evaluated to slots) -> index -> rules on sizes and validity. It can be
//! stopped between any two short transactions; what it wrote until then is deleted by the next one.

use std::sync::Arc;

use content::{Compiled, Problem};
use queue::plan;
use store::{Dialect, Lane, Tx, binds};
use typology::{Facts, Finding, Level, Phase, ProofFact, Selection};

use crate::ab::{self, FrozenContent, Other};
use crate::analysis::{AnalysisHandle, Step};
use crate::contacts::Contacts;
use crate::facts::lookups::Asking;
use crate::members::Members;
use crate::numbering::{DomainShare, Parts};
use crate::parameters;
use crate::personalise::{Contents, Evaluated, Reader};
use crate::quiet::QuietPart;
use crate::remote::Written;
use crate::schedule::Plan;
use crate::slots::{Slot, Slots, Slotted};
use crate::states::{self, By, Event};
use crate::turns::{Rank, Turn};
use crate::types::{Analysis, Delivery, DeliveryId, Error, Result, State};
use crate::verdict::{Frozen, Verdict};
use crate::{Deliveries, approval, facts, journal, life, records, timing};

/// Work rows that one transaction deletes.
const DELETE_ROWS: i64 = 5_000;
/// Times that a target is reckoned again, because other planned deliveries changed while it was.
const AGAIN_MAX: usize = 2;
/// Recipients that a template error names in its finding.
const NAMED_RECIPIENTS_MAX: usize = 5;

/// Whom an analysis is for.
#[derive(Clone)]
pub(crate) enum Source {
    /// The delivery's own target.
    Target,
    /// The readers of a proof.
    Readers(Arc<Vec<Reader>>),
}

impl Deliveries {
    /// Starts an analysis in the background. Refused while one runs, and once the delivery is confirmed.
    pub async fn start_analysis(&self, id: DeliveryId, by: &By) -> Result<AnalysisHandle> {
        self.start_analysis_of(id, Source::Target, false, by).await
    }

    /// The same analysis, which lists in the journal the statements that it ran, with rows and time.
    pub async fn explain_analysis(&self, id: DeliveryId, by: &By) -> Result<AnalysisHandle> {
        self.start_analysis_of(id, Source::Target, true, by).await
    }

    pub(crate) async fn start_analysis_of(
        &self,
        id: DeliveryId,
        source: Source,
        explain: bool,
        by: &By,
    ) -> Result<AnalysisHandle> {
        let (now_us, by) = (self.now_us(), by.clone());
        let delivery = self
            .store
            .write(Lane::Urgent, move |tx| {
                states::lock(tx, id)?;
                let delivery = records::get(tx, id)?;
                if !(delivery.parent.is_some() && delivery.state == State::Draft) {
                    life::editable(&delivery)?;
                }
                life::sendable(&delivery)?;
                states::change(tx, id, Event::AnalysisBegan, &by, "", now_us)?;
                approval::begin(tx, &delivery, &by, now_us)?;
                journal::clear(tx, id)?;
                journal::note(tx, id, now_us, Level::Info, &format!("Analysis started{}", by.suffix()))?;
                Ok::<_, Error>(delivery)
            })
            .await?;
        let handle = AnalysisHandle::new(self.rooms.clock.clone());
        self.lock_running().insert(id, handle.clone());
        let (this, shared) = (self.clone(), handle.clone());
        tokio::spawn(async move {
            let inner = this.clone();
            let inner_handle = shared.clone();
            let task =
                tokio::spawn(async move { inner.analyse(delivery, source, explain, inner_handle).await });
            let outcome = match task.await {
                Ok(outcome) => outcome,
                Err(panic) => Err(Error::Internal(format!("the analysis panicked: {panic}"))),
            };
            if let Err(error) = &outcome {
                this.analysis_broke(id, &error.to_string()).await;
            }
            this.lock_running().remove(&id);
            shared.end(outcome);
        });
        Ok(handle)
    }

    /// A defect or a database that went away: the delivery can be analysed again.
    async fn analysis_broke(&self, id: DeliveryId, text: &str) {
        let (now_us, text) = (self.now_us(), format!("The analysis broke off: {text}"));
        let kept = self
            .store
            .write(Lane::Urgent, move |tx| {
                states::change(tx, id, Event::AnalysisFailed, &By::system(), "it broke off", now_us)?;
                journal::note(tx, id, now_us, Level::Error, &text)
            })
            .await;
        if let Err(error) = kept {
            tracing::error!(delivery = id, %error, "a broken analysis could not be noted");
        }
    }

    async fn analyse(
        &self,
        delivery: Delivery,
        source: Source,
        explain: bool,
        handle: AnalysisHandle,
    ) -> Result<Analysis> {
        let id = delivery.id;
        let turn = self.turn(&delivery, &source, &handle).await;
        let trace = store::Trace::default();
        let this = if explain { self.traced(&trace) } else { self.clone() };
        let mut again = 0;
        loop {
            this.clear_earlier(id).await?;
            // Before anything is read: whoever is suppressed from here on is held back when the delivery runs.
            this.store.write(Lane::Bulk, move |tx| queue::suppress::begin(tx, id)).await?;
            let mut work = Work::new(&this, &delivery, &handle);
            let verdict = match &turn {
                None => Verdict::Stopped,
                Some(_) => work.verdict(&source).await?,
            };
            // Of two that end together, the second sees the first.
            let alone = match &work.arbitrated {
                Some(_) => Some(self.freezing.lock().await),
                None => None,
            };
            if again < AGAIN_MAX && work.is_outdated(&verdict).await? {
                again += 1;
                continue;
            }
            let mut findings = std::mem::take(&mut work.findings);
            if explain {
                findings.extend(crate::explain::lines(&trace));
            }
            let members = std::mem::take(&mut work.members);
            self.conclude(&delivery, verdict, findings, &handle, &members).await?;
            drop(alone);
            break;
        }
        self.delete_work(id).await?;
        self.after_analysis(id).await?;
        self.analysis(id).await?.ok_or_else(|| Error::Internal("an ended analysis left nothing".into()))
    }

    /// Waits for its turn; `None`: it was stopped meanwhile. A proof never waits.
    async fn turn(
        &self,
        delivery: &Delivery,
        source: &Source,
        handle: &AnalysisHandle,
    ) -> Option<Option<Turn>> {
        if matches!(source, Source::Readers(_)) {
            return Some(None);
        }
        if delivery.definition.validation.low_activity {
            self.quiet_time(handle).await?;
        }
        let rank = Rank::parse(&delivery.definition.validation.analysis_priority).unwrap_or(Rank::Normal);
        let turn = self.turns.take(rank, self.config().analyses_at_once, handle).await?;
        Some(Some(turn))
    }

    /// Waits for the hours of low activity, when the instance has any; `None`: it was stopped meanwhile.
    async fn quiet_time(&self, handle: &AnalysisHandle) -> Option<()> {
        let Some(low) = self.config().low_activity.clone() else { return Some(()) };
        let begin_us = low.next_inside(self.now_us());
        if begin_us > self.now_us() {
            handle.enter(Step::Waiting, 0);
            tokio::select! {
                () = self.rooms.clock.sleep_until(begin_us) => {}
                () = handle.stopped() => {}
            }
        }
        (!handle.is_stopped()).then_some(())
    }

    async fn clear_earlier(&self, id: DeliveryId) -> Result<()> {
        self.delete_work(id).await?;
        // In short transactions, between which other deliveries settle.
        while self.store.write(Lane::Bulk, move |tx| plan::clear_some(tx, id).map_err(Error::from)).await? {}
        self.store
            .write(Lane::Bulk, move |tx| {
                tx.execute("DELETE FROM provider_plan WHERE delivery = $1", &binds![id])?;
                crate::schedule::forget(tx, id)?;
                crate::quiet::forget(tx, id)?;
                ab::forget(tx, id)?;
                Ok::<_, Error>(())
            })
            .await
    }

    /// Empties the work tables in short transactions.
    async fn delete_work(&self, id: DeliveryId) -> Result<()> {
        loop {
            let deleted =
                self.store.write(Lane::Bulk, move |tx| delete_some(tx, id).map_err(Error::from)).await?;
            if deleted == 0 {
                return Ok(());
            }
        }
    }

    /// What the last ended analysis found; `None` when there was none.
    pub async fn analysis(&self, id: DeliveryId) -> Result<Option<Analysis>> {
        let found = self
            .store
            .read(move |tx| {
                let delivery = records::get(tx, id)?;
                let findings = journal::findings(journal::lines(tx, id)?);
                let excluded = plan::excluded_counts(tx, id)?;
                let providers = crate::confirm::providers(tx, id)?;
                Ok::<_, Error>((delivery, findings, excluded, providers))
            })
            .await?;
        let (delivery, findings, excluded, providers) = found;
        if delivery.analysed_at.is_none() && findings.is_empty() {
            return Ok(None);
        }
        Ok(Some(Analysis {
            id,
            state: self.live_state(id, delivery.state).await?,
            snapshot: delivery.snapshot,
            target: delivery.target,
            to_deliver: delivery.to_deliver,
            excluded: excluded.into_iter().collect(),
            findings,
            providers,
            predicted_end: delivery.predicted_end,
        }))
    }

    /// The journal, oldest line first.
    pub async fn journal(&self, id: DeliveryId) -> Result<Vec<crate::types::JournalLine>> {
        self.store.read(move |tx| journal::lines(tx, id)).await
    }
}

/// One analysis under way.
pub(crate) struct Work<'a> {
    pub this: &'a Deliveries,
    pub delivery: &'a Delivery,
    pub handle: &'a AnalysisHandle,
    pub findings: Vec<Finding>,
    pub facts: Facts,
    /// The control rules of the delivery's typology.
    pub selection: Selection,
    /// Look-ups under way.
    pub asking: Option<Asking>,
    /// The other variants of an A/B test.
    pub variants: Vec<Other>,
    /// Who gets a message.
    pub members: Members,
    /// What planned deliveries counted for its pressure rules.
    pub arbitrated: Option<String>,
}

impl<'a> Work<'a> {
    fn new(this: &'a Deliveries, delivery: &'a Delivery, handle: &'a AnalysisHandle) -> Work<'a> {
        Work {
            this,
            delivery,
            handle,
            findings: Vec::new(),
            facts: Facts::default(),
            selection: Selection::default(),
            asking: None,
            variants: Vec::new(),
            members: Members::default(),
            arbitrated: None,
        }
    }
}

impl Work<'_> {
    async fn verdict(&mut self, source: &Source) -> Result<Verdict> {
        match self.steps(source).await {
            Err(Error::Refused(refusal)) => {
                let finding = Finding::new("target", Level::Error, refusal.to_string());
                self.findings.push(finding.in_part("target"));
                Ok(Verdict::Errors)
            }
            other => other,
        }
    }

    /// Was another delivery analysed, confirmed or given up meanwhile that changes what the pressure rules count?
    async fn is_outdated(&self, verdict: &Verdict) -> Result<bool> {
        let (Verdict::Frozen(_), Some(counted)) = (verdict, &self.arbitrated) else { return Ok(false) };
        let now = self.this.fingerprint_now(self.delivery).await?;
        if now.as_ref() == Some(counted) {
            return Ok(false);
        }
        let (id, now_us) = (self.delivery.id, self.this.now_us());
        let text =
            "Other planned deliveries changed meanwhile: whom pressure rules leave out is reckoned again";
        self.this
            .store
            .write(Lane::Urgent, move |tx| journal::note(tx, id, now_us, Level::Info, text))
            .await?;
        Ok(true)
    }

    async fn steps(&mut self, source: &Source) -> Result<Verdict> {
        let plan = self.scheduled(source)?;
        self.handle.enter(Step::Content, 0);
        self.names().await?;
        let Some(written) = self.content(source, &plan).await? else { return Ok(Verdict::Errors) };
        let Some(others) = self.other_contents(&written).await? else { return Ok(Verdict::Errors) };
        self.ask(source, &written).await?;
        self.handle.enter(Step::Target, 0);
        let Some(shares) = self.shares(source).await? else { return Ok(Verdict::Stopped) };
        if !self.answered(&shares).await? {
            return Ok(Verdict::Stopped);
        }
        self.rules(Phase::AfterTargeting);
        self.rules(Phase::StartOfPersonalisation);
        let Some(contents) = self.frozen_contents(written, others, source, &shares).await? else {
            return Ok(Verdict::Errors);
        };
        let size = parameters::part_size(
            self.delivery.definition.parameters.part_size,
            self.facts.messages.unwrap_or_default(),
        );
        let slotted = self.slotted(source, plan, &shares).await?;
        let mut parts = Parts::new(String::new(), size, slotted.slots.starts_at())
            .by_wave(contents.hashes(), contents.rest());
        let mut contacts = Contacts::default();
        self.handle.enter(Step::Personalisation, self.facts.messages.unwrap_or_default() as u64);
        let room = (&mut parts, &mut contacts);
        let Some(evaluated) = self.evaluated(source, &contents, (&shares, &slotted), room).await? else {
            return Ok(Verdict::Stopped);
        };
        self.report(&evaluated);
        self.measured(&evaluated, &contents).await?;
        let timing = self.timing(source, &slotted, &shares).await?;
        self.handle.enter(Step::Rules, 0);
        self.rules(Phase::EndOfAnalysis);
        self.keep_facts().await?;
        if self.has_errors() {
            return Ok(Verdict::Errors);
        }
        self.handle.enter(Step::Index, 0);
        contacts.write(&self.this.store).await?;
        self.members = std::mem::take(&mut contacts.members);
        self.this.store.write(Lane::Bulk, |tx| plan::refresh_statistics(tx).map_err(Error::from)).await?;
        let ab = self.planned(source, &contents, &slotted)?;
        let contents: Vec<_> = contents.all().iter().map(|of| FrozenContent::of(&of.snapshot)).collect();
        let snapshot = ab::hash_of(&contents);
        let quiet = quiet_parts(&parts, &slotted.slots);
        let parts = parts.finish();
        let arbitrated = self.arbitrated.clone();
        let frozen = Frozen { snapshot, contents, ab, parts, quiet, arbitrated, timing };
        Ok(Verdict::Frozen(Box::new(frozen)))
    }

    /// Everybody evaluated, seeds too. `None`: stopped.
    async fn evaluated(
        &mut self,
        source: &Source,
        contents: &Contents,
        when: (&Arc<Vec<DomainShare>>, &Slotted),
        (parts, contacts): (&mut Parts, &mut Contacts),
    ) -> Result<Option<Evaluated>> {
        let (this, delivery) = (self.this, self.delivery);
        if let Source::Readers(readers) = source {
            return this.evaluate_readers(delivery, contents, readers, (parts, contacts)).await.map(Some);
        }
        let found =
            this.evaluate_target(delivery, contents, when, (&mut *parts, contacts), self.handle).await?;
        let Some(mut evaluated) = found else { return Ok(None) };
        evaluated.merge(self.seeds(contents, parts).await?);
        Ok(Some(evaluated))
    }

    /// The sizes that the rules ask about.
    async fn measured(&mut self, evaluated: &Evaluated, contents: &Contents) -> Result<()> {
        let tokens = &self.this.rooms.tokens;
        for (content, compiled) in contents.all().iter().enumerate() {
            let files = self.this.bytes_of(&compiled.snapshot).await?;
            if content == evaluated.content_of_largest() {
                self.facts.size = evaluated.size(compiled, &files, tokens)?;
            }
            let mobiles =
                evaluated.mobiles.get(content).map(|mobiles| mobiles.facts(compiled, &files, tokens));
            self.variant_mobiles(content, mobiles.transpose()?.unwrap_or_default());
        }
        Ok(())
    }

    /// Begins to ask what the rules want to know of the outside.
    async fn ask(&mut self, source: &Source, written: &Written) -> Result<()> {
        if let Source::Target = source {
            let questions = self.this.questions(&written.draft, &written.options, &self.all_links()).await?;
            self.asking = Some(Asking::begin(Arc::clone(&self.this.rooms.fetcher), questions));
        }
        Ok(())
    }

    /// How many messages each domain gets; nothing is known of a proof's. `None`: stopped.
    async fn shares(&mut self, source: &Source) -> Result<Option<Arc<Vec<DomainShare>>>> {
        match source {
            Source::Readers(readers) => {
                self.facts.messages = Some(readers.len() as i64);
                // Who gets it in several formats is one reader.
                let definition = &self.delivery.definition;
                let formats = definition.proof.variants.max(1) as usize * ab::contents(definition);
                self.facts.proof = Some(ProofFact { recipients: readers.len() / formats });
                Ok(Some(Arc::default()))
            }
            Source::Target => Ok(self.target().await?.map(Arc::new)),
        }
    }

    fn rules(&mut self, phase: Phase) {
        self.findings.extend(typology::run(phase, &self.facts, &self.selection, self.this.now_us()));
        self.variant_findings(phase);
    }

    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Error)
    }

    /// All contents as they are frozen. `None`: there are errors.
    async fn frozen_contents(
        &mut self,
        written: Written,
        others: Vec<Written>,
        source: &Source,
        shares: &[DomainShare],
    ) -> Result<Option<Contents>> {
        let mut all = Vec::with_capacity(1 + others.len());
        for (content, written) in std::iter::once(written).chain(others).enumerate() {
            let before = self.findings.len();
            let compiled = self.frozen(written, source, shares).await?;
            if content > 0 {
                let own = self.findings.split_off(before);
                let known = |finding: &Finding| self.findings.contains(finding);
                let own: Vec<_> = own.into_iter().filter(|finding| !known(finding)).collect();
                self.findings
                    .extend(own.into_iter().map(|finding| ab::of_variant(ab::letter(content), finding)));
            }
            match compiled {
                Some(compiled) => all.push(compiled),
                None => return Ok(None),
            }
        }
        Ok(Some(Contents::by_wave(all, matches!(source, Source::Target))))
    }

    /// The content with the images that travel with it, and what it warns of. `None`: there are errors.
    async fn frozen(
        &mut self,
        written: Written,
        source: &Source,
        shares: &[DomainShare],
    ) -> Result<Option<Compiled>> {
        if self.has_errors() {
            let warnings = written.compiled.warnings.iter();
            self.findings.extend(warnings.map(|warning| of_problem(warning, Level::Warning)));
            self.keep_facts().await?;
            return Ok(None);
        }
        let compiled = match self.with_images(written, source, shares).await {
            Ok(compiled) => compiled,
            Err(Error::Content(problems)) => {
                self.findings.extend(problems.iter().map(|problem| of_problem(problem, Level::Error)));
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        self.findings.extend(compiled.warnings.iter().map(|warning| of_problem(warning, Level::Warning)));
        self.findings.extend(compiled.notes.iter().map(|note| of_problem(note, Level::Info)));
        Ok(if self.has_errors() { None } else { Some(compiled) })
    }

    /// Compiles, and runs the rules that need no target. `None`: there are errors.
    async fn content(&mut self, source: &Source, plan: &Plan) -> Result<Option<Written>> {
        let delivery = self.delivery;
        let files = self.this.assets(delivery.id).await?;
        let draft = match self.this.draft_of(&delivery.definition, &delivery.sources(), &files) {
            Ok(draft) => draft,
            Err(problems) => {
                self.findings.extend(problems.iter().map(|problem| of_problem(problem, Level::Error)));
                return Ok(None);
            }
        };
        self.facts = self.this.first_facts(delivery, &draft).await?;
        if matches!(source, Source::Target) {
            self.facts.schedule = Some(timing::first_fact(plan));
        }
        self.selection = self.this.selection_of(&delivery.definition).await?;
        self.rules(Phase::StartOfTargeting);
        let proof = matches!(source, Source::Readers(_));
        let options =
            self.this.compile_options(delivery.id, &delivery.definition, delivery.proof_no, proof).await?;
        let compiling = move || (content::compile(&draft, &options), draft, options);
        let (compiled, draft, options) = tokio::task::spawn_blocking(compiling)
            .await
            .map_err(|panic| Error::Internal(format!("compiling panicked: {panic}")))?;
        match compiled {
            Err(problems) => {
                self.findings.extend(problems.iter().map(|problem| of_problem(problem, Level::Error)));
                Ok(None)
            }
            Ok(compiled) => {
                facts::with_content(&mut self.facts, &compiled.facts);
                self.facts.attachments = compiled.snapshot.attachments.len();
                self.facts.feedback_id = options.feedback_id.clone();
                if self.fails_early() {
                    let warnings = compiled.warnings.iter();
                    self.findings.extend(warnings.map(|warning| of_problem(warning, Level::Warning)));
                    return Ok(None);
                }
                Ok(Some(Written { draft, options, compiled }))
            }
        }
    }

    /// Template errors and warnings that evaluation met.
    fn report(&mut self, evaluated: &Evaluated) {
        for failure in &evaluated.failures {
            let named =
                failure.recipients.iter().take(NAMED_RECIPIENTS_MAX).cloned().collect::<Vec<_>>().join(", ");
            let mut finding = of_problem(&failure.problem, failure.level);
            let more = failure.count - failure.recipients.len().min(NAMED_RECIPIENTS_MAX) as u64;
            finding.text = match more {
                0 => format!("{} (for {named})", finding.text),
                more => format!("{} (for {named} and {more} more)", finding.text),
            };
            if !self.variants.is_empty() {
                finding = ab::of_variant(ab::letter(failure.content), finding);
            }
            self.findings.push(finding);
        }
    }
}

/// The parts that must wait while it is night for their recipients.
fn quiet_parts(parts: &Parts, slots: &Slots) -> Vec<QuietPart> {
    let of = |(first_id, slot): &(i64, Slot)| {
        Some(QuietPart { first_id: *first_id, zone: slots.quiet_zone(*slot)?.to_owned() })
    };
    parts.slots().iter().filter_map(of).collect()
}

/// Deletes work rows: some on SQLite, where others wait for the writer; all on PostgreSQL, where nobody does.
fn delete_some(tx: &mut Tx<'_>, id: DeliveryId) -> store::Result<u64> {
    match tx.dialect() {
        Dialect::Postgres => tx.execute("DELETE FROM target WHERE delivery = $1", &binds![id]),
        Dialect::Sqlite => tx.execute(
            "DELETE FROM target WHERE delivery = $1 AND (domain, recipient) IN \
             (SELECT domain, recipient FROM target WHERE delivery = $1 LIMIT $2)",
            &binds![id, DELETE_ROWS],
        ),
    }
}

/// A template's problem as a finding; rule `template`.
pub(crate) fn of_problem(problem: &Problem, level: Level) -> Finding {
    let mut text = problem.message.clone();
    if !problem.hint.is_empty() {
        text = format!("{text}: {}", problem.hint);
    }
    let finding = Finding::new("template", level, text).in_part(&problem.part);
    if problem.line == 0 { finding } else { finding.at(problem.line, problem.column) }
}
