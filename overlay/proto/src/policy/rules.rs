//! Rules as data: their CBOR and their limits.
//!
//! Spec: `docs/spec/network-log.md`, section "Policy".

use minicbor::Decoder;
use minicbor::decode::Error;

use crate::cbor::{self, Enc, EncError};
use crate::netlog::limits::{MAX_PORT_RANGES, MAX_RULES, MAX_TAG_LEN};
use crate::netlog::valid_tag;

/// An ordered list of rules; the first that matches decides, and what no rule matches is denied.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    /// The rules, at most 128.
    pub rules: Vec<Rule>,
}

/// One rule, about the direction in which a flow is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who opens the flow.
    pub from: Selector,
    /// Who is asked.
    pub to: Selector,
    /// Protocol.
    pub proto: Proto,
    /// Inclusive ranges of destination ports, at most 16; empty: all. Only for TCP and UDP: with [`Proto::Any`] a range matches these two only.
    pub ports: Vec<(u16, u16)>,
    /// What happens.
    pub action: Action,
}

/// Which members a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// Every member (`*`).
    Any,
    /// Members with this tag.
    Tag(String),
}

/// Which protocols a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// Every IP protocol.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP in IPv4 packets, ICMPv6 in IPv6 packets.
    Icmp,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet passes, and so do the replies of its flow.
    Allow,
    /// The packet is dropped.
    Deny,
}

impl Policy {
    /// The policy `create-network` writes: one rule that allows everything between members, for all to see and edit.
    pub fn allow_all() -> Self {
        let rule = Rule {
            from: Selector::Any,
            to: Selector::Any,
            proto: Proto::Any,
            ports: Vec::new(),
            action: Action::Allow,
        };
        Self { rules: vec![rule] }
    }

    /// Within the limits and meaningful?
    pub fn is_well_formed(&self) -> bool {
        self.rules.len() <= MAX_RULES && self.rules.iter().all(Rule::is_well_formed)
    }

    pub(crate) fn encode(&self, e: &mut Enc) -> Result<(), EncError> {
        e.array(self.rules.len() as u64)?;
        self.rules.iter().try_for_each(|rule| rule.encode(e))
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Error> {
        let count = cbor::list(d, MAX_RULES)?;
        Ok(Self { rules: (0..count).map(|_| Rule::decode(d)).collect::<Result<_, _>>()? })
    }
}

impl Rule {
    /// Within the limits and meaningful?
    pub fn is_well_formed(&self) -> bool {
        let selector = |selector: &Selector| match selector {
            Selector::Any => true,
            Selector::Tag(tag) => valid_tag(tag),
        };
        selector(&self.from)
            && selector(&self.to)
            && self.ports.len() <= MAX_PORT_RANGES
            && self.ports.iter().all(|(low, high)| low <= high)
            && (self.proto != Proto::Icmp || self.ports.is_empty())
    }

    fn encode(&self, e: &mut Enc) -> Result<(), EncError> {
        e.array(5)?;
        encode_selector(e, &self.from)?;
        encode_selector(e, &self.to)?;
        e.u8(match self.proto {
            Proto::Any => 0,
            Proto::Tcp => 1,
            Proto::Udp => 2,
            Proto::Icmp => 3,
        })?;
        e.array(self.ports.len() as u64)?;
        for (low, high) in &self.ports {
            e.array(2)?.u16(*low)?.u16(*high)?;
        }
        e.u8(match self.action {
            Action::Deny => 0,
            Action::Allow => 1,
        })?
        .ok()
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, Error> {
        cbor::array(d, 5)?;
        let (from, to) = (decode_selector(d)?, decode_selector(d)?);
        let proto = match d.u8()? {
            0 => Proto::Any,
            1 => Proto::Tcp,
            2 => Proto::Udp,
            3 => Proto::Icmp,
            _ => return Err(Error::message("unknown protocol")),
        };
        let count = cbor::list(d, MAX_PORT_RANGES)?;
        let ports = (0..count).map(|_| decode_range(d)).collect::<Result<_, _>>()?;
        let action = match d.u8()? {
            0 => Action::Deny,
            1 => Action::Allow,
            _ => return Err(Error::message("unknown action")),
        };
        Ok(Self { from, to, proto, ports, action })
    }
}

fn encode_selector(e: &mut Enc, selector: &Selector) -> Result<(), EncError> {
    match selector {
        Selector::Any => e.null()?.ok(),
        Selector::Tag(tag) => e.str(tag)?.ok(),
    }
}

fn decode_selector(d: &mut Decoder<'_>) -> Result<Selector, Error> {
    if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        return Ok(Selector::Any);
    }
    cbor::text(d, MAX_TAG_LEN).map(Selector::Tag)
}

fn decode_range(d: &mut Decoder<'_>) -> Result<(u16, u16), Error> {
    cbor::array(d, 2)?;
    Ok((d.u16()?, d.u16()?))
}
