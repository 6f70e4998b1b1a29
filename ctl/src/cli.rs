//! The command line: words, options, help texts. Nothing here does anything.

mod bench;
mod chain;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use bench::{Bench, Latency, Throughput};
pub(crate) use chain::{Block, Chain, NodeOptions, SealOptions, Send, Tx, Wallet};

/// Exit codes, shown below the help of the program.
const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failure, 2 usage, 3 daemon or node not running, 4 permission, 5 not found, 6 conflict (address or route
clash, exists), 7 invalid input, 8 invite used, expired, cancelled or foreign, 9 timeout or offline, 10 refused.
Secrets (invite tokens, passphrases, private keys) are read from a prompt, a file or stdin, never from the command line.";

/// Control the NetFlowCoin router of this machine.
#[derive(Debug, Parser)]
#[command(name = "netctl", version, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
#[command(infer_subcommands = false, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Socket of the daemon [default: $NETFLOW_SOCKET or /run/netflow/netflowd.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Network to act on, by name or id [default: the active network, see `netctl switch`]
    #[arg(short, long, global = true, value_name = "NETWORK")]
    pub(crate) network: Option<String>,
    /// Print JSON with a `schema` field instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Give up when the daemon is silent for this many seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring the network up: interface, addresses, routes
    Up,
    /// Take the network down and keep the membership
    Down,
    /// Show this node, its networks and its relays
    Status,
    /// Make a network owned by this node
    CreateNetwork(CreateNetwork),
    /// Make a one-shot invite: text, and a QR code on a terminal
    Invite(Invite),
    /// List the invites of the network and what became of them
    Invites,
    /// Withdraw an invite that was not used yet
    InviteCancel {
        /// Id of the invite as `netctl invites` shows it, or a beginning of it that only one invite has
        invite: String,
    },
    /// Join a network; the token is read from a prompt, --file or stdin
    Join(Join),
    /// List the networks of this node
    Networks,
    /// Choose the network that commands mean when they name none
    Switch {
        /// Name or id of the network
        network: String,
    },
    /// Forget a network and its keys on this node (admins use `revoke` to shut a member out)
    Leave {
        /// Name or id of the network
        network: String,
        /// Leave even when the only copy of the owner key is lost by it
        #[arg(long)]
        force: bool,
    },
    /// List the members of the network
    Members {
        /// List the revoked nodes too
        #[arg(long)]
        all: bool,
    },
    /// Shut a member out, by its key, within seconds and for good
    Revoke {
        /// Name, address or node id of the member
        member: String,
    },
    /// Set, add or remove tags of a member
    Tag(Tag),
    /// Give a member another name
    Rename {
        /// Name, address or node id of the member
        member: String,
        /// New name
        name: String,
    },
    /// Appoint or dismiss admins (owner only)
    #[command(subcommand)]
    Admin(Admin),
    /// Read or replace the rules that say who may reach whom
    #[command(subcommand)]
    Policy(Policy),
    /// List sessions and paths to the other members
    Peers,
    /// Measure the round trip to a member inside the encrypted session
    Ping(Ping),
    /// Show every path to a member, and why which one is used
    Path {
        /// Name, address or node id of the member
        peer: String,
    },
    /// Measure the network between two members, and the cryptography of this machine
    #[command(subcommand)]
    Bench(Bench),
    /// Show the hops on the way to a member
    Trace {
        /// Name, address or node id of the member
        peer: String,
    },
    /// Say what NATs and firewalls on the way do to this node's packets
    Netcheck,
    /// Relays in use, and what this node relays for others
    #[command(subcommand)]
    Relay(Relay),
    /// Check what usually goes wrong, and say what to do
    Doctor,
    /// Write the owner key of the network to a file sealed by a passphrase (root only)
    Backup(Backup),
    /// Take an owner key from such a file, on a member whose log is current, when the old owner node is gone (root only)
    Restore(Restore),
    /// Accounts of the chain on this machine: make, import, list, export, balance
    #[command(subcommand)]
    Wallet(Wallet),
    /// Transactions of the chain: send, show, wait
    #[command(subcommand)]
    Tx(Tx),
    /// Show a block of the chain, or follow it
    Block(Block),
    /// The chain as a node sees it
    #[command(subcommand)]
    Chain(Chain),
    /// Versions of netctl, the daemon and their API
    Version,
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// Options of `create-network`.
#[derive(Debug, Args)]
pub(crate) struct CreateNetwork {
    /// Name of the network: 1 to 63 of a-z, 0-9 and -
    pub(crate) name: String,
    /// Relay of the network; may be repeated [default: the relays of the daemon's configuration]
    #[arg(long = "relay", value_name = "nf1..@HOST:PORT")]
    pub(crate) relays: Vec<String>,
    /// IPv4 prefix, a /16 out of 100.64.0.0/10 [default: a free one]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// Name of this node in the network [default: host name]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) member_name: Option<String>,
}

