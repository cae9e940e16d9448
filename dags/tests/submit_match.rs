//! What a submit description leaves to the match, to the submitter and to the queue's policy, and which
//! of its names are macros.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;

use classad::ClassAd;
use dags::files::{Files, Sent};
use dags::submit::{
    ConcurrencyLimits, MatchField, RetryUntil, Submission, fill_match, match_attributes, may_become,
};
use dags::{Dag, JobSpec, Macros, Submit};

fn submit(text: &str) -> Submit {
    let (submit, diagnostics) = Submit::parse("t.sub", text, &BTreeMap::new());
    assert!(diagnostics.is_empty(), "{text}\n{}", diagnostics.render());
    submit
}

fn job(text: &str) -> JobSpec {
    let text = format!("executable = x\n{text}");
    submit(&text)
        .expand(&Macros::new(), 7, 0, &[])
        .unwrap_or_else(|errors| panic!("{text}\n{}", errors.render()))
}

fn ads() -> (ClassAd, ClassAd) {
    let job = ClassAd::parse("[ RequestCpus = 2; Who = \"me\" ]").unwrap();
    let machine = "[ Arch = \"X86_64\"; Memory = 2048; Speed = 1.5; Twice = Memory * 2; Gone = undefined; \
                    Has = true; Tricky = \"$$(Arch)\" ]";
    (job, ClassAd::parse(machine).unwrap())
}

