//! Ads: attributes and their expressions. Holds them and looks them up; evaluates only through
//! [`Scope`].

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::{AdError, ParseError};
use crate::eval::Scope;
use crate::expr::Expr;
use crate::limits::AD_BYTES_MAX;
use crate::name::{AttrName, hash_folded};
use crate::parser;
use crate::references::References;
use crate::unparse::{self, Style};
use crate::value::Value;

/// An ad: expressions by attribute name. Names are compared without regard to case and keep the
/// spelling with which they first came in; the order is that of the folded names. Cloning shares
/// the attributes until one of the two is changed.
#[derive(Clone, Default)]
pub struct ClassAd(Arc<Body>);

#[derive(Default)]
struct Body {
    /// Sorted by folded name, which no two share.
    entries: Vec<(AttrName, Expr)>,
    index: OnceLock<Index>,
}

impl ClassAd {
    /// An ad without attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an ad in the new syntax, `[ a = 1; b = a + 1 ]`. Of attributes of one name the last
    /// counts.
    ///
    /// # Errors Where and why `text` is not an ad.
    pub fn parse(text: &str) -> Result<Self, AdError> {
        check_length(text)?;
        Ok(parser::parse_ad(text)?)
    }

    /// Reads an ad in long form: one `Name = Expr` a line in the old syntax. Empty lines and lines
    /// that begin with `#` are skipped; of attributes of one name the last counts.
    ///
    /// # Errors The first line that cannot be read.
    pub fn parse_long(text: &str) -> Result<Self, AdError> {
        check_length(text)?;
        let mut entries = Vec::new();
        let mut offset = 0;
        for (i, line) in text.split('\n').enumerate() {
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                entries.push(long_line(line, i + 1, offset)?);
            }
            offset += line.len() + 1;
        }
        Ok(Self::from_entries(entries))
    }

    /// Sets an attribute, keeping the spelling of its name if it was there.
    pub fn insert(&mut self, name: impl Into<AttrName>, value: impl Into<Expr>) {
        let name = name.into();
        let body = Arc::make_mut(&mut self.0);
        match body.position(&name) {
            Ok(at) => body.entries[at].1 = value.into(),
            Err(at) => {
                body.entries.insert(at, (name, value.into()));
                body.index = OnceLock::new();
            }
        }
    }

    /// Sets an attribute to an expression in the new syntax.
    ///
    /// # Errors
    /// Where and why `text` is not an expression; the ad is unchanged.
    pub fn insert_expr(&mut self, name: impl Into<AttrName>, text: &str) -> Result<(), ParseError> {
        self.insert(name, Expr::parse(text)?);
        Ok(())
    }

    /// The expression of an attribute.
    pub fn get(&self, name: &str) -> Option<&Expr> {
        self.0.find(hash_folded(name), |entry| entry.is(name))
    }

    /// The same by a name made before, which needs no hashing.
    pub fn get_name(&self, name: &AttrName) -> Option<&Expr> {
        self.0.find(name.hash(), |entry| entry == name)
    }

    /// Whether the ad has the attribute.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Takes an attribute out.
    pub fn remove(&mut self, name: &str) -> Option<Expr> {
        let at = self.0.position(&name.into()).ok()?;
        let body = Arc::make_mut(&mut self.0);
        body.index = OnceLock::new();
        Some(body.entries.remove(at).1)
    }

    /// The attributes in the order of their folded names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&AttrName, &Expr)> {
        self.0.entries.iter().map(|(name, expr)| (name, expr))
    }

    /// How many attributes there are.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there is no attribute.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Sets every attribute that `other` has.
    pub fn merge(&mut self, other: &ClassAd) {
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        let entries = std::mem::take(&mut Arc::make_mut(&mut self.0).entries);
        let others = other.0.entries.iter().cloned();
        *self = Self::from_entries(entries.into_iter().chain(others).collect());
    }

    /// Evaluates an attribute with no other side and no time; UNDEFINED if it is not there.
    pub fn eval(&self, name: &str) -> Value {
        Scope::new(self).eval_attr(name)
    }

    /// What `expr` refers to when evaluated in this ad, through the attributes that it reaches.
    ///
    /// Returns `None` where an expression selects from something that is not an ad.
    pub fn references(&self, expr: &Expr) -> Option<References> {
        References::resolve(self, expr)
    }

    /// `expr` with everything folded that this ad decides by itself.
    pub fn flatten(&self, expr: &Expr) -> Expr {
        crate::eval::flatten(self, expr)
    }

    /// One `Name = Expr` a line in the old syntax. A string that holds a line break does not
    /// survive this form; [`ClassAd::to_exact`] keeps everything.
    pub fn to_long(&self) -> String {
        let mut out = String::new();
        for (name, expr) in self.iter() {
            unparse::name(&mut out, name, Style::Old);
            out.push_str(" = ");
            unparse::expr(&mut out, expr, Style::Old);
            out.push('\n');
        }
        out
    }

    /// New syntax that reads back as an equal ad, to the last bit of its reals.
    pub fn to_exact(&self) -> String {
        let mut out = String::new();
        unparse::ad(&mut out, self, Style::Exact);
        out
    }

    /// Of entries of one name the last value and the first spelling stay.
    pub(crate) fn from_entries(mut entries: Vec<(AttrName, Expr)>) -> Self {
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(&mut kept.1, &mut later.1);
            }
            same
        });
        Self(Arc::new(Body {
            entries,
            index: OnceLock::new(),
        }))
    }

    /// The same for clones that share their attributes, different for any two other live ads.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

