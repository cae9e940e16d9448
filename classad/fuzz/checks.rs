//! What must hold for every input there can be. Holds the three checks, as functions of bytes that
//! panic where something is wrong; libFuzzer calls them, and so does the test that runs the
//! committed corpus. Knows nothing of fuzzing.
// Each target uses one of the checks.
#![allow(dead_code)]

use classad::limits::{AD_BYTES_MAX, EXPR_BYTES_MAX};
use classad::matching::{self, Prepared};
use classad::{AdError, ClassAd, Compiled, Expr, ParseError, Scope, Value, explain};

/// A moment; checks read no clock.
const NOW_SECS: i64 = 1_700_000_000;
/// What separates the parts of an input of [`evaluate`]: no token of the language begins with it.
const PART_SEPARATOR: char = '`';
/// More ads than these are not looked at: explaining costs every clause for every ad.
const TARGETS_MAX: usize = 3;

/// Any text is read or refused, by every reader. A refusal names a place inside the text, and is
/// the first of all that is wrong.
pub fn parse(bytes: &[u8]) {
    let text = &*String::from_utf8_lossy(bytes);
    for (read, errors) in [
        (Expr::parse(text), Expr::errors(text)),
        (Expr::parse_old(text), Expr::errors_old(text)),
    ] {
        assert_eq!(read.as_ref().err(), errors.first(), "{text:?}");
        check_places(text, &errors);
    }
    for (read, errors) in [
        (ClassAd::parse(text), ClassAd::errors(text)),
        (ClassAd::parse_long(text), ClassAd::errors_long(text)),
    ] {
        assert_eq!(read.as_ref().err(), errors.first(), "{text:?}");
        let mut syntax = Vec::new();
        for error in errors {
            match error {
                AdError::Syntax(error) | AdError::Expr { source: error, .. } => syntax.push(error),
                AdError::Line { line, .. } => {
                    assert!((1..=text.split('\n').count()).contains(&line), "{text:?}");
                }
                AdError::NotAnObject { .. } | AdError::TooLong { .. } => {}
            }
        }
        check_places(text, &syntax);
    }
    if let Ok(json) = serde_json::from_str(text) {
        let _ = ClassAd::from_json(&json);
    }
}

/// An ad, its other side and an expression, with more ads after them, go through everything that
/// the crate does with them; what must agree agrees.
pub fn evaluate(bytes: &[u8]) {
    let text = &*String::from_utf8_lossy(bytes);
    let mut parts = text.split(PART_SEPARATOR);
    let my = ad(parts.next().unwrap_or_default());
    let target = ad(parts.next().unwrap_or_default());
    let expr_text = parts.next().unwrap_or_default().trim();
    let Ok(expr) = Expr::parse(expr_text).or_else(|_| Expr::parse_old(expr_text)) else {
        return;
    };
    let mut targets = vec![target.clone()];
    targets.extend(parts.take(TARGETS_MAX - 1).map(ad));
    check_values(&my, &target, &expr);
    check_compiled(&my, &target, &expr);
    check_flattened(&my, &target, &expr);
    check_references(&my, &expr);
    check_matches(&my, &targets);
    let mut asking = my;
    asking.insert(matching::REQUIREMENTS, expr);
    check_matches(&asking, &targets);
}

/// What is read prints, and what is printed reads back as it was.
pub fn round_trip(bytes: &[u8]) {
    let text = &*String::from_utf8_lossy(bytes);
    for expr in [Expr::parse(text), Expr::parse_old(text)]
        .into_iter()
        .flatten()
    {
        check_printed(&expr);
    }
    let json = serde_json::from_str(text).ok();
    let of_json = json.and_then(|json| ClassAd::from_json(&json).ok());
    let read = [ClassAd::parse(text).ok(), ClassAd::parse_long(text).ok()];
    for ad in read.into_iter().flatten().chain(of_json) {
        check_printed_ad(&ad);
    }
}

