//! A token as a QR code of block characters, two modules per character.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Lines of the code, all of one width, and that width in columns; `None` when `text` is too long for a QR code.
///
/// Light modules are drawn as blocks, for a dark terminal; with `colour` each line says black on white itself, which
/// scans on every terminal. A token is case-insensitive (bech32m), and upper case takes QR's alphanumeric mode: a third fewer
/// modules. Error correction is the lowest: a screen does not get scratched, and a smaller code fits it.
pub(crate) fn render(text: &str, colour: bool) -> Option<(Vec<String>, usize)> {
    let code = QrCode::with_error_correction_level(text.to_ascii_uppercase(), EcLevel::L).ok()?;
    let (dark, light) = if colour { (Dense1x2::Dark, Dense1x2::Light) } else { (Dense1x2::Light, Dense1x2::Dark) };
    let image = code.render::<Dense1x2>().dark_color(dark).light_color(light).quiet_zone(true).build();
    let width = image.lines().map(|line| line.chars().count()).max()?;
    let wrap = |line: &str| if colour { format!("\u{1b}[30;107m{line}\u{1b}[0m") } else { line.to_owned() };
    Some((image.lines().map(wrap).collect(), width))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::render;

    #[test]
    fn a_token_fits_a_wide_terminal() {
        let (lines, width) = render(&format!("nfinvite1{}", "q".repeat(300)), false).unwrap();
        assert!(width <= 72, "{width} columns");
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(render(&"q".repeat(5_000), false).is_none());
    }
}