#[test]
fn a_match_fills_in_what_was_left_to_it() {
    let (job, machine) = ads();
    let rows = [
        ("plain $ $(x) $$x", Ok("plain $ $(x) $$x")),
        ("a.$$(Arch).b", Ok("a.X86_64.b")),
        ("$$(arch)$$(ARCH)", Ok("X86_64X86_64")),
        ("$$(Memory) $$(Speed) $$(Has)", Ok("2048 1.5 true")),
        // As HTCondor has it: the attribute as it is written.
        ("$$(Twice)", Ok("Memory * 2")),
        ("$$(Nope:a default)", Ok("a default")),
        ("$$(Nope:)", Ok("")),
        ("$$(Arch:x)", Ok("X86_64")),
        ("$$(Gone:there)", Ok("there")),
        ("$$(DOLLARDOLLAR)(Arch)", Ok("$$(Arch)")),
        ("$$(Tricky)", Ok("$$(Arch)")),
        ("$$([TARGET.Memory / MY.RequestCpus])", Ok("1024")),
        ("$$([Twice + 1])", Ok("4097")),
        ("$$([strcat(Who, \"@\", TARGET.Arch)])", Ok("me@X86_64")),
        ("$$([ifThenElse(Has, {1,2}[1], 0)])", Ok("2")),
        ("$$([Who =?= \\\"me\\\"])", Ok("true")),
        ("$$(Nope)", Err("has no `Nope`")),
        ("$$(Gone)", Err("has no `Gone`")),
        ("$$([Nope])", Err("undefined")),
        ("$$([1 + \"a\"])", Err("error")),
        ("$$([1 +])", Err("$$([1 +])")),
        ("$$([1 + 1)", Err("not closed by `])`")),
        ("$$(Arch", Err("not closed by `)`")),
        ("$$(TARGET.Arch)", Err("$$([TARGET.Arch])")),
        ("$$()", Err("names no attribute")),
    ];
    for (text, expected) in rows {
        let told = fill_match(text, &job, &machine);
        match expected {
            Ok(filled) => assert_eq!(told.as_deref(), Ok(filled), "{text}"),
            Err(part) => {
                let error = told.unwrap_err();
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }
}

#[test]
fn a_text_tells_what_it_may_become() {
    let rows = [
        ("a", "a", true),
        ("a", "ab", false),
        ("bin/$$(Arch)/x", "bin/X86_64/x", true),
        ("bin/$$(Arch)/x", "bin/X86_64/y", false),
        ("$$(A).$$([B])", "a.b", true),
        ("$$(A).$$([B])", "ab", false),
        ("x$$(A)", "x", true),
        ("x$$(A:y)z", "xyzz", true),
        ("x$$(A", "x", false),
    ];
    for (text, whole, expected) in rows {
        assert_eq!(may_become(text, whole), expected, "{text} {whole}");
    }
}

#[test]
fn a_job_says_which_of_its_values_a_match_fills_in() {
    let spec = job(
        "arguments = $$([TARGET.Memory * 2]) $$(Words) z\noutput = o.$$(Arch)\nerror = e\n\
                    environment = \"M=$$(Memory) N='a b'\"\ntransfer_input_files = d.$$(Arch), c\n\
                    transfer_output_remaps = \"m = $$(Arch)/m\"\n",
    );
    let fields: Vec<MatchField> = spec.match_fields().into_iter().collect();
    let expected = [
        MatchField::Arguments,
        MatchField::Environment,
        MatchField::Stdout,
        MatchField::TransferInput,
        MatchField::OutputRemaps,
    ];
    assert_eq!(fields, expected);
    let machine = ClassAd::parse("[ Arch = \"X\"; Memory = 4; Words = \"a b\" ]").unwrap();
    let filled = spec.filled(&spec.ad, &machine).unwrap();
    assert!(filled.match_fields().is_empty());
    assert_eq!(filled.arguments, ["8", "a", "b", "z"]);
    assert_eq!(filled.stdout.as_deref(), Some("o.X"));
    assert_eq!(filled.transfer_input, ["d.X", "c"]);
    assert_eq!(filled.environment["M"], "4");
    assert_eq!(filled.environment["N"], "a b");
    assert_eq!(filled.output_remaps["m"], "X/m");
    let attributes = [
        ("Args", "\"8 a b z\""),
        ("MATCH_EXP_Args", "\"8 a b z\""),
        ("MATCH_EXP_Out", "\"o.X\""),
        ("MATCH_Arch", "\"X\""),
        ("MATCH_Memory", "4"),
    ];
    for (name, text) in attributes {
        let own = filled.ad.get(name).map(ToString::to_string);
        assert_eq!(own.as_deref(), Some(text), "{name}");
    }
    let error = spec.filled(&spec.ad, &ClassAd::new()).unwrap_err();
    assert!(error.contains("has no value"), "{error}");
    assert!(job("arguments = a\n").match_fields().is_empty());
    // What a match before left is not filled in again.
    let again = match_attributes(&filled.ad, &ClassAd::new()).unwrap();
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn policy_is_told_by_the_ad() {
    let policy = job("").policy;
    assert_eq!(policy, dags::submit::JobPolicy::default());
    let spec = job(
        "success_exit_code = 3\nretry_until = ExitCode > 9 ? true : false\n\
                    on_exit_hold = ExitBySignal\non_exit_hold_reason = \"died\"\non_exit_hold_subcode = 4\n\
                    periodic_hold = NumJobStarts > 5\nperiodic_release = false\nperiodic_remove = JobStatus == 5\n\
                    periodic_vacate = JobStatus == 2\nleave_in_queue = true\n\
                    allowed_execute_duration = 60 * 60\nallowed_job_duration = 7200\n\
                    checkpoint_exit_code = 85\nconcurrency_limits = Db:2.5, a:x\naccounting_group = g\n",
    );
    let policy = &spec.policy;
    assert_eq!((spec.max_retries, spec.success_exit_code), (2, 3));
    let text = |expr: &Option<classad::Expr>| expr.as_ref().map(ToString::to_string);
    let remove = "NumJobCompletions > JobMaxRetries || ExitCode is JobSuccessExitCode || (ExitCode > 9 ? true : false)";
    assert_eq!(text(&policy.on_exit_remove).as_deref(), Some(remove));
    let hold = policy.on_exit_hold.as_ref().unwrap();
    assert_eq!(hold.when.to_string(), "ExitBySignal");
    assert_eq!(text(&hold.reason).as_deref(), Some("\"died\""));
    assert_eq!(text(&hold.subcode).as_deref(), Some("4"));
    assert!(policy.periodic_hold.as_ref().unwrap().reason.is_none());
    assert_eq!(text(&policy.periodic_release), None);
    assert_eq!(
        text(&policy.periodic_remove).as_deref(),
        Some("JobStatus == 5")
    );
    assert_eq!(text(&policy.leave_in_queue).as_deref(), Some("true"));
    assert_eq!(
        (policy.allowed_execute_s, policy.allowed_job_s),
        (Some(3600), Some(7200))
    );
    assert_eq!(policy.checkpoint_exit_code, Some(85));
    assert!(matches!(policy.retry_until, Some(RetryUntil::When(_))));
    let limits = vec![("a".to_owned(), 1.0), ("db".to_owned(), 2.5)];
    assert_eq!(policy.concurrency_limits, ConcurrencyLimits::Listed(limits));
    assert_eq!(policy.accounting_group.as_deref(), Some("g"));
    let until = |text: &str| job(text).policy.retry_until;
    assert_eq!(
        until("retry_until = 2 + 3\n"),
        Some(RetryUntil::ExitCode(5))
    );
    assert_eq!(job("max_retries = -1\n").max_retries, 0);
    // The user's own attributes count more than commands.
    let own = job("periodic_hold = true\n+PeriodicHold = false\n");
    assert!(own.policy.periodic_hold.is_none());
}

#[test]
fn the_queues_ad_is_the_dry_runs() {
    let text = "executable = x\ncheckpoint_exit_code = 85\nrequest_memory = undefined\nrequest_disk = undefined\n\
                success_exit_code = 1\npreserve_relative_paths = true\ntransfer_input_files = a\n";
    let submit = submit(text);
    let macros = Macros::new();
    let submission = Submission {
        cluster: 7,
        owner: "alice",
        directory: "/w",
        submitted_s: 1_700_000_000,
        host: "h",
        bytes: &|_| Some(4096),
    };
    let (shown, diagnostics) = submit.job_ad(&macros, &submission, 0, &[]);
    assert!(!diagnostics.has_errors(), "{}", diagnostics.render());
    let queued = submit.queued(&macros, &submission, 0, &[]).unwrap();
    assert_eq!(Some(&queued.ad), shown.as_ref());
    let expanded = submit.expand(&macros, 7, 0, &[]).unwrap();
    assert_eq!(
        JobSpec {
            ad: ClassAd::new(),
            ..expanded.clone()
        },
        JobSpec {
            ad: ClassAd::new(),
            ..queued.clone()
        }
    );
    let requirements = expanded.requirements.unwrap().to_string();
    assert_eq!(
        queued.ad.get("Requirements").unwrap().to_string(),
        requirements
    );
    assert!(
        requirements.contains("HasSelfCheckpointTransfers"),
        "{requirements}"
    );
}

#[test]
fn a_name_that_is_used_or_given_is_a_macro() {
    let rows = [
        "lr = 1\narguments = $(lr)\n",
        "lr = 1\narguments = $(LR:2)\n",
        "v = 1\narguments = $INT(v)\n",
        "i = 1\nlist = a,b\narguments = $CHOICE(i,list)\n",
        "low = 1\nhigh = 2\narguments = $RANDOM_INTEGER(low, high)\n",
        "s = 1\nn = abc\narguments = $SUBSTR(n,s)\n",
        "debug = 1\nif defined debug\nendif\n",
        "lr = 1\nif false\narguments = $(lr)\nendif\n",
        "n = 2\nqueue $(n)\n",
        "n = 2\nqueue n\n",
        "lr = 1\nqueue x in ($(lr) 2)\n",
        "lr = 1\nqueue x from (\n$(lr)\n2\n)\n",
        "lr = 1\narguments = $$([$(lr)])\n",
        "lr = 1\nerror : $(lr)\n",
        "who = 1\n+Tag = \"$(who)\"\n",
        "request_fpgas = 2\nrequest_ram_disk = 1\n",
    ];
    let unknown = |text: &str, macros: &Macros| {
        let found = submit(&format!("executable = x\n{text}")).check(macros);
        found
            .errors()
            .filter(|error| error.code.id() == "S002")
            .count()
    };
    for text in rows {
        assert_eq!(unknown(text, &Macros::new()), 0, "{text}");
    }
    let text = "lr = 1\nrate = 2\n";
    assert_eq!(unknown(text, &Macros::new()), 2);
    let given: Macros = [("arguments", "$(lr)"), ("Rate", "3")]
        .into_iter()
        .collect();
    assert_eq!(unknown(text, &given), 0);
    assert_eq!(
        unknown("requst_cpus = 1\nrequest_memroy = 1\n", &Macros::new()),
        2
    );
    let found = submit("executable = x\nrequest_memroy = 1\n").check(&Macros::new());
    let error = found.errors().next().unwrap();
    assert_eq!(
        error.help.as_deref(),
        Some("did you mean `request_memory`?")
    );
}

#[test]
fn a_name_that_the_vars_of_any_node_use_is_a_macro() {
    let files = texts(&[
        (
            "t.dag",
            "JOB A a.sub\nJOB B a.sub\nVARS A x=\"1\"\nVARS B x=\"$(rate)\"\n",
        ),
        ("a.sub", "executable = y\nrate = 2\narguments = $(x)\n"),
        ("b.dag", "JOB A a.sub\nVARS A x=\"1\"\n"),
    ]);
    let (dag, diagnostics) = Dag::load("t.dag", &files);
    assert!(dag.is_some(), "{}", diagnostics.render());
    let (dag, diagnostics) = Dag::load("b.dag", &files);
    assert!(dag.is_none());
    let error = diagnostics.errors().next().unwrap();
    assert_eq!(
        (error.code.id(), error.file.as_str(), error.line),
        ("S002", "a.sub", 2)
    );
}

/// Files with a submitter who knows something.
struct Known {
    files: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
}

impl Files for Known {
    fn read(&self, path: &str) -> Result<String, String> {
        self.files.read(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.files.exists(path)
    }

    fn submitter(&self, name: &str) -> Option<String> {
        match name.strip_prefix("ENV.") {
            Some(variable) => self.environment.get(variable).cloned(),
            None => Submission::time_macro(1_700_000_000, name),
        }
    }

    fn environment(&self) -> BTreeMap<String, String> {
        self.environment.clone()
    }
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn a_dag_knows_what_its_submitter_knew() {
    let known = Known {
        files: texts(&[
            ("t.dag", "JOB A a.sub\nVARS A where=\"$ENV(SITE)\"\n"),
            (
                "a.sub",
                "executable = x\narguments = $(where) $ENV(HOME) $(YEAR)-$(MONTH)\ngetenv = C*, !CB\n",
            ),
        ]),
        environment: texts(&[
            ("HOME", "/home/me"),
            ("SITE", "eu"),
            ("CA", "1"),
            ("CB", "2"),
            ("D", "3"),
        ]),
    };
    let (dag, diagnostics) = Dag::load("t.dag", &known);
    assert!(diagnostics.is_empty(), "{}", diagnostics.render());
    let dag = dag.unwrap();
    let answers = dag.answers();
    let names: Vec<&str> = answers.keys().map(String::as_str).collect();
    assert_eq!(names, ["ENV.CA", "ENV.HOME", "ENV.SITE", "MONTH", "YEAR"]);
    // Read again elsewhere, with what was sent.
    let sent = Sent {
        files: &known.files,
        submitter: &answers,
    };
    let (again, diagnostics) = Dag::load("t.dag", &sent);
    assert!(diagnostics.is_empty(), "{}", diagnostics.render());
    let again = again.unwrap();
    assert_eq!(again, dag);
    let spec = again
        .submit_of(0)
        .unwrap()
        .expand(&again.nodes[0].macros(), 1, 0, &[])
        .unwrap();
    assert_eq!(spec.arguments, ["eu", "/home/me", "2023-11"]);
    assert_eq!(spec.environment, texts(&[("CA", "1")]));
    // Without them it is refused.
    let (dag, diagnostics) = Dag::load("t.dag", &known.files);
    assert!(dag.is_none());
    let codes: Vec<&str> = diagnostics.errors().map(|error| error.code.id()).collect();
    assert_eq!(codes, ["S011", "S011"]);
}

#[test]
fn getenv_takes_along_what_fits() {
    let environment = texts(&[
        ("PATH", "p"),
        ("Path2", "q"),
        ("HOME", "h"),
        ("LINES", "a\nb"),
    ]);
    let rows: [(&str, &[&str]); 9] = [
        ("true", &["HOME", "PATH", "Path2"]),
        ("false", &[]),
        ("*", &["HOME", "PATH", "Path2"]),
        ("path", &["PATH"]),
        ("P*", &["PATH", "Path2"]),
        ("*at*2; home", &["HOME", "Path2"]),
        ("!PATH", &["HOME", "Path2"]),
        ("p*,!*2", &["PATH"]),
        ("X*", &[]),
    ];
    for (patterns, expected) in rows {
        let known = Known {
            files: BTreeMap::new(),
            environment: environment.clone(),
        };
        let text =
            format!("executable = x\ngetenv = {patterns}\nenvironment = \"OWN=1 HOME=mine\"\n");
        let (submit, diagnostics) = Submit::parse("t.sub", &text, &known);
        assert!(diagnostics.is_empty());
        let spec = submit.expand(&Macros::new(), 1, 0, &[]).unwrap();
        let mut names: Vec<&str> = spec.environment.keys().map(String::as_str).collect();
        names.retain(|name| *name != "OWN" && (*name != "HOME" || expected.contains(name)));
        assert_eq!(names, expected, "{patterns}");
        assert_eq!(spec.environment["HOME"], "mine", "{patterns}");
    }
}
