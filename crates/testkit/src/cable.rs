//! A cable that can be pulled: whatever is written on one side waits, nothing is closed, nobody is told.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::limits::READ_LEN;

/// Between a sender and a receiver. Dropping it closes all its connections.
pub struct Cable {
    address: SocketAddr,
    plugged: Arc<watch::Sender<bool>>,
    _tasks: JoinSet<()>,
}

impl Cable {
    /// Listens on `address` (port 0: a free one) and leads to `receiver`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, receiver: SocketAddr) -> io::Result<Cable> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let plugged = Arc::new(watch::Sender::new(true));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, receiver, Arc::clone(&plugged)));
        Ok(Cable { address, plugged, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing gets through. Octets that are on their way then arrive after [`Cable::plug`], as they do
    /// when a real network comes back.
    pub fn pull(&self) {
        self.plugged.send_replace(false);
    }

    /// Everything gets through again.
    pub fn plug(&self) {
        self.plugged.send_replace(true);
    }
}

async fn accept(listener: TcpListener, receiver: SocketAddr, plugged: Arc<watch::Sender<bool>>) {
    let mut open = JoinSet::new();
    loop {
        if let Ok((near, _)) = listener.accept().await {
            let plugged = plugged.subscribe();
            open.spawn(async move {
                let _ = lead(near, receiver, plugged).await;
            });
        }
        while open.try_join_next().is_some() {}
    }
}

async fn lead(near: TcpStream, receiver: SocketAddr, mut plugged: watch::Receiver<bool>) -> io::Result<()> {
    until_plugged(&mut plugged).await?;
    let far = TcpStream::connect(receiver).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let _ = tokio::join!(carry(near_in, far_out, plugged.clone()), carry(far_in, near_out, plugged));
    Ok(())
}

async fn until_plugged(plugged: &mut watch::Receiver<bool>) -> io::Result<()> {
    plugged.wait_for(|plugged| *plugged).await.map(|_| ()).map_err(io::Error::other)
}

/// One direction, until its writer closes.
async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut plugged: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; READ_LEN];
    loop {
        let count = from.read(&mut buffer).await?;
        until_plugged(&mut plugged).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Behaviour, Log, Receiver, Shared};
    use std::time::Duration;

    #[tokio::test]
    async fn what_is_said_while_it_is_pulled_arrives_later() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let shared = Shared::new(Log::new(), None, None);
        let behaviour = Behaviour::accepting("p", "mx.p.example");
        let receiver = Receiver::start(local, behaviour, shared).await.expect("starts");
        let cable = Cable::start(local, receiver.address()).await.expect("starts");
        let mut stream = TcpStream::connect(cable.address()).await.expect("connects");
        let mut buffer = [0; 512];
        assert!(stream.read(&mut buffer).await.expect("the greeting") > 0);
        cable.pull();
        stream.write_all(b"NOOP\r\n").await.expect("writes");
        let waited = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut buffer)).await;
        assert!(waited.is_err(), "nothing comes through");
        cable.plug();
        let count = stream.read(&mut buffer).await.expect("the answer");
        assert!(buffer[..count].starts_with(b"250"));
    }
}
