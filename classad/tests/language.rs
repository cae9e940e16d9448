//! What expressions mean and how they print, as tables of text.

use classad::{ClassAd, Expr, Scope, Value};

const NOW: i64 = 1_700_000_000;

/// The value of `text` inside `ad`, printed in the new syntax.
fn value(ad: &str, text: &str) -> Value {
    let my = ClassAd::parse(ad).expect("the table's ad is an ad");
    let expr = Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Scope::new(&my).now(NOW).seed(1).eval(&expr)
}

/// Each row is `expression => value`, the value in the new syntax.
fn check(ad: &str, rows: &[(&str, &str)]) {
    for (text, wanted) in rows {
        let got = value(ad, text);
        let wanted_value = match *wanted {
            "undefined" => Value::Undefined,
            "error" => Value::Error,
            text => value("[]", text),
        };
        assert_eq!(got, wanted_value, "{text} in {ad}");
    }
}

#[test]
fn precedence_is_the_references() {
    check(
        "[]",
        &[
            ("1 + 2 * 3", "7"),
            ("10 - 4 - 3", "3"),
            ("1 + missing ?: 5", "6"),
            ("10 ?: 2 + 3", "13"),
            ("!missing ?: true", "false"),
            ("missing ? : 4", "4"),
            ("1 | 6 & 3 ^ 8", "11"),
            ("1 << 2 + 1", "8"),
            ("true || false && false", "true"),
            ("false ? 1 : true ? 2 : 3", "2"),
            ("-2147483648 >>> 60", "15"),
            ("1 < 2 == true", "true"),
            ("- - 5", "5"),
            ("3 -1", "2"),
            ("3 - -1", "4"),
        ],
    );
}

#[test]
fn logic_has_three_values_and_errors() {
    check(
        "[]",
        &[
            ("false && error", "false"),
            ("error && false", "error"),
            ("undefined && false", "false"),
            ("undefined && true", "undefined"),
            ("undefined && error", "error"),
            ("true || error", "true"),
            ("error || true", "error"),
            ("undefined || true", "true"),
            ("undefined || false", "undefined"),
            ("1 && 2.5", "true"),
            ("\"true\" && true", "error"),
            ("!0", "true"),
            ("undefined ? 1 : 2", "undefined"),
            ("\"x\" ? 1 : 2", "error"),
            ("error ?: 1", "error"),
        ],
    );
}

#[test]
fn numbers_promote_wrap_and_fail_as_the_references() {
    check(
        "[]",
        &[
            ("9223372036854775807 + 1", "-9223372036854775808"),
            ("-9223372036854775808 / -1", "9223372036854775807"),
            ("-9223372036854775808 % -1", "0"),
            ("7 / 2", "3"),
            ("-7 % 3", "-1"),
            ("7 / 2.0", "3.5"),
            ("1 / 0", "error"),
            ("1.0 / 0", "error"),
            ("-1.0 / 0", "real(\"-INF\")"),
            ("5.5 % 2", "error"),
            ("true + true", "2"),
            ("true == 1", "true"),
            ("true =?= 1", "false"),
            ("1 =?= 1.0", "false"),
            ("1 == 1.0", "true"),
            ("-true", "error"),
            ("12 & true", "error"),
            ("\"a\" + \"b\"", "error"),
            ("undefined + \"a\"", "undefined"),
            ("error + undefined", "error"),
        ],
    );
}

#[test]
fn comparison_of_strings_lists_and_the_undefined() {
    check(
        "[]",
        &[
            ("\"abc\" == \"ABC\"", "true"),
            ("\"abc\" =?= \"ABC\"", "false"),
            ("\"a\" < \"B\"", "true"),
            ("\"a\" == 1", "error"),
            ("\"a\" =?= 1", "false"),
            ("missing == 1", "undefined"),
            ("missing =?= undefined", "true"),
            ("missing =!= undefined", "false"),
            ("{1} == {1}", "error"),
            ("{1} =?= {1}", "error"),
            ("error =?= error", "true"),
        ],
    );
}

#[test]
fn names_are_looked_up_outwards_from_where_they_stand() {
    let ad = "[a = 5; b = a * 2; d = [x = a; a = 9; e = [y = parent.parent.a; z = MY.q; q = 7]]; \
              l = {[n = 1], [n = 2; a = 3]}; c1 = c2; c2 = c1; k = \"x\"]";
    check(
        ad,
        &[
            ("B", "10"),
            ("d.x", "9"),
            ("d.b", "10"),
            ("d.e.y", "5"),
            ("d.e.z", "7"),
            ("d[k]", "9"),
            ("d[\"b\"]", "undefined"),
            ("l[1].n", "2"),
            ("l[2]", "error"),
            ("l[-1]", "error"),
            ("l.n", "{1, 2}"),
            ("l.a", "{5, 3}"),
            ("sum(l.n)", "3"),
            ("MY.a", "5"),
            (".a", "5"),
            ("TARGET.a", "undefined"),
            ("c1", "undefined"),
            ("c1 =?= undefined", "true"),
            ("a.b", "error"),
            ("missing.b", "undefined"),
        ],
    );
}

