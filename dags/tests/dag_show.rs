//! The picture of a DAG in a terminal: what it looks like, and that it stays as wide as asked.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;

use dags::Dag;

/// The picture of a file beside which `d.dag` is a diamond.
fn shown(text: &str) -> String {
    let diamond = "JOB A a.sub\nJOB B a.sub\nJOB C a.sub\nJOB D a.sub\n\
        PARENT A CHILD B C\nPARENT B C CHILD D\n";
    let study = "metric = \"m\"\ngoal = \"minimize\"\ntrials = 6\n[space.x]\ntype = \"int\"\nlow = 1\nhigh = 3\n";
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    files.insert("a.sub".into(), "executable = /bin/true\n".into());
    files.insert("s.toml".into(), study.into());
    files.insert("d.dag".into(), diamond.into());
    files.insert("t.dag".into(), text.into());
    let (dag, diagnostics) = Dag::load("t.dag", &files);
    let lines = dag
        .unwrap_or_else(|| panic!("{}", diagnostics.render()))
        .show(80);
    let mut out = String::new();
    for line in lines {
        let text = format!("{} {}  {}", line.rail, line.name, line.note);
        assert!(text.trim_end().chars().count() <= 80, "{text}");
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

#[test]
fn small_graphs_are_drawn_node_by_node() {
    let diamond = ["● A", "├─╮", "● │ B", "│ ● C", "├─╯", "● D"];
    let splices = [
        "● X",
        "├─╮",
        "● │ S+A",
        "├─┼─╮",
        "● │ │ S+B",
        "│ │ ● S+C",
        "├─┼─╯",
        "● │ S+D",
        "│ ● T+A",
        "│ ├─╮",
        "│ ● │ T+B",
        "│ │ ● T+C",
        "│ ├─╯",
        "│ ● T+D",
        "├─╯",
        "● Y  done",
        "■ F  final",
        "□ w  service",
    ];
    let joined = [
        "● A",
        "├─╮",
        "│ │ ● B",
        "│ ├─╯",
        "│ ·",
        "│ ├─┬─╮",
        "│ ● │ │ C",
        "├─╯ │ │",
        "│   ● │ D",
        "│     ● E",
        "├─────╯",
        "● F",
    ];
    let apart = [
        "● A",
        "◆ B  study of 6 trials",
        "",
        "○ C  noop",
        "▣ D  sub-DAG later.dag",
    ];
    let rows: [(&str, &[&str]); 4] = [
        ("INCLUDE d.dag\n", &diamond),
        (
            "JOB X a.sub\nSPLICE S d.dag\nSPLICE T d.dag\nJOB Y a.sub DONE\nPARENT X CHILD S T\n\
             PARENT S T CHILD Y\nFINAL F a.sub\nSERVICE w a.sub\n",
            &splices,
        ),
        (
            "JOB A a.sub\nJOB B a.sub\nJOB C a.sub\nJOB D a.sub\nJOB E a.sub\nJOB F a.sub\n\
             PARENT A B CHILD C D E\nPARENT A CHILD F\nPARENT C E CHILD F\n",
            &joined,
        ),
        (
            "JOB A a.sub\nSTUDY B a.sub s.toml\nJOB C x NOOP\nSUBDAG EXTERNAL D later.dag\n\
             PARENT A CHILD B\nPARENT C CHILD D\n",
            &apart,
        ),
    ];
    for (text, expected) in rows {
        let shown = shown(text);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines, expected, "{text}\n{shown}");
    }
}

#[test]
fn large_graphs_are_drawn_by_groups() {
    let items: String = (0..41).map(|at| format!("r{at} ")).collect();
    let regions = format!(
        "JOB start a.sub\nJOB end a.sub\nFOREACH r IN ({items})\nJOB prep-$(r) a.sub\n\
         STUDY tune-$(r) a.sub s.toml\nPARENT start CHILD prep-$(r)\nPARENT prep-$(r) CHILD tune-$(r)\n\
         PARENT tune-$(r) CHILD end\nEND\n"
    );
    let expected = "● start\n● prep-* (41)\n◆ tune-* (41)  study of 6 trials\n● end\n";
    assert_eq!(shown(&regions), expected);
    let splices = format!(
        "JOB all a.sub\nFOREACH r IN ({items})\nSPLICE $(r) d.dag\nPARENT $(r) CHILD all\nEND\n"
    );
    let expected = "● *+A (41)\n├─╮\n● │ *+B (41)\n│ ● *+C (41)\n├─╯\n● *+D (41)\n● all\n";
    assert_eq!(shown(&splices), expected);
    // A chain too long for a screen, and many parents of many.
    let mut chain = String::from("JOB n0 a.sub\n");
    for at in 1..500 {
        chain.push_str(&format!(
            "JOB n{at} a.sub\nPARENT n{} CHILD n{at}\n",
            at - 1
        ));
    }
    let shown_chain = shown(&chain);
    assert_eq!(shown_chain.lines().count(), 61);
    assert!(
        shown_chain.ends_with("⋮ … 440 more layers\n"),
        "{shown_chain}"
    );
    let mut dense = String::new();
    for at in 0..50 {
        dense.push_str(&format!("JOB a-long-name-of-node-{at} a.sub\n"));
    }
    for at in 25..50 {
        let parents: String = (0..25)
            .map(|at| format!("a-long-name-of-node-{at} "))
            .collect();
        dense.push_str(&format!(
            "WEAK PARENT {parents} CHILD a-long-name-of-node-{at}\n"
        ));
    }
    let shown_dense = shown(&dense);
    assert_eq!(shown_dense.lines().count(), 50, "{shown_dense}");
    assert!(
        shown_dense.contains("after a-long-name-of-node-0, a-long-name"),
        "{shown_dense}"
    );
}
