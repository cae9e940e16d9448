//! The protocol's words, line by line.
#![allow(clippy::unwrap_used)]

use optimizer::protocol::{LINE_BYTES_MAX, Session};

const BEGIN: &str = r#"{"space": {"zeta": {"type": "float", "low": 1e-4, "high": 1, "log": true},
 "units": {"type": "int", "low": 2, "high": 64, "log": true, "step": 2},
 "act": {"type": "categorical", "choices": ["a", "b"]}},
 "goal": "minimize", "seed": 3, "budget": 12, "noisy": false}"#;

#[test]
fn a_conversation() {
    let mut session = Session::default();
    assert_eq!(session.line(BEGIN), r#"{"ok":true}"#);
    assert_eq!(session.line(r#"{"best": "observed"}"#), r#"{"best":null}"#);
    for id in 0..12 {
        let reply: serde_json::Value =
            serde_json::from_str(&session.line("{\"ask\": 1}\n")).unwrap();
        let trial = &reply["trials"][0];
        assert_eq!(trial["id"], id);
        let units = trial["params"]["units"].as_i64().unwrap();
        assert!(units % 2 == 0 && (2..=64).contains(&units), "{trial}");
        assert!(
            trial["params"]["zeta"].is_f64() && trial["params"]["act"].is_string(),
            "{trial}"
        );
        let tell = match id {
            4 => format!(r#"{{"tell": {{"id": {id}, "failed": true}}}}"#),
            _ => format!(
                r#"{{"tell": {{"id": {id}, "value": {id}, "curve": [[1, 2.5]], "cost": 3}}}}"#
            ),
        };
        assert_eq!(session.line(&tell), r#"{"ok":true}"#);
    }
    for which in ["observed", "recommended"] {
        let reply = session.line(&format!("{{\"best\": {which:?}}}"));
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(
            (&reply["best"]["id"], &reply["best"]["value"]),
            (&0.into(), &0.0.into())
        );
    }
}

#[test]
fn the_prior_is_trial_zero() {
    let mut session = Session::default();
    let prior = r#""prior": {"zeta": 0.5, "units": 8, "act": "b"}}"#;
    session.line(&BEGIN.replace("\"noisy\": false}", prior));
    let expected = r#"{"trials":[{"id":0,"params":{"act":"b","units":8,"zeta":0.5}}]}"#;
    assert_eq!(session.line(r#"{"ask": 1}"#), expected);
}

#[test]
fn errors_name_the_fault_and_change_nothing() {
    let before = [
        (r#"{"ask": 1}"#, "send \"space\" first"),
        (
            "{",
            "the line is not a request: EOF while parsing an object at line 1 column 1",
        ),
        ("[]", "the line is not a request"),
        ("{}", "a request has exactly one of"),
        (r#"{"space": {}}"#, "the space has no parameters"),
        (
            r#"{"space": {"x": {"type": "float", "low": 0}}}"#,
            "parameter \"x\" needs \"high\"",
        ),
        (
            r#"{"space": {"x": {"type": "int", "low": 0.5, "high": 2}}}"#,
            "low 0.5 is not a whole",
        ),
        (
            r#"{"space": {"x": {"type": "categorical", "choices": ["a"], "log": true}}}"#,
            "cannot have \"log\"",
        ),
        (
            r#"{"space": {"x": {"type": "float", "low": 0, "high": 1, "choices": []}}}"#,
            "cannot have \"choices\"",
        ),
        (
            r#"{"space": {"x": {"type": "real", "low": 0, "high": 1}}}"#,
            "unknown variant `real`",
        ),
        (
            r#"{"space": {"x": {"type": "float", "low": 0, "high": 1}, "x": {"type": "float", "low": 0, "high": 1}}}"#,
            "declared twice",
        ),
        (
            r#"{"space": {"x": {"type": "float", "low": 0, "high": 1}}, "prior": {"x": 2.5}}"#,
            "prior does not belong to the space: parameter \"x\": 2.5 is outside 0 to 1",
        ),
        (
            r#"{"space": {"x": {"type": "float", "low": 0, "high": 1}}, "sed": 1}"#,
            "unexpected field \"sed\"",
        ),
    ];
    let mut session = Session::default();
    for (line, expected) in before {
        check(&mut session, line, expected);
    }
    check(
        &mut session,
        &" ".repeat(LINE_BYTES_MAX + 1),
        "the line has 1048577 bytes",
    );
    check(
        &mut session,
        &"[".repeat(100_000),
        "the line is not a request",
    );
    assert_eq!(session.line(BEGIN), r#"{"ok":true}"#);
    let after = [
        (BEGIN, "the study has begun already"),
        (r#"{"ask": 0}"#, "ask for 1 to 1024 trials, not 0"),
        (r#"{"ask": 2000}"#, "ask for 1 to 1024 trials, not 2000"),
        (r#"{"ask": 1, "seed": 2}"#, "unexpected field \"seed\""),
        (
            r#"{"ask": 1, "tell": {"id": 0, "value": 1}}"#,
            "a request has exactly one of",
        ),
        (
            r#"{"tell": {"id": 0, "value": 1}}"#,
            "trial 0 was never asked for",
        ),
        (
            r#"{"tell": {"id": 0}}"#,
            "tell either a \"value\" or \"failed\": true",
        ),
        (
            r#"{"tell": {"id": 0, "value": 1, "failed": true}}"#,
            "tell either a \"value\"",
        ),
    ];
    for (line, expected) in after {
        check(&mut session, line, expected);
    }
    assert!(
        session
            .line(r#"{"ask": 1}"#)
            .starts_with(r#"{"trials":[{"id":0,"#)
    );
}

fn check(session: &mut Session, line: &str, expected: &str) {
    let reply: serde_json::Value = serde_json::from_str(&session.line(line)).unwrap();
    let error = reply["error"].as_str().unwrap_or_default();
    let start: String = line.chars().take(80).collect();
    assert!(error.contains(expected), "{start} → {reply}");
}
