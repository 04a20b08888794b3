//! A web server that answers over TLS with one text per host and path: where MTA-STS policies are fetched from.

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
    _tasks: JoinSet<()>,
}

/// By `HOST/path`, lower case.
type Texts = Arc<Mutex<HashMap<String, String>>>;

impl PolicyServer {
    /// Starts on `address` (port 0: a free one) with this certificate.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, tls: Tls) -> io::Result<PolicyServer> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let texts = Texts::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, tls, Arc::clone(&texts)));
        Ok(PolicyServer { address, texts, _tasks: tasks })
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
}

async fn accept(listener: TcpListener, tls: Tls, texts: Texts) {
    let mut open = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let (tls, texts) = (tls.clone(), Arc::clone(&texts));
            open.spawn(async move {
                let _ = serve(stream, tls, &texts).await;
            });
        }
        while open.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, tls: Tls, texts: &Texts) -> io::Result<()> {
    let mut stream = tls.acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
        if head.len() > READ_LEN || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let path = head.split(' ').nth(1).unwrap_or("/");
    let host = head.lines().find_map(|line| line.strip_prefix("host:")).unwrap_or_default().trim();
    let host = host.split(':').next().unwrap_or_default();
    let found = texts.lock().unwrap_or_else(PoisonError::into_inner).get(&format!("{host}{path}")).cloned();
    let (status, text) = match found.filter(|text| !text.is_empty()) {
        Some(text) => ("200 OK", text),
        None => ("404 Not Found", String::new()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
