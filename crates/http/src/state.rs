//! What every handler can reach: the services of all rooms, built once by the binary and shared.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, path::PathBuf, pin::Pin, sync::Arc};

use access::{Caller, Right};
use delivery::{By, Deliveries, StopReport};
use tokio::sync::{mpsc, watch};

use crate::{
    guard::Hosts,
    imports::Imports,
    paths::{Queued, Standing, queued},
    problem::Problem,
};

/// A future of a trait object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the doors need of the engine. The binary fills it with the mta's handle; tests with what they like.
pub trait EngineControl: Send + Sync + 'static {
    /// Stops a delivery: cuts what has not passed its final dot, and says exactly what became of its messages.
    fn stop<'a>(&'a self, delivery: i64) -> Pending<'a, Result<StopReport, Problem>>;
    /// Pauses a delivery: what has begun ends, nothing more begins.
    fn pause<'a>(&'a self, delivery: i64) -> Pending<'a, Result<(), Problem>>;
    /// Sends one message outside any delivery, at once, and answers with the receiver's words; `Err` says in words why
    /// it was not taken. What Setup's *send me a test mail* does.
    fn send_test<'a>(&'a self, from: &'a str, to: &'a str) -> Pending<'a, Result<String, String>>;
    /// What it does at this moment.
    fn standing(&self) -> Pending<'_, Standing>;
    /// The category of what a row of the log says, by the rules of replies in force; see [`mta::category_of`].
    fn category(&self, site: &str, reason: Option<&str>, words: &str) -> Option<&'static str> {
        mta::category_of(&smtp::Rulebook::default(), site, reason, words)
    }
    /// Does to paths what an operator wants.
    fn act(&self, action: mta::Action) -> Pending<'_, Result<(), Problem>>;
    /// The domains whose mail goes to a site's hosts, as far as it asked for them.
    fn domains<'a>(&'a self, _site: &'a str) -> Pending<'a, Vec<String>> {
        Box::pin(async { Vec::new() })
    }
    /// The words of the next connections to a site, as they are said. Ends with the last of them, or when nobody listens.
    fn trace<'a>(&'a self, site: &'a str, connections: u32) -> Pending<'a, mpsc::Receiver<mta::TraceLine>>;
}

/// The mailbox page of the demo: what the simulated internet received. Filled by the binary only under
/// `mailwright demo`; pages show the mailbox when it is there.
pub trait DemoMailbox: Send + Sync + 'static {
    /// How many messages were received so far.
    fn count(&self) -> u64;
    /// The newest messages first, at most `limit`; `before` (exclusive) pages towards older ones; `search` is part
    /// of the recipient's address.
    fn list(&self, before: Option<u64>, limit: usize, search: &str) -> Vec<DemoMessage>;
    /// The bytes of one message as they arrived.
    fn source(&self, number: u64) -> Option<Vec<u8>>;
}

/// One line of the demo's mailbox.
#[derive(Clone, Debug)]
pub struct DemoMessage {
    /// Number in order of arrival, from 1.
    pub number: u64,
    /// Arrival, microseconds UTC.
    pub at_us: i64,
    /// The provider that took it, for example `gmail.example`.
    pub provider: String,
    /// Envelope sender.
    pub from: String,
    /// Envelope recipient.
    pub to: String,
    /// Decoded subject.
    pub subject: String,
    /// Size in bytes.
    pub size: usize,
}

/// The shared state of all routers; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    services: Arc<Services>,
}

