//! A new node's start: the newest snapshot that somebody vouches for, its chunks from several peers at a time, all of it
//! verified here. Chunks stay on the disk until the import is done, so that a broken fetch goes on where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use alloy_primitives::{B256, keccak256};
use anyhow::{Context as _, bail, ensure};
use netchain_exec::{Genesis, GenesisBlock};
use netchain_net::{NetCommand, NetConfig, NetEvent, NetHandle, SnapshotInfo, SyncRequest, SyncResponse};
use netchain_store::snapshot::{MAX_CHUNK_BYTES, Manifest};
use netchain_types::ChainDomain;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::{Layout, NodeConfig};
use crate::keys::read_node_key;
use crate::offline::{MANIFEST_FILE, chunk_file, import_folder, read_file, vouched};
use crate::service::{addresses, lock};
use crate::sets::Walk;

/// For peers to say what they have: connecting takes a second or two.
const OFFER_TIME: Duration = Duration::from_secs(60);
/// After the first good offer, for others to come: more peers, more speed.
const MORE_TIME: Duration = Duration::from_secs(3);
/// Without any chunk arriving: the peers are gone or have nothing more.
const STALLED_TIME: Duration = Duration::from_secs(90);
/// Before a peer that had nothing is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// Between lines of progress.
const PROGRESS_TIME: Duration = Duration::from_secs(5);
/// Before a peer that answered "busy" or nothing is asked again.
const REST_TIME: Duration = Duration::from_secs(2);
/// Offers looked at again when more is known of the witnesses: those of some twenty peers.
const MAX_OFFERS: usize = 64;
/// Times a peer may fail before it is left alone.
const MAX_FAILURES: u32 = 5;

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Height of the snapshot.
    pub height: u64,
    /// Its block.
    pub block: B256,
    /// Chunks each peer gave.
    pub peers: BTreeMap<u64, usize>,
    /// Chunks of an earlier attempt that were on the disk.
    pub kept: usize,
}

/// Peers that offer one snapshot.
struct Offer {
    manifest: Manifest,
    peers: BTreeSet<u64>,
}

/// Fetches and imports a snapshot into the empty database of a folder, whose node does not run. `trusted`: hash of a block from
/// somebody the operator trusts; without it the witnesses in office must have signed the snapshot's block, as followed from the genesis file
/// through the certificates of every change of the set.
///
/// # Errors
/// Nobody offers a snapshot to believe, the peers went away, or the state is not what the header says.
pub async fn fetch_snapshot(layout: &Layout, config: &NodeConfig, trusted: Option<B256>) -> anyhow::Result<Fetched> {
    let _lock = lock(layout)?;
    let json = std::fs::read(layout.genesis()).context("cannot read the genesis file; try: netchaind init")?;
    let genesis = Genesis::from_json(&json)?.block()?;
    let (net, events) = netchain_net::start(NetConfig {
        chain: ChainDomain { chain_id: genesis.params.chain_id, genesis: genesis.header.hash() },
        identity: *read_node_key(&layout.node_key())?,
        listen: addresses(&config.net.listen)?,
        external: addresses(&config.net.external)?,
        bootnodes: addresses(&config.net.bootnodes)?,
        witness: None,
        sync_blocks: false,
    })?;
    let mut fetch = Fetch { net, events, failures: BTreeMap::new(), rests: BTreeMap::new() };
    let mut walk = Walk::new(&genesis)?;
    let offer = fetch.best_offer(&genesis, &mut walk, trusted).await?;
    if walk.is_weak() && trusted.is_none() {
        // Who left office long ago can sign another history and lose nothing by it.
        tracing::warn!(
            block = %offer.manifest.header.hash(),
            elections = walk.changes().len(),
            "believed from the genesis file on, through witnesses that left long ago; compare the block with somebody you trust"
        );
    }
    let folder = layout.fetched();
    let fetched = fetch.chunks(&offer, &folder).await?;
    // The ports must be free when the node starts: wait until the task is gone.
    let Fetch { net, events, .. } = fetch;
    let mut watch = net.watch();
    drop((net, events));
    while watch.changed().await.is_ok() {}
    let (layout, header) = (layout.clone(), offer.manifest.header.hash());
    tracing::info!(height = fetched.height, "snapshot complete, its state root is computed");
    tokio::task::spawn_blocking(move || {
        import_folder(&layout, &layout.fetched(), &genesis, &walk, Some(header), &mut |done, of| {
            tracing::info!(done, of, "chunks imported");
        })?;
        std::fs::remove_dir_all(layout.fetched()).context("the fetched chunks cannot be removed")
    })
    .await??;
    Ok(fetched)
}

