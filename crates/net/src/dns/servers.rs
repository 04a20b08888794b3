//! Questions to name servers, over UDP and (for long answers) TCP, and who proves the answers (RFC 4033).

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::net::{DnsError as WireError, DnsHandle, NetError, RetryDnsHandle};
use hickory_resolver::proto::dnssec::{DnssecSummary, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::sync::Mutex;

use super::keys::KeptKeys;
use super::{
    DnsError, LOOKUPS_MAX, Mx, Patience, RECORDS_MAX, Record, RecordKind, Records, Resolver, TTL_MIN_S, Tlsa,
    canonical, wildcards,
};
use crate::Pending;

/// Where the system lists its name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Name servers taken from a list; the C library takes three.
const NAME_SERVERS_MAX: usize = 8;

/// Aliases followed when a name server leaves that to us.
const ALIASES_MAX: usize = 8;

/// How long "these name servers hand out no signatures" is believed.
const NO_SIGNATURES_KEPT: Duration = Duration::from_secs(3_600);

/// How long it is before name servers that did not say are asked again whether they do.
const SILENCE_KEPT: Duration = Duration::from_secs(60);

/// Who proves answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dnssec {
    /// A name server on this machine is believed ([`Dnssec::Server`]); with any other, answers are proven here as soon as
    /// it hands out the root's signatures, and are not proven as long as it does not.
    #[default]
    Auto,
    /// Proven here from the root's keys, always. With name servers that hand out no signatures nothing resolves.
    Validate,
    /// The name servers are believed when they say that they proved an answer (the AD bit, RFC 4035 section 3.2.3): right
    /// for a validating resolver that nobody else can speak for, such as Unbound on this machine.
    Server,
    /// No answer is proven, so there is no DANE.
    Off,
}

/// How a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    None,
    Server,
    Ours,
}

type Servers = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

/// Asks name servers anew each time. The program uses it behind [`super::CachedResolver`].
pub struct DnsResolver {
    servers: Servers,
    proving: DnssecDnsHandle<KeptKeys<Servers>>,
    dnssec: Dnssec,
    /// Wait for a whole look-up: each try, and a TCP one after a cut answer.
    whole: Duration,
    /// With [`Dnssec::Auto`]: what the name servers turned out to be, and until when that is believed.
    found: Mutex<Option<(Proof, Instant)>>,
}

impl DnsResolver {
    /// Asks the given servers (`ip` or `ip:port`), or the system's when there is none. An error is a slip in the list.
    pub fn open(
        name_servers: &[String],
        dnssec: Dnssec,
        patience: Patience,
    ) -> Result<DnsResolver, DnsError> {
        DnsResolver::open_with(name_servers, dnssec, TrustAnchors::default(), patience)
    }

    /// The same with other keys to begin with than the root's: a file of DNSKEY records, for a network with a root of its
    /// own. Always proves.
    pub fn open_anchored(name_servers: &[String], anchors: &Path) -> Result<DnsResolver, DnsError> {
        let anchors = TrustAnchors::from_file(anchors)
            .map_err(|error| DnsError::Defer(format!("the trust anchors cannot be read: {error}")))?;
        DnsResolver::open_with(name_servers, Dnssec::Validate, anchors, Patience::default())
    }

    fn open_with(
        name_servers: &[String],
        dnssec: Dnssec,
        anchors: TrustAnchors,
        patience: Patience,
    ) -> Result<DnsResolver, DnsError> {
        let addresses = if name_servers.is_empty() { system_servers() } else { read_servers(name_servers)? };
        let mut options = ResolverOpts::default();
        options.timeout = patience.timeout;
        // Hickory counts the tries after the first.
        let more = patience.tries.max(1) - 1;
        options.attempts = more;
        options.cache_size = 0;
        options.edns0 = true;
        options.max_active_requests = LOOKUPS_MAX * 2;
        let tls = TlsConfig::new().map_err(|error| DnsError::Defer(error.to_string()))?;
        let context = Arc::new(PoolContext::new(options, tls));
        let configured = addresses.iter().copied().map(name_server);
        let pool = NameServerPool::from_config(configured, context, TokioRuntimeProvider::default());
        let servers = RetryDnsHandle::new(pool, more);
        let proving = DnssecDnsHandle::with_trust_anchor(KeptKeys::new(servers.clone()), Arc::new(anchors));
        let here = addresses.iter().all(|address| address.ip().is_loopback());
        let dnssec = if dnssec == Dnssec::Auto && here { Dnssec::Server } else { dnssec };
        let whole =
            patience.timeout.saturating_mul(u32::try_from(more).unwrap_or(u32::MAX).saturating_add(2));
        Ok(DnsResolver { servers, proving, dnssec, whole, found: Mutex::new(None) })
    }

