//! The world that the demo and the stories run in: who there is, where their mail goes, how they behave.
//!
//! Provider names, MX names and words of refusal look like the real ones, so that everything that recognises a
//! provider does; the addresses are loopback ones.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::behaviour::{Behaviour, stable_hash};
use crate::zone::{Node, Zone};

/// A provider at its place in the world.
#[derive(Debug, Clone)]
pub struct Place {
    /// How it behaves.
    pub behaviour: Behaviour,
    /// Loopback addresses that it listens on; each MX host gets one of them in turn.
    pub addresses: Vec<Ipv4Addr>,
    /// Address domains with the MX hosts of each, best first.
    pub domains: Vec<(String, Vec<String>)>,
    /// Whether it also takes the mail of `tailN.example` domains.
    pub takes_tail: bool,
}

/// All providers of a simulated internet and the names that lead to them.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The providers.
    pub places: Vec<Place>,
}

impl Place {
    /// A provider on one loopback address.
    #[must_use]
    pub fn new(behaviour: Behaviour, address: Ipv4Addr) -> Place {
        Place { behaviour, addresses: vec![address], domains: Vec::new(), takes_tail: false }
    }

    /// The same, with an address domain whose mail goes to `hosts`.
    #[must_use]
    pub fn domain(mut self, domain: &str, hosts: &[&str]) -> Place {
        self.domains.push((domain.to_owned(), hosts.iter().map(|host| (*host).to_owned()).collect()));
        self
    }

    /// Names that its certificate is for: its greeting's, and those that MX records lead to.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let mut hosts = vec![self.behaviour.host.clone()];
        hosts.extend(self.domains.iter().flat_map(|(_, hosts)| hosts.iter().cloned()));
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// The same, also listening on another address.
    #[must_use]
    pub fn also_at(mut self, address: Ipv4Addr) -> Place {
        self.addresses.push(address);
        self
    }
}

/// Addresses of the world's small hosters lie in 127.0.90.x.
const TAIL_NET: u8 = 90;
/// Hosters over which `tailN.example` domains are spread.
const HOSTERS: u8 = 4;

impl World {
    /// Everybody accepts everything at once: for tests of other things.
    #[must_use]
    pub fn friendly() -> World {
        let mut world = World::demo();
        for place in &mut world.places {
            let old = &place.behaviour;
            place.behaviour = Behaviour::accepting(&old.name, &old.host);
        }
        world
    }

    /// The demo's world: most accept at once, Yahoo greylists nobody but throttles, a carrier greylists, some
    /// addresses bounce everywhere, the small hosters cut a connection now and then.
    #[must_use]
    pub fn demo() -> World {
        let mut places = western();
        places.extend(japanese());
        places.extend(european());
        places.extend(hosters());
        for place in &mut places {
            place.behaviour.bounce.permille = 8;
        }
        World { places }
    }

    /// The zone of this world: MX, A, PTR and TXT of everybody, and any `tailN.example`.
    #[must_use]
    pub fn zone(&self) -> Zone {
        let mut zone = Zone::new();
        for place in &self.places {
            let mut addresses = place.addresses.iter().cycle();
            for (domain, hosts) in &place.domains {
                let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
                zone.set(domain, Node::mail(&hosts));
                for host in hosts {
                    let Some(address) = addresses.next() else { continue };
                    if zone.node(host).addresses.is_empty() {
                        zone.node(host).addresses.push(IpAddr::V4(*address));
                    }
                    let [a, b, c, d] = address.octets();
                    zone.node(&format!("{d}.{c}.{b}.{a}.in-addr.arpa")).ptr.push(host.to_owned());
                }
            }
        }
        if self.places.iter().any(|place| place.takes_tail) {
            zone.set_fallback(Arc::new(tail));
        }
        zone
    }
}

