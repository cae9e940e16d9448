//! The end of an evaluation: what is still unevaluated in its result is evaluated, within bounds,
//! so that the value can leave its scopes.

use smol_str::SmolStr;

use crate::ad::Place;
use crate::limits::{LIST_ITEMS_MAX, RESULT_BYTES_MAX, RESULT_DEPTH_MAX};
use crate::name::AttrName;
use crate::value::{AdValue, List, Value};

use super::{Evaluator, ScopeId, Val};

impl Evaluator<'_> {
    /// The value on its own. Lists and ads that are too deep, too large or inside themselves are
    /// ERROR.
    pub(crate) fn force(&mut self, value: Val) -> Value {
        Forcing {
            evaluator: self,
            items: 0,
            bytes: 0,
            open: Vec::new(),
        }
        .value(value, 0)
    }
}

struct Forcing<'e, 'a> {
    evaluator: &'e mut Evaluator<'a>,
    items: usize,
    bytes: usize,
    /// Ads that the value being made stands in.
    open: Vec<ScopeId>,
}

impl Forcing<'_, '_> {
    fn value(&mut self, value: Val, depth: u16) -> Value {
        match value {
            Val::Undefined => Value::Undefined,
            Val::Error => Value::Error,
            Val::Bool(value) => Value::Bool(value),
            Val::Int(value) => Value::Int(value),
            Val::Real(value) => Value::Real(value),
            Val::Str(text) => self.string(text),
            Val::AbsTime { secs, offset } => Value::AbsTime { secs, offset },
            Val::RelTime(secs) => Value::RelTime(secs),
            Val::Lazy(..) | Val::Made(_) => self.list(&value, depth),
            Val::Ad(id) => self.ad(id, depth),
        }
    }

    /// Strings share what they hold; their prints do not.
    fn string(&mut self, text: SmolStr) -> Value {
        self.bytes += text.len();
        if self.bytes > RESULT_BYTES_MAX {
            return Value::Error;
        }
        Value::Str(text)
    }

    fn list(&mut self, list: &Val, depth: u16) -> Value {
        let len = self.evaluator.list_len(list).unwrap_or(0);
        if depth >= RESULT_DEPTH_MAX || !self.take(len) {
            return Value::Error;
        }
        let mut values = Vec::with_capacity(len);
        for i in 0..len {
            let item = self.evaluator.item(list, i).unwrap_or(Val::Error);
            values.push(self.value(item, depth + 1));
        }
        let source = match list {
            Val::Lazy(list, _) => Some(list.clone()),
            _ => None,
        };
        Value::List(List {
            values: values.into(),
            source,
        })
    }

    fn ad(&mut self, id: ScopeId, depth: u16) -> Value {
        let source = self.evaluator.ad(id).clone();
        if depth >= RESULT_DEPTH_MAX || self.open.contains(&id) || !self.take(source.len()) {
            return Value::Error;
        }
        self.open.push(id);
        let mut values: Vec<(AttrName, Value)> = Vec::with_capacity(source.len());
        for (place, (name, expr)) in source.iter().enumerate() {
            let value = self.evaluator.eval_entry(place as Place, expr, id);
            values.push((name.clone(), self.value(value, depth + 1)));
        }
        self.open.pop();
        Value::Ad(AdValue {
            source,
            values: values.into(),
        })
    }

    fn take(&mut self, items: usize) -> bool {
        self.items += items;
        self.items <= LIST_ITEMS_MAX && self.evaluator.spend(items)
    }
}
