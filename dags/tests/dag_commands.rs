//! Every command of DAG files, by what the checked DAG holds afterwards, and each error that a
//! command can make.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;

use dags::dag::{
    AbortOn, Debug, Defer, Environment, External, Failures, Loading, Reads, Role, Script, Stream,
    Then, Tolerance, rescue,
};
use dags::{Dag, Diagnostics, NodeKind, NodeStart};
use serde_json::{Value, json};

const JOB: &str = "executable = /bin/true\n";

fn files(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = [
        ("a.sub", JOB),
        ("sub/a.sub", JOB),
        ("chain.dag", "JOB A a.sub\nJOB B a.sub\nPARENT A CHILD B\n"),
        (
            "fan.dag",
            "JOB A a.sub\nJOB B a.sub\nJOB C a.sub\nJOB D a.sub\nPARENT A B CHILD C D\n",
        ),
    ];
    let all = own.iter().chain(more);
    all.map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

fn load(text: &str, more: &[(&str, &str)]) -> (Option<Dag>, Diagnostics) {
    let mut files = files(more);
    files.insert("t.dag".into(), text.into());
    Dag::load("t.dag", &files)
}

fn good(text: &str, more: &[(&str, &str)]) -> Dag {
    let (dag, diagnostics) = load(text, more);
    dag.unwrap_or_else(|| panic!("{text}\n{}", diagnostics.render()))
}

/// `code line:column` of each finding; the file too, where it is another.
fn findings(diagnostics: &Diagnostics) -> Vec<String> {
    let told = diagnostics.iter().map(|d| match d.file.as_str() {
        "t.dag" => format!("{} {}:{}", d.code, d.line, d.column),
        file => format!("{} {file}:{}:{}", d.code, d.line, d.column),
    });
    told.collect()
}

/// `parent>child` of all pairs, joins passed through; `parent~child` of weak ones.
fn pairs(dag: &Dag) -> Vec<String> {
    let mut pairs = Vec::new();
    for (at, node) in (0..).zip(dag.named()) {
        for child in dag.children_of(at) {
            let mark = match node.weak_children.contains(&child) {
                true => '~',
                false => '>',
            };
            pairs.push(format!(
                "{}{mark}{}",
                node.name, dag.nodes[child as usize].name
            ));
        }
    }
    pairs
}

fn names(dag: &Dag) -> Vec<&str> {
    dag.named().iter().map(|node| node.name.as_str()).collect()
}

/// What a node says beside its name, kind, place and edges.
#[test]
fn what_commands_say_of_a_node() {
    let script =
        |program: &str, arguments: &[&str]| json!({"program": program, "arguments": arguments});
    let rows: [(&str, Value); 14] = [
        (
            "SCRIPT PRE A p.sh a  $JOB",
            json!({"scripts": {"pre": script("p.sh", &["a", "$JOB"])}}),
        ),
        (
            "script post ALL-NODES /p",
            json!({"scripts": {"post": script("/p", &[])}}),
        ),
        (
            "SCRIPT DEFER 4 60 DEBUG o.log ALL HOLD A h",
            json!({"scripts": {"hold": {"program": "h", "arguments": [],
                "defer": {"status": 4, "delay_s": 60}, "debug": {"file": "o.log", "stream": "all"}}}}),
        ),
        ("PRE-SKIP A 2", json!({"pre_skip": 2})),
        (
            "RETRY A 3 UNLESS-EXIT -1",
            json!({"retry": 3, "retry_unless_exit": -1}),
        ),
        ("RETRY all_nodes 3\nRETRY A 1", json!({"retry": 1})),
        ("RETRY A 1\nRETRY All_Nodes 3", json!({"retry": 3})),
        (
            "ABORT-DAG-ON A 3",
            json!({"abort_on": {"status": 3, "exit": null}}),
        ),
        (
            "ABORT_DAG_ON A -3 RETURN 0",
            json!({"abort_on": {"status": -3, "exit": 0}}),
        ),
        (
            "TOLERANCE A 2",
            json!({"tolerance": {"failures": {"jobs": 2}, "then": "fail_fast"}}),
        ),
        (
            "TOLERANCE A 5% WAIT",
            json!({"tolerance": {"failures": {"percent": 5}, "then": "wait"}}),
        ),
        (
            "SAVE_POINT_FILE A",
            json!({"save_point": "save_files/A-t.dag.save"}),
        ),
        (
            "SAVE_POINT_FILE A x.save",
            json!({"save_point": "save_files/x.save"}),
        ),
        (
            "SAVE_POINT_FILE A ./x.save",
            json!({"save_point": "./x.save"}),
        ),
    ];
    let plain = serde_json::to_value(&good("JOB A a.sub\n", &[]).nodes[0]).unwrap();
    for (line, expected) in rows {
        let (dag, diagnostics) = load(&format!("{line}\nJOB A a.sub\n"), &[]);
        assert!(diagnostics.is_empty(), "{line}: {}", diagnostics.render());
        let node = serde_json::to_value(&dag.unwrap().nodes[0]).unwrap();
        let said: serde_json::Map<String, Value> = node
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, value)| *key != "line" && plain.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(Value::Object(said), expected, "{line}");
    }
}

