//! One expanded job stands for others: whoever it stands for would come out the same if expanded
//! alone, over the reference's descriptions and over ones that are made to differ.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use dags::submit::{Differs, Kind, Submission, Uses};
use dags::{JobSpec, Macros, Submit};
use serde_json::Value as Json;

fn submission(cluster: u32) -> Submission<'static> {
    Submission {
        cluster,
        owner: "ann",
        directory: "/home/ann",
        submitted_s: 1_700_000_000 + i64::from(cluster),
        host: "",
        bytes: &|path| Some(path.len() as u64 * 1000),
    }
}

fn read(text: &str, files: &BTreeMap<String, String>) -> Submit {
    Submit::parse("t.sub", text, files).0
}

fn kind(submit: &Submit, macros: &Macros) -> Option<(Kind, u32)> {
    let items = submit.procs(macros).ok()?;
    let count = u32::try_from(items.len().min(5)).unwrap();
    Some((submit.uses().kind(macros, &items.vars), count))
}

fn alone(submit: &Submit, macros: &Macros, cluster: u32, proc: u32) -> Result<JobSpec, String> {
    let items = submit.procs(macros).unwrap();
    let spec = submit.queued(macros, &submission(cluster), proc, items.row(proc));
    spec.map_err(|errors| errors.render())
}

/// The job that a shape gives, as whoever keeps shapes makes it.
fn fitted(
    submit: &Submit,
    shape: &JobSpec,
    macros: &Macros,
    (cluster, proc): (u32, u32),
    refit: bool,
) -> Result<JobSpec, String> {
    let items = submit.procs(macros).unwrap();
    if refit {
        let row = items.row(proc);
        let spec = submit.refit(shape, macros, &submission(cluster), proc, row);
        return spec.map_err(|errors| errors.render());
    }
    let mut spec = shape.clone();
    spec.ad.insert("ClusterId", i64::from(cluster));
    spec.ad.insert("ProcId", i64::from(proc));
    for name in ["QDate", "EnteredCurrentStatus"] {
        if shape.ad.eval(name).as_i64() == Some(submission(1).submitted_s) {
            spec.ad.insert(name, submission(cluster).submitted_s);
        }
    }
    Ok(spec)
}

/// Whether jobs of the first cluster come out the same from its first, and how.
fn check_procs(name: &str, submit: &Submit, macros: &Macros) -> Option<Differs> {
    let (kind, count) = kind(submit, macros)?;
    let shape = alone(submit, macros, 1, 0).ok()?;
    for proc in 0..count {
        let refit = match kind.differs {
            Differs::Nothing => false,
            Differs::Lightly => true,
            Differs::Anything => continue,
        };
        let made = fitted(submit, &shape, macros, (1, proc), refit);
        assert_eq!(made, alone(submit, macros, 1, proc), "{name}, proc {proc}");
    }
    Some(kind.differs)
}

#[test]
fn the_jobs_of_a_cluster_come_from_one() {
    let rows = [
        ("queue 3", Differs::Nothing),
        ("arguments = a b\noutput = o\nqueue 3", Differs::Nothing),
        ("arguments = $(Process)\nqueue 3", Differs::Lightly),
        (
            "arguments = \"'a b' $(step)\"\nlog = $(n).log\nn = x$(ProcId)\nqueue 3",
            Differs::Lightly,
        ),
        (
            "output = o.$(item)\nerror = /dev/null\nqueue in (a b /dev/null)",
            Differs::Lightly,
        ),
        (
            "environment = \"A=$(x) B=1\"\nqueue x from (\n1\n'2 3'\n)",
            Differs::Lightly,
        ),
        ("env = A=$(x)\nqueue x in (1 2)", Differs::Lightly),
        ("queue arguments from (\na b\nc\n)", Differs::Lightly),
        (
            "arguments = $RANDOM_INTEGER(1,9)\nqueue 3",
            Differs::Lightly,
        ),
        ("+Out = \"$(x)\"\nqueue x in (1 2)", Differs::Anything),
        (
            "+UserLog = \"u\"\nlog = $(Process)\nqueue 2",
            Differs::Lightly,
        ),
        ("request_memory = $(x)\nqueue x in (1 2)", Differs::Anything),
        ("request_memory = ProcId + 1\nqueue 2", Differs::Anything),
        (
            "+n = ProcId\nrequest_memory = n + 1\nqueue 2",
            Differs::Anything,
        ),
        ("arguments = $(Cluster)\nqueue 2", Differs::Nothing),
        (
            "transfer_input_files = $(Process).csv\nqueue 2",
            Differs::Anything,
        ),
        (
            "stream_output = true\noutput = $(Process)\nqueue 2",
            Differs::Anything,
        ),
        (
            "if $(Process)\narguments = a\nendif\nqueue 2",
            Differs::Nothing,
        ),
        ("arguments = $$(Arch)$(Process)\nqueue 2", Differs::Anything),
        (
            "arguments = $F(f)\nf = /a/$(item).csv\nqueue in (a, b)",
            Differs::Lightly,
        ),
        (
            "arguments = $CHOICE(Process,a,b,c)\nqueue 3",
            Differs::Lightly,
        ),
    ];
    for (text, differs) in rows {
        let submit = read(&format!("executable = x\n{text}\n"), &BTreeMap::new());
        let found = check_procs(text, &submit, &Macros::new());
        assert_eq!(found, Some(differs), "{text}");
    }
}