    async fn ask(&self, name: &str, kind: RecordKind) -> Result<Records, DnsError> {
        let Ok(question) = Name::from_ascii(format!("{}.", canonical(name))) else {
            // Such as a label of 64 octets: no zone can hold it.
            return Err(DnsError::NoSuchName { ttl_s: TTL_MIN_S });
        };
        let answered = async {
            let proof = if kind.is_proven() { self.proof().await } else { Proof::None };
            self.follow(question, kind, proof).await
        };
        let answer = tokio::time::timeout(self.whole, answered).await;
        let answer = answer.unwrap_or_else(|_| Err(DnsError::Defer("time-out".to_owned())));
        if answer.as_ref().err() == Some(&bogus()) {
            // Its mail waits for as long as this lasts, so somebody may want to know which domain it is.
            tracing::warn!(name, ?kind, "signatures of the DNS (DNSSEC) are wrong");
        }
        answer
    }

    /// Follows aliases to the records. A resolver gives the whole chain at once; only a bare server leaves the end to us.
    async fn follow(&self, question: Name, kind: RecordKind, proof: Proof) -> Result<Records, DnsError> {
        let (mut ttl_s, mut secure) = (u32::MAX, true);
        let mut name = question.clone();
        for _ in 0..ALIASES_MAX {
            let response = self.once(name.clone(), record_type(kind), proof).await?;
            secure &= is_secure(&response, proof)?;
            if kind != RecordKind::Cname {
                name = end_of_aliases(&response, name);
            }
            let mut records = Vec::new();
            // An alias's own records come with the answer (RFC 1034 section 3.6.2): its life is the shortest of them.
            for record in &response.answers {
                ttl_s = ttl_s.min(record.ttl);
                let is_wanted = record.record_type() == record_type(kind) && record.name == name;
                if is_wanted && records.len() < RECORDS_MAX {
                    records.extend(read_record(&record.data));
                }
            }
            if !records.is_empty() {
                let alias = (name != question).then(|| host(&name).into());
                return Ok(Records { records: records.into(), ttl_s, secure, alias });
            }
            if kind == RecordKind::Cname
                || !response.answers.iter().any(|record| record.record_type() == RecordType::CNAME)
            {
                return Err(DnsError::NoRecord { ttl_s });
            }
        }
        Err(DnsError::Defer("the name is an alias of an alias without end".to_owned()))
    }

    async fn once(&self, name: Name, kind: RecordType, proof: Proof) -> Result<DnsResponse, DnsError> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = proof != Proof::None;
        let query = Query::query(name, kind);
        let response = match proof {
            Proof::Ours => self.proving.lookup(query, options).first_answer().await,
            Proof::None | Proof::Server => self.servers.lookup(query, options).first_answer().await,
        };
        let response = match response {
            Err(NetError::Dns(WireError::Nsec { response, .. })) if wildcards::hold(&response) => *response,
            response => response.map_err(|error| read_error(&error))?,
        };
        WireError::from_response(response).map_err(|error| read_error(&NetError::from(error)))
    }

    async fn proof(&self) -> Proof {
        match self.dnssec {
            Dnssec::Off => return Proof::None,
            Dnssec::Server => return Proof::Server,
            Dnssec::Validate => return Proof::Ours,
            Dnssec::Auto => {}
        }
        let mut found = self.found.lock().await;
        if let Some((proof, until)) = *found
            && until > Instant::now()
        {
            return proof;
        }
        let (proof, kept) = match self.once(Name::root(), RecordType::DNSKEY, Proof::Server).await {
            Ok(response) if response.answers.iter().any(|record| record.record_type().is_rrsig()) => {
                // For good: name servers that stop handing out signatures are what a downgrade looks like.
                (Proof::Ours, Duration::from_secs(u64::from(u32::MAX)))
            }
            Ok(_) => (Proof::None, NO_SIGNATURES_KEPT),
            Err(error) if error.is_negative() => (Proof::None, NO_SIGNATURES_KEPT),
            Err(_) => (Proof::None, SILENCE_KEPT),
        };
        if found.is_none_or(|(before, _)| before != proof) {
            tracing::info!(proven = proof == Proof::Ours, "whether answers of the DNS are proven here");
        }
        *found = Some((proof, Instant::now() + kept));
        proof
    }
}

impl Resolver for DnsResolver {
    fn lookup<'a>(&'a self, name: &'a str, kind: RecordKind) -> Pending<'a, Result<Records, DnsError>> {
        Box::pin(self.ask(name, kind))
    }
}