#[test]
fn roles_and_sub_dags() {
    let text = "FINAL F a.sub\nPROVISIONER P a.sub\nSERVICE S a.sub\nSERVICE S2 a.sub NOOP\n\
        SUBDAG EXTERNAL D later.dag DIR sub\nJOB A a.sub\nPARENT A CHILD D\n\
        SCRIPT PRE ALL_NODES p\nRETRY ALL_NODES 2\nSCRIPT POST F p\nVARS F x=1\n";
    let dag = good(text, &[]);
    let roles: Vec<Role> = dag.nodes.iter().map(|node| node.role).collect();
    let normal = Role::Normal;
    let expected = [
        Role::Final,
        Role::Provisioner,
        Role::Service,
        Role::Service,
        normal,
        normal,
    ];
    assert_eq!(roles, expected);
    let all: Vec<bool> = dag
        .nodes
        .iter()
        .map(|node| node.scripts.pre.is_some())
        .collect();
    assert_eq!(
        all,
        [false, false, false, false, true, true],
        "ALL_NODES has no special ones"
    );
    let file = "later.dag".to_owned();
    assert_eq!(
        (&dag.nodes[4].kind, dag.nodes[4].dir.as_str()),
        (
            &NodeKind::Subdag {
                file,
                reads: Reads::Dag
            },
            "sub"
        )
    );
    assert_eq!(
        (dag.with_role(Role::Final), dag.with_role(Role::Provisioner)),
        (Some(0), Some(1))
    );
    let summary = dag.summary();
    assert_eq!(
        (
            summary.nodes,
            summary.plain,
            summary.services,
            summary.subdags
        ),
        (6, 1, 2, 1)
    );
    assert_eq!((summary.height, summary.width_by_depth), (2, vec![1, 1]));
    assert_eq!(summary.final_node.as_deref(), Some("F"));
}

#[test]
fn a_script_is_held_as_it_is_said() {
    let dag = good(
        "JOB A a.sub\nSCRIPT DEFER -1 5 DEBUG e STDERR PRE A p 'x y'\n",
        &[],
    );
    let expected = Script {
        program: "p".into(),
        arguments: vec!["'x".into(), "y'".into()],
        defer: None::<Defer>,
        debug: Some(Debug {
            file: "e".into(),
            stream: Stream::Stderr,
        }),
    };
    assert_eq!(dag.nodes[0].scripts.pre.as_deref(), Some(&expected));
    let dag = good(
        "JOB A a.sub\nABORT-DAG-ON A 1 RETURN 255\nTOLERANCE A 0\n",
        &[],
    );
    assert_eq!(
        dag.nodes[0].abort_on,
        Some(AbortOn {
            status: 1,
            exit: Some(255)
        })
    );
    let none = Tolerance {
        failures: Failures::Jobs(0),
        then: Then::FailFast,
    };
    assert_eq!(dag.nodes[0].tolerance, Some(none));
}

