//! Every bound holds, says its name, and is safe on the 2 MiB stack that test threads have.

use classad::limits::{AD_BYTES_MAX, EVAL_ATTRS_MAX, EXPR_BYTES_MAX, EXPR_DEPTH_MAX};
use classad::{AdError, ClassAd, Expr, Scope, Value};

fn eval(text: &str) -> Value {
    Scope::new(&ClassAd::new()).eval(&Expr::parse(text).expect("an expression"))
}

/// Shapes that nest, as text of a given depth.
fn nestings(depth: usize) -> Vec<(&'static str, String)> {
    nestings_of(depth, "1")
}

/// The same around `core`.
fn nestings_of(depth: usize, core: &str) -> Vec<(&'static str, String)> {
    let wrap =
        |open: &str, close: &str| format!("{}{core}{}", open.repeat(depth), close.repeat(depth));
    vec![
        ("parentheses", wrap("(", ")")),
        ("unary", wrap("!", "")),
        ("lists", wrap("{", "}")),
        ("ads", wrap("[a=", "]")),
        ("calls", wrap("ifThenElse(true,", ",2)")),
        ("aggregates", wrap("sum({", "})")),
        ("concatenations", wrap("strcat(", ", 1)")),
        ("members", wrap("member(1, {", "})")),
        ("patterns", wrap("regexps(\"a\", string(", "), \"b\")")),
        ("contexts", wrap("countMatches(", ", {[x = 1]})")),
        ("ternaries", wrap("a ? 1 : ", "")),
        ("then branches", wrap("true ? ", " : 1")),
        ("chains", wrap("(true && ", ")")),
        ("subscripts", wrap("{1}[", "]")),
        ("sums", wrap("1 + ", "")),
        ("right sums", wrap("1 + (", ")")),
        ("selections", wrap("[x = ", "].x")),
        ("elvis", wrap("(missing ?: ", ")")),
    ]
}

#[test]
fn deep_expressions_are_refused_by_name() {
    for depth in [EXPR_DEPTH_MAX as usize + 1, 1000, 20_000] {
        for (shape, text) in nestings(depth) {
            if text.len() > EXPR_BYTES_MAX {
                continue;
            }
            let error = Expr::parse(&text).expect_err(shape);
            assert!(
                error.message.contains("EXPR_DEPTH_MAX"),
                "{shape} at {depth}: {error}"
            );
        }
    }
}

#[test]
fn expressions_up_to_the_depth_work_in_every_way() {
    for (shape, text) in nestings(EXPR_DEPTH_MAX as usize / 2 - 1) {
        let expr = Expr::parse(&text).unwrap_or_else(|error| panic!("{shape}: {error}"));
        assert_eq!(Expr::parse(&expr.to_exact()).unwrap(), expr, "{shape}");
        let mut ad = ClassAd::new();
        ad.insert("e", expr.clone());
        Scope::new(&ad).eval(&expr);
        ad.flatten(&expr);
        expr.references();
        ad.references(&expr);
        assert!(ad.to_json().is_object());
    }
}

#[test]
fn long_chains_of_and_and_or_cost_no_depth() {
    let text = vec!["Machine != \"a\""; 3000].join(" && ");
    let expr = Expr::parse(&text).unwrap();
    assert_eq!(expr.clauses().len(), 3000);
    let mut ad = ClassAd::new();
    ad.insert("Machine", "b");
    assert_eq!(Scope::new(&ad).eval(&expr), Value::Bool(true));
    assert_eq!(eval(&vec!["false"; 3000].join(" || ")), Value::Bool(false));
}

#[test]
fn long_texts_are_refused_by_name() {
    let error = Expr::parse(&" ".repeat(EXPR_BYTES_MAX + 1)).unwrap_err();
    assert!(error.message.contains("EXPR_BYTES_MAX"), "{error}");
    let error = ClassAd::parse_long(&"#".repeat(AD_BYTES_MAX + 1)).unwrap_err();
    assert!(matches!(error, AdError::TooLong { .. }), "{error}");
}

