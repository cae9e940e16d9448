//! DAG files through [`Dag::load`]: what good ones mean, and what is said of bad ones, where.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;

use dags::{Dag, Diagnostics, NodeKind, NodeStart};

const JOB: &str = "executable = /bin/true\n";
const STUDY: &str = "metric = \"rmse\"\ngoal = \"minimize\"\ntrials = 6\nparallel = 2\n\
    [space.lr]\ntype = \"float\"\nlow = 1e-4\nhigh = 1e-1\nlog = true\n";

fn files(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    files.insert("d/a.sub".into(), JOB.into());
    files.insert("d/s.toml".into(), STUDY.into());
    for (path, text) in more {
        files.insert((*path).into(), (*text).into());
    }
    files
}

fn load(text: &str, more: &[(&str, &str)]) -> (Option<Dag>, Diagnostics) {
    let mut files = files(more);
    files.insert("d/t.dag".into(), text.into());
    Dag::load("d/t.dag", &files)
}

fn good(text: &str, more: &[(&str, &str)]) -> Dag {
    let (dag, diagnostics) = load(text, more);
    dag.unwrap_or_else(|| panic!("{text}\n{}", diagnostics.render()))
}

/// `code line:column` of each finding.
fn findings(diagnostics: &Diagnostics) -> Vec<String> {
    diagnostics
        .iter()
        .map(|d| format!("{} {}:{}", d.code, d.line, d.column))
        .collect()
}

#[test]
fn regions_are_prepared_tuned_and_trained() {
    let text = "# regions\n\
        FOREACH region FROM regions.txt\n\
        \x20 JOB    prep-$(region)   a.sub\n\
        \x20 STUDY  tune-$(region)   a.sub  s.toml\n\
        \x20 JOB    train-$(region)  final.sub\n\
        \x20 PARENT prep-$(region)   CHILD tune-$(region)\n\
        \x20 PARENT tune-$(region)   CHILD train-$(region)\n\
        END\n";
    let final_sub = "executable = f\narguments = --lr $(best.lr) --region $(region)\n";
    let dag = good(
        text,
        &[
            ("d/regions.txt", "# all\neu\n\nus\nap\n"),
            ("d/final.sub", final_sub),
        ],
    );
    let summary = dag.summary();
    assert_eq!(
        (summary.nodes, summary.edges, summary.height, summary.width),
        (9, 6, 3, 3)
    );
    assert_eq!((summary.studies, summary.trials), (3, 18));
    assert_eq!(
        (dag.submits.len(), dag.studies.len()),
        (2, 1),
        "each file is held once"
    );
    assert_eq!(dag.nodes[4].name, "tune-us");
    assert_eq!(
        dag.nodes[4].kind,
        NodeKind::Study {
            submit: 0,
            study: 0
        }
    );
    assert_eq!(dag.nodes[4].vars, [("region".to_owned(), "us".to_owned())]);
    assert_eq!(
        (dag.nodes[4].parents.clone(), dag.nodes[4].children.clone()),
        (vec![3], vec![5])
    );
    assert_eq!(dag.roots().collect::<Vec<_>>(), [0, 3, 6]);
    assert_eq!(dag.path_len[..3], [3, 2, 1]);
    assert_eq!((dag.nodes[0].dir.as_str(), dag.nodes[0].line), ("d", 3));
    let macros = dag.sample_macros(5);
    let spec = dag
        .submit_of(5)
        .expect("a job node")
        .expand(&macros, 1, 0, &[])
        .unwrap();
    assert_eq!(spec.arguments, ["--lr", "0.0001", "--region", "us"]);
    let stored = serde_json::to_string(&dag).unwrap();
    assert_eq!(serde_json::from_str::<Dag>(&stored).unwrap(), dag);
}