#[test]
fn the_dag_as_a_whole() {
    let config = "# limits\nDAGMAN_MAX_JOBS_SUBMITTED = $(MANY)\nMANY = 7\n\
        dagman_max_jobs_idle = \\\n 3\nDAGMAN_ALWAYS_RUN_POST = True\nDAGMAN_DEFAULT_APPEND_VARS=t\n\
        DAGMAN_MAX_JOB_HOLDS = $(NOBODY:5)\nDAGMAN_DEFAULT_PRIORITY = -2\n";
    let text = "JOB A a.sub\nVARS A x=1\nCONFIG c.cfg\nENV SET A=1;B = 2 ;A=3\nENV GET HOME, PATH\n\
        ENV get HOME\nSET_JOB_ATTR Owner = \"me\"\nSET-JOB-ATTR +N = 1 + 2\nset_job_attr n = 4\n\
        DOT g.dot UPDATE INCLUDE head.txt\nNODE_STATUS_FILE s.txt\nJOBSTATE_LOG j.log\n";
    let (dag, diagnostics) = load(text, &[("c.cfg", config), ("head.txt", "rankdir=LR\n")]);
    assert!(diagnostics.is_empty(), "{}", diagnostics.render());
    let dag = dag.unwrap();
    let throttles = dag.settings.throttles;
    assert_eq!(
        (throttles.max_jobs, throttles.max_idle, throttles.max_pre),
        (7, 3, 0)
    );
    assert_eq!(
        (dag.settings.max_job_holds, dag.settings.default_priority),
        (5, -2)
    );
    assert!(dag.settings.always_run_post);
    assert_eq!(
        dag.nodes[0].vars_before, 0,
        "CONFIG makes APPEND the default"
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = Environment {
        set: vec![pair("B", "2"), pair("A", "3")],
        get: vec!["HOME".into(), "PATH".into()],
    };
    assert_eq!(dag.environment, expected);
    assert_eq!(dag.attributes, [pair("Owner", "\"me\""), pair("N", "4")]);
    let papers = serde_json::to_value(&dag.papers).unwrap();
    let expected = json!({
        "dot": {"file": "g.dot", "update": true, "overwrite": true, "header": "rankdir=LR\n"},
        "node_status": {"file": "s.txt", "interval_s": 60, "always": false},
        "jobstate_log": "j.log",
    });
    assert_eq!(papers, expected);
    let stored = serde_json::to_string(&dag).unwrap();
    assert_eq!(serde_json::from_str::<Dag>(&stored).unwrap(), dag);
}

#[test]
fn a_splice_stands_in_its_place() {
    let text = "JOB X a.sub\nSPLICE S chain.dag\nJOB Y a.sub\nPARENT X CHILD S\nPARENT S CHILD Y\n\
        RETRY S+B 2\nPARENT S+A CHILD Y\n";
    let dag = good(text, &[]);
    assert_eq!(names(&dag), ["X", "S+A", "S+B", "Y"]);
    assert_eq!(pairs(&dag), ["X>S+A", "S+A>S+B", "S+A>Y", "S+B>Y"]);
    assert_eq!((dag.splices, dag.nodes[2].retry), (1, 2));
    let macros = dag.nodes[1].macros();
    let job = macros.iter().find(|given| given.name == "JOB").unwrap();
    assert_eq!(job.value, "S+A");
}

#[test]
fn what_is_inside_a_splice_stays_there() {
    let inner = "JOB A a.sub\nJOB B b\nSUBMIT-DESCRIPTION b {\n executable = /b\n}\n\
        RETRY ALL_NODES 5\nCATEGORY ALL_NODES c\nCATEGORY B +g\nMAXJOBS c 5\nMAXJOBS +g 1\n\
        SAVE_POINT_FILE A\nVARS A x=inner\n";
    let text = "VARS S+A x=outer\nJOB A a.sub\nSPLICE S s/in.dag\nSPLICE T in.dag DIR s\n\
        RETRY ALL_NODES 1\nMAXJOBS S+c 10\nMAXJOBS +g 2\nCATEGORY A c\n";
    let (dag, diagnostics) = load(text, &[("s/in.dag", inner), ("s/a.sub", JOB)]);
    assert!(diagnostics.is_empty(), "{}", diagnostics.render());
    let dag = dag.unwrap();
    let retries: Vec<u32> = dag.nodes.iter().map(|node| node.retry).collect();
    assert_eq!(
        retries,
        [1, 5, 5, 5, 5],
        "ALL_NODES means the nodes of its own file"
    );
    let dirs: Vec<&str> = dag.nodes.iter().map(|node| node.dir.as_str()).collect();
    assert_eq!(
        dirs,
        ["", "", "", "s", "s"],
        "without DIR paths are those of the outer file"
    );
    assert_eq!(
        dag.nodes[1].vars,
        [("x".to_owned(), "outer".to_owned())],
        "the outer one wins"
    );
    let saved = dag.nodes[1].save_point.as_deref();
    assert_eq!(saved, Some("save_files/S+A-in.dag.save"));
    let limit = |name: &str| {
        let found = dag.categories.iter().find(|category| category.name == name);
        found.map(|category| category.limit)
    };
    assert_eq!(limit("S+c"), Some(Some(10)));
    assert_eq!(
        (limit("T+c"), limit("+g"), limit("c")),
        (Some(Some(5)), Some(Some(2)), Some(None))
    );
    let of = |node: usize| &dag.categories[dag.nodes[node].category.unwrap() as usize].name;
    assert_eq!(
        (of(1), of(2), of(4), of(0)),
        (&"S+c".into(), &"+g".into(), &"+g".into(), &"c".into())
    );
}

#[test]
fn splices_inside_splices_and_foreach_around_them() {
    let middle = "SPLICE IN chain.dag\nJOB M a.sub\nPARENT IN CHILD M\n";
    let text = "FOREACH r IN (eu us)\nSPLICE s-$(r) middle.dag\nEND\nSPLICE U middle.dag\n\
        PARENT s-eu s-us CHILD U\nPARENT s-eu+IN CHILD s-us+M\nPRIORITY s-us+IN+A 7\n";
    let dag = good(text, &[("middle.dag", middle)]);
    assert_eq!(names(&dag)[..3], ["s-eu+IN+A", "s-eu+IN+B", "s-eu+M"]);
    assert_eq!((dag.nodes.len(), dag.splices), (9, 6));
    assert_eq!(dag.nodes[3].vars, [("r".to_owned(), "us".to_owned())]);
    assert_eq!(dag.nodes[3].priority, 7);
    let mine: Vec<String> = pairs(&dag);
    for pair in [
        "s-eu+M>U+IN+A",
        "s-us+M>U+IN+A",
        "s-eu+IN+B>s-us+M",
        "U+IN+B>U+M",
    ] {
        assert!(mine.contains(&pair.to_owned()), "{pair}: {mine:?}");
    }
    let study = "metric = \"m\"\ngoal = \"minimize\"\ntrials = 2\n[space.x]\ntype = \"int\"\nlow = 1\nhigh = 3\n";
    let inner = "STUDY T a.sub s.toml\nFOREACH k IN (1 2)\nJOB j-$(k)-$(r) a.sub\nEND\nPARENT T CHILD j-1-$(r)\n";
    let text = "FOREACH r IN (eu us)\nSPLICE S-$(r) in.dag\nEND\n";
    let dag = good(text, &[("in.dag", inner), ("s.toml", study)]);
    assert_eq!(names(&dag)[..3], ["S-eu+T", "S-eu+j-1-eu", "S-eu+j-2-eu"]);
    assert_eq!((dag.summary().studies, dag.summary().trials), (2, 4));
}

#[test]
fn pins_are_connected_by_number() {
    let a = "JOB A1 a.sub\nJOB A2 a.sub\nPIN_OUT A1 1\nPIN_OUT A2 2\n";
    let b = "JOB B1 a.sub\nJOB B2 a.sub\nJOB B3 a.sub\nJOB B4 a.sub\nPIN_IN B1 1\nPIN-IN B2 1\n\
        PIN_IN B3 2\nPIN_IN B4 2\nPIN_OUT B1 1\nPIN_OUT B2 2\nPIN_OUT B3 3\nPIN_OUT B4 4\n";
    let c = "JOB C1 a.sub\nPIN_IN C1 1\nPIN_IN C1 2\nPIN_IN C1 3\nPIN_IN C1 4\n";
    let more = [("a.dag", a), ("b.dag", b), ("c.dag", c)];
    let text = "CONNECT A B\nSPLICE A a.dag\nSPLICE B b.dag\nSPLICE C c.dag\nCONNECT B C\n";
    let expected = [
        "A+A1>B+B1",
        "A+A1>B+B2",
        "A+A2>B+B3",
        "A+A2>B+B4",
        "B+B1>C+C1",
        "B+B2>C+C1",
        "B+B3>C+C1",
        "B+B4>C+C1",
    ];
    assert_eq!(pairs(&good(text, &more)), expected);
    let gap = "JOB A a.sub\nPIN_OUT A 1\nPIN_OUT A 3\n";
    let loose = "JOB A a.sub\nJOB B a.sub\nPIN_IN A 1\nPIN_IN A 2\n";
    let more = [more[0], more[2], ("gap.dag", gap), ("loose.dag", loose)];
    let rows = [
        ("SPLICE A a.dag\nSPLICE C c.dag\nCONNECT A C\n", "D025 3:9"),
        ("SPLICE A a.dag\nCONNECT A nobody\n", "D025 2:11"),
        ("SPLICE A a.dag\nJOB N a.sub\nCONNECT N A\n", "D025 3:9"),
        (
            "SPLICE A gap.dag\nSPLICE B gap.dag\nCONNECT A B\n",
            "D025 3:9",
        ),
        (
            "SPLICE A a.dag\nSPLICE B loose.dag\nCONNECT A B\n",
            "D025 3:9",
        ),
        (
            "SPLICE A a.dag\nSPLICE B chain.dag\nCONNECT A B\n",
            "D025 3:9",
        ),
    ];
    for (text, expected) in rows {
        let (dag, diagnostics) = load(text, &more);
        assert!(dag.is_none(), "{text}");
        assert_eq!(
            findings(&diagnostics)[0],
            expected,
            "{}",
            diagnostics.render()
        );
    }
}

#[test]
fn joins_stand_between_many_and_many() {
    let layers = |nodes: usize, layers: usize| {
        let mut text = String::new();
        let name = |layer: usize, node: usize| format!("n{layer}_{node} ");
        for layer in 0..layers {
            for node in 0..nodes {
                text.push_str(&format!("JOB {} x NOOP\n", name(layer, node)));
            }
        }
        for layer in 1..layers {
            let all = |layer| (0..nodes).map(|node| name(layer, node)).collect::<String>();
            text.push_str(&format!("PARENT {}CHILD {}\n", all(layer - 1), all(layer)));
        }
        text
    };
    let dag = good(&layers(100, 10), &[]);
    let summary = dag.summary();
    assert_eq!(
        (summary.nodes, summary.joins, summary.edges),
        (1_000, 9, 1_800)
    );
    assert_eq!((summary.height, summary.width), (10, 100));
    assert_eq!(summary.width_by_depth, [100; 10]);
    assert_eq!(dag.nodes.len(), 1_009);
    assert_eq!(dag.named().len(), 1_000);
    assert!(
        dag.nodes[1_000..]
            .iter()
            .all(|node| node.kind == NodeKind::Join)
    );
    assert_eq!(dag.parents_of(150), (0..100).collect::<Vec<u32>>());
    assert_eq!(
        (dag.path_len[0], dag.path_len[999], dag.roots().count()),
        (10, 1, 100)
    );
    let named = |at: &&u32| **at < 1_000;
    assert!(
        dag.order.iter().filter(named).copied().eq(0..1_000),
        "in the order of the file"
    );
    let dag = good(
        "SPLICE S fan.dag\nSPLICE T fan.dag\nPARENT S CHILD T\n",
        &[],
    );
    assert_eq!(
        (dag.summary().joins, dag.summary().edges, dag.height()),
        (3, 12, 4)
    );
}

#[test]
fn weak_edges_are_pairs_and_strong_wins() {
    let jobs = "JOB A a.sub\nJOB B a.sub\nJOB C a.sub\nJOB D a.sub\n";
    let rows: [(&str, &[&str]); 4] = [
        ("WEAK PARENT A B CHILD C D", &["A~C", "A~D", "B~C", "B~D"]),
        ("WEAK PARENT A CHILD C\nPARENT A CHILD C", &["A>C"]),
        (
            "PARENT A B CHILD C D\nWEAK PARENT A CHILD C",
            &["A>C", "A>D", "B>C", "B>D"],
        ),
        ("weak parent A child B\nPARENT B CHILD C", &["A~B", "B>C"]),
    ];
    for (text, expected) in rows {
        let dag = good(&format!("{jobs}{text}\n"), &[]);
        assert_eq!(pairs(&dag), expected, "{text}");
    }
    let dag = good(&format!("{jobs}WEAK PARENT A CHILD B\n"), &[]);
    assert_eq!((dag.height(), dag.path_len[0]), (2, 2));
    let (_, diagnostics) = load(
        &format!("{jobs}WEAK PARENT A CHILD B\nPARENT B CHILD A\n"),
        &[],
    );
    assert_eq!(findings(&diagnostics), ["D201 6:8"]);
}

#[test]
fn a_circle_through_joins_shows_its_nodes_only() {
    let text = "JOB A a.sub\nJOB B a.sub\nJOB C a.sub\nJOB D a.sub\n\
        PARENT A B CHILD C D\nPARENT C D CHILD A B\n";
    let (_, diagnostics) = load(text, &[]);
    let found = diagnostics.iter().next().unwrap();
    assert_eq!(found.message, "these nodes wait for each other: A → C → A");
    assert_eq!((found.line, found.column), (6, 8));
    let text = "SPLICE S chain.dag\nSPLICE T chain.dag\nPARENT S CHILD T\nPARENT T CHILD S\n";
    let (_, diagnostics) = load(text, &[]);
    let found = diagnostics.iter().next().unwrap();
    assert_eq!(
        found.message,
        "these nodes wait for each other: S+A → S+B → T+A → T+B → S+A"
    );
    assert_eq!((found.line, found.column), (4, 8));
}

#[test]
fn each_error_has_its_place() {
    let rows: &[(&str, &[&str])] = &[
        ("FINAL F a.sub\nFINAL G a.sub", &["D023 2:7"]),
        ("PROVISIONER F a.sub\nPROVISIONER G a.sub", &["D023 2:13"]),
        ("FINAL F a.sub DONE", &["D023 1:7"]),
        ("FINAL F a.sub\nDONE F", &["D023 2:6"]),
        ("FINAL F a.sub\nRETRY F 1", &["D023 2:7"]),
        ("FINAL F a.sub\nPRIORITY F 1", &["D023 2:10"]),
        ("FINAL F a.sub\nCATEGORY F c", &["D023 2:10"]),
        ("FINAL F a.sub\nABORT-DAG-ON F 1", &["D023 2:14"]),
        (
            "FINAL F a.sub\nJOB A a.sub\nPARENT A CHILD F",
            &["D023 3:16"],
        ),
        (
            "SERVICE F a.sub\nJOB A a.sub\nPARENT F CHILD A",
            &["D023 3:8"],
        ),
        (
            "PROVISIONER F a.sub\nJOB A a.sub\nPARENT F CHILD A",
            &["D023 3:8"],
        ),
        ("SPLICE S final.dag", &["D023 final.dag:1:7"]),
        ("SPLICE S chain.dag\nSPLICE S chain.dag", &["D012 2:8"]),
        ("JOB S a.sub\nSPLICE S chain.dag", &["D012 2:8"]),
        ("SPLICE S chain.dag\nJOB S a.sub", &["D012 2:5"]),
        ("SPLICE S chain.dag\nRETRY S 1", &["D024 2:7"]),
        ("SPLICE S chain.dag\nVARS S x=1", &["D024 2:6"]),
        ("SPLICE S chain.dag\nPRIORITY S 1", &["D024 2:10"]),
        ("SPLICE S chain.dag\nSCRIPT PRE S p", &["D024 2:12"]),
        ("SPLICE S chain.dag\nSAVE_POINT_FILE S", &["D024 2:17"]),
        ("SPLICE S chain.dag\nCATEGORY S c", &["D024 2:10"]),
        ("SPLICE S chain.dag\nPARENT S CHILD T", &["D013 2:16"]),
        ("SPLICE S chain.dag\nRETRY S+C 1", &["D013 2:7"]),
        ("SPLICE S none.dag\nJOB A a.sub", &["D001 1:10"]),
        ("SPLICE S t.dag", &["D011 1:10"]),
        ("JOB A a.sub\nSPLICE S round.dag", &["D011 round.dag:1:10"]),
        (
            "SPLICE S bad.dag",
            &["D003 bad.dag:2:1", "D013 bad.dag:3:7"],
        ),
        ("JOB A a.sub\nDONE ALL_NODES", &["D013 2:6"]),
        ("JOB A a.sub\nSAVE_POINT_FILE ALL_NODES", &["D013 2:17"]),
        ("JOB A a.sub\nCONFIG none.cfg", &["D041 2:8"]),
        ("JOB A a.sub\nCONFIG ok.cfg\nCONFIG ok.cfg", &["D041 3:8"]),
        ("JOB A a.sub\nSET_JOB_ATTR x", &["D029 2:14"]),
        ("JOB A a.sub\nSET_JOB_ATTR 1x = 2", &["D029 2:14"]),
        ("JOB A a.sub\nSET_JOB_ATTR x = (1", &["D029 2:14"]),
        ("JOB A a.sub\nENV SET x", &["D028 2:9"]),
        ("JOB A a.sub\nENV GET x=y", &["D028 2:9"]),
        ("SUBDAG EXTERNAL S t.dag", &["D032 1:19"]),
        ("SUBDAG EXTERNAL S loop.dag", &["D032 loop.dag:1:19"]),
        (
            "SUBDAG EXTERNAL S bad.dag",
            &["D003 bad.dag:2:1", "D013 bad.dag:3:7"],
        ),
        (
            "JOB A a.sub\nCONFIG bad.cfg",
            &[
                "D042 bad.cfg:1:1",
                "D045 bad.cfg:2:26",
                "D045 bad.cfg:3:26",
                "D044 bad.cfg:4:1",
                "D043 bad.cfg:5:1",
            ],
        ),
    ];
    let more = [
        ("final.dag", "FINAL F a.sub\n"),
        ("round.dag", "SPLICE R round.dag\nJOB A a.sub\n"),
        ("loop.dag", "SUBDAG EXTERNAL S loop.dag\n"),
        ("bad.dag", "JOB A a.sub\nJBO B a.sub\nRETRY C 1\n"),
        ("ok.cfg", ""),
        (
            "bad.cfg",
            "no assignment\nDAGMAN_MAX_PRE_SCRIPTS = many\nDAGMAN_ALWAYS_RUN_POST = maybe\n\
             DAGMAN_USE_STRICT = 1\nDAGMAN_MAX_JOB_SUBMITTED = 1\n",
        ),
    ];
    for (text, expected) in rows {
        let (dag, diagnostics) = load(&format!("{text}\n"), &more);
        assert!(dag.is_none(), "{text}");
        assert_eq!(
            &findings(&diagnostics),
            expected,
            "{text}\n{}",
            diagnostics.render()
        );
    }
}

#[test]
fn each_warning_has_its_place_and_runs() {
    let rows: &[(&str, &[&str])] = &[
        ("MAXJOBS c 1", &["D027 2:9"]),
        ("MAXJOBS c 0\nCATEGORY A c", &["D027 2:9"]),
        ("CATEGORY A big\nMAXJOBS bgi 1", &["D027 3:9"]),
        ("TOLERANCE A 101%", &["D007 2:11"]),
        ("SCRIPT DEFER 1 -5 PRE A p", &["D007 2:23"]),
        ("JOBSTATE_LOG a\nJOBSTATE_LOG b", &["D026 3:14"]),
        ("NODE_STATUS_FILE a\nNODE_STATUS_FILE b", &["D026 3:18"]),
        ("DOT x INCLUDE none.txt", &["D030 2:15"]),
        (
            "SPLICE S whole.dag",
            &[
                "D026 whole.dag:1:1",
                "D026 whole.dag:2:1",
                "D026 whole.dag:3:1",
                "D026 whole.dag:4:1",
                "D026 whole.dag:5:1",
                "D026 whole.dag:6:1",
            ],
        ),
    ];
    let whole = "CONFIG c\nENV GET x\nSET_JOB_ATTR x = 1\nDOT x\nNODE_STATUS_FILE x\nJOBSTATE_LOG x\nJOB A a.sub\n";
    for (text, expected) in rows {
        let (dag, diagnostics) = load(&format!("JOB A a.sub\n{text}\n"), &[("whole.dag", whole)]);
        assert_eq!(
            &findings(&diagnostics),
            expected,
            "{text}\n{}",
            diagnostics.render()
        );
        assert!(dag.is_some(), "{text}");
    }
}

#[test]
fn what_leads_back_to_itself_is_told_as_a_chain() {
    let more = [
        ("x.dag", "JOB A a.sub\nINCLUDE y.dag\n"),
        ("y.dag", "SPLICE S x.dag\n"),
    ];
    let (_, diagnostics) = load("SPLICE S x.dag\n", &more);
    let found = diagnostics.iter().next().unwrap();
    assert!(
        found.message.ends_with("x.dag → y.dag → x.dag"),
        "{}",
        found.message
    );
    assert_eq!((found.file.as_str(), found.line), ("y.dag", 1));
    let more = [
        ("x.dag", "SUBDAG EXTERNAL S y.dag\n"),
        ("y.dag", "SUBDAG EXTERNAL S x.dag\n"),
    ];
    let (_, diagnostics) = load("SUBDAG EXTERNAL S x.dag\n", &more);
    let found = diagnostics.iter().next().unwrap();
    assert!(
        found.message.ends_with("t.dag → x.dag → y.dag → x.dag"),
        "{}",
        found.message
    );
}

#[test]
fn a_finding_knows_its_command_as_the_checker_does() {
    let text = "JOB A a.sub\nparent A \\\n CHILD B\n";
    let (_, diagnostics) = load(text, &[]);
    let found = diagnostics.iter().next().unwrap();
    let command = found.command.as_ref().unwrap();
    assert_eq!(
        (found.line, command.line, command.name.as_str()),
        (3, 3, "PARENT")
    );
}

#[test]
fn a_dag_goes_on_from_a_rescue_file() {
    let dag = "JOB A a.sub\nSPLICE S chain.dag\nRETRY A 5\nFINAL F a.sub\n";
    let partial = "# Rescue DAG file\n# Rescue DAG version: 2.1.0 (partial)\n\nDONE S+A\nDONE S+B\nRETRY A 2\n";
    let full = "CONFIG none.cfg\nJOB A a.sub\nSCRIPT PRE A p\nJOB S+A a.sub DIR d DONE\n\
        RETRY A 2\nPARENT A CHILD S+B\nDONE S+B\n";
    for text in [partial, full] {
        let mut files = files(&[("t.dag.rescue001", text)]);
        files.insert("t.dag".into(), dag.into());
        let loading = Loading {
            path: "t.dag",
            dir: None,
            rescue: Some("t.dag.rescue001"),
        };
        let (dag, diagnostics) = Dag::load_as(&loading, &files);
        let dag = dag.unwrap_or_else(|| panic!("{}", diagnostics.render()));
        let done: Vec<bool> = dag
            .nodes
            .iter()
            .map(|n| n.start == NodeStart::Done)
            .collect();
        assert_eq!(done, [false, true, true, false]);
        assert_eq!(dag.nodes[0].retry, 2);
    }
    let rows = [
        ("DONE X\n", "D031 r:1:6"),
        ("DONE F\n", "D031 r:1:6"),
        ("DONE A A\n", "D006 r:1:8"),
    ];
    for (text, expected) in rows {
        let mut files = files(&[("r", text)]);
        files.insert("t.dag".into(), dag.into());
        let loading = Loading {
            path: "t.dag",
            dir: None,
            rescue: Some("r"),
        };
        assert_eq!(
            findings(&Dag::load_as(&loading, &files).1),
            [expected],
            "{text}"
        );
        let loading = Loading {
            rescue: Some("none"),
            ..loading
        };
        assert_eq!(
            findings(&Dag::load_as(&loading, &files).1),
            ["D031 none:0:0"]
        );
    }
}

#[test]
fn a_rescue_file_is_written_as_dagman_writes_it() {
    let facts = rescue::Rescue {
        dag: "goatbrot.dag",
        kind: rescue::Kind::Rescue,
        created: "7/27/2022 20:14:17 UTC",
        nodes: 5,
        done: vec!["g1", "g2", "S+g3"],
        failed: vec!["montage", "other"],
        retries: vec![("montage", 2)],
    };
    let expected = "# Rescue DAG file, created after running\n#   the goatbrot.dag DAG file\n\
        # Created 7/27/2022 20:14:17 UTC\n# Rescue DAG version: 2.1.0 (partial)\n#\n\
        # Total number of Nodes: 5\n# Nodes premarked DONE: 3\n# Nodes that failed: 2\n\
        #   montage,other,<ENDLIST>\n\nDONE g1\nDONE g2\nDONE S+g3\nRETRY montage 2\n";
    assert_eq!(facts.write(), expected);
    let names = [
        "x.dag",
        "x.dag.rescue001",
        "x.dag.rescue012",
        "x.dag.rescue13",
        "y.dag.rescue099",
    ];
    assert_eq!(rescue::latest("x.dag", names), Some(12));
    assert_eq!(
        (
            rescue::next("x.dag", names, 100),
            rescue::next("z.dag", names, 100)
        ),
        (13, 1)
    );
    assert_eq!(
        rescue::next("y.dag", names, 99),
        99,
        "the last one is written over"
    );
    assert_eq!(rescue::path("d/x.dag", 13), "d/x.dag.rescue013");
    assert_eq!(rescue::number("x.dag", "x.dag.rescue000"), None);
}

#[test]
fn a_sub_dag_loads_in_the_directory_of_its_node() {
    let text = "JOB A a.sub\nSPLICE S ../chain.dag\n";
    let files = files(&[("sub/in.dag", text), ("sub/../chain.dag", "JOB A a.sub\n")]);
    let loading = Loading {
        path: "sub/in.dag",
        dir: Some("sub"),
        rescue: None,
    };
    let dag = Dag::load_as(&loading, &files).0.unwrap();
    assert_eq!(
        (dag.dir.as_str(), dag.nodes[1].dir.as_str()),
        ("sub", "sub")
    );
    let more = [
        ("sub/in.dag", "JOB A a.sub\n"),
        ("other/in.dag", "JOB A a.sub\n"),
    ];
    assert!(
        load("SUBDAG EXTERNAL S in.dag DIR sub\n", &more)
            .0
            .is_some()
    );
    assert!(
        load("SUBDAG EXTERNAL S other/in.dag\n", &more).0.is_some(),
        "a.sub is here"
    );
    let (_, diagnostics) = load("SUBDAG EXTERNAL S in.dag DIR other\n", &more);
    assert_eq!(findings(&diagnostics), ["D018 other/in.dag:1:7"]);
}

#[test]
fn a_wrong_file_is_counted_too() {
    let check = |text: &str, external: External| {
        let mut files = files(&[]);
        files.insert("t.dag".into(), text.into());
        let loading = Loading {
            path: "t.dag",
            dir: None,
            rescue: None,
        };
        Dag::check(&loading, &files, external)
    };
    let round = "JOB A a.sub\nJOB B a.sub\nSTUDY C none.sub none.toml\nPARENT A CHILD B\nPARENT B CHILD A\n";
    let checked = check(round, External::Read);
    let counts = checked.counts.unwrap();
    assert!(checked.dag.is_none());
    assert_eq!((counts.nodes, counts.edges, counts.studies), (3, 2, 0));
    assert!(counts.width_by_depth.is_empty());
    let unread = "JOB A none.sub\nSTUDY B none.sub none.toml\nSUBDAG EXTERNAL D t.dag\n";
    let checked = check(unread, External::Leave);
    assert!(checked.dag.is_none() && checked.diagnostics.is_empty());
    let counts = checked.counts.unwrap();
    assert_eq!((counts.nodes, counts.plain, counts.subdags), (3, 2, 1));
}

#[test]
fn splices_of_splices_are_bounded() {
    let mut files = files(&[]);
    for level in 0..20 {
        let next = level + 1;
        let text = format!("SPLICE a s{next}.dag\nSPLICE b s{next}.dag\n");
        files.insert(format!("s{level}.dag"), text);
    }
    files.insert("s20.dag".into(), "JOB A x NOOP\n".into());
    let (dag, diagnostics) = Dag::load("s0.dag", &files);
    assert!(dag.is_none());
    let codes: Vec<&str> = diagnostics.iter().map(|found| found.code.id()).collect();
    assert_eq!(codes, ["D002"], "{}", diagnostics.render());
}

#[test]
fn graphviz_tells_joins_roles_and_weak_edges() {
    let text = "JOB A a.sub\nJOB B x NOOP\nSUBDAG EXTERNAL C later.dag\nJOB D a.sub\nFINAL F a.sub\n\
        PARENT A B CHILD C D\nWEAK PARENT C CHILD D\n";
    let dot = good(text, &[]).dot(None);
    let lines = [
        "n1 [label=\"B\", style=dashed];",
        "n2 [label=\"C\", shape=folder];",
        "n4 [label=\"F\", shape=box, peripheries=2];",
        "n5 [label=\"\", shape=point];",
        "n0 -> n5 [arrowhead=none];",
        "n5 -> n3;",
        "n2 -> n3 [style=dashed];",
    ];
    for line in lines {
        assert!(dot.contains(&format!("  {line}\n")), "{line}\n{dot}");
    }
}
