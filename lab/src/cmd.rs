//! The one place of this crate that starts programs. Every failure is one line: which command, how it ended, its first
//! line on stderr.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::netns::Netns;

/// How a finished program ended, with what it said.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; 128 + signal number when a signal ended it (as a shell says it).
    pub code: i32,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

/// A command line, to be run here or inside a namespace.
#[derive(Debug, Clone)]
pub struct Cmd {
    words: Vec<String>,
    env: Vec<(String, String)>,
    input: String,
}

impl Cmd {
    /// The program and its arguments.
    pub fn new<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Self {
        let words = words.into_iter().map(|w| w.as_ref().to_string_lossy().into_owned()).collect();
        Self { words, env: Vec::new(), input: String::new() }
    }

    /// The same command inside the namespace `ns` (`ip netns exec` ends in an exec, so the process id is the program's).
    #[must_use]
    pub fn within(mut self, ns: &Netns) -> Self {
        let prefix = ["ip", "netns", "exec", ns.name()].map(str::to_owned);
        self.words.splice(0..0, prefix);
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Text for the program's stdin.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = text.into();
        self
    }

    /// The command as a person would type it, for error messages.
    #[must_use]
    pub fn line(&self) -> String {
        self.words.join(" ")
    }

    fn command(&self) -> Result<Command> {
        let (program, arguments) = self.words.split_first().context("an empty command line")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(self.env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        Ok(command)
    }

    /// Runs to the end whatever the exit code is.
    ///
    /// # Errors
    /// Only when the program cannot be started or its pipes break.
    pub fn finish(&self) -> Result<Finished> {
        let mut command = self.command()?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child = command.spawn().with_context(|| format!("cannot start `{}`", self.line()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading its input is judged by its exit code, not by our broken pipe.
            let _ = stdin.write_all(self.input.as_bytes());
        }
        let output = child.wait_with_output().with_context(|| format!("lost `{}`", self.line()))?;
        let code = exit_code(output.status);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Finished { code, stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    /// Runs to the end and hands back stdout.
    ///
    /// # Errors
    /// One line that names the command, its exit code and the first line it wrote on stderr.
    pub fn run(&self) -> Result<String> {
        let done = self.finish()?;
        if done.code != 0 {
            let said =
                done.stderr.lines().chain(done.stdout.lines()).find(|l| !l.trim().is_empty()).unwrap_or("no message");
            bail!("`{}` failed with exit code {}: {}", self.line(), done.code, said.trim());
        }
        Ok(done.stdout)
    }

    /// Starts in the background in a process group of its own (a Ctrl-C at the terminal reaches the lab first, which then
    /// ends its children in order), with stdout and stderr going to the file `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(&self, log: &Path) -> Result<Proc> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let err = out.try_clone()?;
        let mut command = self.command()?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", self.line()))?;
        Ok(Proc { child, line: self.line() })
    }

    /// Starts in the background with a pipe on stdin and on stdout, for helpers that talk with their parent.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn_piped(&self) -> Result<Proc> {
        let mut command = self.command()?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", self.line()))?;
        Ok(Proc { child, line: self.line() })
    }
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(-1)
}

/// A program running in the background; dropping it kills it.
#[derive(Debug)]
pub struct Proc {
    child: Child,
    line: String,
}

impl Proc {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its end of the pipes, for a process made by [`Cmd::spawn_piped`].
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit code when it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().map(exit_code)
    }

    /// Sends a signal; a process that is already gone is no error.
    pub fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// kill -9, and waits until it is gone.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM) and waits; its exit code.
    ///
    /// # Errors
    /// When it is still there after ten seconds (it is killed then).
    pub fn stop(&mut self) -> Result<i32> {
        self.signal(Signal::SIGTERM);
        let ended = crate::wait::until_some(10_000, || self.ended());
        if ended.is_none() {
            self.kill9();
        }
        ended.with_context(|| format!("`{}` did not stop within 10 s of SIGTERM", self.line))
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.kill9();
    }
}
