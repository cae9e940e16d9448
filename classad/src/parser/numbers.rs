//! Numbers: what is one, where one ends, and what the bare library makes of odd ones. Holds no
//! other token.

use crate::error::ParseError;

use super::lexer::{Lexed, Lexer, Token, keyword, refused, shorten, word_length};
use super::{Syntax, hints};

impl<'t> Lexer<'t> {
    #[inline(never)]
    pub(super) fn number(&mut self) -> Lexed<Token<'t>> {
        let start = self.at;
        self.at += usize::from(self.byte(0) == Some(b'-'));
        let digits_from = self.at;
        self.skip_digits();
        let whole = &self.text[digits_from..self.at];
        if whole == "0" && matches!(self.byte(0), Some(b'x' | b'X')) {
            return self.hexadecimal(start);
        }
        let real = self.fraction_and_exponent()?;
        self.number_ends(start)?;
        let text = &self.text[start..self.at];
        if real {
            let value = text.parse();
            return value
                .map(Token::Real)
                .map_err(|_| refused(start, "not a number"));
        }
        if whole.len() > 1 && whole.starts_with('0') {
            self.zero_led(start, whole)?;
        }
        // The reference reads an integer that does not fit as 0.
        Ok(Token::Int(text.parse().unwrap_or(0)))
    }

    /// What follows the digits of a number in front of its point; whether it makes it a real.
    fn fraction_and_exponent(&mut self) -> Lexed<bool> {
        let mut real = false;
        if self.byte(0) == Some(b'.') {
            self.at += 1;
            real = true;
            if self.skip_digits() == 0 {
                let error = ParseError::new(self.at, "the number ends in a point");
                return Err(Box::new(error.expecting("a digit after the decimal point")));
            }
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            self.at += 1;
            real = true;
            self.at += usize::from(matches!(self.byte(0), Some(b'+' | b'-')));
            if self.skip_digits() == 0 {
                let error = ParseError::new(self.at, "the exponent has no digits");
                return Err(Box::new(error.expecting("a digit")));
            }
        }
        Ok(real)
    }

    /// Of words only `is` and `isnt` may touch a number.
    fn number_ends(&self, start: usize) -> Lexed<()> {
        let rest = &self.text[self.at..];
        let word = &rest[..word_length(rest)];
        if word.is_empty() || matches!(keyword(word), Some(Token::Sym(_))) {
            return Ok(());
        }
        let number = &self.text[start..self.at];
        let error = if hints::is_unit(word) {
            let message = format!("unit `{word}` after `{number}`: expressions know no units");
            ParseError::new(self.at, message).hinting(hints::UNIT_HINT)
        } else {
            let message = format!("`{}` after the number `{number}`", shorten(word));
            ParseError::new(self.at, message)
        };
        Err(Box::new(error.expecting("an operator or the end")))
    }

    /// Integers that begin with 0 are the bare library's: octal digits, read as decimal.
    fn zero_led(&self, start: usize, whole: &str) -> Lexed<()> {
        match self.syntax {
            Syntax::New | Syntax::Old => {
                let error = ParseError::new(start, "integers cannot begin with 0");
                Err(Box::new(error.expecting("a decimal integer")))
            }
            Syntax::Bare if whole.bytes().any(|digit| digit > b'7') => {
                let error = ParseError::new(start, "an integer that begins with 0 is octal");
                Err(Box::new(error.expecting("digits from 0 to 7")))
            }
            Syntax::Bare => Ok(()),
        }
    }

    /// From the `x` on: a real such as `0x1.8`. The bare library knows integers too, which it reads
    /// up to their `x`.
    fn hexadecimal(&mut self, start: usize) -> Lexed<Token<'t>> {
        let x = self.at;
        let hex_digits = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let whole = hex_digits(&self.text.as_bytes()[x + 1..]);
        self.at = x + 1 + whole;
        if whole > 0 && self.byte(0) == Some(b'.') && self.digit(1) {
            let digits_from = self.at + 1;
            self.fraction_and_exponent()?;
            self.number_ends(start)?;
            let fraction = &self.text.as_bytes()[digits_from..self.at];
            let fraction = &fraction[..hex_digits(fraction)];
            let digits = self.text[x + 1..x + 1 + whole].bytes();
            let value = digits
                .chain(fraction.iter().copied())
                .fold(0.0, |value, b| {
                    value * 16.0 + f64::from(char::from(b).to_digit(16).unwrap_or(0))
                });
            let value = value * 0.0625_f64.powi(fraction.len() as i32);
            let negative = self.text[start..].starts_with('-');
            return Ok(Token::Real(if negative { -value } else { value }));
        }
        if whole > 0 && self.syntax == Syntax::Bare {
            return Ok(Token::Int(0));
        }
        self.at = x;
        let error = ParseError::new(start, "integers are not written in hexadecimal");
        Err(Box::new(error.expecting("a decimal integer")))
    }

    fn skip_digits(&mut self) -> usize {
        let from = self.at;
        while self.digit(0) {
            self.at += 1;
        }
        self.at - from
    }
}