#[test]
fn functions_answer() {
    let ad =
        "[x = 7; g = {[c = 8.0; id = \"a\"], [c = 7.5; id = \"b\"], [id = \"c\"]}; r = c >= 8.0]";
    check(
        ad,
        &[
            (
                "isUndefined(missing) && isError(1/0) && isInteger(x)",
                "true",
            ),
            ("int(2.9) + int(\"12abc\")", "14"),
            ("real(\"INF\") > 1", "true"),
            ("string(1.5)", "\"1.500000000000000E+00\""),
            ("bool(\"yes\")", "undefined"),
            ("ifThenElse(x > 3, \"big\", 1/0)", "\"big\""),
            ("strcat(\"a\", x, true)", "\"a7true\""),
            ("strcat(\"a\", missing)", "undefined"),
            ("substr(\"abcde\", -3, -1)", "\"cd\""),
            ("toUpper(\"aé\")", "\"Aé\""),
            ("size(\"abc\") + size({1, 2})", "5"),
            ("split(\"a,,b c\")", "{\"a\", \"\", \"b\", \"c\"}"),
            ("join(\"-\", {\"a\", undefined, \"b\"})", "\"a-b\""),
            ("member(\"A\", {\"a\"})", "true"),
            ("identicalMember(\"A\", {\"a\"})", "false"),
            ("anyCompare(\">\", {1, 9}, 5)", "true"),
            ("allCompare(\">\", {1, 9}, 5)", "false"),
            ("regexp(\"^H[12]00$\", \"h200\", \"i\")", "true"),
            ("regexp(\"[\", \"a\")", "error"),
            ("regexp(\"(a)\\\\1\", \"aa\")", "error"),
            (
                "regexps(\"(.*)@(.*)\", \"u@h\", \"\\\\2/\\\\1\")",
                "\"h/u\"",
            ),
            ("replaceAll(\"an\", \"banana\", \"\")", "\"ba\""),
            ("avg({1, 2})", "1.5"),
            ("min({})", "undefined"),
            ("max({1, 2.5, true})", "2.5"),
            ("round(2.5) + round(3.5)", "6"),
            ("quantize(5, {4, 8})", "8"),
            ("quantize(33, 16)", "48"),
            ("pow(2, 10)", "1024"),
            ("time()", "1700000000"),
            (
                "formatTime(time(), \"%Y-%m-%d %H:%M:%S %j %a\")",
                "\"2023-11-14 22:13:20 318 Tue\"",
            ),
            ("interval(90061)", "\"1+01:01:01\""),
            ("splitTime(relTime(90061)).Hours", "1"),
            (
                "absTime(\"2024-05-06T07:08:09+0530\") - absTime(\"2024-05-06T07:08:09Z\")",
                "relTime(-19800)",
            ),
            ("stringListMember(\"b\", \"a, b\")", "true"),
            ("stringListSum(\"1, 2.5\")", "3.5"),
            ("stringListAvg(\"1,2\")", "1"),
            ("stringListISubsetMatch(\"A\", \"b,a\")", "true"),
            ("versionLT(\"8.9.10\", \"8.10.0\")", "true"),
            ("version_in_range(\"9.5\", \"9\", \"10\")", "true"),
            ("countMatches(r, g)", "1"),
            ("countMatches(id == \"B\", g)", "1"),
            ("evalInEachContext(c, g)", "{8.0, 7.5, undefined}"),
            ("splitUserName(\"a@b\")", "{\"a\", \"b\"}"),
            ("splitSlotName(\"b\")", "{\"\", \"b\"}"),
            (
                "argsToList(listToArgs({\"a b\", \"it's\", \"\"}))",
                "{\"a b\", \"it's\", \"\"}",
            ),
            (
                "mergeEnvironment(\"A=1 B=2\", \"B='x y'\")",
                "\"A=1 B=x' 'y\"",
            ),
            ("eval(\"x * 2\")", "14"),
            ("unparse(r)", "\"c >= 8.000000000000000E+00\""),
            ("noSuchFunction(1)", "error"),
            ("size(1, 2)", "error"),
        ],
    );
}

#[test]
fn chance_comes_from_the_seed_alone() {
    let my = ClassAd::new();
    let expr = Expr::parse("random(1000000)").unwrap();
    let draw = |seed| Scope::new(&my).seed(seed).eval(&expr);
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert_eq!(Scope::new(&my).eval(&expr), Value::Error);
    assert_eq!(
        Scope::new(&my).eval(&Expr::parse("time()").unwrap()),
        Value::Undefined
    );
}

