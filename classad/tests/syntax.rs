//! What texts are expressions and ads, how they print, and what is said of those that are neither.

use classad::limits::{AD_BYTES_MAX, EXPR_BYTES_MAX, EXPR_DEPTH_MAX, SYNTAX_ERRORS_MAX};
use classad::{AdError, AttrName, ClassAd, Expr, ParseError};

/// Each error as `offset what`, `what` being in its text.
fn check_errors(text: &str, errors: &[ParseError], wanted: &[(usize, &str)]) {
    let got: Vec<String> = errors
        .iter()
        .map(|error| format!("{} {error}", error.offset))
        .collect();
    let all_there = errors.len() == wanted.len()
        && errors.iter().zip(wanted).all(|(error, (offset, says))| {
            error.offset == *offset && error.to_string().contains(says)
        });
    assert!(all_there, "{text}: {got:#?}, not {wanted:#?}");
}

#[test]
fn every_error_of_a_text_is_told_and_none_twice() {
    for (text, wanted) in [
        ("a + b", &[][..]),
        ("", &[(0, "there is no expression")]),
        ("a = 1 && b = 2", &[(2, "`==`"), (11, "`==`")]),
        (
            "TARGET.Arch = \"X\" && (Memory => 4 || Disk =< 3",
            &[
                (12, "comparison is `==`"),
                (29, "the comparison is `>=`"),
                (42, "the comparison is `<=`"),
                (46, "inside the `(` of `(Memory => 4 || Disk =< "),
            ],
        ),
        (
            "a && && b || ",
            &[(5, "expected an expression"), (13, "the text ends")],
        ),
        (
            "(1 +) * (2 -) / ()",
            &[(4, "`)`"), (12, "`)`"), (17, "`)`")],
        ),
        (
            "a b && c d && e",
            &[(2, "unexpected `b`"), (9, "unexpected `d`")],
        ),
        ("a b c d", &[(2, "unexpected `b`")]),
        ("a ) && b ) || c", &[(2, "no bracket"), (9, "no bracket")]),
        (
            "Memory > 4G && Disk > 10 MB",
            &[(10, "unit `G`"), (25, "own unit")],
        ),
        ("a # b && c @ d", &[(2, "`#`"), (11, "`@`")]),
        ("“abc” == x && ‘z’", &[(0, "straight quotes"), (18, "`\"`")]),
        (
            "a ≤ b && c ≥ ≥ d",
            &[(2, "`<=`"), (13, "`>=`"), (17, "`>=`")],
        ),
        ("x == \"abc && (b", &[(5, "does not end")]),
        ("(x /* b", &[(3, "does not end")]),
        (
            "f(1 2) && g(,) && h(1,)",
            &[
                (4, "unexpected `2`"),
                (12, "unexpected `,`"),
                (22, "the last `,`"),
            ],
        ),
        (
            "{1; 2; 3 4}",
            &[(2, "by `,`"), (5, "by `,`"), (9, "unexpected `4`")],
        ),
        ("f((a, b) && c", &[(4, "inside the `(` of `(a, b) && c`")]),
        (
            "f((a, b)) && c d",
            &[(4, "expected `)`"), (15, "unexpected `d`")],
        ),
        ("a ? b c : d", &[(6, "`:` of `? :`")]),
        ("?: 1 && a b", &[(0, "expected an expression"), (10, "`b`")]),
        (
            "a.1 && b.true && c.",
            &[(1, "`.1`"), (9, "single quotes"), (19, "after `.`")],
        ),
        (
            "absTime(\"soon\") && relTime(\"x\") + ",
            &[(0, "not a time"), (19, "not a span"), (34, "the text ends")],
        ),
        (
            "010 + 0x10 + 5. + 1e",
            &[
                (0, "begin with 0"),
                (6, "hexadecimal"),
                (15, "ends in a point"),
                (20, "no digits"),
            ],
        ),
        (
            "a <> b && c === d && e ** f",
            &[(3, "`!=`"), (14, "`==`"), (24, "`pow(base, exponent)`")],
        ),
        ("a & & b | | c", &[(4, "`&&`"), (10, "`||`")]),
        ("x =! y && z =? w", &[(2, "`=!=`"), (12, "`=?=`")]),
        ("not a and b", &[(4, "`!`"), (6, "`&&`")]),
        ("a and b or not c", &[(2, "`&&`"), (8, "`||`"), (15, "`!`")]),
        ("if a then b else c", &[(3, "`condition ? value : other`")]),
        ("f(x 'abc')", &[(4, "double quotes")]),
        ("$(x) == 3 && $y", &[(0, "submit"), (13, "submit")]),
    ] {
        check_errors(text, &Expr::errors(text), wanted);
    }
}

