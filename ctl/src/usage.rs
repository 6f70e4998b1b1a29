//! Help texts pass through; wrong usage becomes one line like every other error.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::{Failure, Local};

/// What clap has to say: help and version are printed (exit 0), `netctl` alone prints the help (exit 2), anything else is
/// a one-line failure with exit 2.
pub(crate) fn explain(error: &clap::Error) -> Result<u8, Failure> {
    let kind = error.kind();
    if matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        print_help(error, 0)
    } else if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        print_help(error, 2)
    } else {
        Err(one_line(error))
    }
}

fn print_help(error: &clap::Error, code: u8) -> Result<u8, Failure> {
    error.print().map_err(|io| Failure::new(Local::Failure, format!("cannot print the help; {io}")))?;
    Ok(code)
}

fn one_line(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    // The first paragraph is the error, its lines are a list; tips and the usage follow after a blank line.
    let paragraph: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let what = paragraph.join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: ")).map(|tip| format!("; {tip}"));
    let command = subcommand(&text).unwrap_or_default();
    Failure::new(Local::Usage, format!("wrong usage; {what}{}", tip.unwrap_or_default()))
        .next(suggestion(error).unwrap_or_else(|| format!("netctl {command}--help")))
}

/// The command clap believes was meant.
fn suggestion(error: &clap::Error) -> Option<String> {
    let names = error.get(ContextKind::SuggestedSubcommand)?;
    let name = if let ContextValue::Strings(names) = names { names.first()?.clone() } else { names.to_string() };
    Some(format!("netctl {name}"))
}

/// The words of the subcommand, with a space behind, out of `Usage: netctl WORDS [OPTIONS]`.
fn subcommand(text: &str) -> Option<String> {
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: netctl "))?;
    let words = usage
        .split(' ')
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-'));
    Some(words.map(|word| format!("{word} ")).collect())
}