#[test]
fn nodes_carry_what_later_lines_say() {
    let text = "RETRY ALL_NODES 1\n\
        JOB A a.sub DONE\n\
        job B a.sub dir sub noop\n\
        RETRY B 3 UNLESS-EXIT 2\n\
        PRIORITY A -5\n\
        VARS A x=\"1\" +Tag=\"\\\"eu\\\"\"\n\
        vars all-nodes APPEND y=two\n\
        PARENT A CHILD B\nPARENT A CHILD B\n";
    let dag = good(text, &[("d/sub/a.sub", JOB)]);
    let (a, b) = (&dag.nodes[0], &dag.nodes[1]);
    assert_eq!((a.start, b.start), (NodeStart::Done, NodeStart::Waiting));
    assert_eq!((a.retry, a.retry_unless_exit, a.priority), (1, None, -5));
    assert_eq!((b.retry, b.retry_unless_exit), (3, Some(2)));
    assert!(matches!(b.kind, NodeKind::Noop));
    assert_eq!(b.dir, "d/sub");
    let vars: Vec<(&str, &str)> = a
        .vars
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(vars, [("x", "1"), ("My.Tag", "\"eu\""), ("y", "two")]);
    assert_eq!(a.vars_before, 2);
    assert_eq!(b.parents, [0], "a pair counts once");
    let spec = dag
        .submit_of(0)
        .expect("a job node")
        .expand(&a.macros(), 1, 0, &[])
        .unwrap();
    assert_eq!(spec.ad.get("Tag").unwrap().to_string(), "\"eu\"");
}

#[test]
fn who_wins_when_the_description_assigns_too() {
    let text = "FOREACH f IN (1)\nJOB A w.sub\nEND\nVARS A v=vars\nVARS A APPEND w=appended\n";
    let description = "executable = e\nf = file\nv = file\nw = file\narguments = $(f) $(v) $(w)\n";
    let dag = good(text, &[("d/w.sub", description)]);
    let spec = dag
        .submit_of(0)
        .expect("a job node")
        .expand(&dag.nodes[0].macros(), 1, 0, &[])
        .unwrap();
    assert_eq!(spec.arguments, ["1", "file", "appended"]);
}

#[test]
fn foreach_forms() {
    let rows: [(&str, &[&str]); 6] = [
        (
            "FOREACH v IN (a b,c)\nJOB n-$(v) a.sub\nEND\n",
            &["n-a", "n-b", "n-c"],
        ),
        ("FOREACH v IN a b\nJOB n$(V) a.sub\nEND\n", &["na", "nb"]),
        (
            "FOREACH v, w IN (a 1 b 2)\nJOB $(v)$(w) a.sub\nEND\n",
            &["a1", "b2"],
        ),
        (
            "FOREACH v IN (a b)\nFOREACH w IN (1 2)\nJOB $(v)$(w) a.sub\nEND\nEND\n",
            &["a1", "a2", "b1", "b2"],
        ),
        (
            "FOREACH v,w FROM two.txt\nJOB $(v) a.sub\nPARENT root CHILD $(v)\nEND\nJOB root a.sub\n",
            &["x", "y", "root"],
        ),
        (
            "foreach v in ( \\\n a \\\n b )\nInclude inc.dag\nend\n",
            &["inc-a", "inc-b"],
        ),
    ];
    let more = [
        ("d/two.txt", "x, 1\ny 2 3\n"),
        ("d/inc.dag", "JOB inc-$(v) a.sub\n"),
    ];
    for (text, names) in rows {
        let dag = good(text, &more);
        let found: Vec<&str> = dag.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(found, names, "{text}");
    }
    let dag = good("FOREACH v,w FROM two.txt\nJOB $(v) a.sub\nEND\n", &more);
    assert_eq!(
        dag.nodes[1].vars[1],
        ("w".to_owned(), "2 3".to_owned()),
        "the last takes the rest"
    );
}

#[test]
fn inline_and_shared_descriptions() {
    let text = "SUBMIT-DESCRIPTION both {\n executable = /bin/both\n}\n\
        JOB A both\nJOB B both\n\
        JOB C @=end\n executable = /bin/c\n# not read\n@end DIR sub DONE\n";
    let dag = good(text, &[]);
    assert_eq!(dag.submits.len(), 2);
    assert_eq!(
        (dag.nodes[2].dir.as_str(), dag.nodes[2].start),
        ("d/sub", NodeStart::Done)
    );
    let spec = dag
        .submit_of(1)
        .expect("a job node")
        .expand(&dag.nodes[1].macros(), 1, 0, &[])
        .unwrap();
    assert_eq!(spec.executable, "/bin/both");
}

