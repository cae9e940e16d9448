//! The function library: names, how many arguments each takes, and what it does. One file a group;
//! each function evaluates its own arguments, so that those which must not evaluate one can leave
//! it.

mod aggregate;
mod context;
mod convert;
mod numeric;
mod pattern;
mod process;
mod regexes;
mod string_list;
mod strings;
mod time;
mod version;

use std::sync::LazyLock;

use crate::eval::{Evaluator, STEP_BYTES, ScopeId, Val};
use crate::expr::{Call, Items};
use crate::limits::{LIST_ITEMS_MAX, STRING_BYTES_MAX};
use crate::name::{NameRef, hash_folded};

pub(crate) use regexes::Kept as KeptPattern;

/// One function.
pub(crate) struct Builtin {
    /// In lower case.
    pub name: &'static str,
    args_min: usize,
    args_max: usize,
    pub eval: Body,
    outside: Outside,
    handles: Handles,
    is_extension: bool,
    takes_pattern: bool,
}

/// What an answer depends on that is neither an argument nor an ad.
#[derive(Clone, Copy, PartialEq)]
enum Outside {
    Nothing,
    /// The clock, where it is called without arguments.
    Clock,
    /// The seed, and what was drawn from it before.
    Chance,
}

/// What a function does with its arguments beyond evaluating them where they stand.
#[derive(Clone, Copy, PartialEq)]
enum Handles {
    Values,
    /// Evaluates or prints an expression that it did not get as a value.
    Expressions,
    /// Evaluates an argument in other ads.
    OtherAds,
}

pub(crate) type Body = fn(&mut Evaluator<'_>, Call<'_>, ScopeId) -> Val;

/// For functions that take any number of arguments.
const ANY: usize = usize::MAX;

/// Open addressing by the names' own hashes, at most a quarter full.
struct Table {
    slots: Box<[Option<&'static Builtin>]>,
}

static BY_NAME: LazyLock<Table> = LazyLock::new(|| {
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
    let count: usize = groups.iter().map(|group| group.len()).sum();
    let mut slots = vec![None; (count * 4).next_power_of_two()].into_boxed_slice();
    for builtin in groups.into_iter().flatten() {
        let mut at = hash_folded(builtin.name) as usize & (slots.len() - 1);
        while slots[at].is_some() {
            at = (at + 1) & (slots.len() - 1);
        }
        slots[at] = Some(builtin);
    }
    Table { slots }
});

/// A function by its place among all, which is small.
#[derive(Clone, Copy)]
pub(crate) struct BuiltinId(u16);

impl BuiltinId {
    /// The function itself.
    pub(crate) fn get(self) -> &'static Builtin {
        BY_NAME.slots[usize::from(self.0)].expect("a place comes from where a function is")
    }
}

