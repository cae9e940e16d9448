//! Ads: attributes and their expressions. Holds them and looks them up; evaluates only through
//! [`Scope`].

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::{AdError, ParseError};
use crate::eval::Scope;
use crate::expr::Expr;
use crate::limits::{AD_BYTES_MAX, SYNTAX_ERRORS_MAX};
use crate::name::{AttrName, NameRef};
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
    /// # Errors
    /// Where and why `text` is not an ad.
    pub fn parse(text: &str) -> Result<Self, AdError> {
        check_length(text)?;
        Ok(parser::parse_ad(text)?)
    }

    /// Reads an ad in long form: one `Name = Expr` a line in the old syntax. Empty lines and lines
    /// that begin with `#` are skipped; of attributes of one name the last counts.
    ///
    /// # Errors
    /// The first line that cannot be read.
    pub fn parse_long(text: &str) -> Result<Self, AdError> {
        check_length(text)?;
        let entries: Result<Vec<_>, _> = long_lines(text).map(|line| line.entry()).collect();
        Ok(Self::from_entries(entries?))
    }

    /// All that [`ClassAd::parse`] would refuse in `text`, in order of place, as
    /// [`Expr::errors`] has it.
    pub fn errors(text: &str) -> Vec<AdError> {
        match check_length(text) {
            Ok(()) => parser::ad_errors(text)
                .into_iter()
                .map(AdError::from)
                .collect(),
            Err(too_long) => vec![too_long],
        }
    }

    /// All that [`ClassAd::parse_long`] would refuse in `text`, in order of place, as
    /// [`Expr::errors`] has it; the bound counts for the whole text.
    pub fn errors_long(text: &str) -> Vec<AdError> {
        if let Err(too_long) = check_length(text) {
            return vec![too_long];
        }
        long_lines(text)
            .flat_map(|line| line.errors())
            .take(SYNTAX_ERRORS_MAX)
            .collect()
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
        self.get_ref(NameRef::new(name))
    }

    /// The same by a name made before, which needs no hashing.
    pub fn get_name(&self, name: &AttrName) -> Option<&Expr> {
        self.get_ref(name.as_ref())
    }

    #[inline]
    pub(crate) fn get_ref(&self, name: NameRef<'_>) -> Option<&Expr> {
        self.get_entry(name).map(|(_, expr)| expr)
    }

    /// The expression of an attribute, and the attribute's place in the ad.
    #[inline]
    pub(crate) fn get_entry(&self, name: NameRef<'_>) -> Option<(Place, &Expr)> {
        self.0.find(name)
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

    /// The attributes in the order in which ads print: short names first, those of one length by
    /// their folded names.
    pub(crate) fn printed(&self) -> Vec<(&AttrName, &Expr)> {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(|(name, _)| name.as_str().len());
        entries
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

    /// One `Name = Expr` a line in the old syntax. A string that holds a line break, or a backslash before a quote, does not
    /// survive this form; [`ClassAd::to_exact`] keeps everything.
    pub fn to_long(&self) -> String {
        let mut out = String::new();
        for (name, expr) in self.printed() {
            unparse::name(&mut out, name.as_ref(), Style::Old);
            out.push_str(" = ");
            unparse::expr(&mut out, expr.as_ref(), Style::Old);
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

/// Which of an ad's attributes it is.
pub(crate) type Place = u32;

/// Below this many attributes the entries themselves are searched.
const INDEXED_LEN_MIN: usize = 8;
/// A place of the index that points at no entry.
const VACANT: u32 = u32::MAX;

/// Places that a look-up tries before it searches the entries themselves: names may be made to
/// collide.
const PROBES_MAX: usize = 16;

/// Open addressing by the names' own hashes, at most half full; built on the first look-up. A name
/// whose places are all taken is left out.
struct Index {
    slots: Box<[u32]>,
}

impl Body {
    fn position(&self, name: &AttrName) -> Result<usize, usize> {
        self.entries.binary_search_by(|(entry, _)| entry.cmp(name))
    }

    #[inline]
    fn find(&self, name: NameRef<'_>) -> Option<(Place, &Expr)> {
        if self.entries.len() < INDEXED_LEN_MIN {
            let mut entries = self.entries.iter();
            let at = entries.position(|(entry, _)| name.names(entry))?;
            return Some((at as Place, &self.entries[at].1));
        }
        let slots = &self.index.get_or_init(|| Index::of(&self.entries)).slots;
        let mask = slots.len() - 1;
        for probe in 0..PROBES_MAX {
            let slot = slots[(name.hash() as usize + probe) & mask];
            let (entry, expr) = self.entries.get(slot as usize)?;
            if name.names(entry) {
                return Some((slot, expr));
            }
        }
        let at = self
            .entries
            .binary_search_by(|(entry, _)| name.cmp(entry).reverse());
        at.ok().map(|at| (at as Place, &self.entries[at].1))
    }
}

impl Index {
    fn of(entries: &[(AttrName, Expr)]) -> Self {
        let mut slots = vec![VACANT; (entries.len() * 2).next_power_of_two()].into_boxed_slice();
        let mask = slots.len() - 1;
        for (i, (name, _)) in entries.iter().enumerate() {
            let hash = name.as_ref().hash() as usize;
            let mut probes = (0..PROBES_MAX).map(|probe| (hash + probe) & mask);
            if let Some(at) = probes.find(|at| slots[*at] == VACANT) {
                slots[at] = i as u32;
            }
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

/// One line of a long-form ad that is neither empty nor a comment.
struct LongLine<'t> {
    text: &'t str,
    /// From 1.
    number: usize,
    /// Of its first byte.
    offset: usize,
}

fn long_lines(text: &str) -> impl Iterator<Item = LongLine<'_>> {
    let mut offset = 0;
    let lines = text.split('\n').enumerate().map(move |(i, text)| {
        let line = LongLine {
            text,
            number: i + 1,
            offset,
        };
        offset += text.len() + 1;
        line
    });
    lines.filter(|line| {
        let text = line.text.trim_start();
        !text.is_empty() && !text.starts_with('#')
    })
}

impl LongLine<'_> {
    fn entry(&self) -> Result<(AttrName, Expr), AdError> {
        let (name, expr_text, offset) = self.split()?;
        match Expr::parse_old(expr_text) {
            Ok(expr) => Ok((name, expr)),
            Err(source) => Err(self.refused(&name, source.shifted(offset))),
        }
    }

    fn errors(&self) -> Vec<AdError> {
        let (name, expr_text, offset) = match self.split() {
            Ok(parts) => parts,
            Err(error) => return vec![error],
        };
        let errors = Expr::errors_old(expr_text).into_iter();
        errors
            .map(|source| self.refused(&name, source.shifted(offset)))
            .collect()
    }

    /// The name, the expression's text, and where that begins in the whole text.
    fn split(&self) -> Result<(AttrName, &str, usize), AdError> {
        const SHOWN_CHARS_MAX: usize = 60;
        let not_a_line = || AdError::Line {
            line: self.number,
            text: self.text.trim().chars().take(SHOWN_CHARS_MAX).collect(),
        };
        let (name, expr_text) = self.text.split_once('=').ok_or_else(not_a_line)?;
        let expr_at = self.offset + name.len() + 1;
        let name = long_name(name).ok_or_else(not_a_line)?;
        Ok((name, expr_text.trim_end(), expr_at))
    }

    fn refused(&self, name: &AttrName, source: ParseError) -> AdError {
        AdError::Expr {
            name: name.to_string(),
            line: self.number,
            source,
        }
    }
}

/// A name before its `=`. Words that expressions keep for themselves are names here.
fn long_name(text: &str) -> Option<AttrName> {
    let word = text.trim();
    let starts = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Some(word.into());
    }
    parser::parse_name(text).ok()
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
