//! `netctl policy get` and `netctl policy set`: the rules travel as one JSON file.

use std::io::Read;
use std::path::Path;

use netctl_api::{MAX_LINE_BYTES, PolicyGetParams, PolicyResult, PolicyRule, PolicySetParams, RuleAction, RuleProto};
use serde::Deserialize;

use super::Context;
use crate::failure::{Failure, Local};
use crate::output::{cell, verdict};

/// The file: what `policy get --json` prints. Other fields than the rules say where it came from and are not read.
#[derive(Deserialize)]
struct PolicyFile {
    #[serde(default)]
    schema: Option<String>,
    rules: Vec<PolicyRule>,
}

/// `netctl policy get`.
pub(super) fn get(ctx: &Context<'_>) -> Result<u8, Failure> {
    ctx.ask(PolicyGetParams { network: ctx.network() }, |result| rules_table(ctx, result))
}

/// `netctl policy set FILE`.
pub(super) fn set(ctx: &Context<'_>, file: &Path) -> Result<u8, Failure> {
    let rules = parse(&read(file)?, file)?;
    ctx.ask(PolicySetParams { network: ctx.network(), rules }, |result| {
        ctx.out.line(format!("policy of {}: {} rules in force", result.network, result.rules.len()))
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failure = |error: std::io::Error| Failure::file("read", file, &error);
    let mut bytes = Vec::new();
    // One byte more than fits in a request tells a long file from a full one.
    let limit = MAX_LINE_BYTES as u64 + 1;
    if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failure)?;
    } else {
        std::fs::File::open(file).map_err(failure)?.take(limit).read_to_end(&mut bytes).map_err(failure)?;
    }
    Ok(bytes)
}

fn parse(bytes: &[u8], file: &Path) -> Result<Vec<PolicyRule>, Failure> {
    let invalid = |why: String| {
        let text = format!("policy file refused; {}: {why}", file.display());
        Failure::new(Local::InvalidInput, text).next("netctl policy get --json, for an example")
    };
    let policy: PolicyFile = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    match policy.schema.as_deref() {
        None | Some("netctl.policy-get/1" | "netctl.policy-set/1") => Ok(policy.rules),
        Some(other) => Err(invalid(format!("schema {other:.64?} is not netctl.policy-get/1"))),
    }
}

fn rules_table(ctx: &Context<'_>, result: &PolicyResult) -> Result<(), Failure> {
    let rows = result.rules.iter().enumerate().map(|(index, rule)| {
        let action = match rule.action {
            RuleAction::Allow => verdict("allow", Some(true)),
            RuleAction::Deny => verdict("deny", Some(false)),
        };
        let proto = match rule.proto {
            RuleProto::Any => "any",
            RuleProto::Tcp => "tcp",
            RuleProto::Udp => "udp",
            RuleProto::Icmp => "icmp",
        };
        let ports: Vec<String> = rule.ports.iter().map(|range| String::from(*range)).collect();
        let ports = if ports.is_empty() { String::from("all") } else { ports.join(",") };
        vec![cell((index + 1).to_string()), action, cell(&rule.from), cell(&rule.to), cell(proto), cell(ports)]
    });
    let header = ["#", "ACTION", "FROM", "TO", "PROTO", "PORTS"];
    ctx.out.table(&header, rows.collect(), "no rules: everything is denied")?;
    if !result.rules.is_empty() {
        ctx.out.line("the first rule that matches decides; what no rule matches is denied")?;
    }
    Ok(())
}