/// Options of `invite`.
#[derive(Debug, Args)]
pub(crate) struct Invite {
    /// Tag of the new member; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Life of the invite: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = crate::text::parse_duration_s)]
    pub(crate) expires: u64,
    /// No QR code
    #[arg(long, conflicts_with = "qr")]
    pub(crate) no_qr: bool,
    /// QR code even when the output is not a terminal
    #[arg(long)]
    pub(crate) qr: bool,
    /// Write the token to a new file of mode 0600 instead of showing it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Options of `join`.
#[derive(Debug, Args)]
#[command(override_usage = "netctl join [OPTIONS]            (asks for the token, without echo)
       netctl join [OPTIONS] --file FILE
       netctl join [OPTIONS] < FILE")]
pub(crate) struct Join {
    /// Read the token from this file, `-` for stdin
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Name of this node in the network [default: host name]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) member_name: Option<String>,
    /// How long to wait for the issuer's node: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::text::parse_duration_s)]
    pub(crate) wait: u64,
    /// Taken only to refuse it with an explanation: a token in argv is readable by every user of the machine.
    #[arg(hide = true, num_args = 0..)]
    pub(crate) refused: Vec<String>,
}

/// Options of `tag`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(["tags", "add", "remove", "clear"]))]
pub(crate) struct Tag {
    /// Name, address or node id of the member
    pub(crate) member: String,
    /// All tags the member has from now on
    #[arg(conflicts_with_all = ["add", "remove", "clear"])]
    pub(crate) tags: Vec<String>,
    /// Tag to add; may be repeated
    #[arg(long, value_name = "TAG", conflicts_with = "clear")]
    pub(crate) add: Vec<String>,
    /// Tag to remove; may be repeated
    #[arg(long, value_name = "TAG", conflicts_with = "clear")]
    pub(crate) remove: Vec<String>,
    /// Remove every tag
    #[arg(long)]
    pub(crate) clear: bool,
}

/// Subcommands of `admin`.
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Let a member invite, revoke, tag and set policy
    Add {
        /// Name, address or node id of the member
        member: String,
    },
    /// Make an admin a plain member again
    Remove {
        /// Name, address or node id of the admin
        member: String,
    },
}

/// Subcommands of `policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Show the rules in force
    Get,
    /// Replace all rules by those of a JSON file: {"rules":[{"action":"allow","from":"tag:dev","to":"*","proto":"tcp","ports":["22"]}]}
    Set {
        /// The file, `-` for stdin; the output of `netctl policy get --json` is such a file
        file: PathBuf,
    },
}

/// Options of `ping`.
#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// Name, address or node id of the member
    pub(crate) peer: String,
    /// Number of probes [default: 4, with --until-direct 60]
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..=i64::from(netctl_api::MAX_PING_COUNT)))]
    pub(crate) count: Option<u32>,
    /// Stop at the first answer over a direct path; exit code 9 when there was none
    #[arg(long)]
    pub(crate) until_direct: bool,
    /// Time between probes, in milliseconds
    #[arg(short, long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub(crate) interval: u32,
    /// How long one probe may take, in milliseconds
    #[arg(short = 'W', long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub(crate) wait: u32,
}

/// Subcommands of `relay`.
#[derive(Debug, Subcommand)]
pub(crate) enum Relay {
    /// Relays this node uses, and networks it relays for
    Status,
}

