//! What can be settled while compiling: operators over constants, and conjuncts that decide
//! nothing.

use crate::eval::ops::{self, Answer, Chain, Truth};
use crate::expr::{BinaryOp, Literal, UnaryOp};

use super::Code;

pub(super) fn unary(op: UnaryOp, a: Code) -> Code {
    let known = match &a {
        Code::Const(a) => constant(ops::unary(op, a.into())),
        _ => None,
    };
    known.unwrap_or_else(|| Code::Unary(op, Box::new(a)))
}

pub(super) fn binary(op: BinaryOp, a: Code, b: Code) -> Code {
    match (a, b) {
        (Code::Const(a), Code::Const(b)) => constant(ops::binary(op, (&a).into(), (&b).into()))
            .unwrap_or_else(|| Code::Binary(op, Box::new([Code::Const(a), Code::Const(b)]))),
        (Code::Name(name), Code::Const(b)) => Code::Test(op, Box::new((*name, b))),
        (Code::Const(a), Code::Name(name)) => match op.flipped() {
            Some(op) => Code::Test(op, Box::new((*name, a))),
            None => Code::Binary(op, Box::new([Code::Const(a), Code::Name(name)])),
        },
        (a, b) => Code::Binary(op, Box::new([a, b])),
    }
}

/// Items that cannot change the answer are left out, with all that stand behind one that settles
/// it.
pub(super) fn chain(chain: Chain, items: Vec<Code>) -> Code {
    let mut open: Vec<Code> = Vec::with_capacity(items.len());
    for item in items {
        let Code::Const(literal) = &item else {
            open.push(item);
            continue;
        };
        let truth = ops::truth(literal);
        if truth == chain.neutral() {
            continue;
        }
        let ends = chain.is_final(truth);
        if ends && open.is_empty() {
            return Code::Const(literal_of(truth));
        }
        open.push(item);
        if ends {
            break;
        }
    }
    if open.is_empty() {
        return Code::Const(literal_of(chain.neutral()));
    }
    Code::Chain(chain, open.into())
}

/// `None` for a span of time, which no constant can be.
fn constant(answer: Answer) -> Option<Code> {
    Some(Code::Const(match answer {
        Answer::Undefined => Literal::Undefined,
        Answer::Error => Literal::Error,
        Answer::Bool(value) => Literal::Bool(value),
        Answer::Int(value) => Literal::Int(value),
        Answer::Real(value) => Literal::Real(value),
        Answer::AbsTime { secs, offset } => Literal::AbsTime {
            secs,
            offset_secs: offset,
        },
        Answer::RelTime(_) => return None,
    }))
}

fn literal_of(truth: Truth) -> Literal {
    match truth {
        Truth::True => Literal::Bool(true),
        Truth::False => Literal::Bool(false),
        Truth::Undefined => Literal::Undefined,
        Truth::Error => Literal::Error,
    }
}
