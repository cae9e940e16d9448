//! The formats of `$INT`, `$REAL` and `$STRING`: one conversion of C's `printf` in a text.
//!
//! A format with no conversion, with more than one, or with one of another type stays as it stands.

/// Width and precision of a format.
const DIGITS_MAX: usize = 64;

/// What a format is applied to.
pub(super) enum Number<'a> {
    Int(i64),
    Real(f64),
    Text(&'a str),
}

/// One conversion: what stands before and after it, and what it says.
struct Conversion<'a> {
    before: &'a str,
    after: &'a str,
    left: bool,
    plus: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    kind: u8,
}

/// Applies a format.
pub(super) fn printf(format: &str, value: &Number<'_>) -> String {
    match Conversion::parse(format).and_then(|conversion| conversion.apply(value)) {
        Some(text) => text,
        None => format.to_owned(),
    }
}

/// A real as `$REAL` without a format prints it: 16 digits, without a needless point.
pub(super) fn real(number: f64) -> String {
    general(number, 16).to_uppercase()
}

impl<'a> Conversion<'a> {
    fn parse(format: &'a str) -> Option<Self> {
        let start = format.find('%')?;
        let spec = &format[start + 1..];
        let end = spec.find(|c: char| c.is_ascii_alphabetic() || c == '%')?;
        let (flags, letters) = spec.split_at(end);
        let letters = letters.trim_start_matches(['l', 'h', 'j', 'z']);
        let kind = *letters.as_bytes().first()?;
        let after = letters.get(1..)?;
        if after.contains('%') {
            return None;
        }
        let (width, precision) = match flags.split_once('.') {
            Some((width, precision)) => (width, Some(precision.parse().unwrap_or(0))),
            None => (flags, None),
        };
        let digits = width.trim_start_matches(['-', '+', ' ', '#', '0']);
        let marks = &width[..width.len() - digits.len()];
        Some(Self {
            before: &format[..start],
            after,
            left: marks.contains('-'),
            plus: marks.contains('+'),
            zero: marks.contains('0'),
            width: digits.parse().unwrap_or(0).min(DIGITS_MAX),
            precision: precision.map(|digits: usize| digits.min(DIGITS_MAX)),
            kind,
        })
    }

    fn apply(&self, value: &Number<'_>) -> Option<String> {
        let mut body = match (value, self.kind) {
            (Number::Int(n), b'd' | b'i' | b'u') => self.digits(&n.unsigned_abs().to_string(), *n),
            (Number::Int(n), b'x') => self.digits(&format!("{n:x}"), 0),
            (Number::Int(n), b'X') => self.digits(&format!("{n:X}"), 0),
            (Number::Int(n), b'o') => self.digits(&format!("{n:o}"), 0),
            (Number::Int(n), b'c') => char::from(u8::try_from(*n).ok()?).to_string(),
            (Number::Real(n), _) => self.real(*n)?,
            (Number::Text(text), b's') => {
                let chars = self.precision.unwrap_or(usize::MAX);
                text.chars().take(chars).collect()
            }
            (Number::Int(_) | Number::Text(_), _) => return None,
        };
        let is_number = !matches!(value, Number::Text(_));
        if self.plus && is_number && !body.starts_with('-') {
            body.insert(0, '+');
        }
        let missing = self.width.saturating_sub(body.chars().count());
        let zeros = self.zero && is_number && !self.left;
        let padded = if self.left {
            format!("{body}{}", " ".repeat(missing))
        } else if zeros {
            let sign = usize::from(body.starts_with(['-', '+']));
            format!("{}{}{}", &body[..sign], "0".repeat(missing), &body[sign..])
        } else {
            format!("{}{body}", " ".repeat(missing))
        };
        Some(format!("{}{padded}{}", self.before, self.after))
    }

    /// The digits of an integer, at least as many as the precision says, with its sign.
    fn digits(&self, digits: &str, signed: i64) -> String {
        let sign = if signed < 0 { "-" } else { "" };
        let missing = self.precision.unwrap_or(0).saturating_sub(digits.len());
        format!("{sign}{}{digits}", "0".repeat(missing))
    }

    /// A real, which shows by a point that it is one.
    fn real(&self, n: f64) -> Option<String> {
        let precision = self.precision.unwrap_or(6);
        let text = match self.kind {
            b'f' | b'F' => format!("{n:.precision$}"),
            b'e' => scientific(n, precision),
            b'E' => scientific(n, precision).to_uppercase(),
            b'g' => general(n, precision),
            b'G' => general(n, precision).to_uppercase(),
            _ => return None,
        };
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        Some(if plain { format!("{text}.0") } else { text })
    }
}

/// `%e`: at least two digits in the exponent, with its sign.
fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `%g`: the shorter of the two notations, without trailing zeros.
fn general(number: f64, precision: usize) -> String {
    let precision = precision.max(1);
    let text = format!("{number:.*e}", precision - 1);
    let exponent = text
        .split_once('e')
        .and_then(|(_, e)| e.parse::<i32>().ok())
        .unwrap_or(0);
    let plain = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    let digits_max = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= digits_max {
        let text = scientific(number, precision - 1);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{exponent}", plain(mantissa.to_owned()));
    }
    let decimals = usize::try_from(digits_max - 1 - exponent).unwrap_or(0);
    plain(format!("{number:.decimals$}"))
}
