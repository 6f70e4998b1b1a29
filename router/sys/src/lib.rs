//! The operating-system edge of the router: everything `netflowd` does to the machine goes through here.
//!
//! | module | owns |
//! |---|---|
//! | [`files`] | durable atomic files, private directories, the append-only [`files::AppendLog`], the single-instance lock |
//! | [`undo`] | the journal that puts the machine back after a clean stop or a crash |
//! | [`tun`] | one TUN device per network, with offload |
//! | [`udp`] | UDP sockets, with GSO, GRO, DF and a TTL per datagram |
//! | [`tcp`] | TCP sockets that carry packets where UDP is blocked |
//! | [`netlink`] | addresses, routes, rules, the search for clashes, and the watch over uplinks |
//! | [`nft`] | the packet filter table `inet netflow` |
//! | [`privileges`] | what the process may still do after start |
//! | [`clock`] | the only place that reads a clock |
//!
//! This is the one crate where `unsafe` would be allowed; the crates it stands on left nothing that needs it.

pub mod clock;
pub mod files;
pub mod netlink;
pub mod nft;
pub mod privileges;
pub mod tcp;
pub mod tun;
pub mod udp;
pub mod undo;
