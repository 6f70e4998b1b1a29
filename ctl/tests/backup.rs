//! The owner key in a file: sealed, private, and back again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Daemon, OWNER_KEY, lines, secret_file};
use ed25519_dalek::SigningKey;
use netctl_api::*;
use netflow_overlay::identity::format_network_id;
use netflow_overlay::netlog::network_id;
use serde_json::{Value, json};

const PASSPHRASE: &str = "vapor ladder quench ribbon mosaic";

fn owner_network() -> String {
    let seed: [u8; 32] = hex::decode(OWNER_KEY).unwrap().try_into().unwrap();
    format_network_id(&network_id(&SigningKey::from_bytes(&seed).verifying_key().to_bytes()))
}

/// A daemon that owns the network of [`OWNER_KEY`].
fn owner() -> Daemon {
    Daemon::start(|request| {
        let id = request["id"].as_u64().unwrap();
        let export = OwnerExport {
            network: owner_network(),
            name: "home".into(),
            owner_key: Secret::new(OWNER_KEY.into()),
            relays: vec!["nf1qrelay@192.0.2.1:4790".into()],
        };
        let import = NetworkImportOwnerResult { network: common::network("home") };
        lines(&[if request["method"] == "network.export_owner" {
            Reply::result::<NetworkExportOwnerParams>(id, &export)
        } else {
            Reply::result::<NetworkImportOwnerParams>(id, &import)
        }])
    })
}

struct Files {
    passphrase: String,
    backup: String,
}

fn files(daemon: &Daemon) -> Files {
    let dir = daemon.dir.path();
    let passphrase = secret_file(dir, "passphrase", &format!("{PASSPHRASE}\n"));
    Files {
        passphrase: passphrase.to_str().unwrap().into(),
        backup: dir.join("home.nfbackup").to_str().unwrap().into(),
    }
}

#[test]
fn a_backup_restores_the_owner_key_and_shows_it_to_nobody() {
    let daemon = owner();
    let files = files(&daemon);
    let run = daemon.netctl(&["backup", &files.backup, "--passphrase-file", &files.passphrase, "--json"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.json()["schema"], "netctl.backup/1");
    let text = std::fs::read_to_string(&files.backup).unwrap();
    assert!(!text.contains(OWNER_KEY) && !run.stdout.contains(OWNER_KEY));
    assert_eq!(std::fs::metadata(&files.backup).unwrap().permissions().mode() & 0o7777, 0o600);
    let run = daemon.netctl(&["restore", &files.backup, "--passphrase-file", &files.passphrase, "--json"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.json()["schema"], "netctl.restore/1");
    let sent = daemon.seen().last().unwrap()["params"].clone();
    assert_eq!(
        sent,
        json!({"network": owner_network(), "name": "home", "owner_key": OWNER_KEY, "relays": ["nf1qrelay@192.0.2.1:4790"]})
    );
}

#[test]
fn an_existing_file_is_never_overwritten_and_the_key_not_asked_for() {
    let daemon = owner();
    let files = files(&daemon);
    std::fs::write(&files.backup, "precious").unwrap();
    let run = daemon.netctl(&["backup", &files.backup, "--passphrase-file", &files.passphrase]);
    assert_eq!(run.code, 6);
    run.error_line();
    assert_eq!(std::fs::read_to_string(&files.backup).unwrap(), "precious");
    assert!(daemon.seen().is_empty());
}

#[test]
fn pitfall_01_a_weak_passphrase_is_refused_before_the_key_is_asked_for() {
    let daemon = owner();
    let files = files(&daemon);
    for weak in ["hunter2", "netflowcoin", "correct horse", "Passw0rd!2026", "aaaaaaaaaaaaaaaaaaaaaaaa"] {
        secret_file(daemon.dir.path(), "passphrase", weak);
        let run = daemon.netctl(&["backup", &files.backup, "--passphrase-file", &files.passphrase]);
        assert_eq!(run.code, 7, "{weak}");
        assert!(run.error_line().contains("too weak") && !run.stderr.contains(weak));
    }
    assert!(daemon.seen().is_empty() && !std::path::Path::new(&files.backup).exists());
}

#[test]
fn a_wrong_passphrase_or_a_changed_file_restores_nothing() {
    let daemon = owner();
    let files = files(&daemon);
    assert_eq!(daemon.netctl(&["backup", &files.backup, "--passphrase-file", &files.passphrase]).code, 0);
    let asked = daemon.seen().len();
    let good = std::fs::read_to_string(&files.backup).unwrap();
    let restore = |text: &str| {
        std::fs::write(&files.backup, text).unwrap();
        let run = daemon.netctl(&["restore", &files.backup, "--passphrase-file", &files.passphrase]);
        assert_eq!(run.code, 7, "{text}");
        run.error_line().to_owned()
    };
    let mut changed: Value = serde_json::from_str(&good).unwrap();
    changed["network"] = json!("nfnet1another");
    assert!(restore(&changed.to_string()).contains("another network"));
    let mut changed: Value = serde_json::from_str(&good).unwrap();
    let sealed = changed["sealed"].as_str().unwrap();
    let last = if sealed.ends_with('0') { "1" } else { "0" };
    changed["sealed"] = json!(format!("{}{last}", &sealed[..sealed.len() - 1]));
    restore(&changed.to_string());
    for text in ["", "{}", "not a backup", &good.replace("owner-backup/1", "owner-backup/2")] {
        assert!(restore(text).contains("not a file of netctl backup"));
    }
    secret_file(daemon.dir.path(), "passphrase", "another passphrase entirely, and long");
    restore(&good);
    assert_eq!(daemon.seen().len(), asked, "nothing was sent to the daemon");
    assert_eq!(daemon.netctl(&["restore", "/nonexistent"]).code, 5);
}

#[test]
fn without_a_terminal_and_without_a_file_there_is_no_passphrase() {
    let daemon = owner();
    let files = files(&daemon);
    let run = daemon.netctl(&["backup", &files.backup]);
    assert_eq!(run.code, 2);
    assert!(run.error_line().contains("--passphrase-file"));
}
