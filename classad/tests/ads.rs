//! Ads as containers, and in all the forms they are written in.

use classad::{AdError, ClassAd, Expr, Scope, Value};
use serde_json::json;

#[test]
fn names_ignore_case_and_keep_their_first_spelling() {
    let mut ad = ClassAd::new();
    ad.insert("RequestMemory", 1024);
    ad.insert("requestmemory", 2048);
    assert_eq!(ad.len(), 1);
    assert_eq!(ad.eval("REQUESTMEMORY"), Value::Int(2048));
    assert_eq!(ad.to_string(), "[ RequestMemory = 2048 ]");
    assert!(ad.contains("requestMemory"));
    assert_eq!(ad.remove("REQUESTmemory"), Some(Expr::from(2048)));
    assert!(ad.is_empty());
    assert_eq!(ad.eval("RequestMemory"), Value::Undefined);
}

#[test]
fn clones_share_until_they_differ() {
    let mut a: ClassAd = (0..40).map(|i| (format!("A{i}"), i)).collect();
    assert_eq!(a.eval("a39"), Value::Int(39));
    let b = a.clone();
    a.insert("A5", "five");
    a.insert("B", 1);
    a.remove("A6");
    assert_eq!(b.eval("a5"), Value::Int(5));
    assert_eq!(a.eval("a5").as_str(), Some("five"));
    assert_eq!((a.get("a6"), b.get("b")), (None, None));
    assert_eq!(a.eval("b"), Value::Int(1));
    assert_ne!(a, b);
    let mut c = b.clone();
    c.merge(&a);
    assert_eq!((c.len(), c.eval("A6")), (41, Value::Int(6)));
    assert_eq!(c.eval("a5").as_str(), Some("five"));
}

#[test]
fn long_form_reads_what_it_writes() {
    let text = "# a job\n\nCmd = \"C:\\bin\\\"\nRequirements = (TARGET.Arch == \"X86_64\") && a =?= undefined\n  Rank = 0.5\r\nrank = 1.0E10\n";
    let ad = ClassAd::parse_long(text).unwrap();
    assert_eq!(
        ad.to_long(),
        "Cmd = \"C:\\bin\\\"\nRank = 10000000000.0\nRequirements = (TARGET.Arch == \"X86_64\") && a =?= undefined\n"
    );
    assert_eq!(ClassAd::parse_long(&ad.to_long()).unwrap(), ad);
    assert_eq!(ClassAd::parse(&ad.to_string()).unwrap(), ad);
}

#[test]
fn long_form_says_which_line_is_wrong() {
    let error = ClassAd::parse_long("A = 1\nB = 2 +\n").unwrap_err();
    let AdError::Expr { name, line, source } = &error else {
        panic!("{error}")
    };
    assert_eq!((name.as_str(), *line, source.offset), ("B", 2, 13));
    assert!(error.to_string().starts_with("attribute `B`, line 2: "));
    let error = ClassAd::parse_long("A = 1\njust words\n").unwrap_err();
    assert_eq!(
        error,
        AdError::Line {
            line: 2,
            text: "just words".into()
        }
    );
}

#[test]
fn json_is_htcondors() {
    let ad = ClassAd::parse(
        "[i = 1; r = 0.1; s = \"x\"; u = undefined; e = a + 1; l = {1, b}; d = [k = true]; w = error]",
    )
    .unwrap();
    let wanted = json!({
        "i": 1, "r": 0.1, "s": "x", "u": null, "e": "/Expr(a + 1)/", "l": [1, "/Expr(b)/"],
        "d": {"k": true}, "w": "/Expr(error)/",
    });
    assert_eq!(ad.to_json(), wanted);
    assert_eq!(ClassAd::from_json(&wanted).unwrap(), ad);
    assert!(matches!(
        ClassAd::from_json(&json!([1])),
        Err(AdError::NotAnObject { .. })
    ));
    let error = ClassAd::from_json(&json!({"a": "/Expr(1 +)/"})).unwrap_err();
    assert!(error.to_string().contains("`a`"), "{error}");
}

