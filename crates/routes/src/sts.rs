//! What recipients' domains say about TLS: their MTA-STS policies, kept as RFC 8461 wants, and whether they want to hear of
//! failures (RFC 8460).
//!
//! A policy that holds stays in force when the domain shows none any more or it cannot be fetched again: taking it away is
//! what somebody between us and the domain would do. Each is fetched again when its id changes and once a day.
//!
//! A policy is fetched by a task of its own, a few at a time: a domain whose web server is silent holds up nobody else's
//! mail, and its own for a moment only. Until its policy is there a domain is one without (RFC 8461 section 5.1).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use net::{Fetcher, StsMode, StsPolicy, TlsFault};
use serde::Serialize;
use store::{Lane, Row, Store, binds};
use tokio::sync::{OnceCell, Semaphore, watch};

use crate::Routes;
use crate::error::Result;
use crate::limits::{STS_KEPT_MAX, STS_REFRESH_US, STS_RETRY_US};
use crate::tls_reports::Counts;

/// The port that policies are fetched from; tests have their own.
pub const STS_PORT: u16 = 443;

/// Policies fetched at once; more wait.
const FETCHES_MAX: usize = 32;
/// How long a domain's mail waits for its policy when none holds, or another is announced.
const FETCH_WAIT: Duration = Duration::from_secs(5);

/// What a recipients' domain says about TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DomainPolicy {
    /// IDNA ASCII, lower case.
    pub domain: String,
    /// Its MTA-STS policy, unless it has none or one of mode `none`.
    pub sts: Option<StsPolicy>,
    /// It publishes where reports of failed TLS go, and we send such.
    pub reports: bool,
}

/// A kept policy as pages show it. Times are microseconds UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptPolicy {
    /// The recipients' domain.
    pub domain: String,
    /// The id of its DNS record.
    pub id: String,
    /// `enforce`, `testing`, `none`; empty while none was ever had.
    pub mode: String,
    /// The policy as the domain wrote it.
    pub text: String,
    /// When it was fetched; 0: never.
    pub fetched_at: i64,
    /// When it ends.
    pub expires_at: i64,
    /// The last try to fetch it.
    pub tried_at: i64,
    /// Why that failed; empty when it worked.
    pub error: String,
}

impl KeptPolicy {
    /// The policy, if it holds.
    fn in_force(&self, now_us: i64) -> Option<StsPolicy> {
        (self.fetched_at > 0 && self.expires_at > now_us).then(|| StsPolicy::parse(&self.text).ok()).flatten()
    }

    /// Whether it is time to fetch it, when the domain shows this id.
    fn is_due(&self, id: &str, now_us: i64) -> bool {
        let stale = self.id != id
            || self.expires_at <= now_us
            || self.fetched_at + STS_REFRESH_US <= now_us
            || !self.error.is_empty();
        stale && self.tried_at + STS_RETRY_US <= now_us
    }
}

/// Policies and counts. Cloning is cheap; all clones share both.
#[derive(Clone)]
pub struct TransportPolicies {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) reporting: AtomicBool,
    pub(crate) counts: Mutex<Counts>,
    port: u16,
    loaded: OnceCell<()>,
    kept: Mutex<HashMap<String, KeptPolicy>>,
    /// Fetches under way, by domain.
    fetching: Mutex<HashMap<String, Fetched>>,
    fetches: Semaphore,
}

/// What a fetch will have brought.
type Fetched = watch::Receiver<Option<KeptPolicy>>;

impl TransportPolicies {
    /// Keeps policies in `store` and fetches them with `fetcher`, whose resolver is asked for their ids.
    #[must_use]
    pub fn new(store: Store, fetcher: Arc<Fetcher>) -> TransportPolicies {
        TransportPolicies::on_port(store, fetcher, STS_PORT)
    }

    /// The same with policies fetched from another port, for tests.
    #[must_use]
    pub fn on_port(store: Store, fetcher: Arc<Fetcher>, port: u16) -> TransportPolicies {
        let inner = Inner {
            store,
            fetcher,
            reporting: AtomicBool::new(false),
            counts: Mutex::default(),
            port,
            loaded: OnceCell::new(),
            kept: Mutex::default(),
            fetching: Mutex::default(),
            fetches: Semaphore::new(FETCHES_MAX),
        };
        TransportPolicies { inner: Arc::new(inner) }
    }