#[test]
fn errors_come_together_with_their_places() {
    let rows: [(&str, &[&str]); 34] = [
        ("", &["D020 0:0"]),
        ("JOB A a.sub\nJBO B a.sub\n", &["D003 2:1"]),
        ("JOB A a.sub\nSPLICE S x.dag\n", &["D001 2:10"]),
        ("JOB A a.sub\nWEAK PARENT A CHILD A\n", &["D202 2:13"]),
        ("JOB A\n", &["D005 1:6"]),
        ("STUDY A a.sub\n", &["D005 1:14"]),
        ("JOB A a.sub extra\n", &["D006 1:13"]),
        ("JOB A a.sub # why\n", &["D006 1:13"]),
        ("JOB A a.sub\nRETRY A x\n", &["D007 2:9"]),
        ("JOB A a.sub\nRETRY A 99999999999\n", &["D007 2:9"]),
        ("JOB A a.sub\nRETRY A 3x\n", &["D017 2:9"]),
        ("JOB A \"a.sub\n", &["D008 1:7"]),
        ("JOB A a.sub\nVARS A q=\"1\"r=\"2\"\n", &["D008 2:13"]),
        ("JOB A a.sub\nVARS A q\n", &["D009 2:8"]),
        ("JOB A a.sub\nVARS A queue1=x\n", &["D009 2:8"]),
        ("JOB A {\nexecutable = x\n", &["D010 1:1"]),
        ("JOB A a.sub\nJOB A a.sub\n", &["D012 2:5"]),
        ("JOB A a.sub\nPARENT A CHILD B\n", &["D013 2:16"]),
        (
            "JOB all-nodes a.sub\nJOB a+b a.sub\n",
            &["D014 1:5", "D014 2:5"],
        ),
        ("JOB A a.sub \\", &["D016 1:1"]),
        ("JOB A none.sub\nJOB B none.sub\n", &["D018 1:7"]),
        ("STUDY A a.sub none.toml\n", &["D019 1:15"]),
        (
            "FOREACH v\nEND\nFOREACH IN (a)\nEND\n",
            &["D101 1:10", "D101 3:9"],
        ),
        ("FOREACH v IN (a\nEND\n", &["D101 1:16"]),
        ("FOREACH v IN (a)\nJOB A a.sub\n", &["D102 1:1"]),
        ("JOB A a.sub\nEND\n", &["D103 2:1"]),
        ("FOREACH v, w IN (a b c)\nEND\n", &["D104 1:22"]),
        ("FOREACH v FROM none.txt\nEND\n", &["D104 1:16"]),
        ("FOREACH v IN ()\nEND\n", &["D107 1:1"]),
        (
            "FOREACH region IN (eu)\n JOB p-$(regoin) a.sub\nEND\n",
            &["D106 2:6"],
        ),
        ("JOB A a.sub\nPARENT A CHILD A\n", &["D202 2:8"]),
        (
            "JOB A a.sub\nJOB B a.sub\nJOB C a.sub\nPARENT A CHILD B\nPARENT B CHILD C\nPARENT C CHILD A\n",
            &["D201 6:8"],
        ),
        ("JOB A e.sub\n", &["S104 2:18"]),
        ("INCLUDE t.dag\n", &["D011 1:9"]),
    ];
    for (text, expected) in rows {
        let (dag, diagnostics) = load(text, &[("d/e.sub", "executable = x\nrequirements = (1 \n")]);
        assert_eq!(dag.is_none(), diagnostics.has_errors(), "{text}");
        assert_eq!(
            findings(&diagnostics),
            expected,
            "{text}\n{}",
            diagnostics.render()
        );
    }
}

#[test]
fn what_dagman_drops_or_takes_is_not_taken_in_silence() {
    let rows: [(&str, &[&str]); 12] = [
        ("RETRY A\nPIN_IN A 0", &["D005 2:8", "D007 3:10"]),
        ("REJECT", &["D022 2:1"]),
        ("REJECT x", &["D006 2:8"]),
        ("JOB B { x\nexecutable = x\n}", &["D021 2:9"]),
        ("JOB B {x\nexecutable = x\n}", &["D021 2:8"]),
        (
            "SUBMIT-DESCRIPTION s {\nexecutable = x\n} DONE",
            &["D006 4:3"],
        ),
        ("JOB \"B C\" a.sub", &["D014 2:5"]),
        ("JOB B \"\" a.sub", &["D008 2:7"]),
        ("VARS A +queue=1", &["D009 2:8"]),
        ("VARS A x-y=1", &["D009 2:8"]),
        ("VARS A x==1", &["D009 2:8"]),
        ("VARS A \"x\"=1", &["D008 2:8"]),
    ];
    for (text, expected) in rows {
        let (_, diagnostics) = load(&format!("JOB A a.sub\n{text}\n"), &[]);
        let mut found = findings(&diagnostics);
        found.sort_by_key(|finding| finding.split_once(' ').map(|(_, place)| place.to_owned()));
        assert_eq!(found, expected, "{text}\n{}", diagnostics.render());
    }
}

