//! One file over HTTP, from an address that somebody else wrote: an image link in a content. Or only the question
//! whether something is there (HEAD).
//!
//! Such an address must not lead into the network that the program runs in, and what stands there must cost neither
//! memory nor time. So: the host is resolved here, each address is checked and that address is dialled ([`dial`]);
//! each redirect is a new address with the same checks; size, time and the number of redirects are bounded; no proxy,
//! no cookie, no password, no compression (RFC 9110, RFC 9112).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use url::{Host, Url};

use crate::dial::{DialError, dial};
use crate::dns::{DnsError, Resolver};
use crate::guard::Guard;
use crate::tls::{Demand, Tls, TlsError};

/// Octets of a file when nothing else is said.
pub const FETCH_SIZE_MAX: usize = 100_000;
/// Time for a file, redirects and all, when nothing else is said.
pub const FETCH_TIME: Duration = Duration::from_secs(60);
/// Redirects that are followed.
pub const REDIRECTS_MAX: usize = 5;
/// Length of an address.
pub const URL_LEN_MAX: usize = 4_000;
/// Octets of an answer's status line and header fields.
const HEAD_SIZE_MAX: u64 = 32 * 1_024;
/// Wait for one connection or handshake.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// What a fetch may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Octets of the file.
    pub size_max: usize,
    /// For everything.
    pub time: Duration,
}

impl Default for FetchLimits {
    fn default() -> FetchLimits {
        FetchLimits { size_max: FETCH_SIZE_MAX, time: FETCH_TIME }
    }
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it was found, after redirects.
    pub url: String,
    /// What the server calls it; believe the octets instead.
    pub content_type: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Why there is no file.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The address cannot be used.
    #[error("the address {0}")]
    Url(&'static str),
    /// The host has no address, or the name servers do not answer.
    #[error("the host {host}: {error}")]
    Dns {
        /// Its name.
        host: String,
        /// Why.
        error: DnsError,
    },
    /// No connection, perhaps because the address is not a public one.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No TLS, perhaps because the certificate is not right.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The server answered with another status than 200.
    #[error("the server answers with status {0}")]
    Status(u16),
    /// The server's answer is no HTTP that we read.
    #[error("the server's answer cannot be read: {0}")]
    Answer(&'static str),
    /// The file is larger than the limit.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// It led to another address too often.
    #[error("it was redirected more than {REDIRECTS_MAX} times")]
    Redirects,
    /// It took longer than the limit.
    #[error("it took longer than {} s", .0.as_secs())]
    Timeout(Duration),
}

/// Fetches files. Shared; the guard can be replaced while it runs.
pub struct Fetcher {
    resolver: Arc<dyn Resolver>,
    tls: Tls,
    guard: RwLock<Guard>,
}

impl Fetcher {
    /// One that resolves with `resolver` and dials what `guard` lets pass.
    pub fn new(resolver: Arc<dyn Resolver>, tls: Tls, guard: Guard) -> Fetcher {
        Fetcher { resolver, tls, guard: RwLock::new(guard) }
    }

    /// New settings of `net.allow`.
    pub fn replace_guard(&self, guard: Guard) {
        *self.guard.write().unwrap_or_else(PoisonError::into_inner) = guard;
    }

    /// The file at an address of `http` or `https`.
    ///
    /// # Errors
    /// Why there is none, in words for the one who wrote the address.
    pub async fn get(&self, url: &str, limits: FetchLimits) -> Result<Fetched, FetchError> {
        let followed = tokio::time::timeout(limits.time, self.follow(url, Ask::File(limits.size_max))).await;
        match followed.map_err(|_| FetchError::Timeout(limits.time))?? {
            (url, Answer::File { content_type, bytes }) => {
                Ok(Fetched { url: url.into(), content_type, bytes })
            }
            (_, Answer::Status(status)) => Err(FetchError::Status(status)),
            (_, Answer::Elsewhere(_)) => Err(FetchError::Redirects),
        }
    }

    /// The text at exactly this address of `https`: a redirect is no answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get_text(&self, url: &str, limits: FetchLimits) -> Result<Fetched, FetchError> {
        let url = checked_url(url)?;
        if url.scheme() != "https" {
            return Err(FetchError::Url("is not https"));
        }
        let answered = tokio::time::timeout(limits.time, self.once(&url, Ask::Text(limits.size_max))).await;
        match answered.map_err(|_| FetchError::Timeout(limits.time))?? {
            Answer::File { content_type, bytes } => Ok(Fetched { url: url.into(), content_type, bytes }),
            Answer::Status(status) => Err(FetchError::Status(status)),
            Answer::Elsewhere(_) => Err(FetchError::Answer("it redirects, which it must not")),
        }
    }

    /// Hands `bytes` to a web server and says what status it answers with. A redirect is not followed.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(
        &self,
        url: &str,
        content_type: &'static str,
        bytes: &[u8],
        time: Duration,
    ) -> Result<u16, FetchError> {
        let url = checked_url(url)?;
        let ask = Ask::Post { content_type, bytes };
        let answered = tokio::time::timeout(time, self.once(&url, ask)).await;
        match answered.map_err(|_| FetchError::Timeout(time))?? {
            Answer::Status(status) => Ok(status),
            Answer::File { .. } => Ok(200),
            Answer::Elsewhere(_) => Err(FetchError::Answer("it redirects, which it must not")),
        }
    }

