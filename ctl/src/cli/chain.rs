//! Commands for the chain: they talk to a node of it, not to the router's daemon.

use std::path::PathBuf;

use alloy_primitives::{Address, B256, Bytes};
use clap::{Args, Subcommand};

use crate::wallet::account::{parse_address, parse_hash};
use crate::wallet::amount::{Unit, parse_gwei};

/// The node to ask.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeOptions {
    /// Node of the chain [default: $NETFLOW_RPC or http://127.0.0.1:8545]
    #[arg(long, value_name = "URL")]
    pub(crate) rpc: Option<String>,
    /// Refuse a node that is on another chain than this one
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: Option<u64>,
}

/// The folder of accounts.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeystoreOptions {
    /// Folder of the keystore files [default: $NETFLOW_KEYSTORE or ~/.local/share/netflow/keystore]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keystore: Option<PathBuf>,
}

/// How a key is sealed.
#[derive(Debug, Clone, Args)]
pub(crate) struct SealOptions {
    /// The folder
    #[command(flatten)]
    pub(crate) folder: KeystoreOptions,
    /// Read the passphrase from the first line of this file (mode 0600) instead of asking
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Seal with 4 MiB of work instead of 128: for machines with little memory, and passphrases that are long
    #[arg(long)]
    pub(crate) light: bool,
}

/// Subcommands of `wallet`.
#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    /// Make an account and seal its key in a keystore file
    New(SealOptions),
    /// Take a key over: a keystore file of any Ethereum program, or a private key in hexadecimal digits
    Import {
        /// The file, `-` for stdin [default: ask for a private key, without echo]
        file: Option<PathBuf>,
        /// How to seal it
        #[command(flatten)]
        seal: SealOptions,
    },
    /// List the accounts of this machine
    List(KeystoreOptions),
    /// Show an account, its file and how costly a guess of its passphrase is
    Show {
        /// Address, or a beginning of it that only one account has [default: the only account]
        account: Option<String>,
        /// The folder
        #[command(flatten)]
        folder: KeystoreOptions,
    },
    /// Write an account's keystore file, or its bare private key, to a new file of mode 0600
    Export {
        /// Address, or a beginning of it that only one account has [default: the only account]
        account: Option<String>,
        /// The new file
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Write the key unprotected; whoever reads the file owns the account
        #[arg(long)]
        private_key: bool,
        /// The folder
        #[command(flatten)]
        folder: KeystoreOptions,
        /// Read the passphrase from the first line of this file (mode 0600) instead of asking
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Show what accounts own, and how many transactions they have sent
    Balance {
        /// Addresses [default: all accounts of this machine]
        #[arg(value_parser = parse_address)]
        addresses: Vec<Address>,
        /// Unit of the amounts
        #[arg(long, value_enum, default_value_t = Unit::Nfc)]
        unit: Unit,
        /// The folder
        #[command(flatten)]
        folder: KeystoreOptions,
        /// The node
        #[command(flatten)]
        node: NodeOptions,
    },
}

/// Subcommands of `tx`.
#[derive(Debug, Subcommand)]
pub(crate) enum Tx {
    /// Pay somebody, or call a contract; asks before it signs
    Send(Box<Send>),
    /// Show a transaction and what became of it
    Show {
        /// Hash of the transaction
        #[arg(value_parser = parse_hash)]
        hash: B256,
        /// The node
        #[command(flatten)]
        node: NodeOptions,
    },
    /// Wait until a transaction is in a block, which is final
    Wait {
        /// Hash of the transaction
        #[arg(value_parser = parse_hash)]
        hash: B256,
        /// How long: a number with s, m, h or d
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::text::parse_duration_s)]
        wait: u64,
        /// The node
        #[command(flatten)]
        node: NodeOptions,
    },
}

/// Options of `tx send`.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Address of the receiver, or of a contract
    #[arg(value_parser = parse_address)]
    pub(crate) to: Address,
    /// Amount: a decimal number, with up to 18 digits behind the point
    pub(crate) amount: String,
    /// Unit of the amount
    #[arg(long, value_enum, default_value_t = Unit::Nfc)]
    pub(crate) unit: Unit,
    /// Account that pays: address, or a beginning of it [default: the only account]
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) from: Option<String>,
    /// Input of the contract, in hexadecimal digits behind 0x
    #[arg(long, value_name = "HEX", default_value = "0x")]
    pub(crate) data: Bytes,
    /// Most gwei a unit of gas may cost [default: twice the price of the last block, and the tip]
    #[arg(long, value_name = "GWEI", value_parser = parse_gwei)]
    pub(crate) max_fee: Option<u128>,
    /// Most gwei a unit of gas gives the creator of the block [default: what the node suggests]
    #[arg(long, value_name = "GWEI", value_parser = parse_gwei)]
    pub(crate) tip: Option<u128>,
    /// Most gas [default: what the node estimates, and a fifth for contracts]
    #[arg(long, value_name = "GAS")]
    pub(crate) gas_limit: Option<u64>,
    /// Number of the transaction; that of a waiting one replaces it if it pays 10 % more [default: the next]
    #[arg(long, value_name = "N")]
    pub(crate) nonce: Option<u64>,
    /// Send without asking
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Do not wait for the block
    #[arg(long, conflicts_with = "wait")]
    pub(crate) no_wait: bool,
    /// How long to wait for the block: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::text::parse_duration_s)]
    pub(crate) wait: u64,
    /// Read the passphrase from the first line of this file (mode 0600) instead of asking
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The folder
    #[command(flatten)]
    pub(crate) folder: KeystoreOptions,
    /// The node
    #[command(flatten)]
    pub(crate) node: NodeOptions,
}

/// Options of `block`.
#[derive(Debug, Args)]
pub(crate) struct Block {
    /// Number or hash of the block, or `latest`
    #[arg(default_value = "latest")]
    pub(crate) block: String,
    /// Go on with every new block, one line each, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// With --follow: end after this many blocks
    #[arg(long, value_name = "N", requires = "follow")]
    pub(crate) count: Option<u64>,
    /// The node
    #[command(flatten)]
    pub(crate) node: NodeOptions,
}

/// Subcommands of `chain`.
#[derive(Debug, Subcommand)]
pub(crate) enum Chain {
    /// Show the node's chain: height, age of the last block, sync, witnesses, price of gas
    Status(NodeOptions),
}

impl Wallet {
    /// The words after `netctl`.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::New(_) => "wallet new",
            Self::Import { .. } => "wallet import",
            Self::List(_) => "wallet list",
            Self::Show { .. } => "wallet show",
            Self::Export { .. } => "wallet export",
            Self::Balance { .. } => "wallet balance",
        }
    }
}

impl Tx {
    /// The words after `netctl`.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::Send(_) => "tx send",
            Self::Show { .. } => "tx show",
            Self::Wait { .. } => "tx wait",
        }
    }
}
