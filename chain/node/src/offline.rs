//! What works on a stopped node: snapshots and checking the database.

use std::io::{Read, Write};
use std::path::Path;

use alloy_primitives::B256;
use anyhow::{Context as _, bail, ensure};
use netchain_exec::{Genesis, GenesisBlock};
use netchain_store::snapshot::{Importer, MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES, Manifest, export};
use netchain_store::{Store, StoreOptions, StoreTip};
use netchain_types::{Certificate, ChainDomain};

use crate::config::{Layout, NodeConfig};
use crate::service::{lock, open};
use crate::sets::Walk;

/// Name of the manifest's file.
pub(crate) const MANIFEST_FILE: &str = "manifest";

/// Name of a chunk's file.
pub(crate) fn chunk_file(index: usize) -> String {
    format!("chunk-{index:06}")
}

/// Writes the state after the tip into a folder: `manifest` and `chunk-000000`, ... The store may go on taking blocks.
///
/// # Errors
/// Of the database or the file system.
pub fn export_into(store: &Store, to: &Path) -> anyhow::Result<Manifest> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let manifest = export(store, &mut |index, chunk| {
        let path = to.join(chunk_file(index));
        std::fs::write(&path, chunk)
            .map_err(|error| netchain_store::StoreError::Database(format!("{}: {error}", path.display())))
    })?;
    // Last: a folder with a manifest is whole.
    std::fs::write(to.join(MANIFEST_FILE), manifest.encode())?;
    Ok(manifest)
}

/// As [`export_into`], on a stopped node.
///
/// # Errors
/// As there.
pub fn export_snapshot(layout: &Layout, config: &NodeConfig, to: &Path) -> anyhow::Result<()> {
    let _lock = lock(layout)?;
    let opened = open(layout, config)?;
    let manifest = export_into(&opened.store, to)?;
    let header = &manifest.header;
    let mut out = std::io::stdout();
    writeln!(out, "height {}\nblock {}\nchunks {}", header.number, header.hash(), manifest.chunks.len())?;
    Ok(())
}

pub(crate) fn read_file(path: &Path, most: usize) -> anyhow::Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= most, "{} is too long", path.display());
    Ok(bytes)
}

/// Whether somebody vouches for the block of a snapshot: the witnesses in office, as far as their changes since the genesis are known
/// here (`walk`), or the operator (`trusted`).
///
/// # Errors
/// Nobody does.
pub fn vouched(manifest: &Manifest, genesis: &GenesisBlock, walk: &Walk, trusted: Option<B256>) -> anyhow::Result<()> {
    let hash = manifest.header.hash();
    if trusted == Some(hash) {
        return Ok(());
    }
    let domain = ChainDomain { chain_id: genesis.params.chain_id, genesis: genesis.header.hash() };
    let certificate = Certificate::decode(&manifest.certificate)?;
    let extra = manifest.header.check()?;
    let set = walk.set_at(manifest.header.number).filter(|set| set.hash() == extra.validators_hash);
    let certified = set.is_some_and(|set| certificate.block_hash == hash && certificate.verify(&domain, set).is_ok());
    if !certified {
        bail!(
            "the witnesses that can be followed from the genesis file do not vouch for block {hash}; get its hash from somebody you trust and give it with --trusted"
        );
    }
    Ok(())
}

/// Reads a snapshot into an empty database. Its header must be vouched for; the state root is computed here.
///
/// # Errors
/// It is not what it says, or nobody vouches for it.
pub fn import_snapshot(layout: &Layout, from: &Path, trusted: Option<B256>) -> anyhow::Result<()> {
    let _lock = lock(layout)?;
    let json = std::fs::read(layout.genesis()).context("cannot read the genesis file; try: netchaind init")?;
    let genesis = Genesis::from_json(&json)?.block()?;
    let mut out = std::io::stdout();
    // A closed pipe is no reason to give up.
    let tip = import_folder(layout, from, &genesis, &Walk::new(&genesis)?, trusted, &mut |done, of| {
        let _ = writeln!(out, "{done} of {of} chunks");
    })?;
    let mut out = std::io::stdout();
    writeln!(out, "height {}\nblock {}\nstate root {} verified", tip.height, tip.hash, tip.root)?;
    Ok(())
}

/// As [`import_snapshot`] with the lock held, and with the changes of the witness set that were followed, which are kept. `progress` hears
/// of chunks done and of all.
///
/// # Errors
/// As there.
pub fn import_folder(
    layout: &Layout,
    from: &Path,
    genesis: &GenesisBlock,
    walk: &Walk,
    trusted: Option<B256>,
    progress: &mut dyn FnMut(usize, usize),
) -> anyhow::Result<StoreTip> {
    let manifest = Manifest::decode(&read_file(&from.join(MANIFEST_FILE), MAX_MANIFEST_BYTES)?)?;
    vouched(&manifest, genesis, walk, trusted)?;
    let hash = manifest.header.hash();
    let store = Store::open(&layout.db(), StoreOptions::default())?;
    let chunks = manifest.chunks.len();
    let height = manifest.header.number;
    let mut importer = Importer::new(store.clone(), manifest, hash)?;
    for index in 0..chunks {
        importer.chunk(&read_file(&from.join(chunk_file(index)), MAX_CHUNK_BYTES)?)?;
        if index % 64 == 63 {
            progress(index + 1, chunks);
        }
    }
    let tip = importer.finish()?;
    // Never a later one than the block that is believed.
    for (at, change) in walk.changes().iter().filter(|(at, _)| *at < height) {
        store.keep_set_change(*at, change)?;
    }
    Ok(tip)
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
