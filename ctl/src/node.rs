//! JSON-RPC to a node of the chain, over HTTP: one request at a time, bounded in time and in memory.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, TcpConnector};
use ureq::{Agent, Proxy};

use crate::failure::{Failure, Local};
use crate::text::clean;
use crate::tls::TlsConnector;

/// Names the node when no option does.
pub(crate) const RPC_ENV: &str = "NETFLOW_RPC";
/// The node when nothing names one: Ethereum's port, on this machine.
pub(crate) const DEFAULT_RPC: &str = "http://127.0.0.1:8545";
/// Longest answer: a full block of the chain is 2 MiB, three times that as JSON.
const MAX_ANSWER_BYTES: u64 = 8 << 20;
/// Longest text of a node repeated to a person.
const MAX_TEXT_CHARS: usize = 300;

/// A node.
pub(crate) struct Node {
    agent: Agent,
    url: String,
    patience: Duration,
    next_id: u64,
}

#[derive(Deserialize)]
struct Answer {
    id: Value,
    #[serde(default)]
    result: Option<Value>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    #[serde(default)]
    message: String,
}

/// A transaction as a node shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcTransaction {
    pub(crate) hash: B256,
    pub(crate) from: Address,
    pub(crate) to: Option<Address>,
    pub(crate) value: U256,
    pub(crate) nonce: U64,
    pub(crate) gas: U64,
    pub(crate) gas_price: Option<U256>,
    pub(crate) max_fee_per_gas: Option<U256>,
    pub(crate) max_priority_fee_per_gas: Option<U256>,
    #[serde(default)]
    pub(crate) input: Bytes,
}

/// What became of a transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcReceipt {
    pub(crate) status: U64,
    pub(crate) block_number: U64,
    pub(crate) block_hash: B256,
    pub(crate) transaction_index: U64,
    pub(crate) gas_used: U64,
    pub(crate) effective_gas_price: U256,
    pub(crate) contract_address: Option<Address>,
}

/// A block without its transactions.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcBlock {
    pub(crate) number: U64,
    pub(crate) hash: B256,
    pub(crate) parent_hash: B256,
    pub(crate) timestamp: U64,
    pub(crate) miner: Address,
    pub(crate) gas_used: U64,
    pub(crate) gas_limit: U64,
    pub(crate) base_fee_per_gas: Option<U256>,
    pub(crate) size: Option<U64>,
    pub(crate) state_root: B256,
    pub(crate) transactions: Vec<B256>,
}

impl Node {
    /// The node of the option, else of the environment, else the default. Nothing is sent yet.
    ///
    /// # Errors
    /// Exit 7 when the address is none.
    pub(crate) fn new(option: Option<&str>, patience: Duration) -> Result<Self, Failure> {
        let from_env = || std::env::var(RPC_ENV).ok().filter(|value| !value.is_empty());
        let url = option.map(str::to_owned).or_else(from_env).unwrap_or_else(|| DEFAULT_RPC.to_owned());
        let is_web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        let host = url.parse::<ureq::http::Uri>().ok().filter(|_| is_web(&url));
        let host = host.and_then(|uri| uri.host().map(str::to_owned)).ok_or_else(|| {
            let text = format!("no address of a node; {} is not like {DEFAULT_RPC}", visible(&url));
            Failure::new(Local::InvalidInput, text).next("netctl chain status --help")
        })?;
        // A proxy of the environment cannot reach what is only on this machine.
        let local = matches!(host.as_str(), "localhost" | "[::1]") || host.starts_with("127.");
        let config = Agent::config_builder()
            .timeout_global(Some(patience))
            .http_status_as_error(false)
            // A node never answers elsewhere, and what is posted to it is not for others.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(if local { None } else { Proxy::try_from_env() })
            .user_agent(concat!("netctl/", env!("CARGO_PKG_VERSION")))
            .build();
        let connector = ConnectProxyConnector::default().chain(TcpConnector::default()).chain(TlsConnector::default());
        let agent = Agent::with_parts(config, connector, DefaultResolver::default());
        Ok(Self { agent, url, patience, next_id: 1 })
    }