#[test]
fn expressions_print_as_the_reference_prints_them() {
    for (text, new, old) in [
        ("1+2*3", "1 + 2 * 3", "1 + 2 * 3"),
        ("a=?=b&&!c", "a is b &&  !c", "a =?= b &&  !c"),
        ("1.5", "1.500000000000000E+00", "1.5"),
        ("1e100", "1.000000000000000E+100", "1E+100"),
        ("-0.0", "-0.0", "-0.0"),
        ("\"a\\n\\303\\251\"", "\"a\\n\\303\\251\"", "\"a\né\""),
        ("\"q\\\"\" \"b\\\\\"", "\"q\\\"b\\\\\"", "\"q\\\"b\\\""),
        (
            "{1,{},[b=2;a=1]}",
            "{ 1,{  },[ a = 1; b = 2 ] }",
            "{ 1,{  },[ a = 1; b = 2 ] }",
        ),
        ("f( a,b )[0].c", "f(a,b)[0].c", "f(a,b)[0].c"),
        ("a?b:c", "a ? b : c", "a ? b : c"),
        ("a?:b", "a ?: b", "a ?: b"),
        ("'a b'.'is'", "'a b'.'is'", "'a b'.'is'"),
        (
            "relTime(\"1d2h\")",
            "relTime(\"1+02:00:00\")",
            "relTime(\"1+02:00:00\")",
        ),
    ] {
        let expr = Expr::parse(text).unwrap();
        assert_eq!(expr.to_string(), new);
        assert_eq!(expr.to_old(), old);
        assert_eq!(Expr::parse(&expr.to_exact()).unwrap(), expr);
    }
    let third = Expr::from(1.0 / 3.0);
    assert_eq!(Expr::parse(&third.to_exact()).unwrap(), third);
}

#[test]
fn the_old_syntax_keeps_backslashes() {
    for (text, wanted) in [
        (r#""a\nb\d""#, r"a\nb\d"),
        (r#""say \"hi\"!""#, r#"say "hi"!"#),
        (r#""C:\""#, r"C:\"),
    ] {
        let value = Scope::new(&ClassAd::new()).eval(&Expr::parse_old(text).unwrap());
        assert_eq!(value.as_str(), Some(wanted), "{text}");
    }
}

#[test]
fn errors_say_where_and_what() {
    for (text, offset, says) in [
        ("", 0, "there is no expression"),
        ("1 +", 3, "ends too early, expected an expression"),
        ("(a || b", 7, "expected `)`"),
        ("Memory > 4G", 10, "unit `G`"),
        ("a = 1", 2, "comparison is `==`"),
        ("{1, 2,}", 6, "unexpected `}`, expected an expression"),
        ("5.", 2, "digit after the decimal point"),
        ("010", 0, "cannot begin with 0"),
        ("x == \"abc", 5, "does not end"),
        ("a # b", 2, "`#` means nothing here"),
        ("a b", 2, "unexpected `b`, expected an operator or the end"),
        ("[a = 1; b]", 9, "expected `=`"),
        ("absTime(\"soon\")", 0, "not a time"),
        ("a /* b", 2, "comment"),
    ] {
        let error = Expr::parse(text).expect_err(text);
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
}

#[test]
fn clauses_and_references_are_those_of_the_text() {
    let expr =
        Expr::parse("(a && (b || c) && MY.d > 1) && TARGET.e && [f = 1; g = f + h].g").unwrap();
    let clauses: Vec<String> = expr.clauses().iter().map(ToString::to_string).collect();
    let wanted = [
        "a",
        "(b || c)",
        "MY.d > 1",
        "TARGET.e",
        "[ f = 1; g = f + h ].g",
    ]
    .map(String::from);
    assert_eq!(clauses, wanted);
    let references = expr.references();
    let names = |set: &std::collections::BTreeSet<classad::AttrName>| {
        set.iter()
            .map(|name| name.as_str().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&references.internal), ["a", "b", "c", "d", "h"]);
    assert_eq!(names(&references.external), ["e"]);
    let ad = ClassAd::parse("[a = b + TARGET.x; b = 1]").unwrap();
    let resolved = ad.references(&Expr::parse("a + zz").unwrap()).unwrap();
    assert_eq!(names(&resolved.internal), ["a", "b"]);
    assert_eq!(names(&resolved.external), ["TARGET.x", "zz"]);
    assert_eq!(
        Expr::all(clauses_of("a || b", "c")).to_string(),
        "(a || b) && c"
    );
}

fn clauses_of(a: &str, b: &str) -> [Expr; 2] {
    [a, b].map(|text| Expr::parse(text).expect("an expression"))
}
