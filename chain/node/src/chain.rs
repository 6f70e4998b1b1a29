//! The chain as consensus sees it: executor, store and mempool behind [`Application`].

use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::{Address, B256, Bytes};
use netchain_consensus::block::{MAX_BLOCK_BYTES, MAX_BLOCK_EVIDENCE};
use netchain_consensus::{Application, Block, BlockParts, CertifiedBlock, Draft, Evidence, Invalid, Tip};
use netchain_exec::witness::read_witness_set;
use netchain_exec::{BlockContext, ExecutedBlock, Executor, SignedTransaction, order_after};
use netchain_exec::{ExecError, encode_senders, roots_of_body, with_context};
use netchain_rpc::{ReadBlock, RecentBlocks};
use netchain_state::{Account, State, StateChanges, StateError, StateUpdate, TablesState};
use netchain_store::{BlockBytes, NewBlock, Store, StoreError, transactions_of};
use netchain_types::header::with_extra;
use netchain_types::{Certificate, ChainDomain, ConsensusExtra, Header, ProposerOrder, WitnessSet, next_mix};
use tokio::sync::broadcast;

use crate::cpu::{Work, spend};
use crate::mempool::Limits;
use crate::offer::Offer;
use crate::pace::Pace;
use crate::recover::decode_all;
use crate::reveal::{RevealKey, verify_reveal};
use crate::sets::note;
use crate::txpool::TxPool;

/// Bytes of a block's body: the rest of [`MAX_BLOCK_BYTES`] holds header, certificate and evidence of at most 7 KB, and the
/// message around it.
const MAX_BODY_BYTES: usize = MAX_BLOCK_BYTES - (64 << 10);

/// What came of the block that was executed last, kept until it is committed: a block is executed once, not three times.
struct Done {
    hash: B256,
    executed: ExecutedBlock,
    update: StateUpdate,
}

/// Why the chain cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state holds no witness set, or the set that voted on the tip is not known.
    #[error("the state names no witnesses: {0}")]
    Witnesses(String),
    /// The headers do not tell who makes the next block.
    #[error("the order of creators cannot be derived: headers are missing")]
    Order,
}

/// Execution, store and mempool of one chain.
pub struct Chain {
    store: Store,
    executor: Executor,
    domain: ChainDomain,
    pool: Arc<TxPool>,
    reveal: Option<RevealKey>,
    heads: broadcast::Sender<u64>,
    recent: Arc<RecentBlocks>,
    tip: Tip,
    header: Header,
    done: Option<Done>,
    pace: Pace,
}

