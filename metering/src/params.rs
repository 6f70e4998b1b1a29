//! Parameters of NFC-PoVF/1. Every one is a governance parameter of the network; the values are those of the reference
//! vectors (`vectors/povf_vectors.json`, key `params`), and a test holds the two equal.

/// One whole, as parts per million.
pub const PPM: u64 = 1_000_000;
/// Base units of one NFC or one NB.
pub const ATTO: u128 = 1_000_000_000_000_000_000;
/// Bytes of one step of the decay curve (one decimal exabyte).
pub const EXABYTE: u128 = 1_000_000_000_000_000_000;

/// Length of a slot: short enough that a lost ring costs little, long enough that 140 bytes of SlotRoot are nothing.
pub const SLOT_SECONDS: u32 = 8;
/// Length of an epoch, the unit of claims, vouchers and settlement.
pub const EPOCH_SECONDS: u32 = 600;
/// Slots of one epoch.
pub const SLOTS_PER_EPOCH: u32 = EPOCH_SECONDS / SLOT_SECONDS;
/// A hop counts a packet of a slot from this long before the slot starts until this long after it ends: +-2 s of clock
/// skew and 1 s of path delay.
pub const SLOT_GRACE_MS: u64 = 3_000;
/// SlotRoots are accepted until this long after the end of the slot.
pub const COMMIT_MS: u64 = 4_000;
/// The sampling key of a slot comes from the first final block this long after the end of the slot; 12 s after the
/// last commitment, so that four producers in a row would have to conspire.
pub const REVEAL_MS: u64 = 16_000;
/// Sampled records and leaves are kept this long after the end of a slot: reveal plus 60 s for openings, with slack for
/// a chain that stands still for a few rounds.
pub const OPENING_MS: u64 = 96_000;

/// Records under one Merkle leaf (16 x 8 bytes: two SHA-256 blocks).
pub const LEAF_RECORDS: usize = 16;
/// An audited flow-slot shows 2^6 to 2^7 - 1 expected samples.
pub const SAMPLE_EXP: u32 = 6;
/// The lottery audits one flow-slot per this many carried bytes.
pub const AUDIT_BYTES: u64 = 128 << 20;
/// Bound, in standard deviations, of the count and byte tests: 2e-9 false alarms for a normal variable.
pub const Z_BOUND: u64 = 6;
/// Sampled records whose leaf an opening must show.
pub const OPENED_RECORDS: usize = 8;
/// Leaves of records an opening must show whatever was sampled: they catch a hop that hides samples it should have
/// disclosed, which the opened samples cannot.
pub const DRAWN_LEAVES: u64 = 4;
/// Leaves of records one opening shows at most.
pub const MAX_OPENED: usize = 12;
const _: () = assert!(MAX_OPENED as u64 == OPENED_RECORDS as u64 + DRAWN_LEAVES);

/// log2(1.01) x 65536: one per cent between two counts is free.
pub const TAU0_Q16: u32 = 941;
/// log2(1.20) x 65536: an over-claim of 20 % makes the coefficient zero.
pub const TAU1_Q16: u32 = 17_239;
/// One octave: 50 % loss on a segment makes the coefficient zero.
pub const TAU2_Q16: u32 = 65_536;
/// A difference of this many bytes is never a mismatch, so that a flow of ten packets may lose two.
pub const SLACK_BYTES: u64 = 65_536;
/// Duplicates that cost nothing.
pub const DUP_FREE_PPM: u64 = 20_000;
/// The provider may be paid this much above what the payer acknowledged: half of the tolerance.
pub const LOSS_SHARE_PPM: u64 = 5_000;
/// Relays may be paid this much above the acknowledged goodput: retransmissions inside the session.
pub const RETX_MAX_PPM: u64 = 150_000;
/// Two-way hedging ratio: full netting.
pub const ETA_PPM: u64 = 1_000_000;
/// Bytes a payee serves beyond the acknowledged ones before it stops.
pub const CREDIT_WINDOW: u32 = 4 << 20;

/// Value minted is at most this share of the value burnt.
pub const ALPHA_PPM: u64 = 900_000;
/// Reward of one epoch per pledge: about 2 % a day, which bounds the damage of any defect.
pub const KAPPA_EPOCH_PPM: u64 = 139;
/// Share of traffic rewards that goes to the shared prize pool.
pub const POOL_PPM: u64 = 40_000;
/// Share of an edge node's reward that goes to the root and central nodes that serve it.
pub const SERVICE_PPM: u64 = 60_000;
/// Lock bonus paid from the pool, as a share of the withdrawal; above it self-traffic would pay again.
pub const Y_MAX_PPM: u64 = 50_000;
/// Atto-NB per byte under which traffic does not advance the decay curve ($0.001/GB).
pub const PRICE_FLOOR: u64 = 1_000_000;

/// Traffic vault: 64 % of the supply, in atto-NFC.
pub const TRAFFIC_VAULT: u128 = 1_344_000_000 * ATTO;
/// floor(2^128 x 2^(-1000/51709)): what one exabyte leaves of the vault.
pub const RHO: u128 = 0xfc97_5deb_64b9_2827_420c_64a9_605b_a6a1;

/// Relays of one contract: a path longer than ten hops earns nobody anything.
pub const MAX_RELAYS: usize = 8;
/// Hops of one path: both ends and the relays.
pub const MAX_HOPS: usize = MAX_RELAYS + 2;
/// Samples of one opening. Honest openings pass the count test with at most 2,047 + 6 x sqrt(2,048) = 2,319; the limit
/// leaves a lying hop room to be seen lying and a parser none to be exhausted.
pub const MAX_SAMPLES: usize = 4_096;
/// Doublings of the sample in slots that carry more than [`AUDIT_BYTES`]: to 2 GiB a slot (2 Gbit/s in one flow) every
/// 128 MiB shows at least 64 samples; above, openings stay below 40 KiB.
pub const MAX_EXTRA_LEVELS: u8 = 4;
/// Depth of a Merkle path: 2^32 leaves.
pub const MAX_PATH: usize = 32;
