//! The command line. No secret has an option here: `ps` shows arguments to everybody.

use std::path::PathBuf;

use clap::Parser;

/// Overlay router daemon of the NetFlowCoin network.
#[derive(Debug, Parser)]
#[command(name = "netflowd", version, about, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/netflow/netflow.toml")]
    pub(crate) config: PathBuf,
    /// Read the configuration, say what is wrong with it, and end
    #[arg(long)]
    pub(crate) check_config: bool,
}

const AFTER_HELP: &str = "Exit codes: 0 clean stop, 1 runtime failure, 2 usage, 3 configuration invalid, 4 not root or \
missing capability, 5 key or state file unreadable, 6 port or address in use, 7 kernel feature missing.\n\
Signals: TERM and INT stop and restore the machine, HUP reads the configuration again.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn pitfall_29_no_argument_can_carry_a_secret() {
        let names = Args::command().get_arguments().map(|argument| argument.get_id().to_string()).collect::<Vec<_>>();
        assert_eq!(names, ["config", "check_config"], "a new argument must not be a secret: ps shows it to everybody");
    }
}
