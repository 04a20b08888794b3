//! What is behind the links: one guarded HEAD request each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use net::{DialError, FetchError, Fetcher};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use typology::{CheckFact, Checked, LinkFact, TargetFact};

/// Addresses that are asked for; further ones are not.
pub(crate) const TARGETS_MAX: usize = 100;
/// Requests at once. A host is asked by so many at most, which a web server does not notice.
const TOGETHER: usize = 8;
/// Wait for one answer.
const ONE: Duration = Duration::from_secs(10);

/// The web addresses of a content that are the same for everybody and not this program's own, each once.
pub(crate) fn of_links(links: &[LinkFact], public_url: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let is_ours = |url: &str| {
        url.strip_prefix(public_url).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    };
    let is_fixed = |url: &str| !["{{", "{%", "*|", "{#"].iter().any(|mark| url.contains(mark));
    let is_web = |url: &str| {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        matches!(scheme.as_deref(), Some("http" | "https"))
    };
    links
        .iter()
        .map(|link| link.url.trim())
        .filter(|url| is_web(url) && is_fixed(url) && !is_ours(url))
        .filter(|url| seen.insert(*url))
        .take(TARGETS_MAX)
        .map(str::to_owned)
        .collect()
}

/// Asks for all of them, until `deadline`.
pub(crate) async fn ask(fetcher: Arc<Fetcher>, urls: Vec<String>, deadline: Instant) -> Vec<TargetFact> {
    let permits = Arc::new(Semaphore::new(TOGETHER));
    let mut requests = JoinSet::new();
    for (number, url) in urls.iter().cloned().enumerate() {
        let (fetcher, permits) = (Arc::clone(&fetcher), Arc::clone(&permits));
        requests.spawn(async move {
            // Closed never: the semaphore lives as long as this.
            let _permit = permits.acquire_owned().await;
            (number, judged(fetcher.head(&url, ONE).await))
        });
    }
    let mut facts: Vec<TargetFact> = urls
        .into_iter()
        .map(|url| TargetFact {
            url,
            check: CheckFact::new(Checked::Unknown, "no answer in time"),
            status: 0,
        })
        .collect();
    // What is not there at the deadline stays unknown; the requests end with the set.
    while let Ok(Some(done)) = tokio::time::timeout_at(deadline, requests.join_next()).await {
        if let Ok((number, (check, status))) = done {
            (facts[number].check, facts[number].status) = (check, status);
        }
    }
    facts
}

/// What an answer says of the link. A server that forbids the question to a program shows the page to a reader.
fn judged(answer: Result<u16, FetchError>) -> (CheckFact, u16) {
    let status = match answer {
        Ok(status) => status,
        Err(error) => return (failure(&error), 0),
    };
    let said = format!("the server answers {status}");
    let state = match status {
        404 | 410 => Checked::Missing,
        200..=399 | 401 | 403 | 405 | 406 | 429 | 501 => Checked::Pass,
        500..=599 => Checked::Fail,
        _ => Checked::Unknown,
    };
    (CheckFact::new(state, said), status)
}

fn failure(error: &FetchError) -> CheckFact {
    let state = match error {
        FetchError::Dns { error, .. } if error.is_negative() => Checked::Missing,
        FetchError::Url(_) | FetchError::Tls(_) | FetchError::Redirects => Checked::Fail,
        FetchError::Dial(DialError::Refused(_)) => Checked::Fail,
        _ => Checked::Unknown,
    };
    CheckFact::new(state, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn link(url: &str) -> LinkFact {
        LinkFact { url: url.into(), ..LinkFact::default() }
    }

    #[test]
    fn only_fixed_addresses_of_others_are_asked_for_and_each_once() {
        let links = [
            "https://shop.example/a",
            " https://shop.example/a ",
            "HTTP://shop.example/b#c",
            "https://shop.example/{{ id }}",
            "https://mail.shop.example/m/1",
            "https://mail.shop.example.org/",
            "mailto:a@shop.example",
            "*|UNSUB|*",
            "#top",
            "",
        ]
        .map(link);
        let urls = of_links(&links, "https://mail.shop.example");
        assert_eq!(
            urls,
            ["https://shop.example/a", "HTTP://shop.example/b#c", "https://mail.shop.example.org/"]
        );
        let many: Vec<_> = (0..500).map(|n| link(&format!("https://shop.example/{n}"))).collect();
        assert_eq!(of_links(&many, "https://x.example").len(), TARGETS_MAX);
    }

    /// Answers HEAD requests by their path: `/404` with 404, `/slow` never.
    async fn server() -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 1_024];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    let text = String::from_utf8_lossy(&request[..length]).into_owned();
                    let path = text.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
                    if path == "slow" {
                        tokio::time::sleep(Duration::from_secs(600)).await;
                    }
                    let _ = stream.write_all(format!("HTTP/1.1 {path} X\r\n\r\n").as_bytes()).await;
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn answers_are_judged_and_the_slow_ones_do_not_hold_the_rest() {
        let port = server().await;
        let dns = net::StaticResolver::new();
        dns.a("shop.example", &["127.0.0.1"]);
        dns.a("inside.example", &["10.0.0.1"]);
        dns.fails("dark.example", net::RecordKind::A);
        let guard = net::Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let fetcher = Arc::new(Fetcher::new(Arc::new(dns), net::Tls::new(&[]).unwrap(), guard));
        let at = |path: &str| format!("http://shop.example:{port}/{path}");
        let urls = vec![
            at("slow"),
            at("200"),
            at("404"),
            at("403"),
            at("500"),
            at("418"),
            "http://none.example/".into(),
            "http://dark.example/".into(),
            format!("http://inside.example:{port}/"),
        ];
        let started = Instant::now();
        let facts = ask(fetcher, urls, started + Duration::from_secs(5)).await;
        assert!(started.elapsed() < Duration::from_secs(40));
        let states: Vec<_> = facts.iter().map(|fact| fact.check.state).collect();
        use Checked::{Fail, Missing, Pass, Unknown};
        assert_eq!(states, [Unknown, Pass, Missing, Pass, Fail, Unknown, Missing, Unknown, Fail]);
        assert_eq!(facts[2].status, 404);
    }
}