/// `tailN.example` goes to one of the hosters; a third of them under a host name of its own.
fn tail(name: &str) -> Option<Node> {
    let own = name.strip_prefix("mx.").unwrap_or(name);
    let number = own.strip_prefix("tail")?.strip_suffix(".example")?;
    if number.is_empty() || number.len() > 9 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hash = stable_hash(own);
    let hoster = (hash % u64::from(HOSTERS)) as u8 + 1;
    if own != name {
        return Some(Node::host(Ipv4Addr::new(127, 0, TAIL_NET, hoster).into()));
    }
    if (hash / 8).is_multiple_of(3) {
        return Some(Node::mail(&[&format!("mx.{own}")]));
    }
    Some(Node::mail(&[&format!("mx1.hoster{hoster}.example"), &format!("mx2.hoster{hoster}.example")]))
}

fn at(net: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, net, host)
}

fn western() -> Vec<Place> {
    let google = Behaviour::accepting("google", "mx.google.com");
    let mut yahoo = Behaviour::accepting("yahoo", "mta4002.yahoodns.net");
    yahoo.throttle.connections = Some(12);
    yahoo.throttle.per_connection = Some(20);
    yahoo.throttle.per_second = Some(60.0);
    yahoo.throttle.per_second_reply =
        "421 4.7.0 [TSS04] Messages from your address temporarily deferred due to unexpected volume"
            .to_owned();
    yahoo.bounce.reply =
        "554 5.7.9 delivery error: dd This user doesn't have an account (0) - mta4002".to_owned();
    let mut outlook = Behaviour::accepting("outlook", "AM7EUR03.olc.protection.outlook.com");
    outlook.bounce.reply =
        "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)".to_owned();
    let mut apple = Behaviour::accepting("apple", "mx01.mail.icloud.com");
    apple.throttle.per_connection = Some(50);
    let mut qq = Behaviour::accepting("qq", "newxmmxszc1.qq.com");
    qq.starttls = false;
    qq.bounce.reply = "550 Mailbox unavailable or access denied".to_owned();
    let comcast = Behaviour::accepting("comcast", "resimta-po-01.sys.comcast.net");
    vec![
        Place::new(google, at(10, 1))
            .also_at(at(10, 2))
            .domain("gmail.com", &["gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"])
            .domain("googlemail.com", &["gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"])
            .domain("workspace.example", &["aspmx.l.google.com", "alt1.aspmx.l.google.com"]),
        Place::new(yahoo, at(11, 1)).domain("yahoo.com", &["mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net"]),
        Place::new(outlook, at(12, 1))
            .domain("outlook.com", &["outlook-com.olc.protection.outlook.com"])
            .domain("hotmail.com", &["hotmail-com.olc.protection.outlook.com"]),
        Place::new(apple, at(13, 1)).domain("icloud.com", &["mx01.mail.icloud.com", "mx02.mail.icloud.com"]),
        Place::new(qq, at(14, 1)).domain("qq.com", &["mx1.qq.com", "mx2.qq.com"]),
        Place::new(comcast, at(15, 1)).domain("comcast.net", &["mx1a1.comcast.net", "mx1h1.comcast.net"]),
    ]
}

