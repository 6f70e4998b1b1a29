//! Tests in network namespaces. They need root, real daemons (`make build-dev`, or `NETFLOWD_BIN` and `NETCTL_BIN`), and run one at a time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "tests stop at the first surprise and measure real time"
)]

mod bad_input;
mod crash;
mod machine;
mod topology;
mod two_homes;