    /// Whether connections are counted for reports. Off at first: who sends none need not count.
    pub fn set_reporting(&self, on: bool) {
        self.inner.reporting.store(on, Ordering::Release);
    }

    /// What a domain (IDNA ASCII, lower case) says about TLS; `None`: nothing. Asks the DNS once, or twice where reports are
    /// sent, and now and then the domain's web server.
    ///
    /// Whoever wants reports is a domain with something to say, also without a policy: that there was none is what its
    /// report tells (RFC 8460 section 4.2, `no-policy-found`).
    pub async fn of(&self, domain: &str, now_us: i64) -> Option<Arc<DomainPolicy>> {
        let policy = self.sts(domain, now_us).await;
        let reports = self.inner.reporting.load(Ordering::Acquire) && self.wants_reports(domain).await;
        let sts = policy.filter(|policy| policy.mode != StsMode::None);
        (sts.is_some() || reports).then(|| Arc::new(DomainPolicy { domain: domain.to_owned(), sts, reports }))
    }

    /// The policy that a domain publishes now; nothing is kept of it.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn published(&self, domain: &str) -> std::result::Result<StsPolicy, net::StsFetchError> {
        net::fetch_sts(&self.inner.fetcher, domain, self.inner.port).await.map(|(policy, _)| policy)
    }

    async fn wants_reports(&self, domain: &str) -> bool {
        let texts = self.inner.fetcher.resolver().txt(&net::tls_rpt_name(domain)).await;
        texts.is_ok_and(|texts| !net::report_addresses(&texts).is_empty())
    }

    async fn sts(&self, domain: &str, now_us: i64) -> Option<StsPolicy> {
        self.load(now_us).await;
        let kept = self.kept().get(domain).cloned();
        let texts = self.inner.fetcher.resolver().txt(&net::sts_name(domain)).await;
        let Some(id) = texts.ok().and_then(|texts| net::sts_id(&texts)) else {
            return kept?.in_force(now_us);
        };
        match kept {
            Some(kept) if !kept.is_due(&id, now_us) => kept.in_force(now_us),
            kept => {
                let holds = kept.as_ref().filter(|kept| kept.id == id).and_then(|kept| kept.in_force(now_us));
                let before = kept.as_ref().and_then(|kept| kept.in_force(now_us));
                let mut fetched = self.fetching(domain, id, kept, now_us);
                if holds.is_some() {
                    return holds;
                }
                let came = tokio::time::timeout(FETCH_WAIT, fetched.wait_for(Option::is_some)).await;
                match came {
                    Ok(Ok(kept)) => kept.as_ref()?.in_force(now_us),
                    // It takes its time; what it brings holds from the next look on.
                    _ => before,
                }
            }
        }
    }

    /// The fetch of a domain's policy, begun unless it is under way.
    fn fetching(&self, domain: &str, id: String, kept: Option<KeptPolicy>, now_us: i64) -> Fetched {
        let mut under_way = self.inner.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose task is gone will bring nothing.
        if let Some(known) = under_way.get(domain).filter(|known| known.has_changed().is_ok()) {
            return known.clone();
        }
        let (tell, told) = watch::channel(None);
        under_way.insert(domain.to_owned(), told.clone());
        let (this, domain) = (self.clone(), domain.to_owned());
        tokio::spawn(async move {
            // It is never closed.
            let _permit = this.inner.fetches.acquire().await.ok();
            let fetched = this.fetch(&domain, id, kept, now_us).await;
            this.inner.fetching.lock().unwrap_or_else(PoisonError::into_inner).remove(&domain);
            let _ = tell.send(Some(fetched));
        });
        told
    }

    /// Fetches it, and keeps what came or why nothing did.
    async fn fetch(&self, domain: &str, id: String, kept: Option<KeptPolicy>, now_us: i64) -> KeptPolicy {
        let mut kept = kept.unwrap_or_else(|| KeptPolicy {
            domain: domain.to_owned(),
            id: String::new(),
            mode: String::new(),
            text: String::new(),
            fetched_at: 0,
            expires_at: 0,
            tried_at: 0,
            error: String::new(),
        });
        kept.tried_at = now_us;
        match net::fetch_sts(&self.inner.fetcher, domain, self.inner.port).await {
            Ok((policy, text)) => {
                kept.id = id;
                kept.mode = policy.mode.name().to_owned();
                kept.text = text;
                kept.fetched_at = now_us;
                kept.expires_at = now_us + i64::from(policy.max_age_s) * 1_000_000;
                kept.error = String::new();
            }
            Err(error) => {
                tracing::info!(domain, %error, "an MTA-STS policy could not be fetched");
                kept.error = error.to_string();
                self.count_fetch(domain, error.fault(), &kept.error, now_us).await;
            }
        }
        self.keep(kept.clone()).await;
        kept
    }

    /// A policy that cannot be had is a failure that the domain wants to hear of (RFC 8460 section 4.3.2.2).
    async fn count_fetch(&self, domain: &str, fault: TlsFault, words: &str, now_us: i64) {
        if self.inner.reporting.load(Ordering::Acquire) && self.wants_reports(domain).await {
            let policy = DomainPolicy { domain: domain.to_owned(), sts: None, reports: true };
            let session =
                crate::Session { host: "", from: None, to: None, dane: None, fault: Some((fault, words)) };
            self.count(&policy, &session, now_us);
        }
    }

    async fn keep(&self, kept: KeptPolicy) {
        {
            let mut all = self.kept();
            if all.len() >= STS_KEPT_MAX && !all.contains_key(&kept.domain) {
                all.retain(|_, other| other.expires_at > kept.tried_at);
                if all.len() >= STS_KEPT_MAX {
                    // Full of policies that hold: this one is asked for anew next time.
                    return;
                }
            }
            all.insert(kept.domain.clone(), kept.clone());
        }
        let written = self.inner.store.write(Lane::Bulk, move |tx| -> Result<()> {
            tx.execute(
                "INSERT INTO sts_policy (domain, id, mode, text, fetched_at, expires_at, tried_at, error) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (domain) DO UPDATE SET id = excluded.id, \
                 mode = excluded.mode, text = excluded.text, fetched_at = excluded.fetched_at, \
                 expires_at = excluded.expires_at, tried_at = excluded.tried_at, error = excluded.error",
                &binds![
                    kept.domain,
                    kept.id,
                    kept.mode,
                    kept.text,
                    kept.fetched_at,
                    kept.expires_at,
                    kept.tried_at,
                    kept.error
                ],
            )?;
            Ok(())
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "an MTA-STS policy was not written down; it holds until the next start");
        }
    }

    /// Reads what earlier runs kept, once.
    async fn load(&self, now_us: i64) {
        let load = || async {
            let rows = self.inner.store.read(move |tx| all_policies(tx, now_us)).await?;
            let mut kept = self.kept();
            for row in rows {
                kept.entry(row.domain.clone()).or_insert(row);
            }
            Ok::<(), crate::Error>(())
        };
        if let Err(error) = self.inner.loaded.get_or_try_init(load).await {
            tracing::warn!(%error, "kept MTA-STS policies cannot be read; tried again with the next domain");
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, KeptPolicy>> {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const POLICIES: &str =
    "SELECT domain, id, mode, text, fetched_at, expires_at, tried_at, error FROM sts_policy";

fn all_policies(tx: &mut store::Tx<'_>, now_us: i64) -> Result<Vec<KeptPolicy>> {
    let sql = format!("{POLICIES} WHERE expires_at > $1 ORDER BY expires_at DESC");
    Ok(tx.query(&sql, &binds![now_us], read_policy)?)
}

fn read_policy(row: &Row<'_>) -> store::Result<KeptPolicy> {
    Ok(KeptPolicy {
        domain: row.text(0)?,
        id: row.text(1)?,
        mode: row.text(2)?,
        text: row.text(3)?,
        fetched_at: row.int(4)?,
        expires_at: row.int(5)?,
        tried_at: row.int(6)?,
        error: row.text(7)?,
    })
}

impl Routes {
    /// Kept MTA-STS policies by domain, those that could not be fetched included; at most `limit` after `after`.
    ///
    /// # Errors
    /// `Store`.
    pub async fn sts_policies(&self, after: &str, limit: usize) -> Result<Vec<KeptPolicy>> {
        let after = after.to_owned();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.store
            .read(move |tx| {
                let sql = format!("{POLICIES} WHERE domain > $1 ORDER BY domain LIMIT $2");
                Ok(tx.query(&sql, &binds![after, limit], read_policy)?)
            })
            .await
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use net::{Guard, Resolver, StaticResolver, Tls};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use std::sync::atomic::AtomicUsize;
    use testkit::{Authority, KeyKind, Quality};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

    pub(crate) const T0: i64 = 1_700_000_000_000_000;
    const HOUR: i64 = 3_600_000_000;
    pub(crate) const ENFORCE: &str =
        "version: STSv1\r\nmode: enforce\r\nmx: mx.receiver.example\r\nmax_age: 172800\r\n";

    /// A web server at `mta-sts.receiver.example` and `reports.receiver.example`.
    pub(crate) struct Web {
        /// Status line and header fields of the answer, and its body.
        pub answer: Arc<Mutex<(String, String)>>,
        pub asked: Arc<AtomicUsize>,
        /// Bodies that were posted.
        pub posted: Arc<Mutex<Vec<Vec<u8>>>>,
        pub port: u16,
        pub resolver: Arc<StaticResolver>,
        pub fetcher: Arc<Fetcher>,
    }

    impl Web {
        pub(crate) async fn start(quality: Quality) -> Web {
            let authority = Authority::new().unwrap();
            let names = ["mta-sts.receiver.example", "reports.receiver.example"].map(str::to_owned);
            let identity = authority.issue(&names, quality, KeyKind::Ecdsa).unwrap();
            let chain = std::iter::once(&identity.certificate).chain(&identity.authority);
            let chain = chain.map(|der| CertificateDer::from(der.clone())).collect();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.clone()));
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
                .unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let answer = Arc::new(Mutex::new((ok("text/plain"), ENFORCE.to_owned())));
            let (asked, posted) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
            let (says, counts, keeps) = (Arc::clone(&answer), Arc::clone(&asked), Arc::clone(&posted));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(stream) = acceptor.accept(stream).await else { continue };
                    let mut stream = BufReader::new(stream);
                    let (mut line, mut length) = (String::new(), 0);
                    while line != "\r\n" {
                        line.clear();
                        stream.read_line(&mut line).await.unwrap();
                        if let Some(digits) = line.strip_prefix("Content-Length: ") {
                            length = digits.trim().parse().unwrap();
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await.unwrap();
                    if length > 0 {
                        keeps.lock().unwrap().push(body);
                    }
                    counts.fetch_add(1, Ordering::SeqCst);
                    let (head, text) = says.lock().unwrap().clone();
                    let wire = format!("{head}Content-Length: {}\r\n\r\n{text}", text.len());
                    stream.write_all(wire.as_bytes()).await.unwrap();
                    let _ = stream.shutdown().await;
                }
            });
            let resolver = Arc::new(StaticResolver::new());
            resolver.a("mta-sts.receiver.example", &["127.0.0.1"]);
            resolver.a("reports.receiver.example", &["127.0.0.1"]);
            let root = CertificateDer::from(authority.certificate().to_vec());
            let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
            let asks = Arc::clone(&resolver) as Arc<dyn Resolver>;
            let fetcher = Arc::new(Fetcher::new(asks, Tls::new(&[root]).unwrap(), guard));
            Web { answer, asked, posted, port, resolver, fetcher }
        }

        pub(crate) fn says(&self, head: &str, text: &str) {
            *self.answer.lock().unwrap() = (head.to_owned(), text.to_owned());
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }

        pub(crate) fn policies(&self, store: &Store) -> TransportPolicies {
            TransportPolicies::on_port(store.clone(), Arc::clone(&self.fetcher), self.port)
        }

        fn id(&self, id: &str) {
            self.resolver.txt("_mta-sts.receiver.example", &[&format!("v=STSv1; id={id};")]);
        }
    }

    pub(crate) fn ok(kind: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n")
    }

    async fn mode(policies: &TransportPolicies, now_us: i64) -> Option<StsMode> {
        let policy = policies.of("receiver.example", now_us).await?;
        policy.sts.as_ref().map(|sts| sts.mode)
    }

    pub(crate) async fn room(store: &Store) -> (tempfile::TempDir, Routes) {
        store.migrate(&[crate::MIGRATIONS]).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let vault = Arc::new(store::Vault::open(dir.path()).unwrap());
        let routes = Routes::new(store.clone(), vault, crate::Providers::built_in().clone());
        (dir, routes)
    }

    #[tokio::test]
    async fn rfc_8461_3_3_and_10_2_a_policy_is_fetched_once_and_holds_whatever_becomes_of_the_domain() {
        store::testing::each(|store| async move {
            let (_dir, routes) = room(&store).await;
            let web = Web::start(Quality::Good).await;
            let policies = web.policies(&store);
            assert_eq!(mode(&policies, T0).await, None, "without a record");
            assert_eq!(web.asked(), 0);
            web.id("1");
            for later in [0, 1, 23] {
                assert_eq!(mode(&policies, T0 + later * HOUR).await, Some(StsMode::Enforce));
            }
            assert_eq!(web.asked(), 1);
            // Another id, and then the same for a day: fetched again. It is not to be had: what was kept holds.
            web.says("HTTP/1.1 503 Away\r\n", "");
            web.id("2");
            assert_eq!(mode(&policies, T0 + 24 * HOUR).await, Some(StsMode::Enforce));
            assert_eq!(mode(&policies, T0 + 24 * HOUR + 1).await, Some(StsMode::Enforce));
            assert_eq!(web.asked(), 2, "not more often than every five minutes");
            let kept = routes.sts_policies("", 10).await.unwrap();
            assert_eq!((kept.len(), kept[0].mode.as_str()), (1, "enforce"));
            assert!(kept[0].error.contains("503"), "{}", kept[0].error);
            // Whoever hides the record or the server gains nothing, also over a restart.
            web.resolver.txt("_mta-sts.receiver.example", &["v=spf1 -all"]);
            let again = web.policies(&store);
            assert_eq!(mode(&again, T0 + 47 * HOUR).await, Some(StsMode::Enforce));
            assert_eq!(mode(&again, T0 + 49 * HOUR).await, None, "until it ends");
            // The new one replaces it.
            web.says(&ok("text/plain; charset=utf-8"), &ENFORCE.replace("enforce", "testing"));
            web.id("2");
            assert_eq!(mode(&again, T0 + 49 * HOUR).await, Some(StsMode::Testing));
            web.says(&ok("text/plain"), &ENFORCE.replace("enforce", "none"));
            web.id("3");
            assert_eq!(mode(&again, T0 + 50 * HOUR).await, None, "the domain takes it back");
            assert_eq!(web.asked(), 4);
        })
        .await;
    }

    #[tokio::test]
    async fn rfc_8461_3_3_what_is_no_policy_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("x.sqlite").display());
        let store = Store::open(&url, store::Options::default()).await.unwrap();
        let (_dir, routes) = room(&store).await;
        let web = Web::start(Quality::Good).await;
        web.id("1");
        let elsewhere = "HTTP/1.1 302 Found\r\nLocation: https://mta-sts.receiver.example/x\r\n";
        for (n, (head, text, words)) in [
            (elsewhere.to_owned(), ENFORCE, "redirects"),
            (ok("text/html"), ENFORCE, "text/plain"),
            (ok("text/plain"), "<html>", "STSv1"),
        ]
        .into_iter()
        .enumerate()
        {
            web.says(&head, text);
            let now_us = T0 + n as i64 * HOUR;
            assert_eq!(mode(&web.policies(&store), now_us).await, None, "{words}");
            let kept = routes.sts_policies("", 10).await.unwrap();
            assert!(kept[0].error.contains(words), "{words}: {}", kept[0].error);
        }
        let strange = Web::start(Quality::WrongName).await;
        strange.id("1");
        assert_eq!(mode(&strange.policies(&store), T0 + 9 * HOUR).await, None, "by a certificate for others");
        assert_eq!(strange.asked(), 0);
    }

    /// A web server that takes connections and says nothing.
    #[tokio::test]
    async fn rfc_8461_5_1_a_silent_web_server_holds_up_nobody_for_long() {
        store::testing::sqlite(|store| async move {
            let (_dir, _routes) = room(&store).await;
            let web = Web::start(Quality::Good).await;
            web.id("1");
            let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = silent.local_addr().unwrap().port();
            let policies = TransportPolicies::on_port(store.clone(), Arc::clone(&web.fetcher), port);
            let begun = std::time::Instant::now();
            let modes = tokio::join!(mode(&policies, T0), mode(&policies, T0), mode(&policies, T0));
            assert_eq!(modes, (None, None, None), "as if there were none");
            assert!(begun.elapsed() < FETCH_WAIT * 2, "{:?}", begun.elapsed());
            let under_way = policies.inner.fetching.lock().unwrap().len();
            assert_eq!(under_way, 1, "asked once, and still under way");
        })
        .await;
    }
}