#[test]
fn attribute_chains_end_in_error_beyond_the_bound() {
    let chain = |length: usize| {
        let mut ad = ClassAd::new();
        for i in 0..length {
            ad.insert_expr(format!("a{i}"), &format!("a{} + 1", i + 1))
                .unwrap();
        }
        ad.insert(format!("a{length}"), 0);
        ad.eval("a0")
    };
    assert_eq!(
        chain(EVAL_ATTRS_MAX - 1),
        Value::Int(EVAL_ATTRS_MAX as i64 - 1)
    );
    assert_eq!(chain(EVAL_ATTRS_MAX + 1), Value::Error);
}

#[test]
fn deep_expressions_in_chains_of_attributes_end_in_error() {
    let mut ad = ClassAd::new();
    let depth = EXPR_DEPTH_MAX as usize - 2;
    for i in 0..100 {
        let text = format!("{}a{}{}", "(".repeat(depth), i + 1, ")".repeat(depth));
        ad.insert_expr(format!("a{i}"), &text).unwrap();
    }
    ad.insert("a100", 1);
    assert_eq!(ad.eval("a0"), Value::Error);
}

#[test]
fn deep_evaluation_ends_in_error_in_every_shape() {
    for shape in 0..nestings(1).len() {
        let mut ad = ClassAd::new();
        for i in 0..40 {
            let (name, text) = nestings_of(60, &format!("a{}", i + 1)).swap_remove(shape);
            let expr = Expr::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            ad.insert(format!("a{i}"), expr);
        }
        ad.insert("a40", 1);
        ad.eval("a0");
        ad.references(&Expr::parse("a0").unwrap());
    }
}

#[test]
fn text_is_parsed_under_evaluation_only_where_the_stack_allows() {
    let mut ad = ClassAd::new();
    let depth = EXPR_DEPTH_MAX as usize - 1;
    ad.insert(
        "text",
        format!("{}1{}", "(".repeat(depth), ")".repeat(depth)),
    );
    for (around, wanted) in [(200, Value::Int(1)), (250, Value::Error)] {
        let text = format!("{}eval(text){}", "(".repeat(around), ")".repeat(around));
        ad.insert_expr("e", &text).unwrap();
        assert_eq!(ad.eval("e"), wanted, "{around}");
    }
    ad.insert_expr("again", "eval(\"1 + again\")").unwrap();
    ad.insert("quine", "eval(quine)");
    assert_eq!(ad.eval("again"), Value::Undefined);
    let quine = Expr::parse("eval(quine)").unwrap();
    assert_eq!(Scope::new(&ad).eval(&quine), Value::Error);
}

#[test]
fn exponential_work_ends_in_error() {
    let mut ad = ClassAd::new();
    for i in 0..60 {
        ad.insert_expr(format!("a{i}"), &format!("a{0} + a{0}", i + 1))
            .unwrap();
    }
    ad.insert("a60", 1);
    assert_eq!(ad.eval("a0"), Value::Error);
}

#[test]
fn results_that_grow_end_in_error() {
    let mut ad = ClassAd::new();
    ad.insert("s0", "x".repeat(1000));
    for i in 0..20 {
        ad.insert_expr(format!("s{}", i + 1), &format!("strcat(s{i}, s{i})"))
            .unwrap();
    }
    assert_eq!(ad.eval("s20"), Value::Error);
    let text = ad.eval("s9");
    assert_eq!(text.as_str().map(str::len), Some(512_000));
    let ad = ClassAd::parse("[a = {a, a, a}; b = [c = b; d = b]; self_ = [x = MY; y = parent]]")
        .unwrap();
    ad.eval("a");
    ad.eval("b");
    ad.eval("self_");
    assert_eq!(
        eval("regexp(\"((a{1000}){1000}){1000}\", \"a\")"),
        Value::Error
    );
}

#[test]
fn any_text_is_parsed_or_refused_at_a_place_inside_it() {
    let pieces = [
        "(", ")", "{", "}", "[", "]", "a", "1", "-", ".", "\"", "'", "\\", "?", ":", "=", "&&",
        "é", " ", ";", ",", "!", "0", "e", "/*", "//", "\n", "is", "\0",
    ];
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        for result in [Expr::parse(&text), Expr::parse_old(&text)] {
            match result {
                Ok(expr) => {
                    let again = Expr::parse(&expr.to_exact());
                    assert_eq!(again.as_ref(), Ok(&expr), "{text:?}");
                    Scope::new(&ClassAd::new()).eval(&expr);
                }
                Err(error) => {
                    assert!(text.is_char_boundary(error.offset), "{text:?}: {error:?}");
                }
            }
        }
        let _ = ClassAd::parse(&text);
        let _ = ClassAd::parse_long(&text);
    }
}

