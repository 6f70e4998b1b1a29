//! `netctl wallet`: accounts in keystore files of this machine.

use std::path::Path;

use alloy_primitives::{Address, U64, U256};
use netflow_overlay::backup;
use rand_core::{Rng, UnwrapErr};
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use crate::cli::{NodeOptions, SealOptions, Wallet};
use crate::failure::{Failure, Local};
use crate::output::cell;
use crate::secrets::{read_passphrase, read_secret, write_new_file};
use crate::wallet::account::AccountKey;
use crate::wallet::amount::{Unit, decimal};
use crate::wallet::keystore::{Cost, Keystore, KeystoreError};
use crate::wallet::store::{Entry, Store};

/// An account and its file, as `--json` prints it.
#[derive(Serialize)]
struct Account {
    address: String,
    file: String,
    kdf: String,
}

impl From<&Entry> for Account {
    fn from(entry: &Entry) -> Self {
        Self {
            address: entry.address.to_checksum(None),
            file: entry.path.display().to_string(),
            kdf: entry.keystore.kdf(),
        }
    }
}

/// `netctl wallet ..`.
pub(super) fn run(ctx: &Context<'_>, command: &Wallet) -> Result<u8, Failure> {
    match command {
        Wallet::New(options) => new(ctx, options),
        Wallet::Import { file, seal } => import(ctx, file.as_deref(), seal),
        Wallet::List(folder) => list(ctx, &Store::locate(folder.keystore.as_deref())?),
        Wallet::Show { account, folder } => {
            show(ctx, &Store::locate(folder.keystore.as_deref())?.find(account.as_deref())?)
        }
        Wallet::Export { account, output, private_key, folder, passphrase_file } => {
            let entry = Store::locate(folder.keystore.as_deref())?.find(account.as_deref())?;
            export(ctx, &entry, output, *private_key, passphrase_file.as_deref())
        }
        Wallet::Balance { addresses, unit, folder, node } => {
            let addresses = if addresses.is_empty() {
                Store::locate(folder.keystore.as_deref())?.list()?.iter().map(|entry| entry.address).collect()
            } else {
                addresses.clone()
            };
            balance(ctx, &addresses, *unit, node)
        }
    }
}

fn new(ctx: &Context<'_>, options: &SealOptions) -> Result<u8, Failure> {
    let store = Store::locate(options.folder.keystore.as_deref())?;
    let passphrase = new_passphrase(options)?;
    let key = AccountKey::generate(|bytes| random(bytes));
    let account = seal(&store, &key, &passphrase, options)?;
    ctx.show(&account, |account| {
        ctx.out.line(format!("account {}", account.address))?;
        ctx.out.line(format!("its key is sealed in {}", account.file))?;
        ctx.out
            .line("keep a copy of the file, and its passphrase; without both, what the account owns is lost for good")
    })
}

fn import(ctx: &Context<'_>, file: Option<&Path>, options: &SealOptions) -> Result<u8, Failure> {
    if file.is_some_and(|path| parse_key(&path.to_string_lossy()).is_some()) {
        let text = "a private key on the command line is refused; every user can read process arguments, and the shell keeps them";
        return Err(Failure::new(Local::Usage, text).next("netctl wallet import, and paste the key when asked"));
    }
    let store = Store::locate(options.folder.keystore.as_deref())?;
    let text = read_secret(file, "Private key (not shown): ")?;
    let (key, passphrase) = if text.starts_with('{') {
        let keystore = Keystore::parse(&text).map_err(refused)?;
        let passphrase = read_passphrase(options.passphrase_file.as_deref(), false)?;
        (keystore.open(&passphrase).map_err(refused)?, passphrase)
    } else {
        let key = parse_key(&text).ok_or_else(|| {
            let text = "nothing to import; it is neither a keystore file nor a private key of 64 hexadecimal digits";
            Failure::new(Local::InvalidInput, text).next("netctl wallet import --help")
        })?;
        (key, new_passphrase(options)?)
    };
    let account = seal(&store, &key, &passphrase, options)?;
    ctx.show(&account, |account| {
        ctx.out.line(format!("account {} is on this machine", account.address))?;
        ctx.out.line(format!("its key is sealed in {}", account.file))
    })
}

fn list(ctx: &Context<'_>, store: &Store) -> Result<u8, Failure> {
    #[derive(Serialize)]
    struct List {
        folder: String,
        accounts: Vec<Account>,
    }
    let accounts = store.list()?.iter().map(Account::from).collect();
    let list = List { folder: store.dir().display().to_string(), accounts };
    ctx.show(&list, |list| {
        let rows = list.accounts.iter().map(|it| vec![cell(&it.address), cell(&it.file)]);
        ctx.out.table(&["ACCOUNT", "FILE"], rows.collect(), "no account on this machine; try: netctl wallet new")
    })
}

