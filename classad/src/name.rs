//! Attribute names: compared without regard to ASCII case, printed as they were written. The hash
//! of the folded form is computed once, when the name is made, so that a look-up allocates nothing.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use smol_str::SmolStr;

/// An attribute's name. Equality, order and hash ignore ASCII case; display keeps the spelling.
#[derive(Clone)]
pub struct AttrName {
    text: SmolStr,
    hash: u32,
}

/// A name that somebody else holds.
#[derive(Clone, Copy)]
pub(crate) struct NameRef<'n> {
    text: &'n str,
    hash: u32,
}

impl AttrName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name in ASCII lower case.
    pub fn folded(&self) -> Cow<'_, str> {
        if self.text.bytes().any(|b| b.is_ascii_uppercase()) {
            self.text.to_ascii_lowercase().into()
        } else {
            self.text.as_str().into()
        }
    }

    /// Whether this names the same attribute as `other`.
    pub fn is(&self, other: &str) -> bool {
        self.text.eq_ignore_ascii_case(other)
    }

    /// A name that is known to hold no NUL.
    pub(crate) fn parsed(text: &str) -> Self {
        NameRef::new(text).to_name()
    }

    #[inline]
    pub(crate) fn as_ref(&self) -> NameRef<'_> {
        NameRef {
            text: &self.text,
            hash: self.hash,
        }
    }
}

impl<'n> NameRef<'n> {
    #[inline]
    pub(crate) fn new(text: &'n str) -> Self {
        Self {
            text,
            hash: hash_folded(text),
        }
    }

    /// Of a name whose hash is known.
    #[inline]
    pub(crate) fn with_hash(text: &'n str, hash: u32) -> Self {
        Self { text, hash }
    }

    #[inline]
    pub(crate) fn as_str(self) -> &'n str {
        self.text
    }

    #[inline]
    pub(crate) fn hash(self) -> u32 {
        self.hash
    }

    /// Whether it is that name in any case.
    pub(crate) fn is(self, name: &str) -> bool {
        self.text.eq_ignore_ascii_case(name)
    }

    /// Whether it names the same attribute as `name`.
    #[inline]
    pub(crate) fn names(self, name: &AttrName) -> bool {
        self.hash == name.hash && same(self.text, &name.text)
    }

    /// As names are ordered.
    pub(crate) fn cmp(self, name: &AttrName) -> Ordering {
        compare(self.text, &name.text)
    }

    /// The same on its own.
    pub(crate) fn to_name(self) -> AttrName {
        AttrName {
            text: SmolStr::new(self.text),
            hash: self.hash,
        }
    }

    /// Whether the name can be printed without quotes.
    pub(crate) fn is_plain(self) -> bool {
        self.is_word() && !self.is("parent")
    }

    /// Whether the parser takes the name without quotes. `parent` is one that it does, but that is
    /// printed in quotes except behind a point.
    pub(crate) fn is_word(self) -> bool {
        let mut bytes = self.text.bytes();
        let starts = bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        starts
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !RESERVED.iter().any(|word| self.is(word))
    }
}

/// Words that are not attribute names unless quoted.
const RESERVED: [&str; 6] = ["error", "false", "is", "isnt", "true", "undefined"];

/// The text with every NUL, which ads cannot hold, replaced by U+FFFD.
pub(crate) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// Equal for names that differ in case only; small, seedless, the same on every machine. Eight
/// bytes at a time, each with the bit set that tells cases of a letter apart.
#[inline]
pub(crate) fn hash_folded(name: &str) -> u32 {
    const CASE: u64 = 0x2020_2020_2020_2020;
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let bytes = name.as_bytes();
    let mut hash = bytes.len() as u64;
    let mut mix = |word: u64| {
        hash = (hash.rotate_left(23) ^ (word | CASE)).wrapping_mul(ODD);
    };
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        mix(u64::from_le_bytes(*first));
        for word in bytes[8..].chunks_exact(8) {
            mix(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        mix(u64::from_le_bytes(*last));
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        mix(u64::from(first) | u64::from(last) << 32);
    } else {
        mix(bytes
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    (hash >> 32) as u32
}

/// Names are mostly spelled alike, so that is tried first.
#[inline]
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && (a == b || a.eq_ignore_ascii_case(b))
}

/// As C's `strcasecmp` in the C locale.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    a.bytes()
        .map(|b| b.to_ascii_lowercase())
        .cmp(b.bytes().map(|b| b.to_ascii_lowercase()))
}

/// A NUL, which no syntax can write, becomes U+FFFD.
impl From<&str> for AttrName {
    fn from(text: &str) -> Self {
        let text = without_nul(text);
        Self {
            hash: hash_folded(&text),
            text: SmolStr::new(text),
        }
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

impl From<NameRef<'_>> for AttrName {
    fn from(name: NameRef<'_>) -> Self {
        name.to_name()
    }
}

impl PartialEq for AttrName {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && same(&self.text, &other.text)
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
        compare(&self.text, &other.text)
    }
}

impl Hash for AttrName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
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
