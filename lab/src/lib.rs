//! An internet on one machine, out of network namespaces: public hosts, NAT boxes of every RFC 4787 class, links that
//! can be cut, lose packets or be slow. The tests, `make demo`, `make measure` and `make lab` all stand on it.
//!
//! * [`lab::Lab`] owns a topology; dropping it removes every namespace and process. A watchdog process does the same when
//!   the owner dies without a drop (Ctrl-C, kill -9), and every new lab sweeps what dead labs left.
//! * [`nat`] writes the rules of a NAT box, [`probe`] measures which class a box really is.
//! * [`wire`] is the small user-space delay line this project uses in place of `netem`.
//! * [`node`] starts `netflowd` in a namespace and talks to it with `netctl`.
#![allow(
    clippy::disallowed_methods,
    reason = "the lab is a shell: it starts programs (through cmd.rs alone), binds probe sockets and measures real time"
)]

pub mod boxes;
pub mod cleanup;
pub mod cmd;
pub mod conntrack;
pub mod demo;
pub mod failover;
pub mod flood;
pub mod lab;
pub mod matrix;
pub mod measure;
pub mod nat;
pub mod netns;
pub mod node;
pub mod paths;
pub mod preflight;
pub mod probe;
pub mod shell;
pub mod stream;
pub mod tools;
pub mod wait;
pub mod wire;
pub mod world;
