//! One function per command: ask, print, say the exit code.

mod backup;
mod bench;
mod block;
mod doctor;
mod invite;
mod join;
mod members;
mod netcheck;
mod network;
mod peers;
mod policy;
mod relay;
mod routes;
mod status;
mod tx;
mod version;
mod wallet;

use std::time::Duration;

use clap::CommandFactory;
use netctl_api::Method;

use crate::cli::{Admin, Chain, Cli, Command, Global, NodeOptions, Policy, Relay};
use crate::client::{Client, socket_path};
use crate::failure::Failure;
use crate::node::Node;
use crate::output::Out;

/// What every command works with.
pub(crate) struct Context<'a> {
    /// Global options.
    pub(crate) global: &'a Global,
    /// Where results go.
    pub(crate) out: Out,
    /// The command as typed, for schema names.
    pub(crate) words: &'static str,
}

impl Context<'_> {
    /// A connection to the daemon.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&socket_path(self.global.socket.as_ref()), Duration::from_secs(self.global.timeout))
    }

    /// The node of the chain.
    pub(crate) fn node(&self, options: &NodeOptions) -> Result<Node, Failure> {
        Node::new(options.rpc.as_deref(), Duration::from_secs(self.global.timeout))
    }

    /// The network of `-n`.
    pub(crate) fn network(&self) -> Option<String> {
        self.global.network.clone()
    }

    /// One call; with `--json` the result is printed as it is, else by `human`.
    pub(crate) fn ask<M: Method>(
        &self,
        params: M,
        human: impl FnOnce(&M::Result) -> Result<(), Failure>,
    ) -> Result<u8, Failure> {
        let result = self.connect()?.call(params)?;
        self.show(&result, human)
    }

    /// The result as JSON or by `human`.
    pub(crate) fn show<T: serde::Serialize>(
        &self,
        result: &T,
        human: impl FnOnce(&T) -> Result<(), Failure>,
    ) -> Result<u8, Failure> {
        if self.out.is_json() {
            self.out.json(self.words, result)?
        } else {
            human(result)?
        }
        Ok(0)
    }
}

/// Runs one command; the exit code when nothing failed on the way.
pub(crate) fn run(cli: &Cli) -> Result<u8, Failure> {
    let ctx = Context { global: &cli.global, out: Out::new(cli.global.json), words: cli.command.words() };
    match &cli.command {
        Command::Up => network::up(&ctx),
        Command::Down => network::down(&ctx),
        Command::Status => status::status(&ctx),
        Command::CreateNetwork(options) => network::create(&ctx, options),
        Command::Invite(options) => invite::invite(&ctx, options),
        Command::Invites => invite::list(&ctx),
        Command::InviteCancel { invite } => invite::cancel(&ctx, invite),
        Command::Join(options) => join::join(&ctx, options),
        Command::Networks => network::list(&ctx),
        Command::Switch { network } => network::switch(&ctx, network),
        Command::Leave { network, force } => network::leave(&ctx, network, *force),
        Command::Members { all } => members::list(&ctx, *all),
        Command::Revoke { member } => members::revoke(&ctx, member),
        Command::Tag(options) => members::tag(&ctx, options),
        Command::Rename { member, name } => members::rename(&ctx, member, name),
        Command::Admin(Admin::Add { member }) => members::admin_add(&ctx, member),
        Command::Admin(Admin::Remove { member }) => members::admin_remove(&ctx, member),
        Command::Policy(Policy::Get) => policy::get(&ctx),
        Command::Policy(Policy::Set { file }) => policy::set(&ctx, file),
        Command::Peers => peers::peers(&ctx),
        Command::Ping(options) => peers::ping(&ctx, options),
        Command::Bench(command) => bench::run(&ctx, command),
        Command::Path { peer } => routes::path(&ctx, peer),
        Command::Trace { peer } => routes::trace(&ctx, peer),
        Command::Netcheck => netcheck::netcheck(&ctx),
        Command::Relay(Relay::Status) => relay::status(&ctx),
        Command::Doctor => doctor::doctor(&ctx),
        Command::Backup(options) => backup::backup(&ctx, options),
        Command::Restore(options) => backup::restore(&ctx, options),
        Command::Wallet(command) => wallet::run(&ctx, command),
        Command::Tx(command) => tx::run(&ctx, command),
        Command::Block(options) => block::block(&ctx, options),
        Command::Chain(Chain::Status(options)) => block::status(&ctx, options),
        Command::Version => version::version(&ctx),
        Command::Completions { shell } => completions(&ctx, *shell),
    }
}

/// A completion script; with `--json` inside an object like every other result.
fn completions(ctx: &Context<'_>, shell: clap_complete::Shell) -> Result<u8, Failure> {
    #[derive(serde::Serialize)]
    struct Script {
        shell: String,
        script: String,
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "netctl", &mut script);
    let script = Script { shell: shell.to_string(), script: String::from_utf8_lossy(&script).into_owned() };
    ctx.show(&script, |script| ctx.out.raw(script.script.trim_end()))
}