/// Errors stand in the order of the text, at characters.
fn check_places(text: &str, errors: &[ParseError]) {
    let mut last = 0;
    for error in errors {
        let offsets = [Some(error.offset), error.opened_at()];
        for offset in offsets.into_iter().flatten() {
            assert!(text.is_char_boundary(offset), "{error:?} in {text:?}");
        }
        assert!(last <= error.offset, "{errors:?} in {text:?}");
        last = error.offset;
    }
}

fn ad(text: &str) -> ClassAd {
    let text = text.trim();
    let read = match text.chars().next() {
        Some('[') => ClassAd::parse(text),
        Some('{') => match serde_json::from_str(text) {
            Ok(json) => ClassAd::from_json(&json),
            Err(_) => return ClassAd::new(),
        },
        Some(_) | None => ClassAd::parse_long(text),
    };
    read.unwrap_or_default()
}

/// The same question has the same answer, which can be printed; a printed constant is that
/// constant.
fn check_values(my: &ClassAd, target: &ClassAd, expr: &Expr) {
    let alone = Scope::new(my);
    let full = alone.target(target).now(NOW_SECS).seed(1);
    for scope in [alone, full] {
        let value = scope.eval(expr);
        let again = scope.eval(&expr.clone());
        assert_eq!(exact(&value), exact(&again), "{expr:?} gives two answers");
        let _ = (value.to_string(), value.to_json());
        let text = exact(&value);
        if text.len() <= EXPR_BYTES_MAX {
            let read = Expr::parse(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"));
            assert_eq!(text, read.to_exact(), "value of {expr:?}");
        }
    }
    for (name, definition) in my.iter() {
        let (by_name, by_hand) = (full.eval_attr(name.as_str()), full.eval(definition));
        // An attribute that refers to itself is undefined there; evaluated by hand, it is not yet
        // under evaluation and goes around once more.
        let own = definition.references();
        if own.internal.is_empty() && own.external.is_empty() {
            assert_eq!(exact(&by_name), exact(&by_hand), "{name}");
        }
    }
}

/// What is compiled, for any ad or for one, is what it was compiled from.
fn check_compiled(my: &ClassAd, target: &ClassAd, expr: &Expr) {
    let alone = Scope::new(my);
    let against = alone.target(target);
    let full = against.now(NOW_SECS).seed(1);
    let elsewhere = Scope::new(target).target(my).now(NOW_SECS);
    for compiled in [Compiled::new(expr), Compiled::in_ad(my, expr)] {
        for scope in [alone, against, full, elsewhere] {
            let (value, run) = (scope.eval(expr), scope.run(&compiled));
            assert_eq!(exact(&value), exact(&run), "{expr:?} in {my:?}, {target:?}");
            assert_eq!(value.is_true(), scope.run_is_true(&compiled), "{expr:?}");
        }
    }
}

/// What an ad decides by itself may be decided before the other side is known: as a condition, what
/// is left says the same. Operands of `+`, `*`, `&`, `|` and `^` come in another order, which may
/// change what they round to or which of two faults they show.
fn check_flattened(my: &ClassAd, target: &ClassAd, expr: &Expr) {
    let flat = my.flatten(expr);
    let scope = Scope::new(my).target(target).now(NOW_SECS).seed(1);
    let condition = |expr: &Expr| scope.eval(&Expr::all([expr.clone(), true.into()]));
    let (value, of_flat) = (condition(expr), condition(&flat));
    let text = flat.to_exact();
    let mut commutative = [" + ", " * ", " & ", " | ", " ^ "].into_iter();
    let reordered = commutative.any(|symbol| text.contains(symbol));
    // Errors may come from bounds, which what is flattened has further to go to.
    if !reordered && !exact(&value).contains("error") {
        assert_eq!(exact(&value), exact(&of_flat), "{expr:?} became {flat:?}");
    }
}

fn check_references(my: &ClassAd, expr: &Expr) {
    let _ = expr.references();
    let Some(found) = my.references(expr) else {
        return;
    };
    for name in found.internal {
        assert!(my.contains(name.as_str()), "{name} of {expr:?}");
    }
}

/// Explaining counts what matching says.
fn check_matches(my: &ClassAd, targets: &[ClassAd]) {
    let explanation = explain::explain(my, targets, NOW_SECS);
    let prepared = Prepared::new(my);
    let (mut accepted, mut matched) = (0, 0);
    for target in targets {
        let result = matching::matches(my, target, NOW_SECS);
        let back = matching::matches(target, my, NOW_SECS);
        assert_eq!(result.left_accepts, back.right_accepts);
        assert_eq!(result.left_rank.to_bits(), back.right_rank.to_bits());
        let both = matching::symmetric_match(my, target, NOW_SECS);
        assert_eq!(both, result.matches());
        let other = Prepared::new(target);
        assert_eq!(prepared.accepts(target, NOW_SECS), result.left_accepts);
        assert_eq!(other.accepts(my, NOW_SECS), result.right_accepts);
        assert_eq!(prepared.matches(&other, NOW_SECS), both);
        let rank = prepared.rank(target, NOW_SECS);
        assert_eq!(rank.to_bits(), result.left_rank.to_bits());
        accepted += usize::from(result.left_accepts);
        matched += usize::from(both);
    }
    let counted = (explanation.accepted, explanation.matched);
    assert_eq!(counted, (accepted, matched), "{my:?}");
    let mut surviving = targets.len();
    for report in &explanation.clauses {
        assert!(report.surviving <= surviving.min(report.passing), "{my:?}");
        surviving = report.surviving;
        assert!(report.passing + report.undefined + report.errors <= targets.len());
    }
}

fn check_printed(expr: &Expr) {
    let exact = expr.to_exact();
    if exact.len() > EXPR_BYTES_MAX {
        return;
    }
    let read = Expr::parse(&exact).unwrap_or_else(|error| panic!("{error} in {exact:?}"));
    assert_eq!(&read, expr, "{exact:?} reads back as another expression");
    settles(expr.to_string(), |text| Ok(Expr::parse(text)?.to_string()));
    if survives_old(&exact) {
        settles(expr.to_old(), |text| Ok(Expr::parse_old(text)?.to_old()));
    }
}

fn check_printed_ad(ad: &ClassAd) {
    let exact = ad.to_exact();
    if exact.len() > AD_BYTES_MAX.min(EXPR_BYTES_MAX) {
        return;
    }
    let read = ClassAd::parse(&exact).unwrap_or_else(|error| panic!("{error} in {exact:?}"));
    assert_eq!(&read, ad, "{exact:?} reads back as another ad");
    settles(ad.to_string(), |text| Ok(ClassAd::parse(text)?.to_string()));
    if survives_old(&exact) {
        settles(
            ad.to_long(),
            |text| Ok(ClassAd::parse_long(text)?.to_long()),
        );
    }
    // A string that looks like a wrapped expression is one to whoever reads JSON.
    if !exact.contains("\"/Expr(") {
        let json = ad.to_json();
        let read = ClassAd::from_json(&json).unwrap_or_else(|error| panic!("{error} in {json}"));
        assert_eq!(read.to_json(), json, "the second print differs");
    }
    settles(ad.to_string(), |text| Ok(ClassAd::parse(text)?.to_string()));
    if survives_old(&exact) {
        settles(
            ad.to_long(),
            |text| Ok(ClassAd::parse_long(text)?.to_long()),
        );
    }
}

/// The forms that are the reference's own lose a little the first time: `- 3` prints as the number
/// `-3`, and reals keep sixteen digits. What was read back from them stays as it is, unless
/// it cannot be read at all: the reference prints the quoted name of a function without its quotes,
/// and `1 .x` without the space.
fn settles(first: String, reread: impl Fn(&str) -> Result<String, AdError>) {
    // Each print may take one more minus away from a zero.
    if first.contains(" -") {
        return;
    }
    let Ok(second) = reread(&first) else { return };
    assert_eq!(
        reread(&second).as_ref(),
        Ok(&second),
        "what was {first:?} differs again"
    );
}

/// The old syntax has no escapes: a line break in a string does not survive it, nor does a
/// backslash before a quote.
fn survives_old(exact: &str) -> bool {
    !exact.contains('\\')
}

fn exact(value: &Value) -> String {
    Expr::from(value.clone()).to_exact()
}
