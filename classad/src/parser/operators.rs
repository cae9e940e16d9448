//! Which symbols are operators, and how tightly each binds. The order is the reference's, which has
//! `?:` among the postfix operators and therefore not here.

use crate::expr::{BinaryOp, UnaryOp};

use super::lexer::{Sym, Token};

/// How tightly infix operators bind; a higher level binds tighter.
pub(super) const LEVEL_OR: u8 = 1;
const LEVEL_AND: u8 = 2;

pub(super) enum Infix {
    Strict(BinaryOp),
    And,
    Or,
}

pub(super) fn infix_of(sym: Sym) -> Option<(u8, Infix)> {
    let (level, op) = match sym {
        Sym::OrOr => return Some((LEVEL_OR, Infix::Or)),
        Sym::AndAnd => return Some((LEVEL_AND, Infix::And)),
        Sym::Pipe => (3, BinaryOp::BitOr),
        Sym::Caret => (4, BinaryOp::BitXor),
        Sym::Amp => (5, BinaryOp::BitAnd),
        Sym::EqEq => (6, BinaryOp::Eq),
        Sym::NotEq => (6, BinaryOp::Ne),
        Sym::Is => (6, BinaryOp::Is),
        Sym::Isnt => (6, BinaryOp::Isnt),
        Sym::Less => (7, BinaryOp::Lt),
        Sym::LessEq => (7, BinaryOp::Le),
        Sym::Greater => (7, BinaryOp::Gt),
        Sym::GreaterEq => (7, BinaryOp::Ge),
        Sym::Shl => (8, BinaryOp::Shl),
        Sym::Shr => (8, BinaryOp::Shr),
        Sym::UShr => (8, BinaryOp::UShr),
        Sym::Plus => (9, BinaryOp::Add),
        Sym::Minus => (9, BinaryOp::Sub),
        Sym::Star => (10, BinaryOp::Mul),
        Sym::Slash => (10, BinaryOp::Div),
        Sym::Percent => (10, BinaryOp::Rem),
        Sym::LParen | Sym::RParen | Sym::LBracket | Sym::RBracket | Sym::LBrace => return None,
        Sym::RBrace | Sym::Comma | Sym::Semicolon | Sym::Dot | Sym::Question => return None,
        Sym::Colon | Sym::Bang | Sym::Tilde | Sym::Assign => return None,
    };
    Some((level, Infix::Strict(op)))
}

pub(super) fn unary_of(token: Token<'_>) -> Option<UnaryOp> {
    match token {
        Token::Sym(Sym::Minus) => Some(UnaryOp::Minus),
        Token::Sym(Sym::Plus) => Some(UnaryOp::Plus),
        Token::Sym(Sym::Bang) => Some(UnaryOp::Not),
        Token::Sym(Sym::Tilde) => Some(UnaryOp::BitNot),
        _ => None,
    }
}
