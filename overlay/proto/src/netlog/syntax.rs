//! Names and tags.

use super::limits::{MAX_NAME_LEN, MAX_TAG_LEN};

/// A name or tag that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Names are DNS labels.
    #[error("a name has 1 to 63 characters out of a-z, 0-9 and -, and neither starts nor ends with -")]
    Name,
    /// Tags likewise, shorter.
    #[error("a tag has 1 to 32 characters out of a-z, 0-9 and -, and neither starts nor ends with -")]
    Tag,
}

/// Is this a name of a member or network: a lower-case DNS label (RFC 1035, 2.3.1, digits first allowed by RFC 1123, 2.1)?
pub fn valid_name(text: &str) -> bool {
    label(text, MAX_NAME_LEN)
}

/// Is this a tag?
pub fn valid_tag(text: &str) -> bool {
    label(text, MAX_TAG_LEN)
}

fn label(text: &str, limit: usize) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=limit).contains(&bytes.len())
        && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