/// An ad whose values are long: 60 KB strings, lists of tens of thousands of items.
fn long_ad() -> ClassAd {
    let mut ad = ClassAd::new();
    ad.insert("s", "a".repeat(60_000));
    ad.insert("b", "ab".repeat(30_000));
    ad.insert("words", "a ".repeat(30_000));
    ad.insert(
        "delimiters",
        (0x4e00..0x8600_u32)
            .filter_map(char::from_u32)
            .collect::<String>(),
    );
    ad.insert("template", "\\1".repeat(30_000));
    ad.insert("options", "a?".repeat(2_000));
    let numbered = |prefix: &str| {
        let items: Vec<String> = (0..10_000).map(|i| format!("{prefix}{i}")).collect();
        items.join(",")
    };
    ad.insert("ms", numbered("m"));
    ad.insert("ns", numbered("n"));
    let list = |item: &str, count: usize| format!("{{ {} }}", vec![item; count].join(","));
    for (name, text) in [
        ("numbers", list("1", 30_000)),
        ("strings", list("s", 30_000)),
        ("ads", list("[x = s]", 7_000)),
        (
            "deep",
            format!(
                "{}{}{}",
                "{".repeat(250),
                list("1", 30_000),
                "}".repeat(250)
            ),
        ),
        ("open", vec!["TARGET.x"; 5_000].join(" || ")),
    ] {
        ad.insert_expr(name, &text)
            .expect("the long ad's expressions are expressions");
    }
    ad
}

/// What costs more than it may alone is ERROR; what costs less is ERROR once there is enough of it.
#[test]
fn work_is_counted_by_what_it_costs() {
    let ad = long_ad();
    for text in [
        "replaceAll(\"a.*z|a\", s, \"\")",
        "replaceAll(\"(a?)z?\", s, template)",
        "replaceAll(\"[ab]*a[ab]{12}c|a\", b, \"\")",
        "regexp(s, \"\")",
        "regexp(\"((a{1000}){1000}){1000}\", \"a\")",
        "regexp(\"[ab]{2999}\", b)",
        "unresolved(open, \"(a.*z|[ab]{2999})?\")",
        "unparse(deep)",
        "member(strcat(s, 1), strings)",
        "anyCompare(\"<\", strings, s)",
        "join(\",\", ads.x)",
        "string(ads.x)",
        "listToArgs(ads.x)",
        "strcat(s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s)",
        "formatTime(0, s)",
    ] {
        let value = Scope::new(&ad).eval(&Expr::parse(text).unwrap());
        assert_eq!(value, Value::Error, "{text}");
    }
}

#[test]
fn work_that_is_repeated_ends_in_error() {
    let long = long_ad();
    for text in [
        "stringListsIntersect(ms, ns)",
        "stringListSubsetMatch(ms, ns)",
        "stringListISubsetMatch(ms, ms)",
        "stringListSize(s, delimiters)",
        "stringListSum(words)",
        "stringListMember(s, words)",
        "split(s, delimiters)",
        "replaceAll(\"a\", s, \"\")",
        "regexp(\"z\", s)",
        "regexp(\"[ab]{100}\", \"\")",
        "regexp(strcat(\"[ab]\", \"{100}\"), \"\")",
        "regexp(\"(\", \"\")",
        "regexp(options, \"\")",
        "regexpMember(\"z\", {s, s})",
        "stringList_regexpMember(\"z\", words)",
        "member(2, numbers)",
        "allCompare(\"==\", numbers, 1)",
        "quantize(2, numbers)",
        "sum(numbers)",
        "strcmp(s, s)",
        "versioncmp(s, s)",
        "toUpper(s)",
        "substr(s, 1)",
        "argsToList(words)",
        "mergeEnvironment(\"a=1 b=2 c=3 d=4\", \"e=5\")",
        "envV1ToV2(strcat(\"a=\", s))",
        "formatTime(0, \"%c%c%c%c%c%c%c%c\")",
        "splitTime(0)",
        "eval(strcat(\"1 + \", \"1\"))",
        "unresolved(open)",
        "unparse(numbers)",
        "countMatches(true, ads)",
        "evalInEachContext(1, numbers)",
        "int(strcat(s, 1))",
        "s == s",
    ] {
        let mut ad = long.clone();
        let many = |text: &str, count: usize| vec![text; count].join(" || ");
        ad.insert_expr("once", &format!("({text}) is 7")).unwrap();
        ad.insert_expr("often", &many("once", 600)).unwrap();
        ad.insert_expr("always", &many("often", 600)).unwrap();
        let expr = Expr::parse("always").unwrap();
        assert_eq!(Scope::new(&ad).eval(&expr), Value::Error, "{text}");
        assert_eq!(ad.flatten(&expr), expr, "{text}");
    }
}