#[test]
fn quotes_group_wherever_they_stand() {
    let text = "JOB A 'my 'a.sub DIR \"s u\"b\nVARS A x=a\"b c\"d y = 'e \\'f\\' \"g\"'\n";
    let dag = good(text, &[("d/s ub/my a.sub", JOB)]);
    let node = &dag.nodes[0];
    assert_eq!(node.dir, "d/s ub");
    let vars: Vec<&str> = node.vars.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(vars, ["a\"b c\"d", "e 'f' \"g\""]);
}

#[test]
fn an_error_prints_with_its_line_and_item() {
    let text = "FOREACH region FROM r.txt\n  PARENT prep-$(region) CHILD tune-$(region)\n  JOB tune-$(region) a.sub\nEND\nJOB prep-eu a.sub\n";
    let (_, diagnostics) = load(text, &[("d/r.txt", "eu\nus\n")]);
    let expected = "error[D013]: no node is named `prep-us`\n \
        --> d/t.dag:2:10\n  |\n2 |   PARENT prep-$(region) CHILD tune-$(region)\n  |          ^^^^^^^^^^^^^^\n  \
        = within FOREACH region = us (d/r.txt:2)\n  = help: did you mean `prep-eu`?\n\n";
    assert_eq!(diagnostics.render(), expected);
    let stored = serde_json::to_string(&diagnostics).unwrap();
    assert_eq!(
        serde_json::from_str::<Diagnostics>(&stored).unwrap(),
        diagnostics
    );
}

#[test]
fn a_circle_is_named_by_its_nodes() {
    let mut text = String::new();
    for name in ["A", "B", "C", "D"] {
        text.push_str(&format!("JOB {name} a.sub\n"));
    }
    text.push_str("PARENT A CHILD B\nPARENT B CHILD C\nPARENT C CHILD B D\n");
    let (_, diagnostics) = load(&text, &[]);
    let messages: Vec<&str> = diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(messages, ["these nodes wait for each other: B → C → B"]);
}

#[test]
fn nesting_is_bounded() {
    let deep = |levels: usize| {
        let mut text = String::new();
        for level in 0..levels {
            text.push_str(&format!("FOREACH v{level} IN (a)\n"));
        }
        text.push_str("JOB A a.sub\n");
        text.push_str(&"END\n".repeat(levels));
        load(&text, &[])
    };
    assert!(deep(dags::dag::NESTING_MAX).0.is_some());
    let (_, diagnostics) = deep(dags::dag::NESTING_MAX + 1);
    assert_eq!(findings(&diagnostics)[0], "D105 33:1");
}

#[test]
fn a_long_chain_loads_and_ends() {
    const NODES: u32 = 50_000;
    let mut text = String::new();
    for at in 0..NODES {
        text.push_str(&format!("JOB n{at} a.sub\n"));
    }
    for at in 1..NODES {
        text.push_str(&format!("PARENT n{} CHILD n{at}\n", at - 1));
    }
    let dag = good(&text, &[]);
    assert_eq!(
        (dag.height(), dag.path_len[0], dag.submits.len()),
        (NODES, NODES, 1)
    );
    assert!(dag.order.iter().copied().eq(0..NODES));
    text.push_str(&format!("PARENT n{} CHILD n0\n", NODES - 1));
    let (_, diagnostics) = load(&text, &[]);
    assert_eq!(diagnostics.iter().next().unwrap().code.id(), "D201");
}

#[test]
fn a_picture_shows_nodes_edges_and_colours() {
    let dag = good("JOB A a.sub\nSTUDY B a.sub s.toml\nPARENT A CHILD B\n", &[]);
    let colour = |node: u32| (node == 0).then_some("palegreen");
    let expected = "digraph dag {\n  node [shape=box, style=filled, fillcolor=white];\n  \
        n0 [label=\"A\", fillcolor=\"palegreen\"];\n  n1 [label=\"B\", shape=component];\n  n0 -> n1;\n}\n";
    assert_eq!(dag.dot(Some(&colour)), expected);
}
