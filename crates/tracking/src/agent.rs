//! Which clients are machines. Mail gateways and chat programs fetch every link before a person does; what they do is
//! recorded, with a mark, and counted for nobody.
//!
//! A gateway that poses as a browser is not told apart here; the user agent and the time stand in the event, so that
//! reports can judge better later.

/// Parts of user agents, in lower case, of programs that fetch links by themselves. As seen in 2026.
const MACHINES: &[&str] = &[
    "bot",
    "spider",
    "crawl",
    "preview",
    "scan",
    "monitor",
    "validator",
    "facebookexternalhit",
    "whatsapp",
    "skypeuripreview",
    "barracuda",
    "proofpoint",
    "mimecast",
    "symantec",
    "trendmicro",
    "safelinks",
    "urlfilter",
    "headless",
    "curl/",
    "wget/",
    "python-requests",
    "python-urllib",
    "aiohttp",
    "go-http-client",
    "okhttp",
    "java/",
    "libwww-perl",
    "apache-httpclient",
    "axios/",
    "node-fetch",
];

/// True for programs that fetch links by themselves, and for browsers that fetch ahead. `purpose` is the value of
/// `Sec-Purpose`, `Purpose` or `X-Moz`. A missing user agent is a machine's too: every browser sends one.
#[must_use]
pub fn is_machine(agent: &str, purpose: Option<&str>) -> bool {
    if purpose.is_some_and(|purpose| purpose.contains("prefetch") || purpose.contains("prerender")) {
        return true;
    }
    let agent = agent.trim().to_ascii_lowercase();
    agent.is_empty() || MACHINES.iter().any(|part| agent.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_people() {
        for agent in [
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "Mozilla/5.0",
            "DoCoMo/2.0 N08A3(c500;TB;W30H20)",
        ] {
            assert!(!is_machine(agent, None), "{agent}");
        }
    }

    #[test]
    fn machines_are_machines() {
        for agent in
            ["", "  ", "Googlebot/2.1", "curl/8.5.0", "Slackbot-LinkExpanding 1.0", "BarracudaCentral"]
        {
            assert!(is_machine(agent, None), "{agent}");
        }
        assert!(is_machine("Mozilla/5.0", Some("prefetch;prerender")));
        assert!(!is_machine("Mozilla/5.0", Some("navigate")));
    }
}
