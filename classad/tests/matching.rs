//! Matches of two ads, and why there is none.

use classad::explain::{Explanation, explain};
use classad::matching::{half_match, matches, rank, symmetric_match};
use classad::{BinaryOp, ClassAd, Expr, Scope, Value};

const NOW: i64 = 1_700_000_000;

fn ad(text: &str) -> ClassAd {
    ClassAd::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn requirements_accept_by_true_or_a_number() {
    for (requirements, accepts) in [
        ("true", true),
        ("1", true),
        ("-0.5", true),
        ("0", false),
        ("false", false),
        ("undefined", false),
        ("error", false),
        ("\"true\"", false),
        ("{true}", false),
        ("TARGET.Memory >= MY.RequestMemory", true),
        ("Memory >= RequestMemory", true),
        ("TARGET.RequestMemory >= 1", false),
        ("TARGET.Slot.Deep == 3", true),
        ("TARGET.Twice == 4096", true),
        ("Back == 1024", true),
        ("time() == 1700000000 && CurrentTime == time()", true),
    ] {
        let job = ad(&format!(
            "[Requirements = {requirements}; RequestMemory = 1024]"
        ));
        let slot = ad(
            "[Requirements = true; Memory = 2048; Slot = [Deep = 3]; Twice = Memory * 2; \
                       Back = TARGET.RequestMemory]",
        );
        assert_eq!(half_match(&job, &slot, NOW), accepts, "{requirements}");
        assert_eq!(symmetric_match(&job, &slot, NOW), accepts, "{requirements}");
        assert_eq!(symmetric_match(&slot, &job, NOW), accepts, "{requirements}");
    }
    assert!(
        !half_match(&ad("[]"), &ad("[]"), NOW),
        "no Requirements is no match"
    );
}

#[test]
fn ranks_are_numbers_or_zero() {
    for (text, wanted) in [
        ("TARGET.Memory / 2", 1024.0),
        ("\"x\"", 0.0),
        ("missing", 0.0),
        ("true", 1.0),
    ] {
        let job = ad(&format!("[Rank = {text}; Requirements = true]"));
        let slot = ad("[Memory = 2048; Requirements = false; Rank = 3]");
        assert_eq!(rank(&job, &slot, NOW), wanted, "{text}");
        let result = matches(&job, &slot, NOW);
        assert!(result.left_accepts && !result.right_accepts && !result.matches());
        assert_eq!((result.left_rank, result.right_rank), (wanted, 3.0));
    }
}

#[test]
fn gpus_are_counted_device_by_device() {
    let job = ad(
        "[RequestGPUs = 2; RequireGPUs = Capability >= 8.0 && GlobalMemoryMb > Min; \
                   Requirements = countMatches(MY.RequireGPUs, TARGET.AvailableGPUs) >= RequestGPUs]",
    );
    let slot = |second: &str| {
        ad(&format!(
            "[Requirements = true; Min = 1000; AvailableGPUs = {{GPUs_a, GPUs_b}}; \
             GPUs_a = [Capability = 9.0; GlobalMemoryMb = 80000]; GPUs_b = {second}]"
        ))
    };
    for (second, accepts) in [
        ("[Capability = 8.0; GlobalMemoryMb = 40000]", true),
        ("[Capability = 7.5; GlobalMemoryMb = 40000]", false),
        ("[Capability = 8.0]", false),
        ("3", false),
    ] {
        assert_eq!(
            symmetric_match(&job, &slot(second), NOW),
            accepts,
            "{second}"
        );
    }
}

#[test]
fn the_other_side_is_reached_in_both_directions() {
    let my = ad("[a = TARGET.b; d = 1; nested = [x = TARGET.b; y = b]]");
    let target = ad("[b = TARGET.d + 1; c = d; d = 5]");
    let scope = Scope::new(&my).target(&target).now(NOW);
    for (name, wanted) in [
        ("a", Value::Int(2)),
        ("c", Value::Int(5)),
        ("d", Value::Int(1)),
    ] {
        assert_eq!(scope.eval_attr(name), wanted, "{name}");
    }
    let eval = |text: &str| scope.eval(&classad::Expr::parse(text).unwrap());
    assert_eq!(eval("nested.x"), Value::Int(2));
    assert_eq!(
        eval("nested.y"),
        Value::Undefined,
        "no fall-through from a nested ad"
    );
    assert_eq!(scope.eval_int("a"), Some(2));
    assert_eq!(scope.eval_str("a"), None);
}

fn pool() -> Vec<ClassAd> {
    [
        "[Memory = 1024; Cpus = 8; Arch = \"X86_64\"; HasGpu = true; Requirements = true]",
        "[Memory = 2048; Cpus = 2; Arch = \"X86_64\"; Requirements = true]",
        "[Memory = 2048; Cpus = 1; Arch = \"aarch64\"; Requirements = true]",
        "[Memory = \"lots\"; Cpus = 4; Arch = \"X86_64\"; Requirements = false]",
    ]
    .map(ad)
    .to_vec()
}

fn explained(job: &str) -> Explanation {
    explain(&ad(job), &pool(), NOW)
}

#[test]
fn every_clause_is_counted_alone_and_in_order() {
    let told = explained(
        "[RequestMemory = 4096; Requirements = TARGET.Arch == \"x86_64\" && (TARGET.Cpus >= 2 && \
          RequestMemory <= TARGET.Memory) && TARGET.HasGPU && TARGET.HasGpus == true]",
    );
    assert_eq!((told.targets, told.accepted, told.matched), (4, 0, 0));
    let counts: Vec<_> = told
        .clauses
        .iter()
        .map(|c| (c.passing, c.surviving, c.undefined, c.errors))
        .collect();
    assert_eq!(
        counts,
        [
            (3, 3, 0, 0),
            (3, 3, 0, 0),
            (0, 0, 0, 1),
            (1, 0, 3, 0),
            (0, 0, 4, 0)
        ]
    );
    let near = told.clauses[2].nearest.as_ref().unwrap();
    assert_eq!(
        (near.target, near.wanted_of.to_string().as_str()),
        (1, "TARGET.Memory")
    );
    assert_eq!(
        (&near.has, near.op, &near.needs),
        (&Value::Int(2048), BinaryOp::Ge, &Value::Int(4096))
    );
    let near = told.clauses[1].nearest.as_ref().unwrap();
    assert_eq!(
        (near.target, &near.has, &near.needs),
        (2, &Value::Int(1), &Value::Int(2))
    );
    assert!(told.clauses[0].nearest.is_none());
    let unknown: Vec<_> = told
        .unknown
        .iter()
        .map(|u| {
            (
                u.name.to_string(),
                u.did_you_mean.as_ref().map(ToString::to_string),
            )
        })
        .collect();
    assert_eq!(
        unknown,
        [("HasGpus".to_string(), Some("HasGpu".to_string()))]
    );
}

#[test]
fn explanations_agree_with_the_match() {
    let told = explained("[Requirements = TARGET.Cpus >= 2]");
    assert_eq!(
        (told.accepted, told.matched, told.clauses[0].surviving),
        (3, 2, 3)
    );
    let none = explained("[RequestMemory = 1]");
    assert_eq!((none.targets, none.accepted, none.clauses.len()), (4, 0, 0));
}

#[test]
fn names_reached_through_the_jobs_own_attributes_are_told() {
    let told = explained("[Requirements = Fits && Memroy > 1; Fits = TARGET.Dsk > Need; Need = 5]");
    let unknown: Vec<_> = told
        .unknown
        .iter()
        .map(|u| {
            (
                u.name.as_str(),
                u.did_you_mean.as_ref().map(|name| name.as_str()),
            )
        })
        .collect();
    assert_eq!(unknown, [("Dsk", None), ("Memroy", Some("Memory"))]);
}

#[test]
fn what_a_gpu_must_have_may_name_what_the_job_has() {
    let slot = ClassAd::parse_long(
        "AvailableGPUs = { G0, G1 }\nG0 = [ Capability = 7.0 ]\nG1 = [ Capability = 8.0; Twice = MinCap * 2 ]",
    )
    .unwrap();
    let count = |job: &str, expr: &str| {
        let job = ClassAd::parse(job).unwrap();
        let expr = Expr::parse(expr).unwrap();
        Scope::new(&job).target(&slot).eval(&expr)
    };
    let of_each = "countMatches(MY.RequireGPUs, TARGET.AvailableGPUs)";
    let job = "[ RequireGPUs = Capability >= MinCap; MinCap = 7.5 ]";
    assert_eq!(count(job, of_each), Value::Int(1));
    // `MY` is the ad that is asked, and has no such name around it.
    let job = "[ RequireGPUs = Capability >= MY.MinCap; MinCap = 7.5 ]";
    assert_eq!(count(job, of_each), Value::Int(0));
    let job = "[ RequireGPUs = Twice > 14; MinCap = 7.5 ]";
    assert_eq!(count(job, of_each), Value::Int(1));
    // Outside of such a function the same ad sees its own side only.
    assert_eq!(
        count("[ MinCap = 7.5 ]", "TARGET.G1.Twice"),
        Value::Undefined
    );
}