/// Options of `backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// New file to write, mode 0600
    pub(crate) file: PathBuf,
    /// Read the passphrase from the first line of this file (mode 0600) instead of asking
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// File written by `netctl backup`
    pub(crate) file: PathBuf,
    /// Read the passphrase from the first line of this file (mode 0600) instead of asking
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

impl Command {
    /// The words after `netctl`; with a dash between them also the middle of the schema name.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Status => "status",
            Self::CreateNetwork(_) => "create-network",
            Self::Invite(_) => "invite",
            Self::Invites => "invites",
            Self::InviteCancel { .. } => "invite-cancel",
            Self::Join(_) => "join",
            Self::Networks => "networks",
            Self::Switch { .. } => "switch",
            Self::Leave { .. } => "leave",
            Self::Members { .. } => "members",
            Self::Revoke { .. } => "revoke",
            Self::Tag(_) => "tag",
            Self::Rename { .. } => "rename",
            Self::Admin(Admin::Add { .. }) => "admin add",
            Self::Admin(Admin::Remove { .. }) => "admin remove",
            Self::Policy(Policy::Get) => "policy get",
            Self::Policy(Policy::Set { .. }) => "policy set",
            Self::Peers => "peers",
            Self::Ping(_) => "ping",
            Self::Bench(it) => it.words(),
            Self::Path { .. } => "path",
            Self::Trace { .. } => "trace",
            Self::Netcheck => "netcheck",
            Self::Relay(Relay::Status) => "relay status",
            Self::Doctor => "doctor",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Wallet(it) => it.words(),
            Self::Tx(it) => it.words(),
            Self::Block(_) => "block",
            Self::Chain(Chain::Status(_)) => "chain status",
            Self::Version => "version",
            Self::Completions { .. } => "completions",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a wrong assumption must fail the test")]
mod tests {
    use std::path::Path;

    use clap::{CommandFactory, Parser, error::ErrorKind};

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// Calls `each` with every line of code below `dir`.
    fn lines_of_code(dir: &Path, each: &mut dyn FnMut(&str)) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                lines_of_code(&path, each);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("src/cli.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                text.lines().filter(|line| !line.trim_start().starts_with("//")).for_each(&mut *each);
            }
        }
    }

    /// Why the words cannot be typed, if so.
    fn fault(words: &str) -> Option<String> {
        let error = Cli::try_parse_from(words.split(' ')).err()?;
        let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        (!is_help).then(|| format!("{words:?}: {error}"))
    }

    #[test]
    fn every_command_an_error_names_exists() {
        let names: Vec<String> = Cli::command().get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        // Words of sentences in which the program is the subject.
        let prose = ["", "and", "speaks"];
        let (mut seen, mut faults) = (0, Vec::new());
        let mut check = |line: &str| {
            // What begins a text is a command to type; anywhere else a comma or a word may follow it.
            for text in line.split('"').skip(1).step_by(2) {
                let typed = text.strip_prefix("sudo ").unwrap_or(text);
                let typed = typed.split([',', ';']).next().unwrap_or_default();
                if typed.starts_with("netctl ") && !typed.starts_with("netctl {") {
                    seen += 1;
                    faults.extend(fault(&typed.replace("{}", "NAME")));
                }
                for (at, _) in text.match_indices("netctl ") {
                    let word = text.get(at + 7..).and_then(|rest| rest.split([' ', ',', ';', ')', '`']).next());
                    let word = word.unwrap_or_default();
                    let known = prose.contains(&word) || names.iter().any(|name| name == word);
                    if !word.starts_with(['{', '-']) && !known {
                        faults.push(format!("{text:?} names {word:?}"));
                    }
                }
            }
        };
        let ctl = Path::new(env!("CARGO_MANIFEST_DIR"));
        for dir in ["src", "api/src", "../router/src", "../overlay/proto/src"] {
            lines_of_code(&ctl.join(dir), &mut check);
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        // Fewer would mean that the texts moved to where this test does not look.
        assert!(seen > 40, "only {seen} commands found");
    }
}
