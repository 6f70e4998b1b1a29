//! The control API on its unix socket: one task per client, one request at a time, answered by the event loop.
//!
//! The socket is 0600, or 0660 with group `netflow` where that group exists; who connects is checked again by the kernel's word
//! (`SO_PEERCRED`), because a socket's mode can be changed behind our back.

pub(crate) mod doctor;
pub(crate) mod view;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netctl_api::{ApiError, Body, Call, ErrorCode, LineBuffer, Method, Reply, Request};
use netflow_sys::privileges;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use crate::config::{RelayAddress, format_relay};
use crate::daemon::Job;
use crate::exit::{Code, Failure};

/// Members of this group may use the socket.
const GROUP: &str = "netflow";
/// Clients at a time. Each may hold a line of 1 MiB; more than a few dozen on one machine is a mistake.
const MAX_CLIENTS: usize = 32;
/// Replies waiting for a client that reads slowly; a ping that outruns its reader loses events, not the loop's time.
const REPLY_QUEUE: usize = 64;

/// One request and the way back to who asked.
pub(crate) struct ApiJob {
    pub(crate) call: Call,
    pub(crate) uid: u32,
    pub(crate) sink: Sink,
}

/// Replies of one request.
pub(crate) struct Sink {
    id: u64,
    replies: mpsc::Sender<Reply>,
}

impl Sink {
    /// Progress. Lost when the client does not read.
    pub(crate) fn event<M: Method>(&self, event: &M::Event) {
        let _ = self.replies.try_send(Reply::event::<M>(self.id, event));
    }

    /// The end of the request.
    pub(crate) fn finish<M: Method>(self, result: Result<M::Result, ApiError>) {
        let reply = match result {
            Ok(result) => Reply::result::<M>(self.id, &result),
            Err(error) => Reply::error(self.id, error),
        };
        if let Err(mpsc::error::TrySendError::Full(reply)) = self.replies.try_send(reply) {
            // The end must not be lost: a slow reader gets it from a task of its own.
            tokio::spawn(async move { self.replies.send(reply).await });
        }
    }

    /// The client went away.
    pub(crate) fn is_closed(&self) -> bool {
        self.replies.is_closed()
    }
}

/// The bound socket, before anybody is served.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The directory, when it was made here; one that was there (`/run`, say) belongs to somebody else.
    own_dir: Option<PathBuf>,
}

/// Removes the socket file at the end.
pub(crate) struct SocketFile(PathBuf);

impl SocketFile {
    pub(crate) fn remove(self) {
        // The next start replaces a leftover.
        let _ = std::fs::remove_file(self.0);
    }
}

impl ControlSocket {
    /// Binds the socket; a leftover of a crash is replaced, a socket somebody answers on is not.
    pub(crate) fn bind(path: &Path) -> Result<Self, Failure> {
        let failed = |what: &str, error: &io::Error| {
            let code = if error.kind() == io::ErrorKind::AddrInUse { Code::InUse } else { Code::Runtime };
            Failure::new(code, format!("cannot {what} the control socket {}; {error}", path.display()))
        };
        let own_dir = path.parent().filter(|parent| !parent.exists()).map(Path::to_owned);
        if let Some(parent) = &own_dir {
            std::fs::create_dir_all(parent).map_err(|error| failed("make the directory of", &error))?;
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(failed("bind", &io::Error::new(io::ErrorKind::AddrInUse, "another daemon answers on it")));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replace", &error)),
            _ => {}
        }
        let listener = bind_closed(path).map_err(|error| failed("bind", &error))?;
        Ok(Self { listener, path: path.to_owned(), own_dir })
    }

    /// The directory that was made for the socket.
    pub(crate) fn own_dir(&self) -> Option<&Path> {
        self.own_dir.as_deref()
    }

    /// Starts to serve.
    pub(crate) fn serve(self, jobs: mpsc::Sender<Job>) -> SocketFile {
        let path = self.path.clone();
        tokio::spawn(accept(self.listener, jobs));
        SocketFile(path)
    }
}