#[test]
fn storing_keeps_everything() {
    let mut ad = ClassAd::parse("[n = [x = a; y = {1, \"\\n\\\"\"}]; e = a ?: b - -1; t = absTime(\"2024-01-02T03:04:05+01:00\")]").unwrap();
    ad.insert("third", 1.0 / 3.0);
    ad.insert("tiny", 5e-324);
    ad.insert("text", "line\nbreak \u{1f426} \u{7f} 'q' \"q\" \\ end\0");
    ad.insert("odd name", true);
    ad.insert("", f64::NEG_INFINITY);
    ad.insert("span", Value::RelTime(0.123_456_789));
    ad.insert(
        "moment",
        Value::AbsTime {
            secs: -5,
            offset: -3600,
        },
    );
    let stored = serde_json::to_string(&ad).unwrap();
    let back: ClassAd = serde_json::from_str(&stored).unwrap();
    assert_eq!(back, ad);
    assert_eq!(back.eval("third"), Value::Real(1.0 / 3.0));
    assert!(serde_json::from_str::<ClassAd>("\"[a = ]\"").is_err());
}

#[test]
fn json_keeps_everything() {
    let ad = ClassAd::parse(
        r#"[ wrapped = "/Expr(1 + 1)/"; path = "/tmp/"; big = 9223372036854775807; real = 5.0;
            zero = -0.0; inf = real("INF"); text = "a\"\\\n\001é"; e = error; u = undefined;
            t = absTime("2024-05-06T07:08:09+05:30"); nested = [ l = { 1, [ x = y ], {} } ];
            expr = a =?= b && "x\\y" == c; 'true' = true ]"#,
    )
    .unwrap();
    let text = serde_json::to_string(&ad.to_json()).unwrap();
    let back = ClassAd::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(back.to_exact(), ad.to_exact());
    // The reference's own print of reals is shorter than a real is exact; all else comes back.
    let printed: serde_json::Value = serde_json::from_str(&ad.to_json_text()).unwrap();
    let mut back = ClassAd::from_json(&printed).unwrap();
    assert_eq!(back.insert_expr("wrapped", "\"/Expr(1 + 1)/\""), Ok(()));
    assert_eq!(back.to_string(), ad.to_string());
}

#[test]
fn json_of_other_hands_is_read() {
    let ad = ClassAd::from_json(&json!({
        "a": 18_446_744_073_709_551_615_u64,
        "b": {"c": [null, "/Expr(a > 1)/"]},
        "A": 1.5,
        "with space": "x",
    }));
    assert_eq!(
        ad.unwrap().to_exact(),
        "[ A = 1.8446744073709552e19; b = [ c = { undefined,a > 1 } ]; 'with space' = \"x\" ]"
    );
    let error = ClassAd::from_json(&json!({"x": [{"y": "/Expr(1 +)/"}]})).unwrap_err();
    assert!(error.to_string().contains("`y`"), "{error}");
}

#[test]
fn values_speak_json_and_numbers() {
    let ad = ClassAd::parse("[l = {1 + 1, x}; x = 2.5; d = [y = x]; b = true]").unwrap();
    assert_eq!(ad.eval("l").to_json(), json!([2, 2.5]));
    assert_eq!(ad.eval("l").to_string(), "{ 1 + 1,x }");
    assert_eq!(ad.eval("d").to_json(), json!({"y": 2.5}));
    assert_eq!(
        (ad.eval("x").as_i64(), ad.eval("b").as_f64()),
        (Some(2), Some(1.0))
    );
    assert_eq!(
        (ad.eval("b").is_true(), ad.eval("l").is_true()),
        (true, false)
    );
    assert_eq!(ad.eval("nope").type_name(), "undefined");
}

#[test]
fn flattening_keeps_what_the_other_side_decides() {
    let ad = ClassAd::parse("[RequestMemory = 2048; a = true; t = time()]").unwrap();
    for (text, wanted) in [
        (
            "TARGET.Memory >= RequestMemory * 2",
            "TARGET.Memory >= 4096",
        ),
        ("a && TARGET.x && y", "TARGET.x && y"),
        ("RequestMemory + 1", "2049"),
        ("t + RequestMemory", "2048 + t"),
        ("RequestMemory > 1 && x + 1 + 2 > 3", "3 + x > 3"),
        ("x || error", "x || error"),
        ("x | 1 | true", "1 | x | true"),
        ("1 + (x && a)", "1 + (true && x)"),
        ("a ? TARGET.x : y", "TARGET.x"),
        ("1 + x + y * 2", "1 + x + 2 * y"),
        ("unparse(a)", "unparse(a)"),
        ("ifThenElse(zz, a, 1)", "ifThenElse(zz,true,1)"),
        ("MY.RequestMemory + 1", "2049"),
        (
            "absTime(RequestMemory)",
            "absTime(\"1970-01-01T00:34:08-00:00\")",
        ),
        ("formatTime(RequestMemory, \"%M\")", "\"34\""),
    ] {
        assert_eq!(
            ad.flatten(&Expr::parse(text).unwrap()).to_string(),
            wanted,
            "{text}"
        );
    }
}

