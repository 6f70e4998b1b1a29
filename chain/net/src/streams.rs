//! Witness streams: frames `length u32 BE | bytes`. The first frame is the sender's [`Announcement`](crate::Announcement), which must
//! name the libp2p peer at the other end; what follows are consensus messages. A stream carries one direction.

use std::io;
use std::time::Duration;

use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use netchain_consensus::Message;
use netchain_consensus::message::MAX_MESSAGE_BYTES;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::announce::MAX_ANNOUNCEMENT_BYTES;
use crate::outbox::{Drain, Shared};
use crate::task::NetEvent;

/// For the first frame. Who opens a stream has its announcement at hand.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// For one frame to leave: 2 MiB at 1 Mbit/s. A peer that reads slower is cut off and sought again.
const WRITE_TIME: Duration = Duration::from_secs(20);

async fn read_frame(io: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    io.read_exact(&mut head).await?;
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length == 0 || length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame length"));
    }
    // Grows with what arrives: a length alone allocates nothing.
    let mut bytes = Vec::new();
    let read = io.take(length as u64).read_to_end(&mut bytes).await?;
    if read == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn write_frame(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let write = async {
        io.write_all(&length.to_be_bytes()).await?;
        io.write_all(bytes).await?;
        io.flush().await
    };
    timeout(WRITE_TIME, write).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Reads who opened a stream.
pub(crate) async fn read_hello(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    timeout(HELLO_TIME, read_frame(io, MAX_ANNOUNCEMENT_BYTES)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Hands a witness' messages to the node until the stream ends or carries something else. One message of each witness waits
/// at a time: nobody floods the others out.
pub(crate) async fn read_messages(
    mut io: impl AsyncRead + Unpin,
    from: u64,
    events: mpsc::Sender<NetEvent>,
) -> io::Result<()> {
    loop {
        let bytes = read_frame(&mut io, MAX_MESSAGE_BYTES).await?;
        let message = Message::decode(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if events.send(NetEvent::Consensus { from, message }).await.is_err() {
            return Ok(());
        }
    }
}

/// Writes the announcement and then whatever is queued, until the queue's sender is gone.
pub(crate) async fn write_messages(mut io: impl AsyncWrite + Unpin, hello: Shared, mut drain: Drain) -> io::Result<()> {
    write_frame(&mut io, &hello).await?;
    while let Some(message) = drain.next().await {
        write_frame(&mut io, &message).await?;
    }
    io.close().await
}