/// Binds under another name, sets the mode, and only then gives the socket its name: nobody can connect before it is closed to strangers.
fn bind_closed(path: &Path) -> io::Result<UnixListener> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let hidden = path.with_file_name(name);
    match std::fs::remove_file(&hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&hidden)?;
    let mode = if privileges::give_to_group(&hidden, GROUP)? { 0o660 } else { 0o600 };
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&hidden, path)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, jobs: mpsc::Sender<Job>) {
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        // Whoever comes when all places are taken waits in the kernel's queue.
        let Ok(place) = Arc::clone(&clients).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let jobs = jobs.clone();
                tokio::spawn(async move {
                    // A client that breaks off is its own business.
                    let _ = serve(stream, jobs).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket");
                // Out of file descriptors, most likely: give the others time to end.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(mut stream: UnixStream, jobs: mpsc::Sender<Job>) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    if !privileges::may_control(peer.uid(), peer.gid(), GROUP) {
        let text = format!("user {} may not control netflowd; only root and group {GROUP} may", peer.uid());
        let error = ApiError::new(ErrorCode::Permission, text).next("sudo netctl status");
        return stream.write_all(Reply::error(0, error).to_line().as_bytes()).await;
    }
    let mut lines = LineBuffer::new();
    let mut bytes = vec![0; 4096];
    loop {
        match lines.next_line() {
            Ok(Some(line)) => answer(&mut stream, &line, peer.uid(), &jobs).await?,
            Ok(None) => {
                let count = stream.read(&mut bytes).await?;
                match bytes.get(..count) {
                    Some(read) if !read.is_empty() => lines.push(read),
                    _ => return Ok(()),
                }
            }
            Err(error) => {
                let error = ApiError::new(ErrorCode::BadRequest, error.to_string());
                return stream.write_all(Reply::error(0, error).to_line().as_bytes()).await;
            }
        }
    }
}

async fn answer(stream: &mut UnixStream, line: &[u8], uid: u32, jobs: &mpsc::Sender<Job>) -> io::Result<()> {
    let mut request = match Request::parse(line) {
        Ok(request) => request,
        Err(reply) => return stream.write_all(reply.to_line().as_bytes()).await,
    };
    if let Call::NetworkCreate(params) = &mut request.call
        && let Err(error) = look_up(&mut params.relays).await
    {
        return stream.write_all(Reply::error(request.id, error).to_line().as_bytes()).await;
    }
    let (replies, mut receiver) = mpsc::channel(REPLY_QUEUE);
    let sink = Sink { id: request.id, replies };
    let job = Job::Api(ApiJob { call: request.call, uid, sink });
    let mut is_done = jobs.send(job).await.is_err();
    while !is_done {
        // None: the daemon ends, and with it this connection.
        let Some(reply) = or_gone(stream, receiver.recv()).await? else { return Ok(()) };
        is_done = !matches!(reply.body, Body::Event(_));
        stream.write_all(reply.to_line().as_bytes()).await?;
    }
    Ok(())
}

/// Replaces the names of relays by their addresses, here and not in the loop, where a slow resolver would hold up packets.
async fn look_up(relays: &mut Vec<String>) -> Result<(), ApiError> {
    let mut found = Vec::new();
    for text in relays.iter() {
        let relay: RelayAddress =
            text.parse().map_err(|error: String| ApiError::new(ErrorCode::InvalidInput, error))?;
        let relay = relay.resolve().await.map_err(|error| ApiError::new(ErrorCode::Offline, error))?;
        found.extend(format_relay(&relay));
    }
    *relays = found;
    Ok(())
}

/// Waits for a reply, and breaks off when the client hangs up meanwhile, which is how a ping is stopped by Ctrl-C.
async fn or_gone<T>(stream: &UnixStream, reply: impl Future<Output = T>) -> io::Result<T> {
    tokio::pin!(reply);
    loop {
        tokio::select! {
            reply = &mut reply => return Ok(reply),
            ready = stream.ready(Interest::READABLE) => {
                // A client that only closed its sending half still wants the answer.
                if ready?.is_read_closed() && stream.ready(Interest::WRITABLE).await?.is_write_closed() {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                // A client that already sent its next request stays readable: look again later, not at once.
                let wait = std::time::Duration::from_millis(50);
                if let Ok(reply) = tokio::time::timeout(wait, &mut reply).await {
                    return Ok(reply);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn pitfall_28_the_control_socket_is_closed_to_strangers_from_its_first_moment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("netflowd.sock");
        let socket = ControlSocket::bind(&path).ok().unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert!(mode == 0o600 || mode == 0o660, "{mode:o}");
        assert!(!dir.path().join("netflowd.sock.new").exists());
        let second = ControlSocket::bind(&path).err().unwrap();
        assert_eq!(second.code, Code::InUse);
        drop(socket);
        // What a killed daemon leaves behind is replaced.
        assert!(path.exists());
        ControlSocket::bind(&path).ok().unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_line_that_is_no_request_is_answered_and_the_connection_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let (jobs, _keep) = mpsc::channel(1);
        let _file = ControlSocket::bind(&path).ok().unwrap().serve(jobs);
        let mut client = UnixStream::connect(&path).await.unwrap();
        for _ in 0..2 {
            client.write_all(b"nonsense\n").await.unwrap();
            let mut bytes = vec![0; 1024];
            let count = client.read(&mut bytes).await.unwrap();
            let reply = Reply::parse(bytes.get(..count).unwrap()).unwrap();
            assert!(matches!(reply.body, Body::Error(ApiError { code: ErrorCode::BadRequest, .. })));
        }
    }
}
