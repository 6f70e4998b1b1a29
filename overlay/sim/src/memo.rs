//! Signatures that held. A thousand nodes get the same entries of the same logs; whether a signature holds is a pure function of key,
//! domain, message and signature, so it is worked out once and remembered by all four, byte for byte. What does not hold is never remembered.

use std::collections::BTreeMap;
use std::sync::Mutex;

use netflow_overlay::identity::{SignatureError, Signatures, verify};

/// Signatures remembered; all are forgotten at once then. A world of a thousand nodes signs some four thousand.
const MAX_REMEMBERED: usize = 100_000;

struct Held {
    key: [u8; 32],
    domain: String,
    message: Vec<u8>,
}

/// What held so far, for all nodes of a world.
#[derive(Default)]
pub struct Memo {
    held: Mutex<BTreeMap<[u8; 64], Held>>,
}

impl Memo {
    fn remembers(&self, key: &[u8; 32], domain: &str, message: &[u8], signature: &[u8; 64]) -> bool {
        self.held.lock().is_ok_and(|held| {
            held.get(signature).is_some_and(|it| it.key == *key && it.domain == domain && it.message == message)
        })
    }
}

impl Signatures for Memo {
    fn verify(&self, key: &[u8; 32], domain: &str, message: &[u8], signature: &[u8; 64]) -> Result<(), SignatureError> {
        if self.remembers(key, domain, message, signature) {
            return Ok(());
        }
        verify(key, domain, message, signature)?;
        if let Ok(mut held) = self.held.lock() {
            if held.len() >= MAX_REMEMBERED {
                held.clear();
            }
            held.insert(*signature, Held { key: *key, domain: domain.to_owned(), message: message.to_vec() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_remembered_holds_for_exactly_those_bytes() {
        let keys = crate::host::keys(1);
        let (key, memo) = (keys.node_id().0, Memo::default());
        let record = keys.record(1, [0; 20]);
        let signed = record.raw();
        // A record is `[body, signature]` in CBOR; its last 64 bytes are the signature, and two bytes of header are in front of them.
        let (rest, signature) = signed.split_at(signed.len() - 64);
        let signature: [u8; 64] = signature.try_into().unwrap();
        let body = &rest[3..rest.len() - 2];
        assert_eq!(memo.verify(&key, "NFC/1 record", body, &signature), Ok(()));
        assert!(memo.remembers(&key, "NFC/1 record", body, &signature));
        assert!(memo.verify(&key, "NFC/1 recorc", body, &signature).is_err());
        assert!(memo.verify(&crate::host::keys(2).node_id().0, "NFC/1 record", body, &signature).is_err());
        assert!(memo.verify(&key, "NFC/1 record", &body[1..], &signature).is_err());
        let mut other = signature;
        other[0] ^= 1;
        assert!(memo.verify(&key, "NFC/1 record", body, &other).is_err());
        assert!(!memo.remembers(&key, "NFC/1 record", body, &other));
    }
}
