//! Relay service and its client.
