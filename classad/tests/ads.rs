//! Ads as containers, and in all the forms they are written in.

use classad::{AdError, ClassAd, Expr, Value};
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
        ("t + RequestMemory", "t + 2048"),
        ("unparse(a)", "\"true\""),
        ("ifThenElse(zz, a, 1)", "ifThenElse(zz,true,1)"),
    ] {
        assert_eq!(
            ad.flatten(&Expr::parse(text).unwrap()).to_string(),
            wanted,
            "{text}"
        );
    }
}

#[test]
fn ads_and_expressions_cross_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<ClassAd>();
    shared::<Expr>();
    shared::<Value>();
}