struct Fetch {
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    failures: BTreeMap<u64, u32>,
    rests: BTreeMap<u64, Instant>,
}

impl Fetch {
    /// The next answer of a peer, none when `until` comes first. Whatever else the network says is of no use yet.
    async fn answer(&mut self, until: Instant) -> anyhow::Result<Option<(u64, Option<SyncResponse>)>> {
        loop {
            match tokio::time::timeout_at(until, self.events.recv()).await {
                Err(_) => return Ok(None),
                Ok(None) => bail!("the network ended"),
                Ok(Some(NetEvent::Response(peer, response))) => return Ok(Some((peer, response))),
                Ok(Some(NetEvent::Request(id, _))) => drop(self.net.send(NetCommand::Respond(id, SyncResponse::Busy))),
                Ok(Some(NetEvent::Consensus { .. } | NetEvent::Block { .. } | NetEvent::Transactions(..))) => {}
            }
        }
    }

    /// Asks every peer for its snapshots and for changes of the witness set, and takes the newest snapshot to believe with all that
    /// offer it.
    async fn best_offer(
        &mut self,
        genesis: &GenesisBlock,
        walk: &mut Walk,
        trusted: Option<B256>,
    ) -> anyhow::Result<Offer> {
        let mut end = Instant::now() + OFFER_TIME;
        let (mut asked, mut asked_for_changes) = (BTreeSet::new(), BTreeSet::new());
        let mut offers = Offers::default();
        while Instant::now() < end {
            for peer in self.net.status().peers {
                if asked.insert(peer.number) {
                    self.net.send(NetCommand::Request(peer.number, SyncRequest::Snapshots));
                }
                if trusted.is_none() && asked_for_changes.insert(peer.number) {
                    self.net.send(NetCommand::Request(peer.number, SyncRequest::SetChanges(walk.height())));
                }
            }
            let soon = end.min(Instant::now() + Duration::from_millis(200));
            let Some((peer, response)) = self.answer(soon).await? else { continue };
            let had_none = offers.good.is_empty();
            match response {
                Some(SyncResponse::Snapshots(infos)) if infos.is_empty() => {
                    // It may have one later.
                    asked.remove(&peer);
                    tokio::time::sleep(PAUSE).await;
                }
                Some(SyncResponse::Snapshots(infos)) => {
                    offers.waiting.retain(|(from, _)| *from != peer);
                    offers.waiting.extend(infos.into_iter().map(|info| (peer, info)));
                }
                Some(SyncResponse::SetChanges(changes)) => {
                    let before = walk.height();
                    if let Err(error) = walk.follow(&changes) {
                        tracing::debug!(peer, error = format!("{error:#}"), "a change of the witness set is not taken");
                    }
                    if walk.height() > before {
                        // There may be more, here or elsewhere.
                        asked_for_changes.clear();
                    }
                }
                Some(SyncResponse::Busy) => {
                    asked.remove(&peer);
                    asked_for_changes.remove(&peer);
                    tokio::time::sleep(PAUSE).await;
                }
                Some(SyncResponse::Status(..) | SyncResponse::Blocks(_) | SyncResponse::Chunk(_)) | None => {}
            }
            offers.judge(genesis, walk, trusted);
            if had_none && !offers.good.is_empty() {
                end = end.min(Instant::now() + MORE_TIME);
            }
        }
        offers.best()
    }