impl Chain {
    /// Opens the chain at the store's tip. `heads` hears of every committed height.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn open(
        store: Store,
        executor: Executor,
        domain: ChainDomain,
        pool: Arc<TxPool>,
        reveal: Option<RevealKey>,
        heads: broadcast::Sender<u64>,
    ) -> Result<Self, ChainError> {
        let height = store.tip().ok_or(StoreError::Empty)?.height;
        let header = store.header(height)?.ok_or(StoreError::Corrupt("the header of the tip is missing"))?;
        let next = witnesses(&TablesState(&store.latest()), &executor)?;
        let extra = header.check().map_err(|_| StoreError::Corrupt("the header of the tip is not readable"))?;
        let voted = if extra.validators_hash == next.hash() {
            next.clone()
        } else {
            witnesses(&store.state_at(height.saturating_sub(1))?, &executor)?
        };
        // A full disk must not keep a node from starting: it reads, and says what is wrong when it has something to write.
        if let Err(error) = store.keep_witness_set(&voted).and_then(|()| note(&store, &header, &next)) {
            tracing::warn!(%error, "the witness set cannot be noted");
        }
        let tip = tip_of(&store, &header, voted, next)?;
        Ok(Self {
            store,
            executor,
            domain,
            pool,
            reveal,
            heads,
            recent: Arc::default(),
            tip,
            header,
            done: None,
            pace: Pace::default(),
        })
    }

    /// Hands every committed block to RPC's blocks in memory.
    #[must_use]
    pub fn with_recent(self, recent: Arc<RecentBlocks>) -> Self {
        Self { recent, ..self }
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    fn context(&self, block: &Block) -> BlockContext {
        let bitmap = block.last_commit().map_or(0, Certificate::bitmap);
        BlockContext::of(block.header(), block.extra(), bitmap, evidence_bytes(block.evidence()))
    }

    /// Executes a block on the tip; the result is kept for its commit.
    fn execute(&mut self, block: &Block) -> Result<(), Invalid> {
        if self.done.as_ref().is_some_and(|done| done.hash == block.hash()) {
            return Ok(());
        }
        let (header, extra) = (block.header(), block.extra());
        let seat = self.tip.next.seats().iter().find(|seat| seat.account == header.beneficiary);
        let key = seat.map(|seat| seat.reveal_key).ok_or(Invalid("creator"))?;
        if header.mix_hash != next_mix(&self.header.mix_hash, &extra.reveal) {
            return Err(Invalid("randomness"));
        }
        if !verify_reveal(&key, &self.domain, header.number, &extra.reveal) {
            return Err(Invalid("reveal"));
        }
        let transactions = self.transactions(block)?;
        let context = self.context(block);
        let latest = self.store.latest();
        let began = Instant::now();
        let run = || self.executor.execute(TablesState(&latest), &context, &transactions);
        let executed = spend(Work::Execution, run).map_err(|error| refused(&error))?;
        let update = spend(Work::Roots, || {
            self.executor.check(header, &self.header, &executed).map_err(|error| refused(&error))?;
            self.store.prepare(&executed.changes).map_err(|_| Invalid("the state cannot be read here"))
        })?;
        if update.root != header.state_root {
            return Err(Invalid("state root"));
        }
        let next = self.set_after(&executed.changes).map_err(|_| Invalid("it leaves no witness set"))?;
        if next.hash() != extra.next_validators_hash {
            return Err(Invalid("next witness set"));
        }
        self.pace.took(header.gas_used, began.elapsed());
        self.done = Some(Done { hash: block.hash(), executed, update });
        Ok(())
    }

    /// The block's transactions; those that wait here too are not recovered again.
    fn transactions(&self, block: &Block) -> Result<Vec<SignedTransaction>, Invalid> {
        let raws = transactions_of(block.body()).map_err(|_| Invalid("body"))?;
        let hashes: Vec<B256> = raws.iter().map(alloy_primitives::keccak256).collect();
        let known = self.pool.get_all(&hashes);
        // The last one is the system's: never in the pool, so it is the last here too.
        let unknown: Vec<Bytes> =
            raws.into_iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(raw, _)| raw).collect();
        let mut read = decode_all(&unknown, self.domain.chain_id, true).into_iter();
        let all = known.into_iter().map(|known| known.map_or_else(|| read.next()?.ok(), Some));
        all.collect::<Option<Vec<_>>>().ok_or(Invalid("a transaction is none"))
    }

    /// The set that votes on the block after one that changes this.
    fn set_after(&self, changes: &StateChanges) -> Result<WitnessSet, ChainError> {
        let latest = self.store.latest();
        witnesses(&Changed { below: TablesState(&latest), changes }, &self.executor)
    }

    fn build(&mut self, draft: &Draft<'_>) -> Option<Block> {
        let reveal = self.reveal.as_ref()?.reveal(&self.domain, self.tip.height + 1);
        let last_commit: Vec<Certificate> = draft.last_commit.cloned().into_iter().collect();
        let evidence: Vec<Evidence> = draft.evidence.iter().take(MAX_BLOCK_EVIDENCE).cloned().collect();
        let mut header = Header {
            parent_hash: self.tip.hash,
            beneficiary: draft.creator,
            number: self.tip.height + 1,
            timestamp: draft.now.unix_s.max(self.tip.timestamp + 1),
            mix_hash: next_mix(&self.header.mix_hash, &reveal),
            base_fee_per_gas: self.executor.params().next_base_fee(&self.header),
            ..Header::blank()
        };
        let mut extra = ConsensusExtra {
            round: draft.round,
            shuffle_round: self.tip.order.shuffle_round,
            slot: self.tip.order.slot,
            reveal: Bytes::copy_from_slice(&reveal),
            last_commit_hash: last_commit.first().map_or(B256::ZERO, Certificate::hash),
            validators_hash: self.tip.next.hash(),
            next_validators_hash: B256::ZERO,
        };
        let bitmap = last_commit.first().map_or(0, Certificate::bitmap);
        let context = BlockContext::of(&header, &extra, bitmap, evidence_bytes(&evidence));
        let user_gas = self.executor.params().user_gas();
        // Gas limits are not gas used: what is offered may add up to several blocks.
        let budget = self.pace.budget(draft.round, user_gas);
        let gas = budget.saturating_mul(4).max(Limits::default().max_gas);
        let best = spend(Work::Pool, || self.pool.best(gas, MAX_BODY_BYTES));
        let mut offer = Offer::new(best, &self.pool, user_gas - budget);
        let latest = self.store.latest();
        let executed =
            spend(Work::Execution, || self.executor.build(TablesState(&latest), &context, &mut offer, MAX_BODY_BYTES));
        let executed = executed.map_err(|error| tracing::error!(%error, "no block can be built")).ok()?;
        let update = spend(Work::Roots, || {
            let update = self.store.prepare(&executed.changes).ok()?;
            executed.fill(&mut header, self.executor.params().gas_limit, update.root);
            Some(update)
        })?;
        extra.next_validators_hash = self.set_after(&executed.changes).ok()?.hash();
        let body = executed.body();
        let block = Block::new(BlockParts { header: with_extra(header, &extra), last_commit, evidence, body }).ok()?;
        self.done = Some(Done { hash: block.hash(), executed, update });
        Some(block)
    }

    fn keep(&mut self, block: &Block, certificate: &Certificate) -> Result<(), Invalid> {
        self.execute(block)?;
        let failed = |error: StoreError| {
            tracing::error!(%error, height = block.height(), "a final block cannot be kept");
            Invalid("the store failed")
        };
        let Some(Done { executed, update, .. }) = self.done.take() else { return Err(Invalid("not executed")) };
        let bytes = spend(Work::Commit, || {
            let new = NewBlock {
                block: BlockBytes::new(block.encode().into())?,
                receipts: executed.receipt_bytes(),
                certificate: certificate.encode().into(),
                notes: encode_senders(&executed.transactions),
            };
            self.store.commit(&new, &update)?;
            Ok::<_, StoreError>(new.block.bytes.len())
        });
        let size = bytes.map_err(failed)?;
        let next = witnesses(&TablesState(&self.store.latest()), &self.executor).map_err(|_| Invalid("witness set"))?;
        let voted = std::mem::replace(&mut self.tip.next, next.clone());
        if next != voted
            && let Err(error) = note(&self.store, block.header(), &next)
        {
            // The block is committed. The set is written once more at the next start.
            tracing::warn!(%error, "the new witness set cannot be noted");
        }
        self.header = block.header().clone();
        self.tip = tip_of(&self.store, &self.header, voted, next).map_err(|_| Invalid("order of creators"))?;
        let base_fee = u128::from(self.executor.params().next_base_fee(&self.header));
        spend(Work::Pool, || self.pool.block(&executed.changes, base_fee));
        let ExecutedBlock { transactions, receipts, .. } = executed;
        let receipts = with_context(receipts, &transactions, block.header().base_fee_per_gas);
        let (header, hash, context) = (block.header().clone(), block.hash(), self.context(block));
        self.recent.insert(Arc::new(ReadBlock { header, hash, size, transactions, receipts, context }));
        // Nobody listening is no failure.
        let _ = self.heads.send(block.height());
        Ok(())
    }
}

