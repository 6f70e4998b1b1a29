//! Ethereum's own tests through this executor and trie: GeneralStateTests and TrieTests of ethereum/tests, from a folder.
//!
//! The rules of the fork a test names are revm's; what is tested is everything around: [`Overlay`](crate::Overlay), account
//! clearing, records, tries and roots. The fees follow Ethereum's rule and the chain's own precompiles are left out.

pub mod foreign;
mod state_test;
mod trie_test;

use revm::primitives::hardfork::SpecId;
use serde_json::Value;

/// Price of a blob changes by this factor: 5007716 from Prague on, 3338477 before (EIP-7691).
const BLOB_FRACTION_CANCUN: u64 = 3_338_477;
const BLOB_FRACTION_PRAGUE: u64 = 5_007_716;

/// The factor of a fork.
fn blob_fraction(spec: SpecId) -> u64 {
    if spec.is_enabled_in(SpecId::PRAGUE) { BLOB_FRACTION_PRAGUE } else { BLOB_FRACTION_CANCUN }
}

/// What came of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Cases that gave what they should.
    pub passed: u64,
    /// Cases of forks or formats this does not know.
    pub skipped: u64,
    /// Cases that did not, with what went wrong.
    pub failed: Vec<String>,
}

impl Report {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.skipped += other.skipped;
        self.failed.extend(other.failed);
    }

    fn count(&mut self, name: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(why) => self.failed.push(format!("{name}: {why}")),
        }
    }
}

/// Runs the cases of one file. `secure`: keys of trie tests are hashed (their file's name says so).
///
/// # Errors
/// The file is no JSON object.
pub fn run(json: &[u8], secure: bool) -> Result<Report, String> {
    let file: serde_json::Map<String, Value> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let mut report = Report::default();
    for (name, case) in file {
        if case.get("pre").is_some() && case.get("post").is_some() && case.get("transaction").is_some() {
            state_test::run(&name, case, &mut report);
        } else if case.get("in").is_some() && case.get("root").is_some() {
            report.count(&name, trie_test::run(&case, secure));
        } else {
            report.skipped += 1;
        }
    }
    Ok(report)
}