    /// Gets all chunks into a folder, one at a time from each peer.
    async fn chunks(&mut self, offer: &Offer, folder: &Path) -> anyhow::Result<Fetched> {
        let manifest = &offer.manifest;
        let height = manifest.header.number;
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(MANIFEST_FILE), manifest.encode())?;
        let good = |index: &usize| {
            let read = read_file(&folder.join(chunk_file(*index)), MAX_CHUNK_BYTES);
            read.is_ok_and(|bytes| manifest.is_chunk(*index, &bytes))
        };
        let mut missing: BTreeSet<usize> = (0..manifest.chunks.len()).filter(|index| !good(index)).collect();
        let kept = manifest.chunks.len() - missing.len();
        let mut fetched = Fetched { height, block: manifest.header.hash(), peers: BTreeMap::new(), kept };
        let mut asked: BTreeMap<u64, usize> = BTreeMap::new();
        let (mut last_line, mut last_chunk) = (Instant::now(), Instant::now());
        while !missing.is_empty() {
            ensure!(
                last_chunk.elapsed() < STALLED_TIME,
                "no peer gives the rest of the snapshot; start again to go on"
            );
            self.ask_for_chunks(offer, &missing, &mut asked);
            if let Some((peer, response)) = self.answer(Instant::now() + Duration::from_millis(200)).await? {
                let Some(index) = asked.remove(&peer) else { continue };
                match response {
                    Some(SyncResponse::Chunk(bytes)) if manifest.is_chunk(index, &bytes) => {
                        std::fs::write(folder.join(chunk_file(index)), &bytes)?;
                        missing.remove(&index);
                        *fetched.peers.entry(peer).or_insert(0) += 1;
                        self.failures.remove(&peer);
                        last_chunk = Instant::now();
                    }
                    Some(SyncResponse::Busy) => self.rest(peer),
                    Some(_) | None => {
                        *self.failures.entry(peer).or_insert(0) += 1;
                        self.rest(peer);
                    }
                }
            }
            if last_line.elapsed() >= PROGRESS_TIME || missing.is_empty() {
                last_line = Instant::now();
                let (of, peers) = (manifest.chunks.len(), fetched.peers.len());
                tracing::info!(height, done = of - missing.len(), of, peers, "fetching a snapshot");
            }
        }
        Ok(fetched)
    }

    fn ask_for_chunks(&mut self, offer: &Offer, missing: &BTreeSet<usize>, asked: &mut BTreeMap<u64, usize>) {
        let connected: BTreeSet<u64> = self.net.status().peers.iter().map(|peer| peer.number).collect();
        asked.retain(|peer, _| connected.contains(peer));
        for peer in offer.peers.intersection(&connected) {
            let rests = self.rests.get(peer).is_some_and(|until| *until > Instant::now());
            let failed = self.failures.get(peer).is_some_and(|count| *count >= MAX_FAILURES);
            if rests || failed || asked.contains_key(peer) {
                continue;
            }
            let taken: BTreeSet<usize> = asked.values().copied().collect();
            let Some(index) = missing.iter().find(|index| !taken.contains(index)) else { return };
            if self
                .net
                .send(NetCommand::Request(*peer, SyncRequest::Chunk(offer.manifest.header.number, *index as u64)))
            {
                asked.insert(*peer, *index);
            }
        }
    }

    fn rest(&mut self, peer: u64) {
        self.rests.insert(peer, Instant::now() + REST_TIME);
    }
}

/// What peers offer, at most four snapshots each.
#[derive(Default)]
struct Offers {
    /// To be believed, by height and chunks: certificates differ from node to node, the chunks do not.
    good: BTreeMap<(u64, B256), Offer>,
    /// Not yet: the change of the set that leads there may still come.
    waiting: Vec<(u64, SnapshotInfo)>,
    refused: Option<anyhow::Error>,
}

impl Offers {
    /// Looks once more at what waits.
    fn judge(&mut self, genesis: &GenesisBlock, walk: &Walk, trusted: Option<B256>) {
        for (peer, info) in std::mem::take(&mut self.waiting) {
            match believable(&info, genesis, walk, trusted) {
                Ok(manifest) => {
                    let key = (info.height, keccak256(alloy_rlp::encode(&manifest.chunks)));
                    let offer = self.good.entry(key).or_insert_with(|| Offer { manifest, peers: BTreeSet::new() });
                    offer.peers.insert(peer);
                }
                Err(error) => {
                    tracing::debug!(peer, error = format!("{error:#}"), "an offered snapshot is not taken");
                    self.refused = Some(error);
                    self.waiting.push((peer, info));
                }
            }
        }
        // The newest peers are those that are still there.
        let too_many = self.waiting.len().saturating_sub(MAX_OFFERS);
        self.waiting.drain(..too_many);
    }

    fn best(mut self) -> anyhow::Result<Offer> {
        match (self.good.pop_last(), self.refused) {
            (Some((_, offer)), _) => Ok(offer),
            (None, Some(error)) => Err(error.context("no snapshot that is offered can be believed")),
            (None, None) => bail!("no peer offers a snapshot; see [net] bootnodes, or sync all blocks"),
        }
    }
}

/// Reads an offered manifest and checks that somebody vouches for its block.
fn believable(
    info: &SnapshotInfo,
    genesis: &GenesisBlock,
    walk: &Walk,
    trusted: Option<B256>,
) -> anyhow::Result<Manifest> {
    let manifest = Manifest::decode(&info.manifest)?;
    let of_this = manifest.header.hash() == info.block_hash && manifest.header.number == info.height;
    ensure!(of_this, "the manifest is of another block");
    ensure!(!manifest.chunks.is_empty(), "the manifest names no chunk");
    vouched(&manifest, genesis, walk, trusted)?;
    Ok(manifest)
}
