//! Rules for every text file.

use std::path::Path;

use crate::finding::Finding;

pub(crate) fn check(file: &Path, content: &str, findings: &mut Vec<Finding>) {
    for (number, line) in (1..).zip(content.split('\n')) {
        if line.ends_with('\r') {
            findings.push(Finding::new(file, number, "carriage return at the end of the line"));
        } else if line.ends_with([' ', '\t']) {
            findings.push(Finding::new(file, number, "trailing whitespace"));
        }
        if line.starts_with(concat!("<<<<", "<<< ")) || line.starts_with(concat!(">>>>", ">>> ")) {
            findings.push(Finding::new(file, number, "conflict marker"));
        }
    }
    if !content.is_empty() && !content.ends_with('\n') {
        findings.push(Finding::new(file, 0, "does not end with a newline"));
    }
}
