//! `netctl join`: the token comes in by prompt, file or stdin; a spinner tells how far it is.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use netctl_api::{NetworkJoinParams, Secret};

use super::{Context, network};
use crate::cli::Join;
use crate::failure::Failure;
use crate::secrets::{read_token, token_in_argv};
use crate::text::clean;

/// How often the spinner turns: calm, and visibly alive.
const TICK: Duration = Duration::from_millis(120);

/// `netctl join`.
pub(super) fn join(ctx: &Context<'_>, options: &Join) -> Result<u8, Failure> {
    // `-` is the habit for stdin; every other word could be a token.
    let dash = options.refused.iter().all(|word| word == "-");
    if !dash {
        return Err(token_in_argv());
    }
    let file = options.file.as_deref().or((!options.refused.is_empty()).then_some(Path::new("-")));
    // Connect first: nobody should paste a token only to read that the daemon is not running.
    let mut client = ctx.connect()?;
    let token = read_token(file)?;
    let wait_s = u32::try_from(options.wait).unwrap_or(u32::MAX);
    let params =
        NetworkJoinParams { token: Secret::new(token.to_string()), member_name: options.member_name.clone(), wait_s };
    let spinner = spinner(ctx);
    let result = client.call_with(params, Duration::from_secs(options.wait), |event| {
        spinner.set_message(clean(&event.text));
        Ok(())
    });
    spinner.finish_and_clear();
    ctx.show(&result?, |result| {
        ctx.out.line(format!("joined {} in {} ms", result.network.name, result.elapsed_ms))?;
        ctx.out.line(network::describe(&result.network))
    })
}

/// Hidden unless stderr is a terminal (indicatif's own rule) and the output is for a person.
pub(super) fn spinner(ctx: &Context<'_>) -> ProgressBar {
    if ctx.out.is_json() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.set_message("asking the daemon");
    spinner.enable_steady_tick(TICK);
    spinner
}