impl Application for Chain {
    fn tip(&self) -> Tip {
        self.tip.clone()
    }

    fn propose(&mut self, draft: &Draft<'_>) -> Option<Block> {
        self.build(draft)
    }

    fn binds(&self, block: &Block) -> bool {
        if roots_of_body(block.body()) != Some(block.header().transactions_root) {
            return false;
        }
        // Evidence and certificate are committed to by the system transaction, the last of the body.
        let system = self.executor.system_transaction(&self.context(block));
        let last = transactions_of(block.body()).ok().and_then(|raws| raws.last().cloned());
        system.is_ok_and(|system| last.as_ref() == Some(system.bytes()))
    }

    fn validate(&mut self, block: &Block) -> Result<(), Invalid> {
        let result = self.execute(block);
        if let Err(Invalid(why)) = result {
            tracing::warn!(why, height = block.height(), hash = %block.hash(), "a block is invalid");
        }
        result
    }

    fn commit(&mut self, block: &Block, certificate: &Certificate) -> Result<(), Invalid> {
        self.keep(block, certificate)
    }

    fn certified(&self, height: u64) -> Option<CertifiedBlock> {
        certified(&self.store, height)
    }
}

/// A committed block with its certificate; none when it is not kept, and for the genesis.
#[must_use]
pub fn certified(store: &Store, height: u64) -> Option<CertifiedBlock> {
    let block = store.block(height).ok()??;
    let certificate = store.certificate(height).ok()??;
    Some(CertifiedBlock {
        block: Block::decode(&block.bytes).ok()?,
        certificate: Certificate::decode(&certificate).ok()?,
    })
}