#[test]
fn every_error_of_an_ad_is_told() {
    for (text, wanted) in [
        ("[ a = 1 ]", &[][..]),
        ("a = 1", &[(0, "expected `[`")]),
        (
            "[a = 1; b; c = 2 + ; d == 3; e = 4]",
            &[(9, "expected `=`"), (19, "`;`"), (23, "set by `=`")],
        ),
        (
            "[a = 1 b = 2, c = 3; d = e f]",
            &[(7, "`b`"), (12, "separated by `;`"), (27, "`f`")],
        ),
        (
            "[true = 1; is = 2; \"b\": 3]",
            &[(1, "single quotes"), (11, "single quotes"), (19, "quotes")],
        ),
        ("[a = (1; b = 2]", &[(7, "inside the `(` of `(1; b = 2]`")]),
        ("[a = {1, 2; b = 3]", &[(10, "inside the `{`")]),
        (
            "[\n  a = 1\n  b = (2;\n  c = \"x;\n  d = 3;\n  e = 4 +;\n]",
            &[(12, "`b`"), (18, "inside"), (26, "not end"), (48, "`;`")],
        ),
        ("[a = 1", &[(6, "inside the `[` of `[a = 1`")]),
        ("[;]", &[(2, "after `;`")]),
    ] {
        let errors: Vec<ParseError> = ClassAd::errors(text)
            .into_iter()
            .map(|error| match error {
                AdError::Syntax(error) => error,
                other => panic!("{text}: {other}"),
            })
            .collect();
        check_errors(text, &errors, wanted);
    }
}

#[test]
fn every_line_of_a_long_form_ad_is_told_with_its_errors() {
    let text = "A = 1 +\nB = 2\njust words\n# c\nD = (x && y\nE = f(1 2) && z =\n";
    let got: Vec<(usize, Option<usize>)> = ClassAd::errors_long(text)
        .iter()
        .map(|error| match error {
            AdError::Expr { line, source, .. } => (*line, Some(source.offset)),
            AdError::Line { line, .. } => (*line, None),
            other => panic!("{other}"),
        })
        .collect();
    let wanted = [
        (1, Some(7)),
        (3, None),
        (5, Some(40)),
        (6, Some(49)),
        (6, Some(57)),
    ];
    assert_eq!(got, wanted);
    let AdError::Expr { source, .. } = &ClassAd::errors_long(text)[2] else {
        panic!("an attribute's error")
    };
    assert_eq!(source.opened_at(), Some(33));
    assert!(ClassAd::errors_long("A = 1\nB = 2\n").is_empty());
    let long = " ".repeat(AD_BYTES_MAX + 1);
    assert!(matches!(
        ClassAd::errors_long(&long)[..],
        [AdError::TooLong { .. }]
    ));
}

