//! The cipher, and the checksums of IPv4, TCP and UDP.
use crate::wire::{HDR, TAG};

pub enum Aead {
    None,
    Lc(aws_lc_rs::aead::LessSafeKey),
}
impl Aead {
    pub fn new(n: &str) -> Aead {
        let k = [0x42u8; 32];
        match n {
            "none" => Aead::None,
            "lc-chacha" | "lc-aes" => {
                use aws_lc_rs::aead::*;
                Aead::Lc(LessSafeKey::new(
                    UnboundKey::new(if n == "lc-aes" { &AES_256_GCM } else { &CHACHA20_POLY1305 }, &k).unwrap(),
                ))
            }
            _ => panic!("cipher"),
        }
    }
    pub fn nonce(c: u64) -> [u8; 12] {
        let mut n = [0u8; 12];
        n[4..].copy_from_slice(&c.to_le_bytes());
        n
    }
    /// seg = [HDR][plain][TAG]
    #[inline]
    pub fn seal(&self, ctr: u64, seg: &mut [u8]) {
        seg[0..4].copy_from_slice(&[4, 0, 0, 0]);
        seg[4..8].copy_from_slice(&[0; 4]);
        seg[8..16].copy_from_slice(&ctr.to_le_bytes());
        let n = seg.len();
        let (p, t) = seg[HDR..].split_at_mut(n - HDR - TAG);
        match self {
            Aead::None => {}
            Aead::Lc(k) => {
                use aws_lc_rs::aead::*;
                let g = k
                    .seal_in_place_separate_tag(Nonce::assume_unique_for_key(Self::nonce(ctr)), Aad::empty(), p)
                    .unwrap();
                t.copy_from_slice(g.as_ref());
            }
        }
    }
    #[inline]
    pub fn open(&self, seg: &mut [u8]) -> bool {
        if seg.len() < HDR + TAG {
            return false;
        }
        let ctr = u64::from_le_bytes(seg[8..16].try_into().unwrap());
        match self {
            Aead::None => true,
            Aead::Lc(k) => {
                use aws_lc_rs::aead::*;
                k.open_in_place(Nonce::assume_unique_for_key(Self::nonce(ctr)), Aad::empty(), &mut seg[HDR..]).is_ok()
            }
        }
    }
}

#[inline]
pub fn sum16(d: &[u8]) -> u64 {
    let mut acc = [0u64; 4];
    let mut it = d.chunks_exact(16);
    for c in &mut it {
        for i in 0..4 {
            acc[i] += u32::from_ne_bytes(c[i * 4..i * 4 + 4].try_into().unwrap()) as u64;
        }
    }
    let mut s = acc[0] + acc[1] + acc[2] + acc[3];
    let r = it.remainder();
    let mut it2 = r.chunks_exact(2);
    for c in &mut it2 {
        s += u16::from_ne_bytes([c[0], c[1]]) as u64;
    }
    if let [b] = it2.remainder() {
        s += u16::from_ne_bytes([*b, 0]) as u64;
    }
    s
}
#[inline]
pub fn fold(mut s: u64) -> u16 {
    s = (s & 0xffff_ffff) + (s >> 32);
    s = (s & 0xffff_ffff) + (s >> 32);
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    s as u16
}
/// pseudo header sum (IPv4), native order
#[inline]
pub fn pseudo(ip: &[u8], proto: u8, l4len: usize) -> u64 {
    sum16(&ip[12..20]) + (proto as u16).to_be() as u64 + (l4len as u16).to_be() as u64
}