/// Below this many attributes the entries themselves are searched.
const INDEXED_LEN_MIN: usize = 8;
/// A place of the index that points at no entry.
const VACANT: u32 = u32::MAX;

/// Open addressing by the names' own hashes, at most half full; built on the first look-up.
struct Index {
    slots: Box<[u32]>,
}

impl Body {
    fn position(&self, name: &AttrName) -> Result<usize, usize> {
        self.entries.binary_search_by(|(entry, _)| entry.cmp(name))
    }

    fn find(&self, hash: u32, is: impl Fn(&AttrName) -> bool) -> Option<&Expr> {
        if self.entries.len() < INDEXED_LEN_MIN {
            let found = self
                .entries
                .iter()
                .find(|(name, _)| name.hash() == hash && is(name));
            return found.map(|(_, expr)| expr);
        }
        let slots = &self.index.get_or_init(|| Index::of(&self.entries)).slots;
        let mask = slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (name, expr) = self.entries.get(slots[at] as usize)?;
            if name.hash() == hash && is(name) {
                return Some(expr);
            }
            at = (at + 1) & mask;
        }
    }
}

impl Index {
    fn of(entries: &[(AttrName, Expr)]) -> Self {
        let mut slots = vec![VACANT; (entries.len() * 2).next_power_of_two()].into_boxed_slice();
        let mask = slots.len() - 1;
        for (i, (name, _)) in entries.iter().enumerate() {
            let mut at = name.hash() as usize & mask;
            while slots[at] != VACANT {
                at = (at + 1) & mask;
            }
            slots[at] = i as u32;
        }
        Self { slots }
    }
}

fn check_length(text: &str) -> Result<(), AdError> {
    if text.len() <= AD_BYTES_MAX {
        return Ok(());
    }
    Err(AdError::TooLong {
        bytes: text.len(),
        limit: AD_BYTES_MAX,
    })
}

fn long_line(line: &str, number: usize, offset: usize) -> Result<(AttrName, Expr), AdError> {
    const SHOWN_CHARS_MAX: usize = 60;
    let not_a_line = || AdError::Line {
        line: number,
        text: line.trim().chars().take(SHOWN_CHARS_MAX).collect(),
    };
    let (name_text, expr_text) = line.split_once('=').ok_or_else(not_a_line)?;
    let name = parser::parse_name(name_text).map_err(|_| not_a_line())?;
    let trimmed = expr_text.trim_end();
    match Expr::parse_old(trimmed) {
        Ok(expr) => Ok((name, expr)),
        Err(mut source) => {
            source.offset += offset + name_text.len() + 1;
            Err(AdError::Expr {
                name: name.to_string(),
                line: number,
                source,
            })
        }
    }
}

impl Clone for Body {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            index: OnceLock::new(),
        }
    }
}

impl PartialEq for ClassAd {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.entries == other.0.entries
    }
}

impl<N: Into<AttrName>, E: Into<Expr>> Extend<(N, E)> for ClassAd {
    fn extend<I: IntoIterator<Item = (N, E)>>(&mut self, attrs: I) {
        let mut entries = std::mem::take(&mut Arc::make_mut(&mut self.0).entries);
        entries.extend(
            attrs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        *self = Self::from_entries(entries);
    }
}

impl<N: Into<AttrName>, E: Into<Expr>> FromIterator<(N, E)> for ClassAd {
    fn from_iter<I: IntoIterator<Item = (N, E)>>(attrs: I) -> Self {
        Self::from_entries(
            attrs
                .into_iter()
                .map(|(n, e)| (n.into(), e.into()))
                .collect(),
        )
    }
}

impl fmt::Display for ClassAd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        unparse::ad(&mut out, self, Style::New);
        f.write_str(&out)
    }
}

impl fmt::Debug for ClassAd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_exact())
    }
}