/// A state with a block's changes on top: who votes next is read from it before it is committed.
struct Changed<'a, S> {
    below: S,
    changes: &'a StateChanges,
}

impl<S: State> State for Changed<'_, S> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        self.changes.accounts.get(address).map_or_else(|| self.below.account(address), |change| Ok(change.account))
    }

    fn storage(&self, address: &Address, slot: &alloy_primitives::U256) -> Result<alloy_primitives::U256, StateError> {
        let change = self.changes.accounts.get(address);
        match change.and_then(|change| change.storage.get(slot)) {
            Some(value) => Ok(*value),
            None if change.is_some_and(|change| change.wiped) => Ok(alloy_primitives::U256::ZERO),
            None => self.below.storage(address, slot),
        }
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        self.changes.codes.get(hash).map_or_else(|| self.below.code(hash), |code| Ok(code.clone()))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.below.block_hash(number)
    }
}

fn witnesses<S: State>(state: &S, executor: &Executor) -> Result<WitnessSet, ChainError> {
    let contract = executor.params().witness_contract;
    read_witness_set(state, &contract).map_err(|error| ChainError::Witnesses(error.to_string()))
}

fn tip_of(store: &Store, header: &Header, voted: WitnessSet, next: WitnessSet) -> Result<Tip, ChainError> {
    let seats = u8::try_from(next.len()).unwrap_or(u8::MAX);
    let older = |height| store.header(height).ok().flatten();
    let order: ProposerOrder = order_after(header, seats, &older).ok_or(ChainError::Order)?;
    Ok(Tip { height: header.number, hash: header.hash(), timestamp: header.timestamp, voted, next, order })
}

fn evidence_bytes(evidence: &[Evidence]) -> Bytes {
    let mut bytes = Vec::new();
    alloy_rlp::encode_list(evidence, &mut bytes);
    bytes.into()
}

fn refused(error: &ExecError) -> Invalid {
    tracing::warn!(%error, "a block is refused");
    match error {
        ExecError::Read(_) => Invalid("the state cannot be read here"),
        ExecError::Transaction { .. } | ExecError::Decode(_) | ExecError::Gas(_) => Invalid("transaction"),
        ExecError::System | ExecError::SystemFailed => Invalid("system transaction"),
        ExecError::Evm(_) => Invalid("execution"),
        ExecError::Header(field) => Invalid(field),
    }
}
