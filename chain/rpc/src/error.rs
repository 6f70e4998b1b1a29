//! Errors with the codes Ethereum tools look for.

use alloy_primitives::Bytes;
use jsonrpsee::types::ErrorObjectOwned;
use netchain_exec::{CallError, TraceError};
use netchain_state::StateError;
use netchain_store::StoreError;

/// Outcome of a method.
pub(crate) type RpcResult<T> = Result<T, ErrorObjectOwned>;

/// Invalid parameters.
pub(crate) const INVALID_PARAMS: i32 = -32_602;
/// The server's fault.
pub(crate) const INTERNAL: i32 = -32_603;
/// What geth answers to a transaction it does not take, and to many other things.
pub(crate) const SERVER: i32 = -32_000;
/// A limit is exceeded (EIP-1474).
pub(crate) const LIMIT: i32 = -32_005;
/// Execution reverted; the data is the reason.
pub(crate) const REVERTED: i32 = 3;

pub(crate) fn error(code: i32, text: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, text, None::<()>)
}

pub(crate) fn invalid(text: impl Into<String>) -> ErrorObjectOwned {
    error(INVALID_PARAMS, text)
}

pub(crate) fn store_error(failed: StoreError) -> ErrorObjectOwned {
    match failed {
        StoreError::State(failed) => state_error(failed),
        StoreError::Database(_)
        | StoreError::Corrupt(_)
        | StoreError::Format(_)
        | StoreError::Block(_)
        | StoreError::NotEmpty
        | StoreError::Empty
        | StoreError::Snapshot(_) => {
            tracing::error!(error = %failed, "RPC cannot read the store");
            error(INTERNAL, failed.to_string())
        }
    }
}

pub(crate) fn state_error(failed: StateError) -> ErrorObjectOwned {
    match failed {
        StateError::Pruned { .. } => error(SERVER, format!("missing trie node: {failed}")),
        StateError::Future { .. } => error(SERVER, "header not found"),
        StateError::Corrupt(_) | StateError::Database(_) => error(INTERNAL, failed.to_string()),
    }
}

pub(crate) fn call_error(failed: CallError) -> ErrorObjectOwned {
    match failed {
        CallError::Read(failed) => state_error(failed.0),
        CallError::Reverted(data) => reverted(&data),
        CallError::Invalid(_) | CallError::Halted(_) => error(SERVER, failed.to_string()),
    }
}

pub(crate) fn trace_error(failed: TraceError) -> ErrorObjectOwned {
    match failed {
        TraceError::Call(failed) => call_error(failed),
        TraceError::Tracer(_) => invalid(failed.to_string()),
    }
}

/// "execution reverted", with Solidity's reason in words when there is one and the raw data for the tools.
pub(crate) fn reverted(data: &Bytes) -> ErrorObjectOwned {
    let text = reason(data).map_or_else(|| "execution reverted".to_owned(), |why| format!("execution reverted: {why}"));
    ErrorObjectOwned::owned(REVERTED, text, Some(data))
}

/// `Error(string)` of Solidity: selector 08c379a0, offset 32, length, text.
fn reason(data: &[u8]) -> Option<String> {
    let rest = data.strip_prefix(&[0x08, 0xc3, 0x79, 0xa0])?;
    let length = rest.get(56..64)?.iter().fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
    let text = rest.get(64..64_usize.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_and_garbage_is_not() {
        let mut data = vec![0x08, 0xc3, 0x79, 0xa0];
        data.extend([0; 31]);
        data.push(32);
        data.extend([0; 31]);
        data.push(3);
        data.extend(b"no!");
        data.extend([0; 29]);
        assert_eq!(reverted(&data.clone().into()).message(), "execution reverted: no!");
        for length in 0..68 {
            assert_eq!(reason(data.get(..length).unwrap()), None);
        }
        data[36 + 24] = 0xff;
        assert_eq!(reason(&data), None);
    }
}
