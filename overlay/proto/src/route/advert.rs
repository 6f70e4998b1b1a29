//! Who wrote an advert: the relay it is about, and nobody on the way.
//!
//! Without it one relay could tell anything about all others: that they are down, slow or free, and lead the traffic of everybody to
//! itself. What changes on the way (`age_s`, `hops`) is not covered: with the numbers that only rise it lets a neighbour keep a relay's
//! last words alive for one more life of them, and no longer.

use ed25519_dalek::SigningKey;
use netflow_wire::control::RelayAdvert;

use crate::identity;

/// Domain of the signature; `docs/spec/routing.md`, "Mesh".
const DOMAIN: &str = "NFC/1 advert";

/// An advert whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(RelayAdvert);

impl Verified {
    /// Checks an advert. `None`: somebody else wrote it.
    #[must_use]
    pub fn new(advert: RelayAdvert) -> Option<Self> {
        let holds = identity::verify(&advert.origin.0, DOMAIN, &covered(&advert), &advert.signature).is_ok();
        holds.then_some(Self(advert))
    }

    /// The advert.
    #[must_use]
    pub fn into_inner(self) -> RelayAdvert {
        self.0
    }

    /// For tests of what is done with the contents.
    #[cfg(test)]
    pub(crate) const fn unchecked(advert: RelayAdvert) -> Self {
        Self(advert)
    }
}

/// Signs an advert of the relay whose key this is.
pub(crate) fn sign(key: &SigningKey, advert: &mut RelayAdvert) {
    advert.signature = identity::sign(key, DOMAIN, &covered(advert));
}

/// What the signature covers, integers little endian: all its origin says.
fn covered(advert: &RelayAdvert) -> Vec<u8> {
    // At most 64 links, by the codec and by who makes them.
    let count = u8::try_from(advert.links.len()).unwrap_or(u8::MAX);
    let mut bytes = Vec::with_capacity(47 + advert.links.len() * 38);
    bytes.extend_from_slice(&advert.origin.0);
    bytes.extend_from_slice(&advert.seq.to_le_bytes());
    bytes.extend_from_slice(&advert.load_permille.to_le_bytes());
    bytes.extend_from_slice(&advert.price.to_le_bytes());
    bytes.push(count);
    for link in &advert.links {
        bytes.extend_from_slice(&link.neighbour.0);
        bytes.extend_from_slice(&link.rtt_us.to_le_bytes());
        bytes.extend_from_slice(&link.loss_permille.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, Verifier as _};
    use netflow_wire::NodeId;
    use netflow_wire::control::LinkAdvert;

    fn signed(key: &SigningKey) -> RelayAdvert {
        let link = LinkAdvert { neighbour: NodeId([7; 32]), rtt_us: 0x0102_0304, loss_permille: 0x0506 };
        let mut advert = RelayAdvert {
            origin: NodeId(key.verifying_key().to_bytes()),
            seq: 0x1112_1314_1516_1718,
            age_s: 3,
            hops: 2,
            load_permille: 0x2122,
            price: 0x3132_3334,
            links: vec![link],
            signature: [0; 64],
        };
        sign(key, &mut advert);
        advert
    }

    /// The bytes by the specification, not by our own code.
    #[test]
    fn the_signature_covers_the_bytes_the_specification_names() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let advert = signed(&key);
        let mut message = b"NFC/1 advert".to_vec();
        message.extend(key.verifying_key().to_bytes());
        message.extend([0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        message.extend([0x22, 0x21, 0x34, 0x33, 0x32, 0x31, 1]);
        message.extend([7; 32]);
        message.extend([4, 3, 2, 1, 6, 5]);
        assert_eq!(advert.signature, key.sign(&message).to_bytes());
        assert!(key.verifying_key().verify(&message, &ed25519_dalek::Signature::from_bytes(&advert.signature)).is_ok());
    }

    #[test]
    fn a_word_that_was_changed_on_the_way_is_noticed_and_age_and_hops_may_change() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let good = signed(&key);
        assert!(Verified::new(good.clone()).is_some());
        assert!(Verified::new(RelayAdvert { age_s: 80, hops: 7, ..good.clone() }).is_some());
        let other = NodeId(SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes());
        let link = good.links[0];
        let forged = [
            RelayAdvert { origin: other, ..good.clone() },
            RelayAdvert { seq: good.seq + 1, ..good.clone() },
            RelayAdvert { load_permille: 0, ..good.clone() },
            RelayAdvert { price: 0, ..good.clone() },
            RelayAdvert { links: vec![], ..good.clone() },
            RelayAdvert { links: vec![link, link], ..good.clone() },
            RelayAdvert { links: vec![LinkAdvert { rtt_us: 1, ..link }], ..good.clone() },
            RelayAdvert { links: vec![LinkAdvert { loss_permille: 1, ..link }], ..good.clone() },
            RelayAdvert { links: vec![LinkAdvert { neighbour: other, ..link }], ..good.clone() },
            RelayAdvert { signature: [0; 64], ..good.clone() },
        ];
        for (number, advert) in forged.into_iter().enumerate() {
            assert!(Verified::new(advert).is_none(), "forgery {number}");
        }
    }
}
