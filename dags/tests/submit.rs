//! Submit descriptions through [`Submit`]: the language, the jobs, and what is said of bad ones,
//! where.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;

use dags::submit::{
    ShouldTransfer, SubmitState, TransferExecutable, join_arguments, split_arguments,
};
use dags::{Diagnostics, JobSpec, Macros, Submit, Universe};

fn parse(text: &str, files: &[(&str, &str)]) -> (Submit, Diagnostics) {
    let files: BTreeMap<String, String> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    Submit::parse("t.sub", text, &files)
}

fn good(text: &str) -> Submit {
    let (submit, diagnostics) = parse(text, &[]);
    assert!(
        !diagnostics.has_errors(),
        "{text}\n{}",
        diagnostics.render()
    );
    submit
}

fn job(text: &str) -> JobSpec {
    let submit = good(text);
    let macros = Macros::new();
    let items = submit.procs(&macros).unwrap();
    submit
        .expand(&macros, 7, 0, items.row(0))
        .unwrap_or_else(|e| panic!("{text}\n{}", e.render()))
}

/// What is said of a description when it is read and tried out, as `code line:column`.
fn findings(text: &str, macros: &Macros) -> (Vec<String>, String) {
    let (submit, mut diagnostics) = parse(text, &[]);
    if !diagnostics.has_errors() {
        diagnostics.append(submit.check(macros));
    }
    let list = diagnostics
        .iter()
        .map(|d| format!("{} {}:{}", d.code, d.line, d.column))
        .collect();
    (list, diagnostics.render())
}

fn value(text: &str, name: &str) -> String {
    let submit = good(text);
    submit
        .value(name, &Macros::new(), 42, 0, &[])
        .unwrap_or_else(|e| panic!("{text}\n{}", e.render()))
        .unwrap_or_default()
}

#[test]
fn one_job_with_everything() {
    let spec = job("executable = bin/train.sh\n\
         arguments = \"--region 'north sea' --quote \"\"x\"\"\"\n\
         environment = \"A=1 B='x y'\"\n\
         initialdir = run\ninput = in.txt\noutput = out.$(Cluster).$(Process)\nerror = err\nlog = job.log\n\
         transfer_input_files = data/a.csv, model/\ntransfer_output_files = m.bin,log.txt\n\
         transfer_output_remaps = \"m.bin = models/eu.bin; log.txt=l\"\n\
         should_transfer_files = YES\n\
         request_cpus = 1 + 1\nrequest_memory = 1.5G\nrequest_disk = 2M\n\
         request_gpus = 1\nrequire_gpus = Capability >= 8.0\ngpus_minimum_memory = 16G\n\
         requirements = HAS_GPU\nrank = TARGET.Memory\npriority = 3\nmax_retries = 2\nsuccess_exit_code = 4\n\
         job_lease_duration = 600\nkill_sig = sigint\nhold = true\nbatch_name = nightly\n+Region = \"eu\"\n\
         transfer_executable = false\nqueue\n");
    assert_eq!(
        (spec.universe, spec.executable.as_str()),
        (Universe::Vanilla, "bin/train.sh")
    );
    assert_eq!(spec.transfer_executable, TransferExecutable::Present);
    assert_eq!(
        spec.arguments,
        ["--region", "north sea", "--quote", "\"x\""]
    );
    assert_eq!(spec.environment["B"], "x y");
    assert_eq!(spec.stdout.as_deref(), Some("out.7.0"));
    assert_eq!(
        (spec.initial_dir.as_str(), spec.log.as_deref()),
        ("run", Some("job.log"))
    );
    assert_eq!(spec.transfer_input, ["data/a.csv", "model/"]);
    assert_eq!(spec.transfer_output.unwrap(), ["m.bin", "log.txt"]);
    assert_eq!(spec.output_remaps["m.bin"], "models/eu.bin");
    assert_eq!(spec.should_transfer, ShouldTransfer::Yes);
    assert_eq!((spec.request_cpus, spec.request_gpus), (2, 1));
    assert_eq!(
        (spec.request_memory_mib, spec.request_disk_kib),
        (1536, 2048)
    );
    assert_eq!(
        (spec.priority, spec.max_retries, spec.success_exit_code),
        (3, 2, 4)
    );
    assert_eq!(
        (spec.lease_s, spec.kill_signal.as_str()),
        (Some(600), "SIGINT")
    );
    assert_eq!(
        (spec.hold, spec.batch_name.as_deref()),
        (SubmitState::Hold, Some("nightly"))
    );
    let platform =
        good("arguments = $(ARCH) $(OPSYS)\n").value("arguments", &Macros::new(), 0, 0, &[]);
    let platform = platform.unwrap().unwrap();
    let (arch, opsys) = platform.split_once(' ').unwrap();
    let expected = format!(
        "(HAS_GPU) && (TARGET.Arch == \"{arch}\") && (TARGET.OpSys == \"{opsys}\") && (TARGET.Disk >= RequestDisk) \
         && (TARGET.Memory >= RequestMemory) && (TARGET.Cpus >= RequestCpus) \
         && (countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs) && (TARGET.HasFileTransfer)"
    );
    assert_eq!(spec.requirements.unwrap().to_string(), expected);
    let attributes = [
        ("Cmd", "\"bin/train.sh\""),
        ("Region", "\"eu\""),
        ("RequestMemory", "1536"),
        (
            "RequireGPUs",
            "Capability >= 8.000000000000000E+00 && GlobalMemoryMb >= GPUsMinMemory",
        ),
        ("GPUsMinMemory", "16384"),
        ("JobPrio", "3"),
        ("Rank", "TARGET.Memory"),
        ("TransferInput", "\"data/a.csv,model/\""),
        ("KillSig", "\"SIGINT\""),
    ];
    for (name, text) in attributes {
        assert_eq!(spec.ad.get(name).unwrap().to_string(), text, "{name}");
    }
}

