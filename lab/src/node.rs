//! `netflowd` in a namespace, and `netctl` to talk to it.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cmd::{Cmd, Finished, Proc};
use crate::lab::{Host, Lab};
use crate::paths::built_program;
use crate::wait;

/// UDP port of every node of the lab: the default of `netflowd`.
pub const PORT: u16 = 4790;

/// How long a daemon may take until it answers on its socket, ms. Far above the usual 100: the machine may be compiling.
const START_LIMIT_MS: u64 = 20_000;

/// What a node is.
#[derive(Debug, Clone, Default)]
pub struct NodeSpec {
    /// `en`, `cn` or `rn`.
    pub tier: &'static str,
    /// Relays it uses, as `nf1...@host:port`.
    pub relays: Vec<String>,
    /// Further lines of the configuration, after the top-level keys and before `[relay]`.
    pub extra: String,
}

/// One daemon: its configuration and state live in the lab's folder, it itself in the namespace of its host.
#[derive(Debug)]
pub struct Node {
    /// The host it runs on.
    pub host: Host,
    dir: PathBuf,
    socket: PathBuf,
    process: Option<Proc>,
}

impl Node {
    /// Writes the configuration; the daemon is not started yet. Tiers `cn` and `rn` relay for others, with a quota.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare(lab: &Lab, host: &Host, name: &str, spec: &NodeSpec) -> Result<Self> {
        let dir = lab.dir().join(name);
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir)?;
        let node = Self { host: host.clone(), socket: lab.run_dir().join(format!("{name}.sock")), dir, process: None };
        node.write_config(&node.config(name, spec))?;
        Ok(node)
    }

    /// [`Node::prepare`] and [`Node::start`].
    ///
    /// # Errors
    /// As those two.
    pub fn run(lab: &Lab, host: &Host, name: &str, spec: &NodeSpec) -> Result<Self> {
        let mut node = Self::prepare(lab, host, name, spec)?;
        node.start()?;
        Ok(node)
    }

    fn config(&self, name: &str, spec: &NodeSpec) -> String {
        let mut text = format!(
            "tier = {:?}\nname = {name:?}\nstate_dir = {:?}\ncontrol_socket = {:?}\nlisten = \"[::]:{PORT}\"\nlog = \"info\"\nmetrics = \"off\"\nrelays = {:?}\n{}",
            spec.tier,
            self.state_dir(),
            self.socket,
            spec.relays,
            spec.extra,
        );
        if spec.tier != "en" {
            let _ = write!(
                text,
                "\n[relay]\nenabled = true\npublic_addrs = {:?}\ndefault_rate_mbit = 10000\ndefault_quota_gb_day = 1000\n",
                self.addresses().iter().map(ToString::to_string).collect::<Vec<_>>()
            );
        }
        text
    }

    /// Replaces the configuration file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self, text: &str) -> Result<()> {
        fs::write(self.config_path(), text).context("cannot write a configuration")
    }

    /// The configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("netflow.toml")
    }

    /// The state folder.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// What the daemon wrote on stdout and stderr.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("netflowd.log")
    }

    /// Its UDP addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let v4 = self.host.v4.map(|ip| (ip, PORT).into());
        let v6 = self.host.v6.map(|ip| (ip, PORT).into());
        v4.into_iter().chain(v6).collect()
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Proc::pid)
    }

    /// The command line of the daemon.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn command(&self) -> Result<Cmd> {
        let program = built_program("netflowd", "NETFLOWD_BIN")?;
        let config = self.config_path();
        Ok(Cmd::new([program.as_path(), Path::new("--config"), &config]).within(&self.host.ns))
    }

    /// Starts the daemon and waits until it answers on its socket.
    ///
    /// # Errors
    /// When it ends at once (with its last line) or does not answer in time.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_ready()
    }

    /// Starts the daemon without waiting for it.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        self.process = Some(self.command()?.spawn(&self.log_path())?);
        Ok(())
    }

    /// Waits until the daemon answers on its socket.
    ///
    /// # Errors
    /// When it ends (with its last line) or does not answer in time.
    pub fn wait_ready(&mut self) -> Result<()> {
        let mut ended = None;
        let ready = wait::until_some(START_LIMIT_MS, || {
            ended = self.process.as_mut().and_then(Proc::ended);
            let answers = || self.netctl(&["status"]).is_ok_and(|done| done.code == 0);
            (ended.is_some() || answers()).then_some(())
        });
        if let Some(code) = ended {
            bail!("netflowd on {} ended with exit code {code}: {}", self.host.name, self.last_log_line());
        }
        ready.with_context(|| {
            format!("netflowd on {} does not answer; its log: {}", self.host.name, self.log_path().display())
        })
    }

    /// The last line of its log.
    #[must_use]
    pub fn last_log_line(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        log.lines().last().unwrap_or("(its log is empty)").to_owned()
    }

    /// Stops it cleanly (SIGTERM); its exit code.
    ///
    /// # Errors
    /// When it does not run, or not end.
    pub fn stop(&mut self) -> Result<i32> {
        self.process.take().context("it does not run")?.stop()
    }

    /// kill -9.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// The running process, for signals.
    #[must_use]
    pub fn process(&self) -> Option<&Proc> {
        self.process.as_ref()
    }

    /// A `netctl` command line for this node.
    ///
    /// # Errors
    /// When `netctl` has not been built.
    pub fn netctl_cmd(&self, words: &[&str]) -> Result<Cmd> {
        let program = built_program("netctl", "NETCTL_BIN")?.to_string_lossy().into_owned();
        let socket = self.socket.to_string_lossy().into_owned();
        let all = [program.as_str(), "--socket", &socket].into_iter().chain(words.iter().copied());
        Ok(Cmd::new(all).within(&self.host.ns))
    }

    /// Runs `netctl` whatever its exit code is.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn netctl(&self, words: &[&str]) -> Result<Finished> {
        self.netctl_cmd(words)?.finish()
    }

    /// Runs `netctl --json`; its answer.
    ///
    /// # Errors
    /// One line with netctl's complaint when its exit code is not 0.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let text = self.netctl_cmd(&[&["--json"], words].concat())?.run()?;
        serde_json::from_str(text.lines().last().unwrap_or_default())
            .or_else(|_| serde_json::from_str(&text))
            .with_context(|| format!("netctl {} --json did not print JSON", words.join(" ")))
    }

    /// Its node id, `nf1...`.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn id(&self) -> Result<String> {
        text_at(&self.json(&["status"])?, "/node")
    }

    /// How others name it as a relay: `nf1...@address:port`, by IPv4 where it has one.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn relay_name(&self) -> Result<String> {
        let address = *self.addresses().first().context("a relay needs a public address")?;
        Ok(format!("{}@{address}", self.id()?))
    }

    /// Makes an invite token for the active network.
    ///
    /// # Errors
    /// netctl's complaint.
    pub fn invite(&self) -> Result<String> {
        text_at(&self.json(&["invite"])?, "/token")
    }

    /// Joins with a token, which is handed over on stdin: arguments can be read by every user of a machine.
    ///
    /// # Errors
    /// When `netctl` cannot be started.
    pub fn join(&self, token: &str) -> Result<Finished> {
        self.netctl_cmd(&["join", "-"])?.input(format!("{token}\n")).finish()
    }
}

/// The string at a JSON pointer.
///
/// # Errors
/// When there is none.
pub fn text_at(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("no text at {pointer} in {value}"))
}
