//! The connection to the daemon: one request at a time, bounded in time and in memory.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netctl_api::{API_VERSION, Body, LineBuffer, Method, Reply, Request};

use crate::failure::{Failure, Local};

/// A connection to `netflowd`.
pub(crate) struct Client {
    stream: UnixStream,
    buffer: LineBuffer,
    next_id: u64,
    patience: Duration,
}

impl Client {
    /// Connects to the daemon; `patience` is how long it may be silent.
    ///
    /// # Errors
    /// Exit 3 when nobody listens, exit 4 when this user may not connect.
    pub(crate) fn connect(socket: &Path, patience: Duration) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket).map_err(|error| connect_failure(socket, &error))?;
        let limits = stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience)));
        limits.map_err(|error| broken(&error, patience))?;
        Ok(Self { stream, buffer: LineBuffer::new(), next_id: 1, patience })
    }

    /// One call of a method that sends no events, or whose events do not matter.
    pub(crate) fn call<M: Method>(&mut self, params: M) -> Result<M::Result, Failure> {
        self.call_with(params, Duration::ZERO, |_| Ok(()))
    }

    /// One call; `extra` is how long the daemon may be silent on top of the patience, because the method takes time.
    pub(crate) fn call_with<M: Method>(
        &mut self,
        params: M,
        extra: Duration,
        mut on_event: impl FnMut(M::Event) -> Result<(), Failure>,
    ) -> Result<M::Result, Failure> {
        let request = Request::new(self.next_id, params);
        self.next_id += 1;
        let patience = self.patience.saturating_add(extra);
        let line = zeroize::Zeroizing::new(request.to_line()?);
        self.stream.set_read_timeout(Some(patience)).map_err(|error| broken(&error, patience))?;
        self.stream.write_all(line.as_bytes()).map_err(|error| broken(&error, patience))?;
        loop {
            let reply = self.next_reply(patience)?;
            if reply.api != API_VERSION {
                let text =
                    format!("netflowd speaks version {} of the API; this netctl speaks {API_VERSION}", reply.api);
                return Err(Failure::new(Local::Failure, text).next("install netctl and netflowd of one release"));
            }
            // Id 0 is a daemon that could not read the request at all: its error is for us, there is no other request.
            if reply.id != request.id && reply.id != 0 {
                return Err(unreadable(&format!("it answers request {} instead of {}", reply.id, request.id)));
            }
            match reply.body {
                Body::Event(event) => {
                    on_event(
                        serde_json::from_value(event).map_err(|e| unreadable(&format!("event of {}; {e}", M::NAME)))?,
                    )?;
                }
                Body::Result(result) => {
                    return serde_json::from_value(result)
                        .map_err(|e| unreadable(&format!("result of {}; {e}", M::NAME)));
                }
                Body::Error(error) => return Err(error.into()),
            }
        }
    }

    fn next_reply(&mut self, patience: Duration) -> Result<Reply, Failure> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(line) = self.buffer.next_line().map_err(|error| unreadable(&error.to_string()))? {
                return Reply::parse(&line).map_err(|error| unreadable(&error.to_string()));
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(closed()),
                Ok(n) => self.buffer.push(chunk.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error, patience)),
            }
        }
    }
}

/// Which socket to use: the option, else the environment, else the default.
pub(crate) fn socket_path(option: Option<&PathBuf>) -> PathBuf {
    option.cloned().unwrap_or_else(|| {
        let from_env = std::env::var_os(netctl_api::SOCKET_ENV).filter(|value| !value.is_empty());
        from_env.map_or_else(|| PathBuf::from(netctl_api::DEFAULT_SOCKET), PathBuf::from)
    })
}

fn connect_failure(socket: &Path, error: &std::io::Error) -> Failure {
    let path = socket.display();
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
        Failure::new(Local::NotRunning, format!("netflowd is not running; nobody listens on {path}"))
            .next("sudo netflowd --config /etc/netflow/netflow.toml")
    } else if error.kind() == ErrorKind::PermissionDenied {
        let text = format!("not allowed to talk to netflowd; {path} is for root and the group netflow");
        Failure::new(Local::Permission, text).next("the same command with sudo")
    } else {
        Failure::new(Local::Failure, format!("cannot connect to netflowd; {path}: {error}")).next("netctl --help")
    }
}

fn broken(error: &std::io::Error, patience: Duration) -> Failure {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        let text = format!("netflowd did not answer in {} s; it is busy or hangs", patience.as_secs());
        Failure::new(Local::Timeout, text).next("netctl --timeout 60 status, then a restart of netflowd")
    } else if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) {
        closed()
    } else {
        Failure::new(Local::Failure, format!("the connection to netflowd broke; {error}")).next("netctl status")
    }
}

fn closed() -> Failure {
    let text = "netflowd closed the connection without an answer; it is stopping, or it crashed";
    Failure::new(Local::Failure, text).next("netctl status")
}

fn unreadable(why: &str) -> Failure {
    Failure::new(Local::Failure, format!("netflowd's answer cannot be read; {why}")).next("netctl version")
}