/// The services of all rooms, built by the binary.
pub struct Services {
    /// Deliveries: create, edit, preview, proof, analyse, confirm, status.
    pub deliveries: Deliveries,
    /// Blocks, files, format rules.
    pub content: content::Content,
    /// Recipients, lists, segments, quarantine, imports.
    pub audience: audience::Audience,
    /// Runs, messages, the log, the recount.
    pub queue: queue::Queue,
    /// Sending domains and their keys.
    pub routes: routes::Routes,
    /// Users, sessions, tokens, settings.
    pub access: access::Access,
    /// Opens, clicks, mirror views; where links lead.
    pub tracking: tracking::Tracking,
    /// What the public door keeps in memory.
    pub door: crate::public::Door,
    /// Unsubscribing.
    pub unsubscriptions: feedback::Unsubscriptions,
    /// Copies of sent messages.
    pub archive: archive::Archive,
    /// Imports that run now.
    pub imports: Imports,
    /// The engine.
    pub engine: Arc<dyn EngineControl>,
    /// DNS, for checking what is published.
    pub dns: Arc<dyn net::Resolver>,
    /// What fetches MTA-STS policies for the check of a domain; `None`: its DNS alone is looked at.
    pub policies: Option<routes::TransportPolicies>,
    /// The values of all settings, now and at each change.
    pub settings: watch::Receiver<Arc<access::Settings>>,
    /// Keys of the tokens in links.
    pub tokens: Arc<message::TokenKeys>,
    /// The clock.
    pub clock: Arc<dyn net::Clock>,
    /// The address the admin side listens on.
    pub listen: SocketAddr,
    /// A folder for uploads and other temporary files, inside the data directory.
    pub work_dir: PathBuf,
    /// Files that a backup holds beside the database: name in the backup, path here.
    pub backup_files: Vec<(String, PathBuf)>,
    /// Mailbox of the demo, when it runs.
    pub demo: Option<Arc<dyn DemoMailbox>>,
}

/// The same person, as deliveries know them.
pub fn acting(caller: &Caller) -> By {
    let (administer, start) = (caller.may(Right::Administer), caller.may(Right::Start));
    By { name: caller.name.clone(), administer, start }
}

impl AppState {
    /// Wraps the services for sharing.
    pub fn new(services: Services) -> Self {
        Self { services: Arc::new(services) }
    }
}