/// Whether all of an answer is proven. What is proven to be wrong is no answer.
fn is_secure(response: &DnsResponse, proof: Proof) -> Result<bool, DnsError> {
    match proof {
        Proof::None => Ok(false),
        Proof::Server => Ok(response.authentic_data),
        Proof::Ours => match DnssecSummary::from_records(response.answers.iter()) {
            DnssecSummary::Secure => Ok(true),
            DnssecSummary::Insecure => Ok(false),
            DnssecSummary::Bogus => Err(bogus()),
        },
    }
}

fn bogus() -> DnsError {
    DnsError::Defer("the answer's signatures (DNSSEC) are wrong".to_owned())
}

/// The name at the end of the aliases that an answer holds.
fn end_of_aliases(response: &DnsResponse, from: Name) -> Name {
    let mut name = from;
    for _ in 0..ALIASES_MAX {
        let next = response.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == name => Some(target.0.clone()),
            _ => None,
        });
        match next {
            Some(next) => name = next,
            None => break,
        }
    }
    name
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn read_servers(texts: &[String]) -> Result<Vec<SocketAddr>, DnsError> {
    let read = |text: &String| {
        let plain = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        plain
            .or_else(|_| text.parse())
            .map_err(|_| DnsError::Defer(format!("{text:?} is not the address of a name server")))
    };
    texts.iter().take(NAME_SERVERS_MAX).map(read).collect()
}

/// As the C library does: the listed servers, or the machine itself.
fn system_servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let mut servers = listed_servers(&text);
    if servers.is_empty() {
        servers.push(SocketAddr::from(([127, 0, 0, 1], 53)));
    }
    servers
}

fn listed_servers(text: &str) -> Vec<SocketAddr> {
    let listed = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        // A zone ("fe80::1%eth0") cannot be dialled by number; such a server is passed over.
        address.parse().ok().map(|ip| SocketAddr::new(ip, 53))
    });
    listed.take(NAME_SERVERS_MAX).collect()
}

fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::Mx => RecordType::MX,
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Txt => RecordType::TXT,
        RecordKind::Ptr => RecordType::PTR,
        RecordKind::Tlsa => RecordType::TLSA,
        RecordKind::Cname => RecordType::CNAME,
    }
}

fn read_record(data: &RData) -> Option<Record> {
    match data {
        RData::MX(mx) => Some(Record::Mx(Mx { preference: mx.preference, host: host(&mx.exchange) })),
        RData::A(a) => Some(Record::Address(IpAddr::V4(a.0))),
        RData::AAAA(aaaa) => Some(Record::Address(IpAddr::V6(aaaa.0))),
        RData::TXT(txt) => Some(Record::Txt(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())),
        RData::PTR(ptr) => Some(Record::Ptr(host(&ptr.0))),
        RData::CNAME(target) => Some(Record::Cname(host(&target.0))),
        RData::TLSA(tlsa) => Some(Record::Tlsa(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        })),
        _ => None,
    }
}

fn host(name: &Name) -> String {
    canonical(&name.to_ascii())
}

