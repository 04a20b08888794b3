//! Everything that the rules ask outside, at once, and within half a minute.
//!
//! It begins when the content is compiled and is waited for when the target is known, so that it costs an analysis
//! nothing unless somebody outside is slow.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use content::{CompileOptions, Draft};
use net::{DnsError, Fetcher, Pending, RecordKind, Records, Resolver};
use tokio::task::JoinSet;
use tokio::time::Instant;
use typology::Lookups;

use super::authentication::{self, Asked};
use super::{sources, targets};
use crate::Deliveries;
use crate::analysis::AnalysisHandle;
use crate::types::{Error, Result};

/// Time for all look-ups of an analysis together.
pub(crate) const LOOKUP_TIME: Duration = Duration::from_secs(30);
/// Time for those that ask DNS alone: each question is asked twice within it.
const DNS_TIME: Duration = Duration::from_secs(12);

/// What is to be asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Questions {
    /// `None`: the sender's address is a template, or none.
    pub sender: Option<Asked>,
    /// Web addresses.
    pub urls: Vec<String>,
    /// The name said in EHLO.
    pub ehlo: String,
    /// Addresses that mail leaves from, when they are configured.
    pub sources: Vec<IpAddr>,
    /// Mail leaves through a relay.
    pub relay: bool,
}

impl Deliveries {
    /// What to ask about a delivery whose content was compiled.
    pub(crate) async fn questions(
        &self,
        draft: &Draft,
        options: &CompileOptions,
        links: &[typology::LinkFact],
    ) -> Result<Questions> {
        let config = self.config();
        Ok(Questions {
            sender: self.asked(draft, options).await?,
            urls: targets::of_links(links, &config.public_url),
            ehlo: config.ehlo.clone(),
            sources: config.sources.clone(),
            relay: config.relay,
        })
    }

    async fn asked(&self, draft: &Draft, options: &CompileOptions) -> Result<Option<Asked>> {
        let Some(domain) = domain_of(&draft.from_address) else { return Ok(None) };
        let ours = self.rooms.routes.covering(&domain).await?;
        let signing = ours.map(|ours| ours.domain).unwrap_or_default();
        let key = match signing.is_empty() {
            true => None,
            false => {
                let wanted = self.rooms.routes.records(&signing, &routes::Facts::default()).await?;
                let rsa =
                    wanted.records.into_iter().find(|record| record.purpose == routes::Purpose::DkimRsa);
                rsa.map(|record| (record.name, record.value))
            }
        };
        let return_path = domain_of(&draft.error_address).unwrap_or_else(|| options.bounce_domain.clone());
        Ok(Some(Asked { domain, return_path, signing, key, relay: self.config().relay }))
    }
}

/// The domain of an address in ASCII; none for a template.
fn domain_of(address: &str) -> Option<String> {
    let (_, domain) = address.trim().rsplit_once('@')?;
    let domain = address::Domain::parse(domain.trim_end_matches('>')).ok()?;
    Some(domain.ascii().to_owned())
}

/// Look-ups under way. They end when this is dropped.
pub(crate) struct Asking {
    task: JoinSet<Lookups>,
}

impl Asking {
    /// Begins to ask.
    pub fn begin(fetcher: Arc<Fetcher>, questions: Questions) -> Asking {
        let mut task = JoinSet::new();
        task.spawn(answers(fetcher, questions, (DNS_TIME, LOOKUP_TIME)));
        Asking { task }
    }

    /// Waits for the answers; `None`: the analysis was stopped meanwhile.
    ///
    /// # Errors
    /// `Internal`, when a look-up panicked.
    pub async fn answers(mut self, handle: &AnalysisHandle) -> Result<Option<Lookups>> {
        tokio::select! {
            () = handle.stopped() => Ok(None),
            done = self.task.join_next() => match done {
                Some(Ok(lookups)) => Ok(Some(lookups)),
                Some(Err(panic)) => Err(Error::Internal(format!("a look-up panicked: {panic}"))),
                None => Ok(Some(Lookups::default())),
            },
        }
    }
}

/// Asks DNS until a deadline; what has no answer by then is deferred, and so *unknown*.
struct Hurried {
    inner: Arc<dyn Resolver>,
    deadline: Instant,
}

