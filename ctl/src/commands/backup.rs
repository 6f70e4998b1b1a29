//! `netctl backup` and `netctl restore`: the owner key of a network in a file that a passphrase protects.
//!
//! The daemon hands the key over the socket and this process seals it: the memory-hard key derivation takes more memory
//! than a small router's daemon may use in its whole life.
//!
//! The file is JSON: `{"schema":"netctl.owner-backup/1","network","name","relays","sealed"}`. `sealed` is the hexadecimal
//! text of `netflow_overlay::backup::seal` and the only part that is authenticated. Name and relays are hints that let a
//! fresh node find the network's log again; a changed hint can only hide the log, because its entries are signed.

use std::path::Path;

use ed25519_dalek::SigningKey;
use netctl_api::{NetworkExportOwnerParams, NetworkImportOwnerParams, Secret};
use netflow_overlay::backup::{self, BackupError};
use netflow_overlay::identity::format_network_id;
use rand_core::UnwrapErr;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Context, network};
use crate::cli::{Backup, Restore};
use crate::failure::{Failure, Local};
use crate::secrets::{read_passphrase, read_public_file, write_new_file};

const SCHEMA: &str = "netctl.owner-backup/1";

#[derive(Serialize, Deserialize)]
struct File {
    schema: String,
    network: String,
    name: String,
    #[serde(default)]
    relays: Vec<String>,
    sealed: String,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Done {
    network: String,
    name: String,
    output: String,
}

/// `netctl backup FILE`.
pub(super) fn backup(ctx: &Context<'_>, options: &Backup) -> Result<u8, Failure> {
    if options.file.symlink_metadata().is_ok() {
        return Err(
            Failure::file("write", &options.file, &std::io::ErrorKind::AlreadyExists.into()).next("another file name")
        );
    }
    let mut client = ctx.connect()?;
    let passphrase = read_passphrase(options.passphrase_file.as_deref(), true)?;
    backup::check_passphrase(&passphrase).map_err(refused)?;
    let owner = client.call(NetworkExportOwnerParams { network: ctx.network() })?;
    let key = decode_key(&owner.owner_key)?;
    let sealed = backup::seal(&key, &passphrase, &mut UnwrapErr(getrandom::SysRng)).map_err(refused)?;
    let file = File {
        schema: SCHEMA.to_owned(),
        network: owner.network.clone(),
        name: owner.name.clone(),
        relays: owner.relays.clone(),
        sealed: hex::encode(sealed),
    };
    let mut text = serde_json::to_string_pretty(&file)
        .map_err(|error| Failure::new(Local::Failure, format!("cannot encode the backup; {error}")))?;
    text.push('\n');
    write_new_file(&options.file, text.as_bytes())?;
    let done =
        Done { network: owner.network.clone(), name: owner.name.clone(), output: options.file.display().to_string() };
    ctx.show(&done, |done| {
        ctx.out.line(format!("owner key of {} sealed in {}", done.name, done.output))?;
        ctx.out.line("keep the file and its passphrase in two places; without both, a lost node is a lost network")
    })
}

/// `netctl restore FILE`.
pub(super) fn restore(ctx: &Context<'_>, options: &Restore) -> Result<u8, Failure> {
    let file = read_backup(&options.file)?;
    let sealed = hex::decode(file.sealed.trim()).map_err(|_| not_a_backup(&options.file))?;
    let mut client = ctx.connect()?;
    let passphrase = read_passphrase(options.passphrase_file.as_deref(), false)?;
    let (id, key) = backup::open(&sealed, &passphrase).map_err(refused)?;
    if format_network_id(&id) != file.network {
        let text = format!("backup refused; {} names another network than its sealed key", options.file.display());
        return Err(Failure::new(Local::InvalidInput, text).next("an unchanged copy of the file"));
    }
    let bytes = Zeroizing::new(key.to_bytes());
    let owner_key = Secret::new(hex::encode(*bytes));
    let params = NetworkImportOwnerParams { network: file.network, name: file.name, owner_key, relays: file.relays };
    let result = client.call(params)?;
    ctx.show(&result, |result| {
        ctx.out.line(format!("owner key of {} is on this node again", result.network.name))?;
        ctx.out.line(network::describe(&result.network))?;
        ctx.out.line("use the key on this node alone: two nodes that sign with one key freeze it for everybody")
    })
}

fn read_backup(path: &Path) -> Result<File, Failure> {
    let text = read_public_file(path)?;
    let file: File = serde_json::from_str(&text).map_err(|_| not_a_backup(path))?;
    if file.schema == SCHEMA { Ok(file) } else { Err(not_a_backup(path)) }
}

fn not_a_backup(path: &Path) -> Failure {
    let text = format!("{} cannot be restored; it is not a file of netctl backup, or damaged", path.display());
    Failure::new(Local::InvalidInput, text).next("netctl backup --help")
}

fn refused(error: BackupError) -> Failure {
    match error {
        BackupError::WeakPassphrase => {
            Failure::new(Local::InvalidInput, "passphrase too weak; it can be guessed").next("five random words")
        }
        BackupError::Malformed | BackupError::Refused => {
            Failure::new(Local::InvalidInput, format!("cannot open the backup; {error}")).next("netctl restore --help")
        }
    }
}

fn decode_key(text: &Secret) -> Result<SigningKey, Failure> {
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.expose(), &mut *bytes).map_err(|_| {
        Failure::new(Local::Failure, "netflowd's answer cannot be read; the owner key is malformed")
            .next("netctl version")
    })?;
    Ok(SigningKey::from_bytes(&bytes))
}
