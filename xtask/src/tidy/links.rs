//! Links of Markdown documents lead to files and headings that exist.

use std::path::Path;

use crate::finding::Finding;

pub(crate) fn check(root: &Path, file: &Path, content: &str, findings: &mut Vec<Finding>) {
    let headings: Vec<String> = prose(content).filter_map(|(_, line)| heading(&line)).collect();
    for (number, line) in prose(content) {
        for target in targets(&line) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let dead = if path.is_empty() {
                !headings.iter().any(|heading| heading == anchor)
            } else {
                let base =
                    if path.starts_with('/') { root } else { &root.join(file.parent().unwrap_or(Path::new(""))) };
                !base.join(path.trim_start_matches('/')).exists()
            };
            if dead {
                findings.push(Finding::new(file, number, format!("link to {target} leads nowhere")));
            }
        }
    }
}

/// Numbered lines outside fenced code, with inline code removed.
fn prose(content: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    (1..).zip(content.lines()).filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        // Odd pieces between backticks are code.
        (!fenced && !fence).then(|| (number, line.split('`').step_by(2).collect::<Vec<_>>().join(" ")))
    })
}

/// Relative targets of `[text](target)` and `[name]: target`.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let reference = line.starts_with('[').then(|| line.split_once("]: ").map(|(_, target)| target.trim())).flatten();
    inline.chain(reference).filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// Anchor of a heading as GitHub and most others write it.
fn heading(line: &str) -> Option<String> {
    let title = line.trim_start_matches('#');
    let is_heading = title.len() < line.len() && title.starts_with(' ');
    is_heading.then(|| {
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    })
}