    /// What a server says of an address of `http` or `https` when it is asked without having to send it: the status
    /// code after redirects, 200 or not.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn head(&self, url: &str, time: Duration) -> Result<u16, FetchError> {
        let followed = tokio::time::timeout(time, self.follow(url, Ask::Status)).await;
        match followed.map_err(|_| FetchError::Timeout(time))?? {
            (_, Answer::Status(status)) => Ok(status),
            (_, Answer::File { .. } | Answer::Elsewhere(_)) => Err(FetchError::Answer("its status")),
        }
    }

    /// Who is asked for names.
    pub fn resolver(&self) -> &Arc<dyn Resolver> {
        &self.resolver
    }

    /// The last answer, and where it came from.
    async fn follow(&self, url: &str, ask: Ask<'_>) -> Result<(Url, Answer), FetchError> {
        let mut url = checked_url(url)?;
        for _ in 0..=REDIRECTS_MAX {
            match self.once(&url, ask).await? {
                answer @ (Answer::File { .. } | Answer::Status(_)) => return Ok((url, answer)),
                Answer::Elsewhere(location) => {
                    let next =
                        url.join(&location).map_err(|_| FetchError::Answer("where it redirects to"))?;
                    let next = checked_url(next.as_str())?;
                    if url.scheme() == "https" && next.scheme() == "http" {
                        return Err(FetchError::Answer("it redirects from https to http"));
                    }
                    url = next;
                }
            }
        }
        Err(FetchError::Redirects)
    }

    async fn once(&self, url: &Url, ask: Ask<'_>) -> Result<Answer, FetchError> {
        let (host, addresses) = self.addresses(url).await?;
        let guard = self.guard.read().unwrap_or_else(PoisonError::into_inner).clone();
        let port = url.port_or_known_default().ok_or(FetchError::Url("has no port"))?;
        let mut failed = None;
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match dial(&guard, SocketAddr::new(address, port), None, CONNECT_TIME).await {
                Ok(stream) if url.scheme() == "https" => {
                    let (stream, _) = self.tls.connect(&Demand::Name, &host, stream, CONNECT_TIME).await?;
                    return exchange(stream, url, ask).await;
                }
                Ok(stream) => return exchange(stream, url, ask).await,
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or(FetchError::Url("leads to no host"), FetchError::Dial))
    }

    async fn addresses(&self, url: &Url) -> Result<(String, Vec<IpAddr>), FetchError> {
        match url.host() {
            Some(Host::Ipv4(address)) => Ok((address.to_string(), vec![address.into()])),
            Some(Host::Ipv6(address)) => Ok((address.to_string(), vec![address.into()])),
            Some(Host::Domain(host)) => {
                let found = self.resolver.addresses(host).await;
                let found = found.map_err(|error| FetchError::Dns { host: host.to_owned(), error })?;
                Ok((host.to_owned(), found))
            }
            None => Err(FetchError::Url("has no host")),
        }
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

fn checked_url(text: &str) -> Result<Url, FetchError> {
    if text.len() > URL_LEN_MAX {
        return Err(FetchError::Url("is too long"));
    }
    let url = Url::parse(text.trim()).map_err(|_| FetchError::Url("is none"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(FetchError::Url("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Url("has a name or a password in it"));
    }
    Ok(url)
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Ask<'a> {
    /// The picture, up to so many octets.
    File(usize),
    /// The text, up to so many octets.
    Text(usize),
    /// Its status.
    Status,
    /// To take this.
    Post { content_type: &'static str, bytes: &'a [u8] },
}

enum Answer {
    Status(u16),
    File { content_type: String, bytes: Vec<u8> },
    Elsewhere(String),
}

/// What an answer's head says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    status: u16,
    content_type: String,
    location: Option<String>,
    length: Option<u64>,
    chunked: bool,
    encoded: bool,
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    url: &Url,
    ask: Ask<'_>,
) -> Result<Answer, FetchError> {
    stream.write_all(request(url, ask).as_bytes()).await?;
    if let Ask::Post { bytes, .. } = ask {
        stream.write_all(bytes).await?;
    }
    stream.flush().await?;
    let mut reader = BufReader::new(stream);
    let mut head = read_head(&mut reader).await?;
    // An interim answer (RFC 9110, 15.2) comes before the real one; more than one is not worth waiting for.
    if (100..200).contains(&head.status) {
        head = read_head(&mut reader).await?;
    }
    let size_max = match (head.status, head.location, ask) {
        (301 | 302 | 303 | 307 | 308, Some(location), _) => return Ok(Answer::Elsewhere(location)),
        (200, _, Ask::File(size_max) | Ask::Text(size_max)) => size_max,
        (status, _, _) => return Ok(Answer::Status(status)),
    };
    if head.encoded {
        return Err(FetchError::Answer("it is compressed, which was not asked for"));
    }
    let bytes = match head.length {
        _ if head.chunked => read_chunks(&mut reader, size_max).await?,
        Some(length) if length > size_max as u64 => return Err(FetchError::TooLarge(size_max)),
        Some(length) => {
            let mut bytes = vec![0; length as usize];
            reader.read_exact(&mut bytes).await?;
            bytes
        }
        None => {
            let mut bytes = Vec::new();
            reader.take(size_max as u64 + 1).read_to_end(&mut bytes).await?;
            bytes
        }
    };
    if bytes.len() > size_max {
        return Err(FetchError::TooLarge(size_max));
    }
    Ok(Answer::File { content_type: head.content_type, bytes })
}

/// All of it is from a parsed URL, which holds no blank and no line end.
fn request(url: &Url, ask: Ask<'_>) -> String {
    let (method, accept) = match ask {
        Ask::File(_) => ("GET", "image/*"),
        Ask::Text(_) => ("GET", "text/plain"),
        Ask::Status => ("HEAD", "*/*"),
        Ask::Post { .. } => ("POST", "*/*"),
    };
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let body = match ask {
        Ask::Post { content_type, bytes } => {
            format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", bytes.len())
        }
        _ => String::new(),
    };
    format!(
        "{method} {}{query} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: Mailwright\r\nAccept: {accept}\r\n\
         Accept-Encoding: identity\r\n{body}Connection: close\r\n\r\n",
        url.path()
    )
}

async fn read_head<R: AsyncBufRead + Unpin>(reader: &mut R) -> Result<Head, FetchError> {
    let mut limited = reader.take(HEAD_SIZE_MAX);
    let mut line = Vec::new();
    let mut head = Head::default();
    loop {
        line.clear();
        limited.read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') {
            return Err(FetchError::Answer("its head does not end"));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\r');
        if head.status == 0 {
            head.status = status(text).ok_or(FetchError::Answer("it is not HTTP"))?;
        } else if text.is_empty() {
            return Ok(head);
        } else {
            field(&mut head, text)?;
        }
    }
}

/// `HTTP/1.1 200 OK`
fn status(line: &str) -> Option<u16> {
    let mut words = line.strip_prefix("HTTP/1.")?.split(' ');
    words.next().filter(|minor| matches!(*minor, "0" | "1"))?;
    words.next()?.parse().ok().filter(|status| (100..600).contains(status))
}

fn field(head: &mut Head, line: &str) -> Result<(), FetchError> {
    let (name, value) = line.split_once(':').ok_or(FetchError::Answer("a header field"))?;
    let value = value.trim();
    match name.to_ascii_lowercase().as_str() {
        "content-type" => value.clone_into(&mut head.content_type),
        "location" => head.location = Some(value.to_owned()),
        "content-length" => {
            let length = value.parse().map_err(|_| FetchError::Answer("its length"))?;
            if head.length.is_some_and(|before| before != length) {
                return Err(FetchError::Answer("it has two lengths"));
            }
            head.length = Some(length);
        }
        "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => head.chunked = true,
        "transfer-encoding" => return Err(FetchError::Answer("its transfer coding")),
        "content-encoding" => head.encoded = !value.is_empty() && !value.eq_ignore_ascii_case("identity"),
        _ => {}
    }
    Ok(())
}

/// RFC 9112, 7.1. What follows the last chunk is not read: the connection ends with it.
async fn read_chunks<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    size_max: usize,
) -> Result<Vec<u8>, FetchError> {
    const LINE_MAX: u64 = 1_024;
    let mut bytes = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut *reader).take(LINE_MAX).read_until(b'\n', &mut line).await?;
        let text = std::str::from_utf8(&line).unwrap_or_default();
        let digits = text.trim().split(';').next().unwrap_or_default().trim();
        // No sign is allowed before the digits, though `from_str_radix` takes one.
        let is_hex =
            !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|octet| octet.is_ascii_hexdigit());
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| is_hex);
        let size = size.ok_or(FetchError::Answer("a chunk"))?;
        if size == 0 {
            return Ok(bytes);
        }
        if size > size_max.saturating_sub(bytes.len()) {
            return Err(FetchError::TooLarge(size_max));
        }
        let start = bytes.len();
        bytes.resize(start + size, 0);
        reader.read_exact(&mut bytes[start..]).await?;
        let mut end = [0; 2];
        reader.read_exact(&mut end).await?;
        if end != *b"\r\n" {
            return Err(FetchError::Answer("a chunk"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::StaticResolver;
    use tokio::net::TcpListener;

    /// Serves the answers one after another, one a connection; answers the port.
    async fn server(answers: Vec<String>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut request = [0; 2_048];
                let length = stream.read(&mut request).await.unwrap_or(0);
                assert!(request[..length].ends_with(b"\r\n\r\n"));
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            // The last connection stays silent.
            let _silent = listener.accept().await;
            tokio::time::sleep(Duration::from_secs(600)).await;
        });
        port
    }

    fn fetcher(allow: &[&str]) -> Fetcher {
        let resolver = StaticResolver::new();
        resolver.a("shop.example", &["127.0.0.1"]);
        resolver.a("far.example", &["10.0.0.1", "127.0.0.1"]);
        let ranges = allow.iter().map(|range| range.parse().expect("a range"));
        Fetcher::new(Arc::new(resolver), Tls::new(&[]).expect("set up"), Guard::new(ranges.collect()))
    }

    /// Enough time for any answer that comes.
    const LIMITS: FetchLimits = FetchLimits { size_max: 10, time: Duration::from_secs(60) };
    /// For what does not come.
    const SHORT: Duration = Duration::from_millis(500);

    async fn get(fetcher: &Fetcher, url: &str) -> Result<Vec<u8>, String> {
        fetcher.get(url, LIMITS).await.map(|file| file.bytes).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_file_comes_in_every_framing() {
        let ok = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n";
        let port = server(vec![
            format!("{ok}Content-Length: 3\r\n\r\nabcd"),
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
            format!("HTTP/1.1 103 Early Hints\r\n\r\n{ok}\r\nabc"),
        ])
        .await;
        let fetcher = fetcher(&["127.0.0.0/8"]);
        for _ in 0..3 {
            let file =
                fetcher.get(&format!("http://shop.example:{port}/a?b#c"), LIMITS).await.expect("a file");
            assert_eq!((file.bytes.as_slice(), file.content_type.as_str()), (&b"abc"[..], "image/png"));
        }
    }

    #[tokio::test]
    async fn private_addresses_are_refused_by_name_by_number_and_by_redirect() {
        let to_other = "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/secret\r\n\r\n".to_owned();
        let port = server(vec![to_other]).await;
        let shut = fetcher(&[]);
        for host in ["shop.example", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"] {
            let error = get(&shut, &format!("http://{host}:{port}/")).await.unwrap_err();
            assert!(error.contains("is not a public address"), "{host}: {error}");
        }
        let open = fetcher(&["127.0.0.0/8"]);
        let error = get(&open, &format!("http://shop.example:{port}/")).await.unwrap_err();
        assert!(error.contains("10.0.0.1 is not a public address"), "{error}");
        open.replace_guard(Guard::default());
        assert!(get(&open, &format!("http://shop.example:{port}/")).await.is_err());
    }

    #[tokio::test]
    async fn redirects_are_followed_and_counted() {
        let onward = |to: &str| format!("HTTP/1.1 301 Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        let file = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_owned();
        let fetcher = fetcher(&["127.0.0.0/8"]);
        let port = server(vec![onward("../b"), file]).await;
        let found = fetcher.get(&format!("http://far.example:{port}/a/"), LIMITS).await.expect("a file");
        assert_eq!(found.url, format!("http://far.example:{port}/b"));
        let port = server(vec![onward("/again"); REDIRECTS_MAX + 1]).await;
        let error = get(&fetcher, &format!("http://shop.example:{port}/")).await.unwrap_err();
        assert!(error.contains("redirected more than"), "{error}");
        let port = server(vec![onward("ftp://shop.example/")]).await;
        assert!(
            get(&fetcher, &format!("http://shop.example:{port}/")).await.unwrap_err().contains("neither")
        );
    }

    #[tokio::test]
    async fn a_head_answers_the_status_after_redirects_and_reads_no_file() {
        let fetcher = fetcher(&["127.0.0.0/8"]);
        let onward = "HTTP/1.1 301 Moved\r\nLocation: /b\r\n\r\n".to_owned();
        let large =
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nContent-Encoding: gzip\r\n\r\n".to_owned();
        let gone = "HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        let port = server(vec![onward, large, gone]).await;
        let url = format!("http://shop.example:{port}/a");
        assert_eq!(fetcher.head(&url, LIMITS.time).await.expect("an answer"), 200);
        assert_eq!(fetcher.head(&url, LIMITS.time).await.expect("an answer"), 410);
        assert!(matches!(fetcher.head(&url, SHORT).await, Err(FetchError::Timeout(_))));
        assert!(matches!(
            fetcher.head("http://none.example/", LIMITS.time).await,
            Err(FetchError::Dns { .. })
        ));
    }

    #[tokio::test]
    async fn what_is_too_large_too_slow_or_no_http_is_refused() {
        let fetcher = fetcher(&["127.0.0.0/8"]);
        for (answer, message) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", "larger than 10"),
            ("HTTP/1.1 200 OK\r\n\r\n01234567890", "larger than 10"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n012345678\r\n2\r\n",
                "larger than 10",
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\n0\r\n", "a chunk"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "the connection broke"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "two lengths"),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nab", "compressed"),
            ("HTTP/1.1 404 No\r\n\r\n", "status 404"),
            ("HTTP/1.1 302 Found\r\n\r\n", "status 302"),
            ("SSH-2.0-x\r\n\r\n", "not HTTP"),
            ("", "does not end"),
        ] {
            let port = server(vec![answer.to_owned()]).await;
            let error = get(&fetcher, &format!("http://shop.example:{port}/")).await.unwrap_err();
            assert!(error.contains(message), "{answer}: {error}");
        }
        let port = server(vec![format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(9_999))]).await;
        assert!(
            get(&fetcher, &format!("http://shop.example:{port}/"))
                .await
                .unwrap_err()
                .contains("does not end")
        );
        let port = server(Vec::new()).await;
        let limits = FetchLimits { time: SHORT, ..LIMITS };
        let error = fetcher.get(&format!("http://shop.example:{port}/"), limits).await.unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        for url in ["", "x", "file:///etc/passwd", "http://a:b@shop.example/", "http://none.example/"] {
            assert!(get(&fetcher, url).await.is_err(), "{url}");
        }
    }
}
