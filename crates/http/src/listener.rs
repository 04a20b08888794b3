//! A listener with bounds: so many connections at once, and none that stays silent for ever.
//!
//! axum's own `serve` sets no timer on hyper, so a client that never finishes its request head would hold a
//! connection as long as it likes. Here the bound is on the socket: whoever neither sends nor takes a byte for
//! [`CONNECTION_IDLE_MAX`] is cut off.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, connect_info::Connected},
    serve::IncomingStream,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

use crate::limits::{CONNECTION_IDLE_MAX, CONNECTIONS_MAX};

/// Serves `router` on `socket` until `closed` completes and the open answers are through. Handlers find the peer as
/// `ConnectInfo<SocketAddr>`.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    socket: TcpListener,
    router: Router,
    closed: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = router.layer(axum::middleware::map_request(async |mut request: Request| {
        if let Some(ConnectInfo(Peer(peer))) = request.extensions_mut().remove::<ConnectInfo<Peer>>() {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        request
    }));
    let service = router.into_make_service_with_connect_info::<Peer>();
    axum::serve(BoundedListener::new(socket), service).with_graceful_shutdown(closed).await
}

/// Who is at the other end. A type of our own, because axum tells the peer's address only for its own listeners.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, BoundedListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A bounded TCP listener for `axum::serve`.
pub struct BoundedListener {
    inner: TcpListener,
    open: Arc<Semaphore>,
    idle_max: Duration,
}

impl BoundedListener {
    /// Wraps a bound socket with the limits of [`crate::limits`].
    pub fn new(inner: TcpListener) -> Self {
        Self { inner, open: Arc::new(Semaphore::new(CONNECTIONS_MAX)), idle_max: CONNECTION_IDLE_MAX }
    }
}

impl axum::serve::Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BoundedStream, SocketAddr) {
        let permit = Arc::clone(&self.open)
            .acquire_owned()
            .await
            .expect("the semaphore lives as long as the listener and is never closed");
        // The trait's own implementation retries transient errors.
        let (stream, peer) = axum::serve::Listener::accept(&mut self.inner).await;
        // A failure costs latency only.
        let _ = stream.set_nodelay(true);
        let idle = Box::pin(tokio::time::sleep(self.idle_max));
        (BoundedStream { stream, idle, idle_max: self.idle_max, _permit: permit }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection that ends when nothing moves on it.
pub struct BoundedStream {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    idle_max: Duration,
    _permit: OwnedSemaphorePermit,
}

impl BoundedStream {
    fn moved(&mut self) {
        self.idle.as_mut().reset(Instant::now() + self.idle_max);
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(outcome) => {
                self.moved();
                Poll::Ready(outcome)
            }
            Poll::Pending => match self.idle.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if outcome.is_ready() {
            self.moved();
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if outcome.is_ready() {
            self.moved();
        }
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_silent_client_is_cut_off() {
        let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = inner.local_addr().unwrap();
        let mut listener = BoundedListener::new(inner);
        listener.idle_max = Duration::from_millis(80);
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, axum::Router::new()).await;
        });
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HT").await.unwrap();
        let mut rest = Vec::new();
        let cut = tokio::time::timeout(Duration::from_secs(60), client.read_to_end(&mut rest)).await;
        assert!(cut.is_ok(), "the connection must end by itself");
        server.abort();
    }
}
