//! The two halves of one link: messages out of the stream, messages into it, and the watch over a peer that went silent.

use netflow_overlay::node::{Carrier, LinkId};
use netflow_sys::udp::canonical;
use netflow_wire::NodeId;
use quinn::{Connection, ReadExactError, RecvStream, SendStream, VarInt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::handle::{Channel, Handle, Order};
use super::{LinkEvent, MAX_MESSAGE, NO_ANSWER, SILENCE};

/// One link, from its first stream to its end.
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) peer: NodeId,
    pub(super) connection: Connection,
    pub(super) outgoing: bool,
    pub(super) events: mpsc::Sender<LinkEvent>,
}

impl Link {
    /// Announces the link and serves it until it ends.
    pub(super) async fn run(self, send: SendStream, receive: RecvStream) {
        let (handle, queued) = Handle::new(Channel::Quic(self.connection.clone()));
        let remote = canonical(self.connection.remote_address());
        let (link, peer, outgoing) = (self.id, self.peer, self.outgoing);
        let up = LinkEvent::Up { link, peer, remote, outgoing, carrier: Carrier::Quic, handle };
        if self.events.send(up).await.is_err() {
            return;
        }
        let reason = tokio::select! {
            reason = self.read(receive) => reason,
            reason = self.write(send, queued) => reason,
        };
        // Graceful when our side ended: the peer reads what was acknowledged and then the close.
        self.connection.close(VarInt::from_u32(0), b"");
        let _ = self.events.send(LinkEvent::Down { link: self.id, reason }).await;
    }

    /// Why reading ended: what the connection says, where it is known; "connection lost" alone helps nobody.
    fn why(&self, error: &ReadExactError) -> String {
        self.connection.close_reason().map_or_else(|| error.to_string(), |reason| format!("{error}: {reason}"))
    }

    async fn read(&self, mut stream: RecvStream) -> String {
        loop {
            let mut head = [0; 4];
            if let Err(error) = stream.read_exact(&mut head).await {
                return self.why(&error);
            }
            let Some(len) = usize::try_from(u32::from_le_bytes(head)).ok().filter(|len| *len <= MAX_MESSAGE) else {
                return "the peer announced a message over 64 KiB".to_owned();
            };
            let mut bytes = vec![0; len];
            if let Err(error) = stream.read_exact(&mut bytes).await {
                return self.why(&error);
            }
            let remote = canonical(self.connection.remote_address());
            // Waiting here while the node is busy closes the flow-control window: the peer slows down, memory does not grow.
            if self.events.send(LinkEvent::Message { link: self.id, bytes, remote }).await.is_err() {
                return "the daemon stops".to_owned();
            }
        }
    }

    async fn write(&self, mut stream: SendStream, mut queued: mpsc::Receiver<Order>) -> String {
        let mut watch: Option<(Instant, u64)> = None;
        loop {
            tokio::select! {
                order = queued.recv() => {
                    let Some(order) = order else {
                        // The node closed the link after its last message: deliver it first.
                        let _ = stream.finish();
                        let _ = tokio::time::timeout(SILENCE, stream.stopped()).await;
                        return "closed here".to_owned();
                    };
                    let (message, within, _room) = match order {
                        Order::Message(message, room) => (message, SILENCE, Some(room)),
                        Order::Check { question, within } => (question, within, None),
                    };
                    // The oldest unanswered message counts, and the strictest; once anything came back, the next one starts a new watch.
                    let (received, deadline) = (self.received(), Instant::now() + within);
                    let unanswered = watch.filter(|(_, before)| *before == received);
                    watch = Some((unanswered.map_or(deadline, |(oldest, _)| oldest.min(deadline)), received));
                    if let Some(reason) = self.write_message(&mut stream, &message, watch).await {
                        return reason;
                    }
                }
                () = sleep_until(watch.map(|(deadline, _)| deadline)) => {
                    if watch.is_some_and(|(_, before)| self.received() == before) {
                        return NO_ANSWER.to_owned();
                    }
                    watch = None;
                }
            }
        }
    }

    /// Writes one message; a peer whose window stays closed and who says nothing is as dead as a silent one.
    async fn write_message(
        &self,
        stream: &mut SendStream,
        message: &[u8],
        watch: Option<(Instant, u64)>,
    ) -> Option<String> {
        let Ok(len) = u32::try_from(message.len()) else { return Some("message too long".to_owned()) };
        let mut framed = Vec::with_capacity(4 + message.len());
        framed.extend_from_slice(&len.to_le_bytes());
        framed.extend_from_slice(message);
        let writing = stream.write_all(&framed);
        tokio::pin!(writing);
        loop {
            let deadline =
                watch.map_or_else(|| Instant::now() + SILENCE, |(deadline, _)| deadline.max(Instant::now() + SILENCE));
            let before = self.received();
            tokio::select! {
                written = &mut writing => return written.err().map(|error| error.to_string()),
                () = tokio::time::sleep_until(deadline) => {
                    if self.received() == before {
                        return Some(NO_ANSWER.to_owned());
                    }
                }
            }
        }
    }

    fn received(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