impl Resolver for Hurried {
    fn lookup<'a>(&'a self, name: &'a str, kind: RecordKind) -> Pending<'a, Result<Records, DnsError>> {
        Box::pin(async move {
            let answer = tokio::time::timeout_at(self.deadline, self.inner.lookup(name, kind)).await;
            answer.unwrap_or_else(|_| Err(DnsError::Defer("it took too long".to_owned())))
        })
    }
}

/// `dns_time` bounds what DNS alone is asked, `time` everything.
async fn answers(
    fetcher: Arc<Fetcher>,
    questions: Questions,
    (dns_time, time): (Duration, Duration),
) -> Lookups {
    let started = Instant::now();
    let Questions { sender, urls, ehlo, sources, relay } = questions;
    let dns = Hurried { inner: Arc::clone(fetcher.resolver()), deadline: started + dns_time };
    let leaving =
        async { if relay { Ok(Vec::new()) } else { sources::addresses(&dns, &sources, &ehlo).await } };
    let of_sender = async {
        let leaving = leaving.await;
        let judged = async {
            match sender {
                Some(asked) => Some(authentication::judge(&dns, asked, &leaving).await),
                None => None,
            }
        };
        let reverse = async {
            match &leaving {
                _ if relay => None,
                Ok(leaving) => Some(sources::reverse(&dns, leaving).await),
                Err(_) => Some(Vec::new()),
            }
        };
        tokio::join!(judged, reverse)
    };
    let of_greeting = async { if relay { None } else { Some(sources::helo(&dns, &ehlo, &sources).await) } };
    let of_links = targets::ask(Arc::clone(&fetcher), urls, started + time);
    let ((authentication, sources), helo, targets) = tokio::join!(of_sender, of_greeting, of_links);
    Lookups { authentication, sources, helo, targets: Some(targets) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::StaticResolver;
    use typology::Checked;

    /// A name server that never answers.
    struct Silent;

    impl Resolver for Silent {
        fn lookup<'a>(&'a self, _: &'a str, _: RecordKind) -> Pending<'a, Result<Records, DnsError>> {
            Box::pin(std::future::pending())
        }
    }

    fn fetcher(dns: Arc<dyn Resolver>) -> Arc<Fetcher> {
        Arc::new(Fetcher::new(dns, net::Tls::new(&[]).unwrap(), net::Guard::default()))
    }

    fn questions() -> Questions {
        Questions {
            sender: Some(Asked {
                domain: "shop.example".into(),
                return_path: "bounce.shop.example".into(),
                ..Asked::default()
            }),
            urls: vec!["https://shop.example/".into()],
            ehlo: "out.shop.example".into(),
            ..Questions::default()
        }
    }

    #[tokio::test]
    async fn silence_is_unknown_when_the_time_is_over() {
        let started = Instant::now();
        let times = (Duration::from_millis(50), Duration::from_millis(100));
        let found = answers(fetcher(Arc::new(Silent)), questions(), times).await;
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        let sender = found.authentication.unwrap();
        let states =
            [sender.spf.state, sender.dmarc.state, sender.mail.state, found.helo.unwrap().check.state];
        assert_eq!(states, [Checked::Unknown; 4]);
        assert_eq!(sender.domain, "shop.example");
        assert_eq!(found.targets.unwrap()[0].check.state, Checked::Unknown);
        assert_eq!(found.sources, Some(Vec::new()));
    }

    #[tokio::test]
    async fn through_a_relay_neither_addresses_nor_greeting_are_asked_about() {
        let dns = StaticResolver::new();
        dns.txt("bounce.shop.example", &["v=spf1 -all"]);
        let times = (DNS_TIME, LOOKUP_TIME);
        let sender = questions().sender.map(|asked| Asked { relay: true, ..asked });
        let questions = Questions { relay: true, sender, ..questions() };
        let found = answers(fetcher(Arc::new(dns)), questions, times).await;
        assert_eq!((found.sources, found.helo), (None, None));
        assert_eq!(found.authentication.unwrap().spf.state, Checked::Pass);
    }

    #[test]
    fn a_template_has_no_domain() {
        assert_eq!(domain_of("news@Shop.Example").as_deref(), Some("shop.example"));
        assert_eq!(domain_of("Shop <news@shop.example>").as_deref(), Some("shop.example"));
        assert_eq!(domain_of("{{ city }}@{{ brand }}.example"), None);
        assert_eq!(domain_of(""), None);
    }
}
