//! Opening a connection to an address that was checked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};

use crate::guard::{Guard, Refused};

/// Why no connection was opened.
#[derive(Debug, Error)]
pub enum DialError {
    /// The guard refused the address: our configuration, or somebody's attempt.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The source address cannot be used on this machine: our configuration.
    #[error("cannot send from {0}: {1}")]
    Source(IpAddr, io::Error),
    /// No answer within the time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The peer or the network refused.
    #[error("{0}")]
    Failed(io::Error),
}

/// Opens a TCP connection to `to`, from `source` when given. Nagle's algorithm is off: together with delayed
/// acknowledgement it costs 40 ms a command.
pub async fn dial(
    guard: &Guard,
    to: SocketAddr,
    source: Option<IpAddr>,
    timeout: Duration,
) -> Result<TcpStream, DialError> {
    guard.check(to.ip())?;
    let socket =
        if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(DialError::Failed)?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).map_err(|error| DialError::Source(source, error))?;
    }
    let stream = tokio::time::timeout(timeout, socket.connect(to))
        .await
        .map_err(|_| DialError::Timeout(timeout))?
        .map_err(DialError::Failed)?;
    stream.set_nodelay(true).map_err(DialError::Failed)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const WAIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_private_address_is_dialled_only_when_it_is_allowed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("bound");
        let refused = dial(&Guard::default(), to, None, WAIT).await;
        assert!(matches!(refused, Err(DialError::Refused(Refused(address))) if address == to.ip()));
        let guard = Guard::new(vec!["127.0.0.0/8".parse().expect("valid")]);
        let stream = dial(&guard, to, None, WAIT).await.expect("connects");
        assert!(stream.nodelay().expect("readable"));
    }

    #[tokio::test]
    async fn the_source_address_is_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("bound");
        let source: IpAddr = "127.0.0.9".parse().expect("valid");
        let _stream = dial(&Guard::exempt(), to, Some(source), WAIT).await.expect("connects");
        assert_eq!(listener.accept().await.expect("accepts").1.ip(), source);
        let foreign: IpAddr = "192.0.2.1".parse().expect("valid");
        assert!(matches!(dial(&Guard::exempt(), to, Some(foreign), WAIT).await, Err(DialError::Source(..))));
        let other_family: IpAddr = "::1".parse().expect("valid");
        assert!(matches!(
            dial(&Guard::exempt(), to, Some(other_family), WAIT).await,
            Err(DialError::Source(..))
        ));
    }

    #[tokio::test]
    async fn a_closed_port_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("bound");
        drop(listener);
        assert!(matches!(dial(&Guard::exempt(), to, None, WAIT).await, Err(DialError::Failed(_))));
    }
}
