//! A collector's batches: complete, bounded, and no place for two roots of one node.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ed25519_dalek::SigningKey;
use netflow_metering::collect::{CollectError, Collected, Collector};
use netflow_metering::ids::{PartyKey, Slot};
use netflow_metering::wire::{Signed, SlotRoot, View, WireError};

const SLOT: Slot = Slot(318_150);

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn root(n: u8, slot: Slot, mark: u8) -> Signed<SlotRoot> {
    let node = PartyKey(key(n).verifying_key().to_bytes());
    Signed::sign(SlotRoot { slot, n_leaves: 1, node, root: [mark; 32] }, &key(n))
}

fn view(root: &Signed<SlotRoot>) -> View<SlotRoot> {
    View::new_checked(&root.to_bytes()).unwrap()
}

#[test]
fn every_node_gets_a_receipt_that_holds_against_the_chain() {
    let mut collector = Collector::new(100);
    let roots: Vec<_> = (1..=37).map(|n| root(n, SLOT, n)).collect();
    for r in &roots {
        assert_eq!(collector.handle_root(view(r), SLOT.end_ms() + 1), Ok(Collected::Accepted(r.clone())));
        assert_eq!(collector.handle_root(view(r), SLOT.end_ms() + 2), Ok(Collected::Known));
    }
    assert!(collector.poll_batches(SLOT.end_ms() + 4_000).is_empty());
    let batches = collector.poll_batches(SLOT.end_ms() + 4_001);
    assert_eq!((batches.len(), batches[0].slot(), batches[0].roots().len()), (1, SLOT, 37));
    for r in &roots {
        let receipt = batches[0].receipt(&r.body().node).unwrap();
        assert!(receipt.verify(r, &batches[0].root()));
        assert!(!receipt.verify(&root(99, SLOT, 1), &batches[0].root()));
    }
    assert_eq!(batches[0].receipt(&PartyKey([0; 32])), None);
    assert!(collector.poll_batches(u64::MAX).is_empty());
}

#[test]
fn two_roots_for_one_slot_convict_and_neither_is_batched() {
    let mut collector = Collector::new(100);
    let now = SLOT.end_ms();
    collector.handle_root(view(&root(1, SLOT, 1)), now).unwrap();
    collector.handle_root(view(&root(2, SLOT, 1)), now).unwrap();
    match collector.handle_root(view(&root(1, SLOT, 2)), now).unwrap() {
        Collected::Equivocation(proof) => assert_eq!(proof.culprit(), &root(1, SLOT, 1).body().node),
        other @ (Collected::Accepted(_) | Collected::Known) => panic!("{other:?}"),
    }
    assert_eq!(collector.handle_root(view(&root(1, SLOT, 1)), now), Err(CollectError::Convicted));
    let batch = collector.poll_batches(u64::MAX).remove(0);
    assert_eq!(batch.roots(), [root(2, SLOT, 1)]);
}

#[test]
fn early_late_forged_and_surplus_roots_change_nothing() {
    let mut collector = Collector::new(1);
    let good = root(1, SLOT, 1);
    for now in [0, SLOT.end_ms() - 1, SLOT.end_ms() + 4_001, u64::MAX] {
        assert_eq!(collector.handle_root(view(&good), now), Err(CollectError::NotOpen(SLOT.0)));
    }
    let mut forged = good.to_bytes();
    forged[100] ^= 1;
    let forged = View::new_checked(&forged).unwrap();
    let now = SLOT.end_ms();
    assert_eq!(collector.handle_root(forged, now), Err(CollectError::Wire(WireError::Signature)));
    assert_eq!(collector.handle_root(view(&good), now), Ok(Collected::Accepted(good)));
    assert_eq!(collector.handle_root(view(&root(2, SLOT, 1)), now), Err(CollectError::Full));
}

#[test]
fn a_forged_second_root_does_not_convict_an_honest_node() {
    let mut collector = Collector::new(2);
    let good = root(1, SLOT, 1);
    collector.handle_root(view(&good), SLOT.end_ms()).unwrap();
    let mut forged = good.to_bytes();
    forged[50] ^= 1;
    let forged = View::new_checked(&forged).unwrap();
    assert_eq!(collector.handle_root(forged, SLOT.end_ms()), Err(CollectError::Wire(WireError::Signature)));
    assert_eq!(collector.poll_batches(u64::MAX)[0].roots(), [good]);
}
