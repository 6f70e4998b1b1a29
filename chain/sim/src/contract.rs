//! The witness contract of the simulated chains: a small one in EVM code behind the seam of the real one.
//!
//! Entered by `endBlock` (docs/spec/chain.md, "System transaction"). It adds up rounds and lengths of evidence and keeps the last
//! bitmap of signers, so that the state depends on all that consensus says; and at the end of each epoch it copies the next
//! witness set of a table, laid down at genesis, to where the chain reads the set from.

use alloy_primitives::{Bytes, U256, keccak256};
use netchain_exec::witness::witness_slots;
use netchain_types::WitnessSet;

/// Slots of one set in the table; 21 seats take 85.
const STRIDE: u64 = 128;

fn table() -> U256 {
    U256::from_be_bytes(keccak256("NFC/SIM/SETS").0)
}

fn set_slot() -> U256 {
    U256::from_be_bytes(keccak256("NFC/WITNESS-SET/v1").0)
}

/// Storage at genesis: every set of the table.
#[must_use]
pub fn storage(sets: &[WitnessSet]) -> Vec<(U256, U256)> {
    let mut slots = Vec::new();
    for (set, index) in sets.iter().zip(0u64..) {
        let base = table().wrapping_add(U256::from(index * STRIDE));
        slots.extend(
            witness_slots(set)
                .into_iter()
                .map(|(slot, value)| (base.wrapping_add(slot.wrapping_sub(set_slot())), value)),
        );
    }
    slots
}

/// Writes code with jumps to places that are known later.
#[derive(Default)]
struct Assembler {
    code: Vec<u8>,
}

impl Assembler {
    fn op(&mut self, ops: &[u8]) -> &mut Self {
        self.code.extend_from_slice(ops);
        self
    }

    fn push(&mut self, value: U256) -> &mut Self {
        let bytes = value.to_be_bytes::<32>();
        let skip = bytes.iter().take(31).take_while(|byte| **byte == 0).count();
        let bytes = bytes.get(skip..).unwrap_or_default();
        self.code.push(0x5f + u8::try_from(bytes.len()).unwrap_or(32));
        self.op(bytes)
    }

    fn small(&mut self, value: u64) -> &mut Self {
        self.push(U256::from(value))
    }

    /// `JUMPI` (or `JUMP`) to a place that [`land`](Self::land) fills in.
    fn jump(&mut self, op: u8) -> usize {
        self.op(&[0x61, 0, 0, op]);
        self.code.len() - 3
    }

    fn land(&mut self, from: usize) {
        let here = u16::try_from(self.code.len()).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(place) = self.code.get_mut(from..from + 2) {
            place.copy_from_slice(&here);
        }
        self.op(&[JUMPDEST]);
    }
}

const STOP: u8 = 0x00;
const ADD: u8 = 0x01;
const MUL: u8 = 0x02;
const DIV: u8 = 0x04;
const MOD: u8 = 0x06;
const EQ: u8 = 0x14;
const ISZERO: u8 = 0x15;
const CALLDATALOAD: u8 = 0x35;
const NUMBER: u8 = 0x43;
const SLOAD: u8 = 0x54;
const SSTORE: u8 = 0x55;
const JUMP: u8 = 0x56;
const JUMPI: u8 = 0x57;
const JUMPDEST: u8 = 0x5b;
const DUP1: u8 = 0x80;
const DUP2: u8 = 0x81;
const DUP3: u8 = 0x82;

/// Runtime code for epochs of `epoch` blocks over `sets` sets of at most `seats` seats.
#[must_use]
pub fn code(epoch: u64, sets: usize, seats: usize) -> Bytes {
    let mut a = Assembler::default();
    // slot 0 += round; slot 1 = signers of the carried certificate; slot 2 += bytes of evidence.
    a.small(36).op(&[CALLDATALOAD]).small(0).op(&[SLOAD, ADD]).small(0).op(&[SSTORE]);
    a.small(68).op(&[CALLDATALOAD]).small(1).op(&[SSTORE]);
    a.small(132).op(&[CALLDATALOAD]).small(2).op(&[SLOAD, ADD]).small(2).op(&[SSTORE]);
    // Only at the end of an epoch.
    a.small(epoch).op(&[NUMBER, MOD, ISZERO]);
    let change = a.jump(JUMPI);
    a.op(&[STOP]);
    a.land(change);
    // base = table + (number / epoch % sets) * stride; i = 0.
    a.small(STRIDE).small(sets as u64).small(epoch).op(&[NUMBER, DIV, MOD, MUL]).push(table()).op(&[ADD]).small(0);
    let top = u16::try_from(a.code.len()).unwrap_or(u16::MAX).to_be_bytes();
    a.op(&[JUMPDEST, DUP1]).small(1 + 4 * seats as u64).op(&[EQ]);
    let end = a.jump(JUMPI);
    // set[i] = table[i]; i += 1.
    a.op(&[DUP1, DUP3, ADD, SLOAD, DUP2]).push(set_slot()).op(&[ADD, SSTORE]);
    a.small(1).op(&[ADD, 0x61]).op(&top).op(&[JUMP]);
    a.land(end);
    a.op(&[STOP]);
    a.code.into()
}