/// The function of a name, in any case.
pub(crate) fn find(name: NameRef<'_>) -> Option<&'static Builtin> {
    find_id(name).map(BuiltinId::get)
}

/// The place of the function of a name, in any case.
pub(crate) fn find_id(name: NameRef<'_>) -> Option<BuiltinId> {
    let slots = &BY_NAME.slots;
    let mut at = name.hash() as usize & (slots.len() - 1);
    loop {
        let builtin = slots[at]?;
        if name.is(builtin.name) {
            return Some(BuiltinId(at as u16));
        }
        at = (at + 1) & (slots.len() - 1);
    }
}

impl Builtin {
    const fn new(name: &'static str, args_min: usize, args_max: usize, eval: Body) -> Self {
        Self {
            name,
            args_min,
            args_max,
            eval,
            outside: Outside::Nothing,
            handles: Handles::Values,
            is_extension: false,
            takes_pattern: false,
        }
    }

    /// What HTCondor adds to the library (its compat_classad.cpp).
    const fn of_htcondor(mut self) -> Self {
        self.is_extension = true;
        self
    }

    const fn taking_pattern(mut self) -> Self {
        self.takes_pattern = true;
        self
    }

    const fn reading_clock(mut self) -> Self {
        self.outside = Outside::Clock;
        self
    }

    const fn drawing(mut self) -> Self {
        self.outside = Outside::Chance;
        self
    }

    const fn looking_at_expressions(mut self) -> Self {
        self.handles = Handles::Expressions;
        self
    }

    const fn evaluating_in_other_ads(mut self) -> Self {
        self.handles = Handles::OtherAds;
        self
    }

    /// Whether it is HTCondor's, unknown to the bare library.
    pub(crate) fn is_extension(&self) -> bool {
        self.is_extension
    }

    /// Whether its first argument is a regular expression, worth keeping compiled.
    pub(crate) fn takes_pattern(&self) -> bool {
        self.takes_pattern
    }

    /// Whether it evaluates or prints an expression that it did not get as a value: what it can
    /// reach cannot be read off the call.
    pub(crate) fn looks_at_expressions(&self) -> bool {
        self.handles == Handles::Expressions
    }

    /// Whether it evaluates an argument in other ads than the one that the call stands in.
    pub(crate) fn evaluates_in_other_ads(&self) -> bool {
        self.handles == Handles::OtherAds
    }

    /// Whether the answer, of so many arguments, depends on the clock or the seed.
    pub(crate) fn looks_outside(&self, args: usize) -> bool {
        match self.outside {
            Outside::Nothing => false,
            Outside::Clock => args == 0,
            Outside::Chance => true,
        }
    }

    /// Whether it can be called with so many arguments.
    pub(crate) fn takes(&self, args: usize) -> bool {
        (self.args_min..=self.args_max).contains(&args)
    }
}

impl Evaluator<'_> {
    /// The value of an argument, paid for by its size: what a function does with it costs in
    /// proportion.
    fn arg(&mut self, call: Call<'_>, i: usize, at: ScopeId) -> Val {
        let value = self.eval(call.arg(i), at);
        self.paid(value)
    }

    /// The same of an argument that may be missing.
    fn arg_if_any(&mut self, call: Call<'_>, i: usize, at: ScopeId) -> Option<Val> {
        (i < call.args.len()).then(|| self.arg(call, i, at))
    }

    /// The values of all arguments, paid for likewise.
    fn all(&mut self, args: Items<'_>, at: ScopeId) -> Vec<Val> {
        let value = |arg| {
            let value = self.eval(arg, at);
            self.paid(value)
        };
        args.iter().map(value).collect()
    }

    fn paid(&mut self, value: Val) -> Val {
        match self.spend(size_cost(&value)) {
            true => value,
            false => Val::Error,
        }
    }

    /// The values of a list's items, paid for by their sizes; `None` if it is no list, too long,
    /// or costs too much.
    fn items_of(&mut self, list: &Val) -> Option<Vec<Val>> {
        let items = self.items(list)?;
        let cost = items.iter().map(size_cost).sum();
        self.spend(cost).then_some(items)
    }

    /// One item of a list, where going through all of them may not be needed.
    fn next_item(&mut self, list: &Val, i: usize) -> Option<Val> {
        if i >= LIST_ITEMS_MAX || !self.spend(1) {
            return None;
        }
        let item = self.item(list, i)?;
        self.spend(size_cost(&item)).then_some(item)
    }

    /// A string as a result: paid for, and ERROR if it is too long.
    fn made(&mut self, text: String) -> Val {
        if !self.spend(text.len() / STEP_BYTES) || text.len() > STRING_BYTES_MAX {
            return Val::Error;
        }
        Val::string(text)
    }

    /// A list as a result, likewise.
    fn made_list(&mut self, items: Vec<Val>) -> Val {
        if !self.spend(items.len()) || items.len() > LIST_ITEMS_MAX {
            return Val::Error;
        }
        Val::Made(items.into())
    }
}

/// What going through a value once costs, in steps, beyond its evaluation.
fn size_cost(value: &Val) -> usize {
    match value {
        Val::Str(text) => text.len() / STEP_BYTES,
        Val::Undefined | Val::Error | Val::Bool(_) | Val::Int(_) | Val::Real(_) => 0,
        Val::AbsTime { .. } | Val::RelTime(_) => 0,
        // They are shared, and what is inside them is paid for where it is looked at.
        Val::Lazy(..) | Val::Made(_) | Val::Ad(_) => 0,
    }
}
