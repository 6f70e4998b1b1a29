//! `netctl bench crypto`: the ciphers of the record layer, by the same library and in place as netflowd calls it.

use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::Serialize;

use super::serve::now;
use crate::commands::Context;
use crate::failure::{Failure, Local};
use crate::output::cell;

/// A small packet, a full one inside an Ethernet underlay, and the largest a jumbo underlay carries.
const SIZES: [usize; 3] = [64, 1_420, 8_900];
/// Associated data of a record: its header.
const HEADER: [u8; 16] = [4; 16];
const TAG_LEN: usize = 16;
/// Packets sealed, then opened, between two looks at the clock: long against the look, short enough to stay in the cache.
const BATCH: u32 = 32;

#[derive(Serialize)]
struct Figure {
    suite: &'static str,
    size: usize,
    seal_ns: f64,
    open_ns: f64,
    seal_gbit_per_second: f64,
    open_gbit_per_second: f64,
}

#[derive(Serialize)]
struct CryptoResult {
    aes_instructions: bool,
    offered: &'static str,
    figures: Vec<Figure>,
}

/// `netctl bench crypto`.
pub(super) fn crypto(ctx: &Context<'_>, each_ms: u32) -> Result<u8, Failure> {
    let each = Duration::from_millis(u64::from(each_ms));
    let spinner = crate::commands::join::spinner(ctx);
    let mut figures = Vec::new();
    for (suite, algorithm) in [("AES-256-GCM", &AES_256_GCM), ("ChaCha20-Poly1305", &CHACHA20_POLY1305)] {
        for size in SIZES {
            spinner.set_message(format!("{suite}, {size} bytes"));
            figures.push(measure(suite, algorithm, size, each).map_err(|_unspecified| {
                Failure::new(Local::Failure, format!("{suite} failed on this machine")).next("netctl doctor")
            })?);
        }
    }
    spinner.finish_and_clear();
    let aes_instructions = has_aes();
    let offered = if aes_instructions { "AES-256-GCM" } else { "ChaCha20-Poly1305" };
    ctx.show(&CryptoResult { aes_instructions, offered, figures }, |result| describe(ctx, result))
}

fn describe(ctx: &Context<'_>, result: &CryptoResult) -> Result<(), Failure> {
    let rows = result.figures.iter().map(|figure| {
        vec![
            cell(figure.suite),
            cell(figure.size.to_string()),
            cell(format!("{:.0} ns, {:.2} Gbit/s", figure.seal_ns, figure.seal_gbit_per_second)),
            cell(format!("{:.0} ns, {:.2} Gbit/s", figure.open_ns, figure.open_gbit_per_second)),
        ]
    });
    ctx.out.table(&["SUITE", "BYTES", "SEAL", "OPEN"], rows.collect(), "nothing measured")?;
    let have = if result.aes_instructions { "has" } else { "has no" };
    ctx.out.line(format!("one core; this CPU {have} AES instructions: netflowd offers {} first", result.offered))
}

/// Sealing, and opening what was sealed, for `each` in all: the fastest batch of each, which no other program of the machine held up.
fn measure(
    suite: &'static str,
    algorithm: &'static Algorithm,
    size: usize,
    each: Duration,
) -> Result<Figure, aws_lc_rs::error::Unspecified> {
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &[7; 32])?);
    let mut packets = vec![(vec![0x5a; size], [0; TAG_LEN]); BATCH as usize];
    let (mut sealing, mut opening) = (Duration::MAX, Duration::MAX);
    let (mut counter, started) = (0_u64, now());
    while sealing == Duration::MAX || started.elapsed() < each {
        let first = counter;
        let start = now();
        for (body, tag) in &mut packets {
            let sealed = key.seal_in_place_separate_tag(nonce(counter), Aad::from(HEADER), body)?;
            tag.copy_from_slice(sealed.as_ref());
            counter += 1;
        }
        sealing = sealing.min(start.elapsed());
        let start = now();
        for ((body, tag), counter) in packets.iter_mut().zip(first..) {
            key.open_in_place_separate_tag(nonce(counter), Aad::from(HEADER), tag, body)?;
        }
        opening = opening.min(start.elapsed());
    }
    let each_ns = |batch: Duration| batch.as_secs_f64() * 1e9 / f64::from(BATCH);
    #[allow(clippy::cast_precision_loss, reason = "thousands of bytes")]
    let gbit = |ns: f64| size as f64 * 8.0 / ns;
    let (seal_ns, open_ns) = (each_ns(sealing), each_ns(opening));
    Ok(Figure {
        suite,
        size,
        seal_ns,
        open_ns,
        seal_gbit_per_second: gbit(seal_ns),
        open_gbit_per_second: gbit(open_ns),
    })
}

/// As the record layer: four zero bytes, then the counter.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    for (to, from) in bytes.iter_mut().skip(4).zip(counter.to_le_bytes()) {
        *to = from;
    }
    Nonce::assume_unique_for_key(bytes)
}

fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_sealed_and_opens_again() {
        for algorithm in [&AES_256_GCM, &CHACHA20_POLY1305] {
            let figure = measure("x", algorithm, 64, Duration::from_millis(1)).unwrap();
            assert!(figure.seal_ns > 0.0 && figure.open_ns > 0.0);
        }
    }
}
