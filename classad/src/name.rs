//! Attribute names: compared without regard to ASCII case, printed as they were written. The folded
//! form and its hash are computed once, when the name is made, so that a look-up allocates nothing.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// An attribute's name. Equality, order and hash ignore ASCII case; display keeps the spelling.
#[derive(Clone)]
pub struct AttrName {
    text: Arc<str>,
    folded: Arc<str>,
    hash: u32,
}

impl AttrName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name in ASCII lower case.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether this names the same attribute as `other`.
    pub fn is(&self, other: &str) -> bool {
        self.folded.eq_ignore_ascii_case(other)
    }

    pub(crate) fn hash(&self) -> u32 {
        self.hash
    }

    /// Whether the name can be printed without quotes.
    pub(crate) fn is_plain(&self) -> bool {
        let mut bytes = self.text.bytes();
        let starts = bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        starts
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !RESERVED.contains(&&*self.folded)
    }
}

/// Words that are not attribute names unless quoted. `parent` is one only when printing.
const RESERVED: [&str; 7] = [
    "error",
    "false",
    "is",
    "isnt",
    "parent",
    "true",
    "undefined",
];

/// The text with every NUL, which ads cannot hold, replaced by U+FFFD.
pub(crate) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// FNV-1a over the folded bytes: small, seedless, the same on every machine.
pub(crate) fn hash_folded(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    })
}

/// A NUL, which no syntax can write, becomes U+FFFD.
impl From<&str> for AttrName {
    fn from(text: &str) -> Self {
        let text: Arc<str> = without_nul(text).into();
        let folded = if text.bytes().any(|b| b.is_ascii_uppercase()) {
            text.to_ascii_lowercase().into()
        } else {
            Arc::clone(&text)
        };
        let hash = hash_folded(&folded);
        Self { text, folded, hash }
    }
}

impl From<String> for AttrName {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for AttrName {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&AttrName> for AttrName {
    fn from(name: &AttrName) -> Self {
        name.clone()
    }
}

impl PartialEq for AttrName {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && (Arc::ptr_eq(&self.folded, &other.folded) || self.folded == other.folded)
    }
}

impl Eq for AttrName {}

impl PartialOrd for AttrName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AttrName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl Hash for AttrName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl fmt::Display for AttrName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AttrName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
