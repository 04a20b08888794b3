//! A web server that answers over TLS with one text per host and path, and keeps what is posted there: where MTA-STS
//! policies are fetched from and reports of TLS go to.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::limits::READ_LEN;
use crate::tls::Tls;

/// A running server. Dropping it ends it.
pub struct PolicyServer {
    address: SocketAddr,
    texts: Texts,
    posts: Posts,
    _tasks: JoinSet<()>,
}

/// What was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// `HOST/path`, lower case.
    pub to: String,
    /// Its Content-Type, lower case.
    pub content_type: String,
    /// What it holds.
    pub octets: Vec<u8>,
}

/// By `HOST/path`, lower case.
type Texts = Arc<Mutex<HashMap<String, String>>>;
type Posts = Arc<Mutex<Vec<Post>>>;

/// Most octets of a post.
const POST_MAX: usize = 1 << 20;

impl PolicyServer {
    /// Starts on `address` (port 0: a free one) with this certificate.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, tls: Tls) -> io::Result<PolicyServer> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (texts, posts) = (Texts::default(), Posts::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, tls, Arc::clone(&texts), Arc::clone(&posts)));
        Ok(PolicyServer { address, texts, posts, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `https://HOST/path` with this text from now on; an empty one is 404.
    pub fn put(&self, host_and_path: &str, text: &str) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.insert(host_and_path.to_ascii_lowercase(), text.to_owned());
    }

    /// What was posted so far to where there is a text.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, tls: Tls, texts: Texts, posts: Posts) {
    let mut open = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let (tls, texts, posts) = (tls.clone(), Arc::clone(&texts), Arc::clone(&posts));
            open.spawn(async move {
                let _ = serve(stream, tls, &texts, &posts).await;
            });
        }
        while open.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, tls: Tls, texts: &Texts, posts: &Posts) -> io::Result<()> {
    let mut stream = tls.acceptor.accept(stream).await?;
    let mut octets = Vec::new();
    let end = loop {
        if let Some(end) = memchr::memmem::find(&octets, b"\r\n\r\n") {
            break end + 4;
        }
        if octets.len() > READ_LEN || stream.read_buf(&mut octets).await? == 0 {
            return Ok(());
        }
    };
    let mut body = octets.split_off(end);
    let head = String::from_utf8_lossy(&octets).to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let length: usize = field("content-length:").parse().unwrap_or(0);
    while body.len() < length.min(POST_MAX) {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or("/");
    let host = field("host:").split(':').next().unwrap_or_default();
    let place = format!("{host}{path}");
    let found = texts.lock().unwrap_or_else(PoisonError::into_inner).get(&place).cloned();
    let (status, text) = match found.filter(|text| !text.is_empty()) {
        Some(text) => {
            if head.starts_with("post ") {
                let content_type = field("content-type:").to_owned();
                let post = Post { to: place, content_type, octets: body };
                posts.lock().unwrap_or_else(PoisonError::into_inner).push(post);
            }
            ("200 OK", text)
        }
        None => ("404 Not Found", String::new()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