    /// One call whose answer may be `null`.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, method: &str, params: Value) -> Result<Option<T>, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        let sent = self.agent.post(&self.url).header("content-type", "application/json").send(body);
        let mut response = sent.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let text = text.map_err(|error| self.unreachable(&error))?;
        let answer: Answer = serde_json::from_slice(&text).map_err(|error| {
            self.unreadable(&if status.is_success() { error.to_string() } else { format!("HTTP status {status}") })
        })?;
        if let Some(error) = answer.error {
            return Err(refusal(method, &error));
        }
        if answer.id != json!(id) {
            return Err(self.unreadable("it answers another request"));
        }
        let result = answer.result.filter(|value| !value.is_null());
        let value = result.map(serde_json::from_value).transpose();
        value.map_err(|error| self.unreadable(&format!("result of {method}; {error}")))
    }

    /// One call that has an answer.
    pub(crate) fn call<T: DeserializeOwned>(&mut self, method: &str, params: Value) -> Result<T, Failure> {
        self.ask(method, params)?.ok_or_else(|| self.unreadable(&format!("result of {method}; it is null")))
    }

    /// One call that gives a number of 64 bits.
    pub(crate) fn number(&mut self, method: &str, params: Value) -> Result<u64, Failure> {
        Ok(self.call::<U64>(method, params)?.to())
    }

    /// The chain the node is on, which must be `expected` when that is given: a signature for another chain is not a
    /// mistake that can be taken back.
    ///
    /// # Errors
    /// Exit 10 when it is another chain, or the node contradicts itself.
    pub(crate) fn chain_id(&mut self, expected: Option<u64>) -> Result<u64, Failure> {
        let id = self.number("eth_chainId", json!([]))?;
        let version: String = self.call("net_version", json!([]))?;
        if version != id.to_string() {
            let text = format!("the node contradicts itself; its chain id is {id}, its network {version}");
            return Err(Failure::new(Local::Refused, text).next("another node, with --rpc URL"));
        }
        if expected.is_some_and(|expected| expected != id) {
            let text = format!("the node is on chain {id}; you asked for chain {}", expected.unwrap_or_default());
            return Err(Failure::new(Local::Refused, text).next("another node, with --rpc URL"));
        }
        Ok(id)
    }

    /// The block by number, hash or tag; `id` as JSON-RPC has it.
    pub(crate) fn block(&mut self, id: &str) -> Result<Option<RpcBlock>, Failure> {
        let by_hash = id.len() == 66;
        self.ask(if by_hash { "eth_getBlockByHash" } else { "eth_getBlockByNumber" }, json!([id, false]))
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let url = visible(&self.url);
        let kind = if let ureq::Error::Io(io) = error { Some(io.kind()) } else { None };
        if matches!(error, ureq::Error::Timeout(_)) || kind == Some(std::io::ErrorKind::TimedOut) {
            let text =
                format!("the node did not answer in {} s; {url} is busy or unreachable", self.patience.as_secs());
            return Failure::new(Local::Timeout, text).next("the same command with --timeout 60");
        }
        if kind == Some(std::io::ErrorKind::ConnectionRefused) || matches!(error, ureq::Error::ConnectionFailed) {
            return Failure::new(
                Local::NotRunning,
                format!("no node of the chain is running; nobody listens on {url}"),
            )
            .next("netchaind run, or another node with --rpc URL");
        }
        if matches!(error, ureq::Error::HostNotFound) {
            let text = format!("no node of the chain; the host of {url} has no address");
            return Failure::new(Local::Timeout, text).next("another node, with --rpc URL");
        }
        let text = format!("cannot talk to the node; {url}: {}", short(&error.to_string()));
        Failure::new(Local::Failure, text).next("netctl chain status --help")
    }

    fn unreadable(&self, why: &str) -> Failure {
        let text = format!("the answer of {} cannot be read; {}", visible(&self.url), short(why));
        Failure::new(Local::Failure, text).next("another node, with --rpc URL")
    }
}

/// An address without the secrets some of them carry: user and password, path and query.
fn visible(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return short(url) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    short(&format!("{scheme}://{host}"))
}

/// Foreign text on one line of a bounded length.
fn short(text: &str) -> String {
    clean(&text.chars().take(MAX_TEXT_CHARS).collect::<String>())
}

/// What a node's refusal means for the exit code.
fn refusal(method: &str, error: &RpcError) -> Failure {
    /// JSON-RPC 2.0 and EIP-1474.
    const NO_METHOD: i64 = -32_601;
    const INVALID_PARAMS: i64 = -32_602;
    const LIMIT: i64 = -32_005;
    /// What geth answers to a call that reverts.
    const REVERTED: i64 = 3;
    let message = short(&error.message);
    match error.code {
        NO_METHOD => {
            Failure::new(Local::Failure, format!("the node does not know {method}; it is no node of this chain"))
                .next("another node, with --rpc URL")
        }
        INVALID_PARAMS => Failure::new(Local::InvalidInput, format!("the node refuses {method}; {message}")),
        LIMIT => Failure::new(Local::Failure, format!("the node has no capacity for {method}; {message}"))
            .next("the same command later"),
        REVERTED => Failure::new(Local::Refused, format!("the contract refuses it; {message}")),
        _ => Failure::new(Local::Refused, format!("the chain refuses it; {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        assert_eq!(visible("https://user:word@node.example:8545/v3/key?x=1"), "https://node.example:8545");
        assert_eq!(visible("http://127.0.0.1:8545"), "http://127.0.0.1:8545");
        assert_eq!(visible("nonsense\n"), "nonsense\u{fffd}");
    }

    #[test]
    fn only_web_addresses_are_nodes() {
        for bad in ["127.0.0.1:8545", "ftp://x", "http://", "", "http:// ", "javascript:x"] {
            assert!(Node::new(Some(bad), Duration::from_secs(1)).is_err_and(|failure| failure.exit() == 7), "{bad:?}");
        }
        assert!(Node::new(Some("https://[::1]:8545/"), Duration::from_secs(1)).is_ok());
    }
}
