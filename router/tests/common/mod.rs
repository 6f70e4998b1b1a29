//! A real daemon in a network namespace of its own, and a client of its socket.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "tests start programs, wait, and fail loudly"
)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use netctl_api::{Body, LineBuffer, Method, Reply, Request};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

/// The binary under test.
pub const NETFLOWD: &str = env!("CARGO_BIN_EXE_netflowd");
const PATIENCE: Duration = Duration::from_secs(20);

/// These tests make namespaces and interfaces. A silent skip would read as a pass.
pub fn require_root() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    assert!(uid.split_whitespace().next() == Some("0"), "run this test as root: it makes network namespaces");
}

/// A network namespace with a loopback interface, gone with this value.
pub struct Namespace(String);

impl Namespace {
    pub fn new(name: &str) -> Self {
        require_root();
        let name = format!("nfl-d-{name}-{}", std::process::id());
        run("ip", &["netns", "add", &name]);
        run("ip", &["-n", &name, "link", "set", "lo", "up"]);
        Self(name)
    }

    /// Output of `ip` inside.
    pub fn ip(&self, args: &[&str]) -> String {
        run("ip", &[&["-n", &self.0], args].concat())
    }

    /// Output of a program inside.
    pub fn exec(&self, args: &[&str]) -> String {
        run("ip", &[&["netns", "exec", &self.0], args].concat())
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Runs a program that must succeed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// State, socket and configuration of one daemon.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    /// Directories with a configuration of these lines.
    pub fn new(lines: &str) -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        home.configure(lines);
        home
    }

    pub fn configure(&self, lines: &str) {
        let paths = format!("state_dir = {:?}\ncontrol_socket = {:?}\n", self.state(), self.socket());
        std::fs::write(self.config(), paths + lines).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("netflow.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("netflowd.sock")
    }

    /// Runs the daemon to its end, which must come by itself.
    pub fn run_to_end(&self, command: &mut Command) -> Output {
        let mut child =
            command.arg("--config").arg(self.config()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("the daemon did not end by itself");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.wait_with_output().unwrap()
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&self, command: &mut Command) -> Daemon {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let child = command.arg("--config").arg(self.config()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let daemon = Daemon { child, socket: self.socket() };
        let began = Instant::now();
        // A killed daemon's half-started `nft` may hold the old socket open for a moment: only the new one counts.
        let pid = i32::try_from(daemon.child.id()).unwrap();
        while !UnixStream::connect(self.socket())
            .is_ok_and(|stream| getsockopt(&stream, PeerCredentials).is_ok_and(|peer| peer.pid() == pid))
        {
            assert!(began.elapsed() < PATIENCE, "not started: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

/// A running daemon; killed with this value.
pub struct Daemon {
    child: Child,
    socket: PathBuf,
}

impl Daemon {
    /// Calls a method and returns its final reply.
    pub fn call<M: Method>(&self, params: M) -> Result<M::Result, netctl_api::ApiError> {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(Request::new(1, params).to_line().unwrap().as_bytes()).unwrap();
        let mut lines = LineBuffer::new();
        loop {
            if let Some(line) = lines.next_line().unwrap() {
                match Reply::parse(&line).unwrap().body {
                    Body::Event(_) => {}
                    Body::Result(value) => return Ok(serde_json::from_value(value).unwrap()),
                    Body::Error(error) => return Err(error),
                }
            } else {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).unwrap_or_else(|error| {
                    panic!(
                        "{error}; the daemon said: {}",
                        std::fs::read_to_string(self.socket.with_file_name("log")).unwrap_or_default()
                    )
                });
                assert!(count > 0, "the daemon hung up");
                lines.push(bytes.get(..count).unwrap());
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        run("kill", &[signal, &self.pid().to_string()]);
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> i32 {
        self.signal("-TERM");
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files below a directory, for "nothing half-done on disk".
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
