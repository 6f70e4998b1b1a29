//! The packet filter: one table, `inet netflow`, replaced as a whole in one transaction whenever the set of networks changes.
//!
//! * A packet for an address of a network is dropped unless it came through that network's TUN or from this machine itself, so nobody on
//!   the LAN, on the internet or in another network can speak to overlay addresses in the clear.
//! * Nothing is forwarded into or out of a TUN: neither between two networks nor between the LAN and a network.
//!
//! The `nftables` crate writes the JSON and gives it to the program `nft`, which has to be installed.

use std::borrow::Cow;

use ipnet::IpNet;
use nftables::batch::Batch;
use nftables::expr::{Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, Prefix, SetItem};
use nftables::helper::{DEFAULT_ARGS, DEFAULT_NFT, NftablesError};
use nftables::schema::{Chain, NfListObject, Rule, Table};
use nftables::stmt::{Match, Operator, Statement};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};

const TABLE: &str = "netflow";
const ARRIVAL: &str = "arrival";
const FORWARD: &str = "forward";
/// `raw`: before connection tracking, so that what is dropped costs no state.
const PRIORITY_RAW: i32 = -300;
/// `filter` minus ten: before the machine's own forward rules, which cannot then accept for us (an accept is only final per chain).
const PRIORITY_FORWARD: i32 = -10;

/// Why the filter could not be set.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The program is not there.
    #[error("the program `nft` is not installed")]
    Missing,
    /// It refused; on a kernel without nf_tables its message says so.
    #[error("nft: {0}")]
    Refused(String),
}

impl From<NftablesError> for FilterError {
    fn from(error: NftablesError) -> Self {
        match error {
            NftablesError::NftExecution { inner, .. } if inner.kind() == std::io::ErrorKind::NotFound => Self::Missing,
            NftablesError::NftFailed { stderr, .. } => {
                Self::Refused(stderr.lines().next().unwrap_or("failed without a message").to_owned())
            }
            other @ (NftablesError::NftExecution { .. }
            | NftablesError::NftOutputEncoding { .. }
            | NftablesError::NftInvalidJson(_)) => Self::Refused(other.to_string()),
        }
    }
}

/// One network that is up.
#[derive(Debug, Clone)]
pub struct FilteredNetwork {
    /// Its TUN.
    pub interface: String,
    /// Its prefixes.
    pub prefixes: Vec<IpNet>,
}

/// Replaces the table by one for exactly these networks.
///
/// # Errors
/// `nft` is missing or refused; the former table is then still in place.
pub async fn apply(networks: &[FilteredNetwork]) -> Result<(), FilterError> {
    let mut batch = Batch::new();
    // Add before delete: deleting an absent table is an error, adding an existing one is none.
    batch.add(table());
    batch.delete(table());
    batch.add(table());
    batch.add(chain(ARRIVAL, NfHook::Prerouting, PRIORITY_RAW));
    batch.add(chain(FORWARD, NfHook::Forward, PRIORITY_FORWARD));
    for network in networks {
        for prefix in &network.prefixes {
            let foreign = not_in(MetaKey::Iifname, &[&network.interface, "lo"]);
            batch.add(rule(ARRIVAL, vec![foreign, destination(*prefix), Statement::Drop(None)]));
        }
        for direction in [MetaKey::Iifname, MetaKey::Oifname] {
            batch.add(rule(FORWARD, vec![is(direction, &network.interface), Statement::Drop(None)]));
        }
    }
    run(batch).await
}

/// Removes the table; absent is fine.
///
/// # Errors
/// `nft` is missing or refused.
pub async fn remove() -> Result<(), FilterError> {
    let mut batch = Batch::new();
    batch.add(table());
    batch.delete(table());
    run(batch).await
}

/// Whether `nft` works here at all, without changing anything: its version and the kernel's answer to a list.
///
/// # Errors
/// It is missing, or the kernel has no nf_tables.
pub async fn check() -> Result<(), FilterError> {
    nftables::helper::get_current_ruleset_raw_async(DEFAULT_NFT, ["list", "tables"]).await?;
    Ok(())
}

async fn run(batch: Batch<'_>) -> Result<(), FilterError> {
    nftables::helper::apply_ruleset_with_args_async(&batch.to_nftables(), DEFAULT_NFT, DEFAULT_ARGS).await?;
    Ok(())
}

fn table() -> NfListObject<'static> {
    NfListObject::Table(Table { family: NfFamily::INet, name: TABLE.into(), handle: None })
}

fn chain(name: &'static str, hook: NfHook, priority: i32) -> NfListObject<'static> {
    NfListObject::Chain(Chain {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.into(),
        _type: Some(NfChainType::Filter),
        hook: Some(hook),
        prio: Some(priority),
        policy: Some(NfChainPolicy::Accept),
        ..Chain::default()
    })
}

fn rule(chain: &'static str, expr: Vec<Statement<'static>>) -> NfListObject<'static> {
    NfListObject::Rule(Rule {
        family: NfFamily::INet,
        table: TABLE.into(),
        chain: chain.into(),
        expr: Cow::Owned(expr),
        ..Rule::default()
    })
}

fn not_in(key: MetaKey, names: &[&str]) -> Statement<'static> {
    let items = names.iter().map(|name| SetItem::Element(text(name))).collect();
    compare(meta(key), Operator::NEQ, Expression::Named(NamedExpression::Set(items)))
}

fn is(key: MetaKey, name: &str) -> Statement<'static> {
    compare(meta(key), Operator::EQ, text(name))
}

fn destination(prefix: IpNet) -> Statement<'static> {
    let protocol = if prefix.addr().is_ipv4() { "ip" } else { "ip6" };
    let field = PayloadField { protocol: protocol.into(), field: "daddr".into() };
    let prefix = Prefix { addr: Box::new(text(&prefix.network().to_string())), len: prefix.prefix_len().into() };
    let left = Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)));
    compare(left, Operator::EQ, Expression::Named(NamedExpression::Prefix(prefix)))
}

fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn text(text: &str) -> Expression<'static> {
    Expression::String(text.to_owned().into())
}

fn compare(left: Expression<'static>, op: Operator, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match { left, right, op })
}