fn japanese() -> Vec<Place> {
    let mut docomo = Behaviour::accepting("docomo", "mfsmax.docomo.ne.jp");
    docomo.pipelining = false;
    docomo.starttls = false;
    docomo.smtputf8 = false;
    docomo.throttle.connections = Some(4);
    docomo.throttle.connections_reply =
        "421 mfsmax.docomo.ne.jp Service not available, too many connections".to_owned();
    docomo.bounce.reply = "550 Unknown user".to_owned();
    let mut au = Behaviour::accepting("au", "lsean.ezweb.ne.jp");
    au.starttls = false;
    // The demo's retry period is short as well; a newcomer should see the deferral and its end.
    au.greylist = Some(Duration::from_secs(15));
    let mut softbank = Behaviour::accepting("softbank", "mx.softbank.ne.jp");
    softbank.smtputf8 = false;
    let yahoo_jp = Behaviour::accepting("yahoo_jp", "mta1001.mail.djm.ynwm.yahoo.co.jp");
    vec![
        Place::new(docomo, at(20, 1)).domain("docomo.ne.jp", &["mfsmax.docomo.ne.jp"]),
        Place::new(au, at(21, 1))
            .domain("ezweb.ne.jp", &["lsean.ezweb.ne.jp"])
            .domain("au.com", &["mx.au.com"]),
        Place::new(softbank, at(22, 1))
            .domain("softbank.ne.jp", &["mx.softbank.ne.jp"])
            .domain("i.softbank.jp", &["mx.i.softbank.jp"]),
        Place::new(yahoo_jp, at(23, 1))
            .domain("yahoo.co.jp", &["mx1.mail.yahoo.co.jp", "mx2.mail.yahoo.co.jp"]),
    ]
}

fn european() -> Vec<Place> {
    let mut gmx = Behaviour::accepting("gmx", "mx-ha02.web.de");
    gmx.throttle.connections = Some(4);
    gmx.throttle.connections_reply =
        "421 gmx.net (mxgmx016) Nemesis ESMTP Service not available: Too many connections".to_owned();
    let mut orange = Behaviour::accepting("orange", "mwinf5c04.orange.fr");
    orange.throttle.connections = Some(2);
    orange.throttle.connections_reply =
        "421 mwinf5c04 ME Trop de connexions, veuillez verifier votre configuration. OFR_104".to_owned();
    vec![
        Place::new(gmx, at(30, 1))
            .domain("web.de", &["mx-ha02.web.de", "mx-ha03.web.de"])
            .domain("gmx.de", &["mx00.emig.gmx.net", "mx01.emig.gmx.net"]),
        Place::new(orange, at(31, 1)).domain("orange.fr", &["smtp-in.orange.fr"]),
    ]
}

fn hosters() -> Vec<Place> {
    (1..=HOSTERS)
        .map(|n| {
            let mut behaviour =
                Behaviour::accepting(&format!("hoster{n}"), &format!("mx1.hoster{n}.example"));
            behaviour.cut_permille = if n == HOSTERS { 20 } else { 0 };
            behaviour.dot_delay = Duration::from_millis(u64::from(n - 1) * 20);
            behaviour.pipelining = n != 2;
            let (first, second) = (format!("mx1.hoster{n}.example"), format!("mx2.hoster{n}.example"));
            let mut place = Place::new(behaviour, at(TAIL_NET, n))
                .domain(&format!("hoster{n}.example"), &[&first, &second]);
            place.takes_tail = true;
            place
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Data, kind};

    #[test]
    fn every_domain_leads_to_an_address_that_listens() {
        let world = World::demo();
        let zone = world.zone();
        let listening: Vec<Ipv4Addr> = world.places.iter().flat_map(|p| p.addresses.clone()).collect();
        let mut domains: Vec<String> =
            world.places.iter().flat_map(|p| p.domains.iter().map(|d| d.0.clone())).collect();
        domains.extend((0..200).map(|n| format!("tail{n}.example")));
        for domain in domains {
            let mx = zone.answer(&domain, kind::MX);
            assert!(!mx.answers.is_empty(), "{domain}");
            for (data, _) in mx.answers {
                let Data::Mx(_, host) = data else { panic!("no MX") };
                let found = zone.answer(&host, kind::A).answers;
                let Some((Data::A(address), _)) = found.first() else { panic!("{host} has no address") };
                assert!(listening.contains(address), "{host} {address}");
            }
        }
        assert_eq!(zone.answer("tailx.example", kind::MX).code, Some(crate::wire::Code::NxDomain));
    }

    #[test]
    fn addresses_are_used_once() {
        let mut all: Vec<Ipv4Addr> = World::demo().places.iter().flat_map(|p| p.addresses.clone()).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