fn show(ctx: &Context<'_>, entry: &Entry) -> Result<u8, Failure> {
    ctx.show(&Account::from(entry), |account| {
        ctx.out.line(format!("account     {}", account.address))?;
        ctx.out.line(format!("file        {}", account.file))?;
        ctx.out.line(format!("sealed by   {}", account.kdf))
    })
}

fn export(
    ctx: &Context<'_>,
    entry: &Entry,
    output: &Path,
    private_key: bool,
    passphrase_file: Option<&Path>,
) -> Result<u8, Failure> {
    #[derive(Serialize)]
    struct Exported {
        address: String,
        output: String,
        protected: bool,
    }
    let text = if private_key {
        let key = open(entry, passphrase_file)?;
        Zeroizing::new(format!("0x{}\n", *Zeroizing::new(hex::encode(*key.to_bytes()))))
    } else {
        Zeroizing::new(entry.keystore.to_text().map_err(refused)?)
    };
    write_new_file(output, text.as_bytes())?;
    let exported = Exported {
        address: entry.address.to_checksum(None),
        output: output.display().to_string(),
        protected: !private_key,
    };
    ctx.show(&exported, |it| {
        ctx.out.line(format!("key of {} written to {}", it.address, it.output))?;
        if it.protected {
            ctx.out.line("its passphrase opens it; geth, ethers and wallets in browsers read such files")
        } else {
            ctx.out.line("it is not protected: whoever reads the file owns the account")
        }
    })
}

fn balance(ctx: &Context<'_>, addresses: &[Address], unit: Unit, options: &NodeOptions) -> Result<u8, Failure> {
    #[derive(Serialize)]
    struct Row {
        address: String,
        balance: String,
        balance_wei: String,
        transactions: u64,
    }
    #[derive(Serialize)]
    struct Balances {
        chain_id: u64,
        unit: String,
        accounts: Vec<Row>,
    }
    let mut node = ctx.node(options)?;
    let chain_id = node.chain_id(options.chain_id)?;
    let mut accounts = Vec::new();
    for address in addresses {
        let balance: U256 = node.call("eth_getBalance", json!([address, "latest"]))?;
        let transactions: U64 = node.call("eth_getTransactionCount", json!([address, "latest"]))?;
        accounts.push(Row {
            address: address.to_checksum(None),
            balance: decimal(balance, unit),
            balance_wei: balance.to_string(),
            transactions: transactions.to(),
        });
    }
    let balances = Balances { chain_id, unit: unit.name().to_owned(), accounts };
    ctx.show(&balances, |it| {
        let row = |row: &Row| {
            vec![cell(&row.address), cell(format!("{} {}", row.balance, it.unit)), cell(row.transactions.to_string())]
        };
        let rows = it.accounts.iter().map(row).collect();
        ctx.out.table(
            &["ACCOUNT", "BALANCE", "SENT"],
            rows,
            "no account on this machine; try: netctl wallet new, or netctl wallet balance ADDRESS",
        )
    })
}

/// The key of an account; asks for its passphrase.
pub(super) fn open(entry: &Entry, passphrase_file: Option<&Path>) -> Result<AccountKey, Failure> {
    let passphrase = read_passphrase(passphrase_file, false)?;
    entry.keystore.open(&passphrase).map_err(refused)
}

/// Random bytes of the operating system. Without them there is nothing this program could do.
fn random(bytes: &mut [u8]) {
    UnwrapErr(getrandom::SysRng).fill_bytes(bytes);
}

/// A passphrase that protects a key against whoever gets the file.
fn new_passphrase(options: &SealOptions) -> Result<Zeroizing<String>, Failure> {
    let passphrase = read_passphrase(options.passphrase_file.as_deref(), true)?;
    backup::check_passphrase(&passphrase).map_err(|_| {
        Failure::new(Local::InvalidInput, "passphrase too weak; it can be guessed").next("five random words")
    })?;
    Ok(passphrase)
}

fn seal(store: &Store, key: &AccountKey, passphrase: &str, options: &SealOptions) -> Result<Account, Failure> {
    let cost = if options.light { Cost::Light } else { Cost::Standard };
    let keystore = Keystore::seal(key, passphrase, cost, random).map_err(refused)?;
    let path = store.add(&keystore, key.address(), super::tx::now_unix_s())?;
    Ok(Account::from(&Entry { address: key.address(), path, keystore }))
}

/// A private key as all programs print it: 64 hexadecimal digits, with or without `0x`.
fn parse_key(text: &str) -> Option<AccountKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim().trim_start_matches("0x"), &mut *bytes).ok()?;
    AccountKey::from_bytes(&bytes)
}

fn refused(error: KeystoreError) -> Failure {
    Failure::new(Local::InvalidInput, format!("cannot open the keystore file; {error}")).next("netctl wallet --help")
}
