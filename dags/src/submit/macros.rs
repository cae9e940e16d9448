//! The names given to a description from outside: VARS, FOREACH variables, trial parameters,
//! `best.*`.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// What the name of a macro begins with that is a variable of the submitter's environment.
pub(super) const ENVIRONMENT: &str = "ENV.";

/// Named values, in the order given. Names compare without case; a later value of a name replaces
/// an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macros {
    list: Vec<Macro>,
}

/// One named value. Most are short, and a DAG has some for each of its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macro {
    pub name: SmolStr,
    pub value: SmolStr,
    pub placement: Placement,
}

/// Who wins when the description assigns the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// The description: as if the value stood above its first line.
    Before,
    /// The value given here.
    After,
}

impl Macros {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a value that wins over the description's own.
    pub fn insert(&mut self, name: &str, value: impl ToString) {
        self.put(name, value.to_string(), Placement::After);
    }

    /// Gives a value that the description's own assignment wins over.
    pub fn insert_before(&mut self, name: &str, value: impl ToString) {
        self.put(name, value.to_string(), Placement::Before);
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Macro> {
        self.list.iter().find(|entry| is_same(&entry.name, name))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Macro> {
        self.list.iter()
    }

    fn put(&mut self, name: &str, value: String, placement: Placement) {
        let entry = Macro {
            name: name.into(),
            value: value.into(),
            placement,
        };
        match self.list.iter_mut().find(|old| is_same(&old.name, name)) {
            Some(old) => *old = entry,
            None => self.list.push(entry),
        }
    }
}

/// Variables of an environment have names of their own case.
fn is_same(one: &str, other: &str) -> bool {
    one == other || (one.eq_ignore_ascii_case(other) && !one.starts_with(ENVIRONMENT))
}

impl<N: AsRef<str>, V: ToString> FromIterator<(N, V)> for Macros {
    /// Values that win over the description's own.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut macros = Self::new();
        for (name, value) in pairs {
            macros.insert(name.as_ref(), value);
        }
        macros
    }
}