#[test]
fn errors_are_bounded_in_number_and_depth() {
    let text = "(a = 1) && ".repeat(100);
    assert_eq!(Expr::errors(&text).len(), SYNTAX_ERRORS_MAX);
    let lines = "a = \n".repeat(100);
    assert_eq!(ClassAd::errors_long(&lines).len(), SYNTAX_ERRORS_MAX);
    let long = "1 ".repeat(EXPR_BYTES_MAX);
    assert_eq!(Expr::errors(&long).len(), 1);
    let depth = EXPR_DEPTH_MAX as usize * 20;
    for opens in [
        "(",
        "(1 ",
        "(1 2 ",
        "{a b ",
        "f(1 2 ",
        "[a = 1 2 ",
        "a[1 2 ",
        "a ? b c ",
    ] {
        let text = opens.repeat(depth);
        let errors = Expr::errors(&text[..text.len().min(EXPR_BYTES_MAX)]);
        assert!(!errors.is_empty(), "{opens}");
    }
}

/// Texts of a few pieces each, the same ones every time.
fn soups(pieces: &[&str], count: usize) -> impl Iterator<Item = String> {
    let mut state = 11_u64;
    let mut draw = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    (0..count).map(move |_| {
        let length = 1 + draw(14);
        (0..length).map(|_| pieces[draw(pieces.len())]).collect()
    })
}

#[test]
fn the_errors_of_any_text_agree_with_its_parse() {
    let pieces = [
        "a",
        "1",
        "b = ",
        "f(",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ";",
        ".",
        "?",
        ":",
        "=",
        "==",
        "&&",
        "||",
        "-",
        "!",
        "<",
        "\"",
        "'",
        "“",
        "and ",
        "not ",
        "is ",
        " ",
        "\n",
        "/*",
        "é",
        "≤",
        "$(",
        "4G",
        "0x",
        "5.",
        "absTime(\"x\")",
        "\\",
        "\0",
    ];
    for text in soups(&pieces, 30_000) {
        for (parsed, errors) in [
            (Expr::parse(&text), Expr::errors(&text)),
            (Expr::parse_old(&text), Expr::errors_old(&text)),
        ] {
            assert_eq!(parsed.as_ref().err(), errors.first(), "{text:?}");
            let ordered = errors
                .windows(2)
                .all(|pair| pair[0].offset < pair[1].offset);
            let inside = errors
                .iter()
                .all(|error| text.is_char_boundary(error.offset));
            assert!(ordered && inside, "{text:?}: {errors:?}");
        }
        let ad = format!("[{text}]");
        let parsed = ClassAd::parse(&ad);
        assert_eq!(
            parsed.as_ref().err(),
            ClassAd::errors(&ad).first(),
            "{ad:?}"
        );
        let errors = ClassAd::errors_long(&text);
        let parsed = ClassAd::parse_long(&text);
        assert_eq!(parsed.as_ref().err(), errors.first(), "{text:?}");
    }
}

