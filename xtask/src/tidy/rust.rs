//! Rules for Rust sources: size and leftovers. The size of functions is clippy's (`too_many_lines`).

use std::path::Path;

use super::allow::AllowList;
use crate::finding::Finding;

/// Lines a source file may have without its tests: what a person reads in one sitting (docs of style, measured median 80 to 270).
const MAX_LINES: usize = 400;

/// Macros that say "not done"; spelled in two parts so that this file does not find itself.
const LEFTOVERS: [&str; 3] = [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("db", "g!(")];

pub(crate) fn check(file: &Path, content: &str, allow: &mut AllowList, findings: &mut Vec<Finding>) {
    for (number, line) in (1..).zip(content.lines()) {
        if let Some(leftover) = LEFTOVERS.iter().find(|leftover| line.contains(**leftover)) {
            findings.push(Finding::new(file, number, format!("{leftover}..) is left over")));
        }
        if line.trim() == concat!("#[ign", "ore]") {
            findings.push(Finding::new(file, number, "a test is ignored without a reason"));
        }
    }
    if is_test(file) {
        return;
    }
    let lines = lines_without_tests(content);
    if lines <= MAX_LINES {
        return;
    }
    let limit = allow.lines(file).unwrap_or(MAX_LINES);
    if lines > limit {
        let text = format!("{lines} lines without tests, limit {limit}: cut it by the state each part owns");
        findings.push(Finding::new(file, 0, text));
    }
}

fn is_test(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "tests.rs")
        || file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "benches")))
}

/// Lines outside `#[cfg(test)] mod ... { ... }` at the outermost level, as rustfmt lays it out.
fn lines_without_tests(content: &str) -> usize {
    let mut count = 0;
    let mut lines = content.lines().peekable();
    while let Some(line) = lines.next() {
        let opens = |next: &&str| next.starts_with("mod ") && next.ends_with('{');
        if line == "#[cfg(test)]" && lines.peek().is_some_and(opens) {
            // The closing brace of the module is the first one in column 0.
            lines.by_ref().find(|line| *line == "}");
        } else {
            count += 1;
        }
    }
    count
}
