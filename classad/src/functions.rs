//! The function library: names, how many arguments each takes, and what it does. One file a group;
//! each function evaluates its own arguments, so that those which must not evaluate one can leave
//! it.

mod aggregate;
mod context;
mod convert;
mod numeric;
mod process;
mod regexes;
mod string_list;
mod strings;
mod time;
mod version;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::eval::{Evaluator, ScopeId, Val};
use crate::expr::{Call, Expr};
use crate::limits::STRING_BYTES_MAX;

/// One function.
pub(crate) struct Builtin {
    /// In lower case.
    pub name: &'static str,
    args_min: usize,
    args_max: usize,
    pub eval: Body,
}

pub(crate) type Body = fn(&mut Evaluator, &Call, ScopeId) -> Val;

/// For functions that take any number of arguments.
const ANY: usize = usize::MAX;

static BY_NAME: LazyLock<BTreeMap<&'static str, &'static Builtin>> = LazyLock::new(|| {
    let groups = [
        aggregate::FUNCTIONS,
        context::FUNCTIONS,
        convert::FUNCTIONS,
        numeric::FUNCTIONS,
        process::FUNCTIONS,
        regexes::FUNCTIONS,
        string_list::FUNCTIONS,
        strings::FUNCTIONS,
        time::FUNCTIONS,
        version::FUNCTIONS,
    ];
    groups
        .into_iter()
        .flatten()
        .map(|builtin| (builtin.name, builtin))
        .collect()
});

/// The function of a name in lower case.
pub(crate) fn find(folded: &str) -> Option<&'static Builtin> {
    BY_NAME.get(folded).copied()
}

impl Builtin {
    const fn new(name: &'static str, args_min: usize, args_max: usize, eval: Body) -> Self {
        Self {
            name,
            args_min,
            args_max,
            eval,
        }
    }

    /// Whether it can be called with so many arguments.
    pub(crate) fn takes(&self, args: usize) -> bool {
        (self.args_min..=self.args_max).contains(&args)
    }
}

impl Evaluator {
    /// The values of all arguments.
    fn all(&mut self, args: &[Expr], at: ScopeId) -> Vec<Val> {
        args.iter().map(|arg| self.eval(arg, at)).collect()
    }

    /// A string as a result: ERROR if it is too long, paid for if it is not.
    fn made(&mut self, text: String) -> Val {
        if text.len() > STRING_BYTES_MAX || !self.spend(text.len() / 64) {
            return Val::Error;
        }
        Val::string(text)
    }

    /// A list as a result.
    fn made_list(&mut self, items: Vec<Val>) -> Val {
        if items.len() > crate::limits::LIST_ITEMS_MAX || !self.spend(items.len()) {
            return Val::Error;
        }
        Val::Made(items.into())
    }
}
