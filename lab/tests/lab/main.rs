//! Tests in network namespaces. They need root, real daemons (`make build-dev`, or `NETFLOWD_BIN` and `NETCTL_BIN`), and run one at a time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "tests stop at the first surprise and measure real time"
)]

mod bad_input;
mod bench;
mod crash;
mod failover;
mod flood;
mod machine;
mod mesh;
mod mtu;
mod nat_matrix;
mod nat_special;
mod topology;
mod two_homes;
