//! `events`: a log as a table and as JSON, with what is wrong and what is not whole yet.

use serde_json::json;

use super::{dir_with, json, updraft};

const LOG: &str = "\
000 (012.000.000) 2024-01-02 03:04:05 Job submitted from host: <127.0.0.1:7878>
    DAG Node: train_eu
...
035 (013.-01.000) 2024-01-02 03:04:06 Cluster submitted from host: <127.0.0.1:7878>
...
012 (012.000.000) 2024-01-02 03:04:07 Job was held.
\tno such file\u{1b}[31m
\tCode 13 Subcode 2
...
";

#[test]
fn a_log_is_listed() {
    let dir = dir_with(&[("job.log", LOG)]);
    let ran = updraft(dir.path(), &["events", "job.log"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.out);
    assert!(lines[0].starts_with("TIME"), "{}", ran.out);
    assert!(lines[1].contains("2024-01-02 03:04:05  12.0") && lines[1].contains("train_eu"));
    assert!(lines[2].contains(" 13 ") && lines[2].contains("CLUSTER_SUBMIT"));
    assert!(lines[3].contains("HoldReason: no such file") && !lines[3].contains('\u{1b}'));

    let ran = updraft(dir.path(), &["events", "job.log", "-o", "json"]);
    let document = json(&ran.out);
    assert_eq!(document["bytes"], LOG.len());
    assert_eq!(document["bytes_read"], LOG.len());
    assert_eq!(document["errors"], json!([]));
    assert_eq!(
        document["events"][0],
        json!({
            "Cluster": 12, "Proc": 0, "Subproc": 0, "EventTime": "2024-01-02T03:04:05",
            "EventTypeNumber": 0, "MyType": "SubmitEvent", "SubmitHost": "<127.0.0.1:7878>",
            "LogNotes": "DAG Node: train_eu", "StructuredNotes": {"DAGNodeName": "train_eu"},
        })
    );
    assert_eq!(document["events"][2]["HoldReasonCode"], 13);
}

#[test]
fn what_is_wrong_is_said_and_what_is_not_whole_is_left() {
    let torn = "009 (012.000.000) 2024-01-02 03:04:08 Job was aborted.\n\tby";
    let text = format!("{LOG}notes\n012 (012.000.000) 2024-01-02 03:04:07 Held.\n...\n{torn}");
    let dir = dir_with(&[("job.log", &text), ("x.xml", "<?xml version=\"1.0\"?>\n")]);
    let ran = updraft(dir.path(), &["events", "job.log"]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(
        ran.err,
        format!(
            "error: job.log:10: no event begins with this line, expected a number of three digits\n\
             error: job.log:11: this is not what an event 012 (JOB_HELD) looks like\n\
             job.log: the last {} bytes are not a whole event yet\n",
            torn.len()
        )
    );
    let document = json(&updraft(dir.path(), &["events", "job.log", "-o", "json"]).out);
    assert_eq!(document["events"].as_array().unwrap().len(), 3);
    assert_eq!(document["errors"][1]["line"], 11);
    assert_eq!(document["bytes_read"], text.len() - torn.len());

    let other = updraft(dir.path(), &["events", "x.xml"]);
    assert_eq!(other.code, Some(2));
    assert!(
        other.err.contains("no event log in text form"),
        "{}",
        other.err
    );
    assert_eq!(updraft(dir.path(), &["events", "none.log"]).code, Some(2));
}