/// What a pattern costs is the same whether it was compiled before or not, and however many others
/// the expression keeps.
#[test]
fn many_patterns_cost_as_much_the_second_time() {
    let patterns = |count: usize| {
        let calls: Vec<String> = (0..count)
            .map(|i| format!("regexp(\"x{i}[ab]{{{}}}\", b)", 100 + i % 50))
            .collect();
        Expr::parse(&calls.join(" || ")).unwrap()
    };
    let ad = long_ad();
    for (count, wanted) in [(4, Value::Bool(false)), (1_500, Value::Error)] {
        let expr = patterns(count);
        for _ in 0..3 {
            assert_eq!(Scope::new(&ad).eval(&expr), wanted, "{count} patterns");
        }
    }
    let mut small = ClassAd::new();
    small.insert("b", "x39");
    let calls: Vec<String> = (0..40).map(|i| format!("regexp(\"^x{i}$\", b)")).collect();
    let expr = Expr::parse(&calls.join(" || ")).unwrap();
    for _ in 0..3 {
        assert_eq!(Scope::new(&small).eval(&expr), Value::Bool(true));
    }
}

#[test]
fn no_moment_is_too_far_away() {
    let extremes = [
        "-9223372036854775808",
        "-9223372036854775807",
        "9223372036854775807",
        "-9223372036854689408",
        "0",
        "-1e300",
        "1e300",
        "real(\"NaN\")",
        "real(\"INF\")",
        "2147483648",
        "-2147483648",
    ];
    let mut ad = ClassAd::new();
    for first in extremes {
        ad.insert_expr("t", first).unwrap();
        for second in extremes {
            ad.insert_expr("o", second).unwrap();
            for text in [
                "formatTime(t, \"%s %c %G %V %U %j %C %y %e %k %l\")",
                "formatTime(absTime(t, o), \"%s %c %G\")",
                "formatTime([Year = t; Month = o; Day = t; Hours = o; Minutes = t; Seconds = o],
                    \"%s %c %G %V %U %j\")",
                "splitTime(absTime(t, o))",
                "splitTime(relTime(t))",
                "splitTime(t)",
                "interval(t)",
                "string(absTime(t, o))",
                "string(relTime(t))",
                "{ getYear(absTime(t, o)), getDayOfYear(absTime(t)), getDayOfWeek(absTime(t)),
                    getDays(relTime(t)), getHours(relTime(t)), getSeconds(absTime(t, o)) }",
                "absTime(t) - absTime(o)",
                "absTime(t) + relTime(o)",
                "absTime(t) - relTime(o)",
                "relTime(t) * o",
                "dayTime()",
                "int(absTime(t)) + int(relTime(o))",
            ] {
                let scope = Scope::new(&ad).now(i64::MIN);
                let value = scope.eval(&Expr::parse(text).unwrap());
                let _ = (
                    value.to_string(),
                    value.to_json(),
                    Expr::from(value).to_exact(),
                );
            }
        }
    }
    let moment = eval("formatTime(-9223372036854775808, \"%s\")");
    assert_eq!(moment.as_str(), Some("-9223372036854775808"));
}