#[test]
fn clusters_of_one_description_come_from_one() {
    let rows = [
        ("arguments = $(region)", true, Differs::Nothing),
        (
            "arguments = $(region) $(Process)\nqueue 2",
            true,
            Differs::Lightly,
        ),
        ("request_memory = $(memory)", false, Differs::Nothing),
        ("log = $(Cluster).log", true, Differs::Nothing),
        (
            "output = $(JOB).out\nerror = $(y).err\ny = $(region)",
            true,
            Differs::Nothing,
        ),
        ("initialdir = d/$(Cluster)", false, Differs::Nothing),
        (
            "if defined memory\nrequest_cpus = 2\nendif",
            false,
            Differs::Nothing,
        ),
        ("+When = $(SUBMIT_TIME)", false, Differs::Nothing),
        ("arguments = $(SUBMIT_TIME)", true, Differs::Nothing),
        (
            "requirements = TARGET.ClusterId =!= 1\nrequest_memory = ClusterId",
            false,
            Differs::Nothing,
        ),
    ];
    for (text, shared, differs) in rows {
        let submit = read(&format!("executable = x\n{text}\n"), &BTreeMap::new());
        let macros = |region: &str, memory: u32| {
            let mut macros = Macros::from_iter([("region", region), ("JOB", region)]);
            macros.insert("memory", memory);
            macros.insert("My.DAGNodeName", format!("\"n{region}\""));
            macros
        };
        let (one, two) = (macros("de", 100), macros("fr", 200));
        let (kind, _) = kind(&submit, &one).unwrap();
        assert!(Uses::are_plain(&one));
        assert_eq!(kind.differs, differs, "{text}");
        let same = |name: &String| one.get(name) == two.get(name);
        let stands = !kind.of_cluster && !kind.of_time && kind.macros.iter().all(same);
        assert_eq!(stands, shared, "{text}: {kind:?}");
        if !stands {
            continue;
        }
        let shape = alone(&submit, &one, 1, 0).unwrap();
        let refit = kind.differs_between_clusters || kind.differs == Differs::Lightly;
        let mut made = fitted(&submit, &shape, &two, (2, 0), refit).unwrap();
        // The queue gives it.
        made.ad.insert("DAGNodeName", "nfr");
        assert_eq!(made, alone(&submit, &two, 2, 0).unwrap(), "{text}");
    }
}

#[test]
fn the_reference_s_descriptions_hold() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut seen = BTreeMap::<String, u32>::new();
    for file in ["submit_expand.jsonl", "submit_more.jsonl"] {
        let text = std::fs::read_to_string(path.join(file)).unwrap();
        for line in text.lines() {
            let row: Json = serde_json::from_str(line).unwrap();
            let files = row.get("files").and_then(Json::as_object);
            let files = files.into_iter().flatten();
            let files = files
                .map(|(path, text)| (path.clone(), text.as_str().unwrap().to_owned()))
                .collect();
            let Some(submit) = row.get("submit").and_then(Json::as_str) else {
                continue;
            };
            let submit = read(submit, &files);
            if let Some(differs) = check_procs(submit_name(&row), &submit, &Macros::new()) {
                *seen.entry(format!("{differs:?}")).or_default() += 1;
            }
        }
    }
    assert!(
        seen.values().sum::<u32>() > 500 && seen.len() == 3,
        "{seen:?}"
    );
}

fn submit_name(row: &Json) -> &str {
    row.get("id")
        .and_then(Json::as_str)
        .unwrap_or("a row without id")
}