impl Services {
    /// The settings as they are now.
    pub fn settings(&self) -> Arc<access::Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// Base of public links, without a slash at the end: the setting, else the listen address.
    pub fn public_url(&self) -> String {
        match self.settings().public_url() {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.listen),
        }
    }

    /// The names under which the admin side answers.
    pub fn hosts(&self) -> Hosts {
        Hosts::new(self.listen, self.settings().public_url())
    }

    /// Whether a site is a provider of the table; any domain can be a site besides.
    pub fn knows_site(&self, site: &str) -> bool {
        self.routes.providers().list().iter().any(|provider| provider.name == site)
    }

    /// What the engine does at this moment, with ends that reckon with what waits in the database; without, when that does
    /// not answer.
    pub async fn standing(&self) -> Standing {
        let mut standing = self.engine.standing().await;
        if let Ok(queued) = self.queued().await {
            standing.reckon_ends(&queued, self.clock.now_us());
        }
        standing
    }

    /// What waits in the database, by provider.
    pub async fn queued(&self) -> Result<BTreeMap<String, Queued>, Problem> {
        let lanes = self.queue.waiting_by_lane(self.clock.now_us()).await?;
        Ok(queued(&lanes, |name| self.knows_site(name)))
    }

    /// What waits for a site: of a provider its lane, of others the messages to the domains whose mail goes to its hosts, as
    /// far as the engine has asked for them, and those that it answered or that wait for it.
    pub async fn waiters(&self, site: &str, delivery: Option<i64>) -> queue::Waiters {
        let name = site.to_owned();
        if self.knows_site(site) {
            return queue::Waiters { delivery, lane: Some(name), receiver: None };
        }
        let mut domains = self.engine.domains(site).await;
        if !domains.contains(&name) {
            domains.push(name.clone());
        }
        queue::Waiters { delivery, lane: None, receiver: Some(queue::Receiver { site: name, domains }) }
    }

    /// Why nothing of a delivery goes out from this node, as its engine says; empty: nothing keeps it.
    pub async fn blocked(&self, delivery: i64) -> String {
        // A database that does not answer is told by whatever else is asked of it.
        let figures = self.queue.figures(delivery, self.clock.now_us()).await;
        figures.ok().and_then(|figures| figures.blocked.clone()).unwrap_or_default()
    }

    /// Lets a delivery go on from another pool, which some source must be in.
    pub async fn set_pool(&self, delivery: i64, pool: &str) -> Result<(), Problem> {
        let rules = self.routes.rules();
        if !rules.sources.iter().any(|source| source.enabled && source.pools.iter().any(|own| own == pool)) {
            return Err(Problem::invalid(
                "pool",
                format!("No source that is in use is in the pool `{pool}`."),
            ));
        }
        self.deliveries.get(delivery).await?;
        self.queue.set_pool(delivery, pool).await?;
        Ok(())
    }

    /// What a domain's DNS records depend on.
    pub fn domain_facts(&self) -> routes::Facts {
        let settings = self.settings();
        let host = settings.ehlo().map(str::to_owned).or_else(|| {
            url::Url::parse(&self.public_url()).ok().and_then(|url| url.host_str().map(str::to_owned))
        });
        let (host, rules) = (host.unwrap_or_default(), self.routes.rules());
        routes::Facts {
            greetings: rules.greetings(&host),
            host,
            addresses: rules.public_addresses(),
            relay_host: settings.relay().map(|relay| relay.host.clone()),
            bounce_domain: settings.feedback_domain().map(str::to_owned),
            dmarc_reports: None,
        }
    }

    /// Pauses a delivery: the intent is written and noted, then connections are emptied.
    pub async fn pause(&self, delivery: i64, by: &By) -> Result<delivery::Delivery, Problem> {
        self.deliveries.pause(delivery, by).await?;
        self.engine.pause(delivery).await?;
        Ok(self.deliveries.get(delivery).await?)
    }

    /// Keeps people out of later analyses and cancels what is pending for them, in one transaction: an analysis that begins
    /// between two would see neither, and after a fault in between nobody would know what is missing. `act` may say more of an
    /// entry.
    async fn cut_off<T: Send + 'static>(
        &self,
        mut entries: Vec<queue::Suppression>,
        act: impl FnOnce(&mut store::Tx<'_>, &mut [queue::Suppression]) -> audience::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let write = self.audience.store().write(store::Lane::Urgent, move |tx| {
            let done = act(tx, &mut entries)?;
            Ok::<_, Problem>((done, queue::suppress_in(tx, &entries)?))
        });
        let (done, recorded) = write.await?;
        self.queue.remember(recorded);
        Ok(done)
    }

    fn pending_of(&self, address_key: String, reason: &str) -> queue::Suppression {
        queue::Suppression::of_all(address_key, reason, self.clock.now_us())
    }

    /// Puts a recipient on the denylist, and cancels what is pending for it in every delivery.
    pub async fn denylist(&self, recipient: &audience::Recipient) -> Result<(), Problem> {
        let entry = self.pending_of(recipient.email_key.clone(), "denylisted");
        let (id, email, now_us) = (recipient.id, recipient.email.clone(), self.clock.now_us());
        self.cut_off(vec![entry], move |tx, _| audience::denylist::set(tx, id, &email, now_us)).await?;
        Ok(())
    }

    /// Changes a recipient. Who is put on the denylist by it gets nothing that is pending.
    pub async fn edit_recipient(
        &self,
        recipient: &audience::Recipient,
        edit: audience::RecipientEdit,
    ) -> Result<audience::Recipient, Problem> {
        let (id, now_us) = (recipient.id, self.clock.now_us());
        let mut entries = Vec::new();
        if edit.denylisted == Some(true) {
            entries.push(self.pending_of(recipient.email_key.clone(), "denylisted"));
        }
        self.cut_off(entries, move |tx, _| audience::edit_recipient(tx, id, &edit, now_us)).await
    }

    /// Deletes a recipient, and cancels what is pending for it: messages keep their address.
    pub async fn delete_recipient(&self, recipient: &audience::Recipient) -> Result<(), Problem> {
        let entry = self.pending_of(recipient.email_key.clone(), "denylisted");
        let id = recipient.id;
        self.cut_off(vec![entry], move |tx, _| audience::delete_recipients(tx, &[id])).await?;
        Ok(())
    }

    /// Ends subscriptions, and cancels what deliveries to this service's subscribers still have pending for these people, unless
    /// another service that such a delivery names keeps them. Answers how many there were.
    pub async fn unsubscribe(
        &self,
        service: i64,
        recipients: &[audience::Recipient],
    ) -> Result<u64, Problem> {
        let ids: Vec<i64> = recipients.iter().map(|recipient| recipient.id).collect();
        let entry = |of: &audience::Recipient| queue::Suppression {
            service: Some(service),
            ..self.pending_of(of.email_key.clone(), "unsubscribed")
        };
        let entries = recipients.iter().map(entry).collect();
        self.cut_off(entries, move |tx, entries| {
            let mut ended = 0;
            for (id, entry) in ids.into_iter().zip(entries) {
                let left = audience::end_subscription(tx, service, id)?;
                ended += u64::from(left.ended);
                entry.still = left.still;
            }
            Ok(ended)
        })
        .await
    }

    /// Puts an address in quarantine, and cancels what is pending for it. Answers whether it is new there.
    pub async fn quarantine(&self, mailbox: &address::Mailbox, reason: &str) -> Result<bool, Problem> {
        let entry = self.pending_of(mailbox.key(), "quarantined");
        let (email, reason, now_us) = (mailbox.to_string(), reason.to_owned(), self.clock.now_us());
        self.cut_off(vec![entry], move |tx, _| audience::quarantine::add(tx, &email, &reason, "", now_us))
            .await
    }

    /// Puts addresses and domains on the suppression list, and cancels what is pending for them in every delivery.
    pub async fn suppress(&self, values: Vec<String>) -> Result<audience::SuppressionReport, Problem> {
        let entries = values.iter().filter_map(|value| gate_key(value));
        let entries = entries.map(|key| self.pending_of(key, "suppressed")).collect();
        // The list first: an analysis that begins in between sees it.
        let report = self.audience.suppress(values, self.clock.now_us()).await?;
        self.queue.suppress(entries).await?;
        Ok(report)
    }

    /// The same for a file of any size.
    pub async fn import_suppressed(
        &self,
        source: Box<dyn std::io::Read + Send>,
    ) -> Result<audience::SuppressionReport, Problem> {
        let report = self.audience.import_suppressed(source, self.clock.now_us()).await;
        // What was added before a failure stays on the list.
        self.hold_back_suppressed().await?;
        Ok(report?)
    }

    /// Cancels what is pending for everybody on the suppression list, not only for what was just added: after a fault the same
    /// file is sent again, and is known by then. Of a long list only who can be written to goes on to the gate.
    async fn hold_back_suppressed(&self) -> Result<(), Problem> {
        let mut after = String::new();
        loop {
            let page = self.audience.suppressed_people(&after).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            let entry = |(value, kind): (String, audience::SuppressionKind)| {
                let key = match kind {
                    audience::SuppressionKind::Address => value,
                    audience::SuppressionKind::Domain => format!("@{value}"),
                };
                self.pending_of(key, "suppressed")
            };
            self.queue.suppress(page.into_iter().map(entry).collect()).await?;
        }
    }

    /// Stops a delivery and keeps what that did in its journal.
    pub async fn stop(&self, delivery: i64, by: &By) -> Result<StopReport, Problem> {
        self.deliveries.get(delivery).await?;
        let report = self.engine.stop(delivery).await?;
        self.deliveries.stopped(delivery, &report, by).await?;
        Ok(report)
    }
}

/// What the gate compares an address, or a domain with or without `@`, by; `None`: it is neither.
fn gate_key(value: &str) -> Option<String> {
    let value = value.trim();
    match address::parse(value) {
        Ok(mailbox) => Some(mailbox.key()),
        Err(_) => {
            let domain = address::Domain::parse(value.strip_prefix('@').unwrap_or(value)).ok()?;
            Some(format!("@{}", domain.ascii()))
        }
    }
}

impl std::ops::Deref for AppState {
    type Target = Services;
    fn deref(&self) -> &Services {
        &self.services
    }
}