#[test]
fn what_the_reference_takes_is_taken() {
    for (text, printed) in [
        ("..a", ".a"),
        ("a.. b", "a.b"),
        ("'a' 'b'", "ab"),
        ("'a b''c'", "'a bc'"),
        ("\"a\" \n\"b\"", "\"ab\""),
        ("0x1.8", "1.500000000000000E+00"),
        ("-0xFF.8", "-2.555000000000000E+02"),
        ("1is 1", "1 is 1"),
        ("1.5Isnt\"a\"", "1.500000000000000E+00 isnt \"a\""),
        ("08.5", "8.500000000000000E+00"),
        ("1 .a", "1.a"),
        ("parent.parent.a", "'parent'.parent.a"),
        (".parent", ".'parent'"),
        ("a ?\n: b", "a ?: b"),
        ("f(1; 2, 3)", "f(1,2,3)"),
        ("[;;a = 1;;]", "[ a = 1 ]"),
        ("1 /*/ */ //\n + 1", "1 + 1"),
        ("\"\\477\\18\\q\\x41\"", "\"'7\\0018qx41\""),
        ("9223372036854775808", "0"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1e400", "real(\"INF\")"),
    ] {
        let expr = Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(expr.to_string(), printed, "{text}");
        assert_eq!(Expr::parse(&expr.to_exact()), Ok(expr), "{text}");
    }
    for (text, printed) in [
        ("\"a\nb\"", "\"a\nb\""),
        ("'\\n'", "'\\n'"),
        ("'a\\'b'", "'a\\'b'"),
        ("'a\\'", "'a\\'"),
        ("\"a\\\"\n", "\"a\\\""),
        ("relTime(\"5\")", "5.0"),
        ("{a, {relTime(\"1:00\")}}", "{ a,{ 60.0 } }"),
        ("-relTime(\"5\")", " -relTime(\"05\")"),
    ] {
        let expr = Expr::parse_old(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(expr.to_old(), printed, "{text}");
    }
}

#[test]
fn what_the_reference_refuses_is_refused() {
    for text in [
        "a...b",
        ". 5",
        "1..2",
        "1.a",
        "1is2",
        "1isnt",
        "0x.8",
        "0x1.",
        "0x1.g",
        "1.5K",
        "[;]",
        "{a; b}",
        "f(;)",
        "a ?: - 1",
        "a ? /**/ : b",
        "a.f(1)",
        "(a)(b)",
        "\"a\" // c\n \"b\"",
        "'a' /**/ 'b'",
        "a =? = b",
        "1 /**",
        "'\\0'",
    ] {
        assert!(Expr::parse(text).is_err(), "{text}");
    }
    for text in ["\"a\" \"b\"", "'a' 'b'", "\"a\\\" ", "\"a\\\"\r"] {
        assert!(Expr::parse_old(text).is_err(), "{text}");
    }
}

#[test]
fn where_the_reference_would_mislead_we_refuse() {
    for text in [
        // It reads these as 0, 0, -10, `1 ? 2 : 3`, and `a`.
        "..5",
        "-0x10",
        "-010",
        "1 ? 2 : 3 garbage",
        "a\0b",
    ] {
        assert!(Expr::parse(text).is_err(), "{text}");
    }
}

#[test]
fn lossless_text_reads_back_whatever_was_written() {
    for text in [
        "- 3",
        "- -3",
        "1 - - 3",
        "- .5",
        "-(3)",
        "5 .a",
        "- 5 .a",
        "1.5.a",
        "1e5.a",
        "-5 [0]",
        "a.'b c'.'is'",
        "'is'(1)",
        "'a b'(1)",
        "a.'1x'",
        "'parent'",
        "''",
        "'a\\'b\\\"\\\\'",
        "\"\\\\\\\"'\\n\\303\\251\"",
        "{[a = {}; 'b c' = []]}",
        "a ?: b ?: c",
        "a ? b ? c : d : e",
        "!a ?: b",
        "(a ? b : c) ? d : e",
        "a || (b && c) || (d || e)",
        "real(\"-INF\")",
        "5e-324",
    ] {
        let expr = Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(Expr::parse(&expr.to_exact()), Ok(expr), "{text}");
    }
}

#[test]
fn long_form_keeps_odd_names() {
    let names = [
        "a b", "a'b", "a\\b", "a\\", "\"", "é", "true", "1a", "a\tb", "",
    ];
    let ad: ClassAd = names.map(|name| (name, 1)).into_iter().collect();
    assert_eq!(ClassAd::parse_long(&ad.to_long()), Ok(ad));
}

#[test]
fn names_are_equal_ordered_and_hashed_without_case() {
    use std::collections::HashSet;
    let name = |text: &str| AttrName::from(text);
    assert_eq!(name("RequestGPUs"), name("requestgpus"));
    assert_ne!(name("a"), name("b"));
    assert_ne!(name("É"), name("é"));
    let mut names = ["b", "_", "A", "a1", "B2", "Ab"].map(name);
    names.sort();
    assert_eq!(
        names.map(|name| name.to_string()).join(" "),
        "_ A a1 Ab b B2"
    );
    let set: HashSet<AttrName> = ["Memory", "MEMORY", "memory", "Disk"].map(name).into();
    assert_eq!(set.len(), 2);
    assert_eq!(name("RequestGPUs").folded(), "requestgpus");
    assert!(name("RequestGPUs").is("REQUESTGPUS"));
}