#[test]
fn flattening_says_the_same_against_every_other_side() {
    let my = ClassAd::parse(
        "[a = 5; s = \"a\"; d = [x = 1; y = a; z = parent.a; m = MY.x];
          open = TARGET.q =?= undefined ? [x = 1] : [x = 2]; decided = a > 1 ? [x = 1] : 3;
          nested = [in = [x = a]]; p = TARGET.p; d2 = d; l = {[x = 1]}; circle = circle.x]",
    )
    .unwrap();
    let targets = [
        "[]",
        "[q = 1; p = \"b\"; a = 6; d = [x = 7]; x = 8]",
        "[q = [x = 2]; p = [x = 3]; d = 1; zz = 2; root = [a = 1]]",
    ];
    for (text, wanted) in [
        // What a selection selects from must not depend on the other side.
        (
            "(TARGET.d ?: [x = 1]).x == 1",
            "(TARGET.d ?: [ x = 1 ]).x == 1",
        ),
        ("open.x == 1", "open.x == 1"),
        (
            "(TARGET.q is undefined ? d : p).x == 1",
            "(TARGET.q is undefined ? d : p).x == 1",
        ),
        ("TARGET.d.x == 1", "TARGET.d.x == 1"),
        ("q.x == 2", "q.x == 2"),
        ("zz.x is undefined", "zz.x is undefined"),
        ("d.x == 1", "true"),
        ("(d).y == 5", "true"),
        ("decided.x == 1", "true"),
        ("d2.x == 1 && nested.in.x == a", "true"),
        ("[x = 1].x == 1", "true"),
        ("(true ? [x = a] : p).x == 5", "true"),
        ("splitTime(relTime(90061)).Hours == 1", "true"),
        ("MY.d.x == 1 && self.a == 5", "true"),
        ("d.m == 1", "true"),
        ("a.x", "error"),
        ("d.z == 5", "d.z == 5"),
        ("d.parent.a == 5", "d.parent.a == 5"),
        ("l.x", "l.x"),
        ("circle", "circle"),
        // In a match there is something around both ads.
        (".a == 5", ".a == 5"),
        ("root.a is undefined", "root.a is undefined"),
        ("toplevel.a is undefined", "toplevel.a is undefined"),
        ("parent.a is undefined", "'parent'.a is undefined"),
        // The clock and the seed are known later.
        (
            "absTime() > absTime(a)",
            "absTime() > absTime(\"1970-01-01T00:00:05-00:00\")",
        ),
        ("formatTime() != \"\"", "formatTime() != \"\""),
        ("time() > a", "time() > 5"),
        ("random(a) < 5", "random(5) < 5"),
        // Arguments that are read as expressions.
        ("unresolved(a, TARGET.p)", "unresolved(a,TARGET.p)"),
        ("unresolved(p, s)", "unresolved(p,s)"),
        ("eval(s) == a", "eval(s) == 5"),
        ("unparse(a) == \"5\"", "unparse(a) == \"5\""),
        ("countMatches(a, l) == 1", "countMatches(a,l) == 1"),
    ] {
        let expr = Expr::parse(text).unwrap();
        let flat = my.flatten(&expr);
        assert_eq!(flat.to_string(), wanted, "{text}");
        for target in targets {
            let target = ClassAd::parse(target).unwrap();
            let scope = Scope::new(&my).target(&target).now(1_700_000_000).seed(1);
            assert_eq!(scope.eval(&flat), scope.eval(&expr), "{text} and {target}");
        }
    }
}

#[test]
fn ads_and_expressions_cross_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<ClassAd>();
    shared::<Expr>();
    shared::<Value>();
}
