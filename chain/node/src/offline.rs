//! What works on a stopped node: snapshots and checking the database.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use netchain_exec::Genesis;
use netchain_store::snapshot::{Importer, MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES, Manifest, export};
use netchain_store::{Store, StoreOptions};
use netchain_types::{Certificate, ChainDomain};

use crate::config::{Layout, NodeConfig};
use crate::service::{lock, open};

/// Name of a chunk's file.
fn chunk_file(index: usize) -> String {
    format!("chunk-{index:06}")
}

/// Writes the state after the tip into a folder: `manifest` and `chunk-000000`, ...
///
/// # Errors
/// Of the database or the file system.
pub fn export_snapshot(layout: &Layout, config: &NodeConfig, to: &Path) -> anyhow::Result<()> {
    let _lock = lock(layout)?;
    let opened = open(layout, config)?;
    std::fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let manifest = export(&opened.store, &mut |index, chunk| {
        let path = to.join(chunk_file(index));
        std::fs::write(&path, chunk)
            .map_err(|error| netchain_store::StoreError::Database(format!("{}: {error}", path.display())))
    })?;
    std::fs::write(to.join("manifest"), manifest.encode())?;
    let header = &manifest.header;
    let mut out = std::io::stdout();
    writeln!(out, "height {}\nblock {}\nchunks {}", header.number, header.hash(), manifest.chunks.len())?;
    Ok(())
}

fn read_file(path: &Path, most: usize) -> anyhow::Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= most, "{} is too long", path.display());
    Ok(bytes)
}

/// Reads a snapshot into an empty database. Its header must be certified by the witnesses of the genesis file, or be the
/// block that the operator names (`trusted`, from somewhere else): after a change of the witness set the genesis says
/// nothing any more. The state root is computed here.
///
/// # Errors
/// It is not what it says, or nobody vouches for it.
pub fn import_snapshot(layout: &Layout, from: &Path, trusted: Option<alloy_primitives::B256>) -> anyhow::Result<()> {
    let _lock = lock(layout)?;
    let json = std::fs::read(layout.genesis()).context("cannot read the genesis file; try: netchaind init")?;
    let genesis = Genesis::from_json(&json)?.block()?;
    let manifest = Manifest::decode(&read_file(&from.join("manifest"), MAX_MANIFEST_BYTES)?)?;
    let hash = manifest.header.hash();
    if trusted != Some(hash) {
        let domain = ChainDomain { chain_id: genesis.params.chain_id, genesis: genesis.header.hash() };
        let certificate = Certificate::decode(&manifest.certificate)?;
        let extra = manifest.header.check()?;
        let ours = extra.validators_hash == genesis.witnesses.hash();
        let certified = certificate.block_hash == hash && certificate.verify(&domain, &genesis.witnesses).is_ok();
        if !(ours && certified) {
            bail!(
                "the witnesses of the genesis file do not vouch for block {hash}; get its hash from somebody you trust and give it with --trusted"
            );
        }
    }
    let store = Store::open(&layout.db(), StoreOptions::default())?;
    let chunks = manifest.chunks.len();
    let mut importer = Importer::new(store, manifest, hash)?;
    let mut out = std::io::stdout();
    for index in 0..chunks {
        importer.chunk(&read_file(&from.join(chunk_file(index)), MAX_CHUNK_BYTES)?)?;
        if index % 64 == 63 {
            writeln!(out, "{} of {chunks} chunks", index + 1)?;
        }
    }
    let tip = importer.finish()?;
    writeln!(out, "height {}\nblock {}\nstate root {} verified", tip.height, tip.hash, tip.root)?;
    Ok(())
}

/// Checks the whole database.
///
/// # Errors
/// The first contradiction found.
pub fn verify_db(layout: &Layout, config: &NodeConfig) -> anyhow::Result<()> {
    let _lock = lock(layout)?;
    let opened = open(layout, config)?;
    let mut out = std::io::stdout();
    let verified = opened.store.verify(&mut |_| {})?;
    let tip = opened.store.tip().context("the database is empty")?;
    writeln!(out, "height {}\nblock {}\nstate root {}\n{verified:?}", tip.height, tip.hash, tip.root)?;
    Ok(())
}
