//! Names and tags.

use super::limits::{MAX_NAME_LEN, MAX_TAG_LEN};

/// Characters of a refused text that are shown: the rest of a file pasted by mistake helps nobody.
const SHOWN: usize = 80;

/// A name or tag that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {why}")]
pub struct LabelError {
    /// `name` or `tag`.
    pub what: &'static str,
    /// The text, cut after 80 characters.
    pub text: String,
    /// What is wrong with it.
    pub why: LabelFault,
}

/// What is wrong with a name or tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelFault {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// A space, a capital, a dot...
    #[error("may hold a-z, 0-9 and - only")]
    Character,
    /// A hyphen at an end.
    #[error("may neither begin nor end with -")]
    Hyphen,
    /// Over 63, a tag over 32.
    #[error("has {len} characters, more than {limit}")]
    Long {
        /// Characters.
        len: usize,
        /// As many as there may be.
        limit: usize,
    },
}

/// Says what keeps a text from being a name.
///
/// # Errors
/// [`LabelError`].
pub fn check_name(text: &str) -> Result<(), LabelError> {
    check("name", text, MAX_NAME_LEN)
}

/// Says what keeps a text from being a tag.
///
/// # Errors
/// [`LabelError`].
pub fn check_tag(text: &str) -> Result<(), LabelError> {
    check("tag", text, MAX_TAG_LEN)
}

fn check(what: &'static str, text: &str, limit: usize) -> Result<(), LabelError> {
    fault(text, limit).map_or(Ok(()), |why| Err(LabelError { what, text: text.chars().take(SHOWN).collect(), why }))
}

/// Is this a name of a member or network: a lower-case DNS label (RFC 1035, 2.3.1, digits first allowed by RFC 1123, 2.1)?
pub fn valid_name(text: &str) -> bool {
    fault(text, MAX_NAME_LEN).is_none()
}

/// Is this a tag?
pub fn valid_tag(text: &str) -> bool {
    fault(text, MAX_TAG_LEN).is_none()
}

fn fault(text: &str, limit: usize) -> Option<LabelFault> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() {
        return Some(LabelFault::Empty);
    }
    if !text.bytes().all(allowed) {
        return Some(LabelFault::Character);
    }
    if text.len() > limit {
        return Some(LabelFault::Long { len: text.len(), limit });
    }
    (text.starts_with('-') || text.ends_with('-')).then_some(LabelFault::Hyphen)
}