#[test]
fn a_plain_job_has_the_defaults() {
    let spec = job("executable = /bin/true\n");
    assert_eq!(
        (
            spec.request_cpus,
            spec.request_memory_mib,
            spec.request_gpus
        ),
        (1, 128, 0)
    );
    assert_eq!(
        (spec.kill_signal.as_str(), spec.hold),
        ("SIGTERM", SubmitState::Run)
    );
    assert_eq!(
        (spec.transfer_output, spec.lease_s, spec.rank),
        (None, None, None)
    );
    let stored = serde_json::to_string(&job("executable = /bin/true\n")).unwrap();
    assert_eq!(
        serde_json::from_str::<JobSpec>(&stored).unwrap(),
        job("executable = /bin/true\n")
    );
}

#[test]
fn the_train_universe_needs_no_executable() {
    let spec = job("universe = train\narguments = --epochs 3\n");
    assert_eq!(
        (spec.universe, spec.executable.as_str()),
        (Universe::Train, "")
    );
    let requirements = spec.requirements.unwrap().to_string();
    assert!(
        !requirements.contains("Arch"),
        "the trainer runs wherever a worker does: {requirements}"
    );
}

#[test]
fn macros_and_functions() {
    let rows = [
        ("A = 1\nA = $(A)2\nX = $(A)\n", "12"),
        ("X = [$(nope)]\n", "[]"),
        ("X = $(nope:$(other:deep))\n", "deep"),
        ("X = $(DOLLAR)(y)\n", "$(y)"),
        ("X = $x $ $( $() $(\n", "$x $ $(  $("),
        ("v = 3 + 4\nX = $INT(v,%04d)\n", "0007"),
        ("v = 1.5 * 2\nX = $REAL(v,%.2f)\n", "3.00"),
        (
            "v = 12345.678\nX = $REAL(v,%g) $REAL(v,%.1e)\n",
            "12345.7 1.2e+04",
        ),
        ("s = toUpper(\"abc\")\nX = $STRING(s,<%s>)\n", "<ABC>"),
        (
            "list = a, b, c\nX = $CHOICE(1,list)$CHOICE(2,x,y,z)\n",
            "bz",
        ),
        (
            "p = /d/e/m.tar.gz\nX = $Fn(p) $Fx(p) $Fpn(p) $Fdb(p) $Fq(p)\n",
            "m.tar .gz /d/e/m.tar e \"/d/e/m.tar.gz\"",
        ),
        (
            "p = /d/e/m.gz\nX = $DIRNAME(p) $BASENAME(p,.gz)\n",
            "/d/e/ m",
        ),
        ("n = abcdef\nX = $SUBSTR(n,1,3) $SUBSTR(n,-2)\n", "bcd ef"),
        // The argument of a function ends at the first `)`, as in HTCondor.
        ("X = $EVAL(size({1,2}) + 1)\n", " + 1)"),
        ("X = [$ENV(NOPE)]\n", "[UNDEFINED]"),
        ("X = $RANDOM_CHOICE(only) $RANDOM_INTEGER(4,4)\n", "only 4"),
        ("X = $ENV(HOME:none)\n", "none"),
        ("X = $(Cluster).$(procid) $(Node) $(RETRY)\n", "42.0 0 0"),
        ("A = $(A:1)2\nX = $(A)\n", "12"),
        ("v = 3\nX = $ENV(NOPE:$(v)$INT(v))\n", "33"),
        (
            "v = 3\nX = $$(Arch:$(v)) $$([v]) $$$(v)\n",
            "$$(Arch:3) $$([v]) $$3",
        ),
        (
            "v = 4 / 3.0\nX = $REAL(v) $REAL(v,%.0f) $INT(v,%5.3d|)\n",
            "1.333333333333333 1.0   001|",
        ),
        (
            "v = 3\nX = $INT(v,%d%d) $INT(v,%s) $INT(v,n)\n",
            "%d%d %s n",
        ),
        (
            "p = /d/e/.rc\nX = $Fn(p)<$Fx(p)> $Fdd(p) $Fxp(p)\n",
            ".rc<> d/e/ /d/e/.rc",
        ),
        (
            "l = a, b\ni = 0\nX = $CHOICE(i + 1,l)$CHOICE(0 + 1,l)\n",
            "ab",
        ),
        ("X = a \\\n  b \\\n# no \\\n  c\n", "a b c"),
        ("X = a \\\n# no\nY = b\n", "a"),
        (
            "X @=end\nline one\n  two $(Process)\n@end\n",
            "line one\ntwo 0",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(value(text, "X"), expected, "{text}");
    }
}

#[test]
fn random_functions_depend_on_the_proc_alone() {
    let submit = good("executable = x\narguments = $RANDOM_INTEGER(0,1000000)\nqueue 3\n");
    let draw = |proc| {
        submit
            .expand(&Macros::new(), 1, proc, &[])
            .unwrap()
            .arguments
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(0), draw(1));
}

#[test]
fn conditions() {
    let rows = [
        ("if defined X\nA = yes\nelse\nA = no\nendif\n", "no"),
        ("X = 1\nif defined X\nA = yes\nelse\nA = no\nendif\n", "yes"),
        (
            "if ! true\nA = 1\nelif 0.0\nA = 2\nelif yes\nA = 3\nelif true\nA = 4\nelse\nA = 5\nendif\n",
            "3",
        ),
        ("X = false\nif $(X)\nA = t\nelse\nA = f\nendif\n", "f"),
        (
            "if false\nif true\nA = in\nelse\nA = else\nendif\nelse\nA = out\nendif\n",
            "out",
        ),
        ("if false\nerror : never\nendif\nA = on\n", "on"),
        ("if $(nope)\nA = y\nelse\nA = n\nendif\n", "n"),
        ("if version >= 8.1.6\nA = y\nelse\nA = n\nendif\n", "y"),
        ("if ! version < 25.15\nA = y\nelse\nA = n\nendif\n", "n"),
        ("if defined Process\nA = y\nendif\n", "y"),
    ];
    for (text, expected) in rows {
        assert_eq!(value(text, "A"), expected, "{text}");
    }
    let submit = good("if defined lr\nA = $(lr)\nelse\nA = none\nendif\n");
    for placed_before in [true, false] {
        let mut macros = Macros::new();
        match placed_before {
            true => macros.insert_before("lr", 0.5),
            false => macros.insert("lr", 0.5),
        }
        assert_eq!(
            submit.value("A", &macros, 0, 0, &[]).unwrap().unwrap(),
            "0.5"
        );
    }
}

#[test]
fn queue_statements() {
    type Row<'a> = (&'a str, u32, &'a [&'a str], &'a [&'a [&'a str]]);
    let rows: [Row<'_>; 17] = [
        ("queue", 1, &[], &[&[]]),
        ("queue 1 + 2", 3, &[], &[&[]]),
        ("n = 2\nqueue $(n) * 2", 4, &[], &[&[]]),
        ("queue in (a, b c)", 1, &["Item"], &[&["a"], &["b"], &["c"]]),
        ("queue 2 x in a b", 2, &["x"], &[&["a"], &["b"]]),
        (
            "queue x,y in (\na\nb, c\n)",
            1,
            &["x", "y"],
            &[&["a", ""], &["b", ""], &["c", ""]],
        ),
        (
            "list = p, q\nqueue x in ($(list))",
            1,
            &["x"],
            &[&["p"], &["q"]],
        ),
        (
            "queue x,y from (\n1, 2\n# no\n3 4 5\n)",
            1,
            &["x", "y"],
            &[&["1", "2"], &["3", "4 5"]],
        ),
        (
            "queue x,y from items.txt",
            1,
            &["x", "y"],
            &[&["p", "1"], &["q", "2"]],
        ),
        (
            "f = items.txt\nqueue x from $(f)",
            1,
            &["x"],
            &[&["p 1"], &["q,2"]],
        ),
        ("queue x in [1:] (a b c)", 1, &["x"], &[&["b"], &["c"]]),
        ("queue x in [::2] (a b c)", 1, &["x"], &[&["a"], &["c"]]),
        ("queue 1 + 1 x in (a)", 2, &["x"], &[&["a"]]),
        ("queue x,y from (a b c)", 1, &["x", "y"], &[&["a", "b c"]]),
        (
            "queue x matching *.txt sub/*",
            1,
            &["x"],
            &[&["items.txt"], &["sub/a"], &["sub/b/"]],
        ),
        ("queue x matching dirs (s*)", 1, &["x"], &[&["sub/"]]),
        (
            "queue x matching files [1:] sub/* items*",
            1,
            &["x"],
            &[&["items.txt"]],
        ),
    ];
    for (text, count, vars, expected) in rows {
        let text = format!("executable = x\n{text}\n");
        let (submit, diagnostics) = parse(
            &text,
            &[
                ("items.txt", "p 1\n\nq,2\n"),
                ("sub/a", ""),
                ("sub/b/c", ""),
            ],
        );
        assert!(diagnostics.is_empty(), "{text}\n{}", diagnostics.render());
        let items = submit
            .procs(&Macros::new())
            .unwrap_or_else(|e| panic!("{text}\n{}", e.render()));
        assert_eq!(
            (items.count_per_item, &items.vars[..].len()),
            (count, &vars.len()),
            "{text}"
        );
        let rows: Vec<Vec<&str>> = items
            .rows
            .iter()
            .map(|row| row.iter().map(String::as_str).collect())
            .collect();
        assert_eq!(rows, expected, "{text}");
        assert_eq!(
            items.len(),
            u64::from(count) * expected.len() as u64,
            "{text}"
        );
    }
}

#[test]
fn a_million_jobs_are_one_row() {
    let submit = good("executable = x\narguments = $(Process) $(Step) $(Row)\nqueue 1000000\n");
    let items = submit.procs(&Macros::new()).unwrap();
    assert_eq!((items.len(), items.rows.len()), (1_000_000, 1));
    let spec = submit
        .expand(&Macros::new(), 1, 999_999, items.row(999_999))
        .unwrap();
    assert_eq!(spec.arguments, ["999999", "999999", "0"]);
}

#[test]
fn an_item_file_may_depend_on_macros() {
    let (mut submit, diagnostics) = parse("executable = x\nqueue f from $(region).txt\n", &[]);
    assert!(diagnostics.is_empty());
    let macros: Macros = [("region", "eu")].into_iter().collect();
    assert_eq!(
        submit
            .procs(&macros)
            .unwrap_err()
            .errors()
            .next()
            .unwrap()
            .code
            .id(),
        "S202"
    );
    let files: BTreeMap<String, String> = [("eu.txt".to_owned(), "1\n2\n".to_owned())].into();
    submit.load_items(&macros, &files);
    assert_eq!(submit.procs(&macros).unwrap().len(), 2);
}

#[test]
fn findings_have_codes_and_places() {
    let rows: &[(&str, &[&str])] = &[
        ("executable = x\nA B = 1\n", &["S001 2:1"]),
        ("executable = x\nx : 5\n", &["S001 2:1"]),
        ("executable = x\nreqirements = true\n", &["S002 2:1"]),
        ("executable = x\nrequest_memroy = 1\n", &["S002 2:1"]),
        ("executable = x\nfrobnicate = 1\n", &["S002 2:1"]),
        ("executable = x\nperiodic_hold = true\n", &[]),
        ("executable = x\nperiodic_hold = 1 +\n", &["S104 2:20"]),
        ("executable = x\nnoop_job = true\n", &["S003 2:1"]),
        ("executable = x\nnotification = Error\n", &["S003 2:1"]),
        ("executable = x\nnotification = never\n", &[]),
        ("executable = x\nec2_tag_Name = me\n", &["S003 2:1"]),
        ("executable = x\nlog_xml = true\n", &["S004 2:11"]),
        ("executable = x\ncontainer_image = a.sif\n", &["S004 2:19"]),
        ("executable = x\nif 1 > 2\nendif\n", &["S005 2:4"]),
        ("executable = x\nendif\n", &["S005 2:1"]),
        (
            "if true\nelse\nelse\nendif\nexecutable = x\n",
            &["S005 3:1"],
        ),
        ("include : none.inc\nexecutable = x\n", &["S006 1:1"]),
        ("include : cat f |\nexecutable = x\n", &["S006 1:1"]),
        (
            "executable = x\nA = $(B)\nB = $(A)\narguments = $(A)\n",
            &["S007 4:1"],
        ),
        (
            "executable = x\narguments = $(lrr)\nlr = 1\nerror = $(lr)\n",
            &["S008 2:13"],
        ),
        (
            "executable = x\nv = a\narguments = $INT(v)\n",
            &["S009 3:1"],
        ),
        ("executable = x\narguments = $NOSUCH(v)\n", &["S010 2:1"]),
        ("executable = x\narguments = $ENV(HOME)\n", &["S011 2:1"]),
        ("executable = x\narguments = $EVAL(1 +)\n", &["S016 2:1"]),
        (
            "executable = x\narguments = $$(Arch) $$(A:b) $$([C])\n",
            &[],
        ),
        ("executable = x\narguments = a $$(Arch\n", &["S012 2:15"]),
        ("executable = x\narguments = $$([1 +])\n", &["S012 2:13"]),
        (
            "executable = x\narguments = $$(TARGET.Arch)\n",
            &["S012 2:13"],
        ),
        (
            "executable = x\nerror : stop $(nothing:here)\n",
            &["S013 2:1"],
        ),
        ("executable = x\nwarning : mind\n", &["S014 2:1"]),
        ("arguments = 1\nqueue\n", &["S101 2:1"]),
        ("executable = x\nuniverse = local\n", &["S102 2:12"]),
        ("executable = x\nhold = yes\n", &["S103 2:8"]),
        ("executable = x\nkill_sig = term\n", &["S103 2:12"]),
        (
            "executable = x\ntransfer_output_remaps = a = b\n",
            &["S103 2:26"],
        ),
        ("executable = x\nuniverse = train\n", &["S109 1:14"]),
        ("executable = x\nrequest_cpus = many\n", &["S111 2:16"]),
        (
            "executable = x\nallowed_job_duration = long\n",
            &["S111 2:24"],
        ),
        (
            "executable = x\ncheckpoint_exit_code = some\n",
            &["S103 2:24", "S003 2:1"],
        ),
        (
            "executable = x\nconcurrency_limits = a, b-c\n",
            &["S103 2:22"],
        ),
        (
            "executable = x\nuniverse = java\n",
            &["S103 2:12", "S102 2:12"],
        ),
        ("executable = x\n+a-b = 1\n", &["S107 2:8"]),
        ("executable = x\nrequest_memory = 2 gigs\n", &["S104 2:20"]),
        ("executable = x\npriority = 1.5\n", &["S103 2:12"]),
        ("executable = x\nhold = maybe\n", &["S103 2:8"]),
        ("executable = x\nkill_sig = SIGTREM\n", &["S103 2:12"]),
        (
            "executable = x\nshould_transfer_files = maybe\n",
            &["S103 2:25"],
        ),
        (
            "executable = x\nrequirements = (Memory > ) \n",
            &["S104 2:26"],
        ),
        (
            "executable = x\nrequirements = Memory > \\\n   1 &&\n",
            &["S104 3:8"],
        ),
        ("executable = x\n+Tag = eu west\n", &["S104 2:11"]),
        ("executable = x\narguments = one \"two\"\n", &["S105 2:13"]),
        ("executable = x\nenvironment = \"A\"\n", &["S106 2:15"]),
        (
            "executable = x\ntransfer_output_remaps = \"a\"\n",
            &["S108 2:26"],
        ),
        ("executable = x\nqueue x matching *.dat\n", &["S204 2:1"]),
        ("executable = x\nqueue x in (a b\n", &["S201 2:1"]),
        ("executable = x\nqueue abc\n", &["S201 2:1"]),
        ("executable = x\nqueue\nqueue 2\n", &["S203 3:1"]),
        ("executable = x\nqueue 0\n", &["S204 2:1"]),
        ("executable = x\ntransfer_output_files =\n", &["S103 2:1"]),
        ("executable = x\ntransfer_output_files = \"\"\n", &[]),
        ("executable = x\nqueue 4000000000\n", &["S205 2:1"]),
    ];
    for (text, expected) in rows {
        let (found, rendered) = findings(text, &Macros::new());
        assert_eq!(found, *expected, "{text}\n{rendered}");
    }
}

#[test]
fn macros_that_double_each_other_are_cut() {
    let mut text = String::from("executable = x\na0 = xxxxxxxxxx\n");
    for level in 1..30 {
        text.push_str(&format!("a{level} = $(a{0})$(a{0})\n", level - 1));
    }
    text.push_str("arguments = $(a29)\n");
    let (found, rendered) = findings(&text, &Macros::new());
    assert_eq!(found, ["S007 32:1"], "{rendered}");
}

#[test]
fn arguments_survive_their_quoting() {
    let rows: [&[&str]; 5] = [
        &["a", "b c"],
        &["it's"],
        &["", "x"],
        &["'", "' '"],
        &["tab\there"],
    ];
    for arguments in rows {
        let text = format!("\"{}\"", join_arguments(arguments).replace('"', "\"\""));
        assert_eq!(split_arguments(&text).unwrap(), arguments, "{text}");
    }
}

#[test]
fn given_names_reach_commands_and_attributes() {
    let submit = good("executable = x\n");
    let macros: Macros = [("My.Region", "\"eu\""), ("request_memory", "1G")]
        .into_iter()
        .collect();
    let spec = submit.expand(&macros, 1, 0, &[]).unwrap();
    assert_eq!(spec.ad.get("Region").unwrap().to_string(), "\"eu\"");
    assert_eq!(spec.request_memory_mib, 1024);
}
