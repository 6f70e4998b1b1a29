//! Rules about the text of the tree. The allow-list `xtask/tidy-allow.toml` holds the exceptions, each with its reason.

mod allow;
mod links;
mod manifests;
mod rust;
mod text;
mod tree;

use std::path::Path;

use crate::finding::Finding;

/// Runs every tidy rule over the tree at `root`.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let files = tree::files(root)?;
    let mut allow = allow::AllowList::load(root)?;
    let mut findings = license(root);
    for file in &files {
        let Some(content) = tree::read_text(root, file)? else { continue };
        text::check(file, &content, &mut findings);
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => rust::check(file, &content, &mut allow, &mut findings),
            Some("md") => links::check(root, file, &content, &mut findings),
            _ if file.ends_with("Cargo.toml") => manifests::check(file, &content, &mut findings)?,
            _ => {}
        }
    }
    allow.stale(&mut findings);
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}

fn license(root: &Path) -> Vec<Finding> {
    match std::fs::read_to_string(root.join("LICENSE")) {
        Ok(text) if text.contains("Apache License") => Vec::new(),
        Ok(_) => vec![Finding::new("LICENSE", 0, "is not the Apache License 2.0")],
        Err(_) => vec![Finding::new("LICENSE", 0, "is missing")],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A tree that keeps every rule, with the changes of one test on top.
    fn findings(changes: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let manifest =
            "[package]\nname = \"a\"\ndescription = \"d\"\nlicense.workspace = true\n[lints]\nworkspace = true\n";
        let base = [
            ("LICENSE", "Apache License\n"),
            ("a/Cargo.toml", manifest),
            ("a/src/lib.rs", "//! A crate.\n"),
            ("README.md", "[crate](a/src/lib.rs)\n"),
        ];
        for (path, content) in base.iter().chain(changes) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        check(root.path()).unwrap().iter().map(ToString::to_string).collect()
    }

    fn one(changes: &[(&str, &str)], needle: &str) {
        let found = findings(changes);
        assert!(found.len() == 1 && found.iter().all(|text| text.contains(needle)), "{needle}: {found:?}");
    }

    #[test]
    fn a_clean_tree_has_no_findings() {
        assert_eq!(findings(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_long_file_is_reported_and_its_tests_do_not_count() {
        let line = "// x\n";
        one(&[("a/src/big.rs", &line.repeat(401))], "a/src/big.rs: 401 lines");
        let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", line.repeat(400), line.repeat(300));
        assert_eq!(findings(&[("a/src/big.rs", &with_tests)]), Vec::<String>::new());
        assert_eq!(findings(&[("a/tests/big.rs", &line.repeat(900))]), Vec::<String>::new());
    }

    #[test]
    fn an_allowed_long_file_passes_until_the_entry_is_not_needed() {
        let big = "// x\n".repeat(450);
        let entry = "[[large_file]]\npath = \"a/src/big.rs\"\nlines = 500\nreason = \"one table\"\n";
        assert_eq!(findings(&[("a/src/big.rs", &big), ("xtask/tidy-allow.toml", entry)]), Vec::<String>::new());
        one(&[("a/src/big.rs", "// x\n"), ("xtask/tidy-allow.toml", entry)], "is not needed");
        one(&[("a/src/big.rs", &"// x\n".repeat(501)), ("xtask/tidy-allow.toml", entry)], "501 lines");
    }

    #[test]
    fn an_allowance_without_a_reason_is_reported() {
        let entry = "[[large_file]]\npath = \"a/src/big.rs\"\nlines = 500\nreason = \"\"\n";
        one(&[("a/src/big.rs", &"// x\n".repeat(450)), ("xtask/tidy-allow.toml", entry)], "without a reason");
    }

    #[test]
    fn leftovers_are_reported() {
        one(&[("a/src/x.rs", concat!("fn f() { to", "do!() }\n"))], "left over");
        one(&[("a/src/x.rs", concat!("fn f() { unimpl", "emented!() }\n"))], "left over");
        one(&[("a/tests/x.rs", concat!("#[ign", "ore]\n"))], "without a reason");
    }

    #[test]
    fn untidy_text_is_reported() {
        one(&[("a/src/x.rs", "fn f() {} \n")], "trailing whitespace");
        one(&[("b.md", "a\r\n")], "carriage return");
        one(&[("b.md", "no newline")], "end with a newline");
        one(&[("b.rs", concat!("<<<<", "<<< ours\n"))], "conflict");
    }

    #[test]
    fn an_incomplete_manifest_is_reported() {
        let manifest = "[package]\nname = \"b\"\nlicense = \"Apache-2.0\"\n[lints]\nworkspace = true\n";
        one(&[("b/Cargo.toml", manifest)], "description");
        let manifest = "[package]\nname = \"b\"\nlicense = \"Apache-2.0\"\ndescription = \"d\"\n";
        one(&[("b/Cargo.toml", manifest)], "lints");
    }

    #[test]
    fn a_dead_link_is_reported_and_code_and_web_addresses_are_not_links() {
        one(&[("docs/x.md", "see [y](y.md)\n")], "docs/x.md:1: link to y.md");
        one(&[("docs/x.md", "[y]: ../gone.md\n")], "gone.md");
        one(&[("docs/x.md", "# One two\n[a](#one-three)\n")], "#one-three");
        let good =
            "[w](https://example.org/x) `[a](b)` [r](../README.md) [s](#the-end)\n```\n[a](b)\n```\n## The end\n";
        assert_eq!(findings(&[("docs/x.md", good)]), Vec::<String>::new());
    }

    #[test]
    fn a_missing_license_is_reported() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(check(root.path()).unwrap(), [Finding::new("LICENSE", 0, "is missing")]);
    }
}
