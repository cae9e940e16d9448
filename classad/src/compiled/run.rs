//! Running compiled code in a scope.

use crate::eval::ops::{self, Chain, Truth, View};
use crate::eval::{Evaluator, MY, Mode, Scope, Val};
use crate::limits::EVAL_STEPS_MAX;
use crate::value::Value;

use super::{Code, Compiled, Name, Side, Walk};

impl Scope<'_> {
    /// The value of a compiled expression here: what [`Scope::eval`] gives of the expression that
    /// it was made from.
    pub fn run(&self, compiled: &Compiled) -> Value {
        self.try_run(compiled)
            .unwrap_or_else(|| self.eval(compiled.expr()))
    }

    /// Whether the value here is TRUE or a number other than zero.
    pub fn run_is_true(&self, compiled: &Compiled) -> bool {
        let Some(mut run) = Run::new(*self, compiled) else {
            return self.eval(compiled.expr()).is_true();
        };
        let truth = run.truth(&compiled.0.code);
        if run.is_within_bounds(compiled) {
            truth == Truth::True
        } else {
            self.eval(compiled.expr()).is_true()
        }
    }

    fn try_run(&self, compiled: &Compiled) -> Option<Value> {
        let mut run = Run::new(*self, compiled)?;
        let value = match run.eval(&compiled.0.code) {
            Got::View(view) => value_of(view),
            Got::Val(value) => {
                // What the last walk stood in is behind it.
                run.evaluator().resume(0, &[]);
                run.evaluator().force(value)
            }
        };
        run.is_within_bounds(compiled).then_some(value)
    }
}

struct Run<'v> {
    scope: Scope<'v>,
    evaluator: Option<Evaluator<'v>>,
    /// What comparing strings would have cost the tree evaluator.
    compared: usize,
}

/// A value on its way: looked at where it stands, or made by a walk.
enum Got<'v> {
    View(View<'v>),
    Val(Val),
}

impl Got<'_> {
    fn view(&self) -> View<'_> {
        match self {
            Self::View(view) => *view,
            Self::Val(value) => value.into(),
        }
    }
}

impl<'v> Run<'v> {
    /// `None` if the code was made for another ad than the scope's, or other rules of look-up.
    fn new(scope: Scope<'v>, compiled: &'v Compiled) -> Option<Self> {
        let fits = match &compiled.0.my {
            Some(my) => my.identity() == scope.my().identity(),
            None => true,
        };
        (fits && scope.has_mode(Mode::HtCondor)).then_some(Self {
            scope,
            evaluator: None,
            compared: 0,
        })
    }

    fn eval(&mut self, code: &'v Code) -> Got<'v> {
        match code {
            Code::Const(literal) => Got::View(literal.into()),
            Code::Name(name) => self.name(name),
            Code::Unary(op, a) => Got::View(ops::unary(*op, self.eval(a).view()).into()),
            Code::Binary(op, sides) => {
                let [a, b] = &**sides;
                let (a, b) = (self.eval(a), self.eval(b));
                self.compared += ops::cost(a.view(), b.view());
                Got::View(ops::binary(*op, a.view(), b.view()).into())
            }
            Code::Test(op, sides) => {
                let (name, literal) = &**sides;
                let a = self.name(name);
                self.compared += ops::cost(a.view(), literal.into());
                Got::View(ops::binary(*op, a.view(), literal.into()).into())
            }
            Code::Chain(chain, items) => {
                Got::View(ops::Answer::from(self.chain(*chain, items)).into())
            }
            Code::If(parts) => {
                let [condition, then, other] = &**parts;
                match self.truth(condition) {
                    Truth::True => self.eval(then),
                    Truth::False => self.eval(other),
                    Truth::Undefined => Got::View(View::Undefined),
                    Truth::Error => Got::View(View::Error),
                }
            }
            Code::Elvis(sides) => {
                let [a, b] = &**sides;
                match self.eval(a) {
                    Got::View(View::Undefined) | Got::Val(Val::Undefined) => self.eval(b),
                    got => got,
                }
            }
            Code::Walk(walk) => Got::Val(self.walk(walk)),
        }
    }

    fn truth(&mut self, code: &'v Code) -> Truth {
        match code {
            Code::Chain(chain, items) => self.chain(*chain, items),
            Code::Test(op, sides) => {
                let (name, literal) = &**sides;
                match self.seen(name) {
                    Some(view) => {
                        self.compared += ops::cost(view, literal.into());
                        ops::test(*op, view, literal.into())
                    }
                    None => ops::truth(self.eval(code).view()),
                }
            }
            _ => ops::truth(self.eval(code).view()),
        }
    }

    fn chain(&mut self, chain: Chain, items: &'v [Code]) -> Truth {
        let mut result = chain.neutral();
        for item in items {
            result = chain.step(result, self.truth(item));
            if chain.is_final(result) {
                break;
            }
        }
        result
    }

    fn name(&mut self, name: &'v Name) -> Got<'v> {
        match self.seen(name) {
            Some(view) => Got::View(view),
            None => Got::Val(self.walk(&name.walk)),
        }
    }

    /// The value of a name where a look-up settles it.
    #[inline(always)]
    fn seen(&self, name: &'v Name) -> Option<View<'v>> {
        let my = self.scope.my();
        if let Some(word) = &name.word
            && my.get_name(word).is_some()
        {
            return None;
        }
        let own = match name.side {
            Side::Both | Side::My => my.get_name(&name.name),
            Side::Other => None,
        };
        let found = match (own, name.side, self.scope.other()) {
            (Some(own), _, _) => own,
            (None, Side::Both | Side::Other, Some(other)) => match other.get_name(&name.name) {
                Some(others) => others,
                None => return Some(View::Undefined),
            },
            (None, _, _) => return Some(View::Undefined),
        };
        found.as_constant().map(View::from)
    }

    /// By the tree evaluator, from where the expression stands.
    fn walk(&mut self, walk: &Walk) -> Val {
        let evaluator = self.evaluator();
        evaluator.resume(walk.depth, &walk.active);
        evaluator.eval(walk.expr.as_ref(), MY)
    }

    fn evaluator(&mut self) -> &mut Evaluator<'v> {
        let scope = self.scope;
        self.evaluator.get_or_insert_with(|| Evaluator::new(scope))
    }

    /// Whether the tree evaluator, which counts every node, would have come to the end as well.
    fn is_within_bounds(&self, compiled: &Compiled) -> bool {
        let walked = self.evaluator.as_ref().map_or(0, Evaluator::steps);
        let compared = u32::try_from(self.compared).unwrap_or(u32::MAX);
        walked
            .saturating_add(compared)
            .saturating_add(compiled.0.cost)
            <= EVAL_STEPS_MAX
    }
}

/// A view that no list or ad is behind, as a value of its own.
fn value_of(view: View<'_>) -> Value {
    match view {
        View::Undefined => Value::Undefined,
        View::Error | View::Lazy | View::Made | View::Ad => Value::Error,
        View::Bool(value) => Value::Bool(value),
        View::Int(value) => Value::Int(value),
        View::Real(value) => Value::Real(value),
        View::Str(text) => Value::Str(text.into()),
        View::AbsTime { secs, offset } => Value::AbsTime { secs, offset },
        View::RelTime(secs) => Value::RelTime(secs),
    }
}
