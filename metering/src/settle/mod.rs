//! From claims to money: one flow and epoch ([`flow`]), then all flows of an epoch ([`epoch`]).

pub mod epoch;
pub mod flow;