/// Only an answer that says "none" is one. Everything else is not known.
fn read_error(error: &NetError) -> DnsError {
    let none = |code, ttl_s: Option<u32>| {
        let ttl_s = ttl_s.unwrap_or(TTL_MIN_S);
        match code {
            ResponseCode::NXDomain => DnsError::NoSuchName { ttl_s },
            ResponseCode::NoError => DnsError::NoRecord { ttl_s },
            code => DnsError::Defer(code.to_string()),
        }
    };
    match error {
        NetError::Dns(WireError::NoRecordsFound(found)) => none(found.response_code, found.negative_ttl),
        // A zone whose proof of absence costs more than it should counts as unsigned (RFC 9276 section 3.2).
        NetError::Dns(WireError::Nsec { response, proof, .. }) if proof.is_insecure() => {
            none(response.response_code, response.negative_ttl())
        }
        NetError::Dns(WireError::Nsec { .. } | WireError::DnssecBogus) => bogus(),
        other => DnsError::Defer(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{MailHosts, mail_hosts};
    use hickory_resolver::proto::op::{Message, MessageType};
    use hickory_resolver::proto::rr::Record as WireRecord;
    use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, PTR, SOA, TXT};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UdpSocket};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect(text)
    }

    fn record(owner: &str, ttl: u32, data: RData) -> WireRecord {
        WireRecord::from_rdata(name(owner), ttl, data)
    }

    /// What a small zone answers; `None` is silence.
    fn answer(query: &Message, over_tcp: bool) -> Option<Message> {
        let question = query.queries.first().expect("a question").clone();
        let owner = question.name().to_ascii().to_ascii_lowercase();
        let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
        reply.metadata.message_type = MessageType::Response;
        reply.metadata.recursion_available = true;
        reply.add_query(question.clone());
        let soa = SOA::new(name("ns.example."), name("a.example."), 1, 2, 3, 4, 77);
        match (owner.as_str(), question.query_type()) {
            ("many.example.", RecordType::MX) if !over_tcp => reply.metadata.truncation = true,
            ("many.example.", RecordType::MX) => {
                reply.add_answers((0..60).map(|n| {
                    record("many.example.", 300, RData::MX(MX::new(n, name(&format!("mx{n}.Many.example.")))))
                }));
            }
            ("null.example.", RecordType::MX) => {
                reply.add_answer(record("null.example.", 300, RData::MX(MX::new(0, Name::root()))));
            }
            ("alias.example.", RecordType::CNAME) => {
                reply.add_answer(record("alias.example.", 40, RData::CNAME(CNAME(name("real.example.")))));
            }
            ("alias.example.", RecordType::A) => {
                reply.add_answer(record("alias.example.", 40, RData::CNAME(CNAME(name("real.example.")))));
                reply.add_answer(record("real.example.", 300, RData::A(A::new(192, 0, 2, 7))));
            }
            ("plain.example.", RecordType::A) => {
                reply.add_answer(record("plain.example.", 300, RData::A(A::new(192, 0, 2, 8))));
            }
            ("plain.example.", RecordType::TXT) => {
                let text = TXT::new(vec!["v=spf1 ".to_owned(), "-all".to_owned()]);
                reply.add_answer(record("plain.example.", 300, RData::TXT(text)));
            }
            ("7.2.0.192.in-addr.arpa.", RecordType::PTR) => {
                reply.add_answer(record(&owner, 300, RData::PTR(PTR(name("Real.example.")))));
            }
            ("broken.example.", RecordType::MX) => reply.metadata.response_code = ResponseCode::ServFail,
            ("refused.example.", _) => reply.metadata.response_code = ResponseCode::Refused,
            ("plain.example.", _) | ("broken.example.", _) | ("bare.example.", _) => {
                if owner != "bare.example." {
                    reply.add_authority(record("example.", 300, RData::SOA(soa)));
                }
            }
            _ => {
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(record("example.", 300, RData::SOA(soa)));
            }
        }
        Some(reply)
    }

    async fn serve_udp(socket: UdpSocket) {
        let mut buffer = [0; 4_096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let reply = Message::from_vec(&buffer[..len]).ok().and_then(|query| answer(&query, false));
            if let Some(bytes) = reply.and_then(|reply| reply.to_vec().ok()) {
                let _ = socket.send_to(&bytes, from).await;
            }
        }
    }

    async fn serve_tcp(listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Ok(len) = stream.read_u16().await {
                let mut buffer = vec![0; usize::from(len)];
                stream.read_exact(&mut buffer).await.expect("a query");
                let reply = Message::from_vec(&buffer).ok().and_then(|query| answer(&query, true));
                let bytes = reply.and_then(|reply| reply.to_vec().ok()).expect("an answer");
                stream.write_u16(u16::try_from(bytes.len()).expect("fits")).await.expect("written");
                stream.write_all(&bytes).await.expect("written");
            }
        }
    }

    /// A resolver that asks a server on a port of its own, both transports.
    async fn resolver() -> DnsResolver {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = tcp.local_addr().expect("bound");
        let udp = UdpSocket::bind(address).await.expect("the same port");
        tokio::spawn(serve_udp(udp));
        tokio::spawn(serve_tcp(tcp));
        DnsResolver::open(&[address.to_string()], Dnssec::Auto, Patience::default()).expect("an address")
    }

    fn open_with(address: &str, patience: Patience) -> DnsResolver {
        let anchors = TrustAnchors::default();
        DnsResolver::open_with(&[address.to_owned()], Dnssec::Off, anchors, patience).expect("an address")
    }

    #[tokio::test]
    async fn servers_without_signatures_answer_unproven() {
        let mut resolver = resolver().await;
        resolver.dnssec = Dnssec::Auto;
        let found = resolver.lookup("plain.example", RecordKind::A).await.expect("an address");
        assert!(!found.secure);
        assert!(matches!(*resolver.found.lock().await, Some((Proof::None, _))));
        // Whoever insists gets nothing.
        resolver.dnssec = Dnssec::Validate;
        assert!(matches!(resolver.lookup("plain.example", RecordKind::A).await, Err(DnsError::Defer(_))));
    }

    #[tokio::test]
    async fn records_of_each_kind_are_read() {
        let resolver = resolver().await;
        assert_eq!(resolver.a("Plain.Example").await, Ok(vec!["192.0.2.8".parse().expect("valid")]));
        assert_eq!(resolver.txt("plain.example").await, Ok(vec!["v=spf1 -all".to_owned()]));
        assert_eq!(
            resolver.ptr("192.0.2.7".parse().expect("valid")).await,
            Ok(vec!["real.example".to_owned()])
        );
        let alias = resolver.lookup("alias.example", RecordKind::A).await.expect("an address");
        assert_eq!((alias.records.len(), alias.ttl_s), (1, 40), "the alias lives shortest");
        assert_eq!(alias.alias.as_deref(), Some("real.example"));
        let itself = resolver.lookup("alias.example", RecordKind::Cname).await.expect("an alias");
        assert_eq!(*itself.records, [Record::Cname("real.example".to_owned())]);
        let none = resolver.lookup("plain.example", RecordKind::Cname).await;
        assert_eq!(none, Err(DnsError::NoRecord { ttl_s: 77 }));
        let many = resolver.mx("many.example").await.expect("over TCP");
        assert_eq!((many.len(), many.iter().all(|mx| mx.host.ends_with(".many.example"))), (60, true));
    }

    #[tokio::test]
    async fn none_and_not_known_are_told_apart() {
        let resolver = resolver().await;
        assert_eq!(resolver.mx("gone.example").await, Err(DnsError::NoSuchName { ttl_s: 77 }));
        assert_eq!(resolver.mx("plain.example").await, Err(DnsError::NoRecord { ttl_s: 77 }));
        assert_eq!(
            resolver.mx("bare.example").await,
            Err(DnsError::NoRecord { ttl_s: TTL_MIN_S }),
            "without SOA"
        );
        assert!(matches!(resolver.mx("refused.example").await, Err(DnsError::Defer(_))));
        let too_long = format!("{}.example", "a".repeat(64));
        assert!(matches!(resolver.mx(&too_long).await, Err(DnsError::NoSuchName { .. })));
    }

    #[tokio::test]
    async fn mail_hosts_follow() {
        let resolver = resolver().await;
        assert_eq!(mail_hosts(&resolver, "null.example").await, MailHosts::NullMx);
        assert!(
            matches!(mail_hosts(&resolver, "plain.example").await, MailHosts::Hosts { hosts, .. } if hosts.len() == 1)
        );
        assert!(
            matches!(mail_hosts(&resolver, "broken.example").await, MailHosts::Defer(_)),
            "never the A record"
        );
        assert_eq!(mail_hosts(&resolver, "gone.example").await, MailHosts::NoSuchDomain);
    }

    #[tokio::test]
    async fn silence_and_a_closed_port_defer_after_all_tries() {
        let timeout = Duration::from_millis(50);
        let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = silent.local_addr().expect("bound").to_string();
        for tries in [Patience::default().tries, 1, 2] {
            let resolver = open_with(&address, Patience { timeout, tries });
            assert!(matches!(resolver.mx("a.example").await, Err(DnsError::Defer(_))));
            let mut asked = 0;
            while silent.try_recv(&mut [0; 512]).is_ok() {
                asked += 1;
            }
            assert_eq!(asked, tries);
        }
        let resolver = open_with("127.0.0.1:9", Patience { timeout, ..Patience::default() });
        assert!(matches!(resolver.mx("a.example").await, Err(DnsError::Defer(_))));
    }

    #[test]
    fn lists_of_servers() {
        let shown = |servers: Vec<SocketAddr>| {
            servers.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" ")
        };
        let read = |text: &str| read_servers(&[text.to_owned()]).map(shown);
        assert_eq!(read("127.0.0.1:5353"), Ok("127.0.0.1:5353".to_owned()));
        assert_eq!(read("192.0.2.1"), Ok("192.0.2.1:53".to_owned()));
        assert_eq!(read("2001:db8::1"), Ok("[2001:db8::1]:53".to_owned()));
        assert_eq!(read("[2001:db8::1]:5353"), Ok("[2001:db8::1]:5353".to_owned()));
        assert!(read("dns.example").is_err());
        let text = "# nameserver 10.0.0.9\nsearch example\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n nameserver 2001:db8::1\n";
        assert_eq!(shown(listed_servers(text)), "192.0.2.1:53 [2001:db8::1]:53");
    }
}
