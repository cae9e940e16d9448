//! What descriptions ask of matchmaking beyond amounts: parts of GPUs, custom resources, more of
//! something after it was too little, how many jobs at a time, lost claims. What HTCondor has of
//! it is in the vectors, too.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;

use dags::submit::{GpuNaming, Materialize};
use dags::{Diagnostics, JobSpec, Macros, Submit};

const EXECUTABLE: &str = "executable = /bin/true\n";

fn expand(text: &str, macros: &Macros) -> Result<JobSpec, Diagnostics> {
    let files: BTreeMap<String, String> = BTreeMap::new();
    let (submit, diagnostics) = Submit::parse("t.sub", &format!("{EXECUTABLE}{text}"), &files);
    assert!(diagnostics.is_empty(), "{text}\n{}", diagnostics.render());
    submit.expand(macros, 7, 0, &[])
}

fn job(text: &str) -> JobSpec {
    expand(text, &Macros::new()).unwrap_or_else(|errors| panic!("{text}\n{}", errors.render()))
}

/// An attribute of the job's ad as it is written; nothing where there is none.
fn attribute(spec: &JobSpec, name: &str) -> String {
    spec.ad
        .get(name)
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[test]
fn gpus_are_shared_by_memory() {
    // The text, GPUs, MiB of each, `RequireGPUs`, and whom the clause counts among.
    let rows: [(&str, u32, Option<u64>, &str, &str); 7] = [
        ("request_gpus = 1\n", 1, None, "", ""),
        (
            "request_gpu_memory = 4G\n",
            1,
            Some(4096),
            "FreeGlobalMemoryMb >= 4096",
            "SharableGPUs",
        ),
        (
            "request_gpus = 2\nrequest_gpu_memory = 1.5 GB\n",
            2,
            Some(1536),
            "FreeGlobalMemoryMb >= 1536",
            "SharableGPUs",
        ),
        (
            "request_gpu_memory = 2 * 1024\n",
            1,
            Some(2048),
            "FreeGlobalMemoryMb >= 2048",
            "SharableGPUs",
        ),
        (
            "request_GPU_Memory = 512\nrequire_gpus = Capability > 7\ngpus_minimum_memory = 16G\n",
            1,
            Some(512),
            "Capability > 7 && GlobalMemoryMb >= GPUsMinMemory && FreeGlobalMemoryMb >= 512",
            "SharableGPUs",
        ),
        (
            "request_gpu_memory = 512\nrequire_gpus = FreeGlobalMemoryMb > 900\n",
            1,
            Some(512),
            "FreeGlobalMemoryMb > 900",
            "SharableGPUs",
        ),
        (
            "request_gpus = 1\nrequire_gpus = Capability > 7\n",
            1,
            None,
            "Capability > 7",
            "AvailableGPUs",
        ),
    ];
    for (text, gpus, mib, require, among) in rows {
        let spec = job(text);
        assert_eq!(
            (spec.request_gpus, spec.request_gpu_memory_mib),
            (gpus, mib),
            "{text}"
        );
        assert_eq!(attribute(&spec, "RequireGPUs"), require, "{text}");
        assert_eq!(attribute(&spec, "RequestGPUs"), gpus.to_string(), "{text}");
        let mib = mib.map(|mib| mib.to_string()).unwrap_or_default();
        match text.contains('*') {
            true => assert_eq!(attribute(&spec, "RequestGPUMemory"), "2 * 1024"),
            false => assert_eq!(attribute(&spec, "RequestGPUMemory"), mib, "{text}"),
        }
        let requirements = spec.requirements.unwrap().to_string();
        let clause = match among {
            "" => "(TARGET.GPUs >= RequestGPUs)".to_owned(),
            among => format!("(countMatches(MY.RequireGPUs,TARGET.{among}) >= RequestGPUs)"),
        };
        assert!(requirements.contains(&clause), "{text}: {requirements}");
        assert_eq!(requirements.matches("RequestGPUs)").count(), 1, "{text}");
    }
}

#[test]
fn custom_resources_have_amounts_and_clauses() {
    let spec = job(
        "request_Bandwidth = 10\nrequest_scratch_tb = 1.5\nrequest_none = 0\n\
                    request_site = \"eu.*\"\nrequest_cpus = 2\n",
    );
    let amounts = [("bandwidth".to_owned(), 10), ("scratch_tb".to_owned(), 2)];
    assert_eq!(spec.request_other, BTreeMap::from(amounts));
    let attributes = [
        ("RequestBandwidth", "10"),
        ("Requestscratch_tb", "1.500000000000000E+00"),
        ("Requestnone", "0"),
        ("Requestsite", "\"eu.*\""),
    ];
    for (name, text) in attributes {
        assert_eq!(attribute(&spec, name), text);
    }
    let requirements = spec.requirements.unwrap().to_string();
    let clauses = [
        "(TARGET.Bandwidth >= RequestBandwidth)",
        "(TARGET.scratch_tb >= Requestscratch_tb)",
        "regexp(Requestsite,TARGET.site)",
    ];
    for clause in clauses {
        assert!(requirements.contains(clause), "{clause}: {requirements}");
    }
    assert!(!requirements.contains("none"), "{requirements}");
}

#[test]
fn what_is_asked_for_after_too_little() {
    // The text, and what comes after 1024 MiB, again and again.
    let rows: [(&str, &[u64]); 10] = [
        ("", &[]),
        ("retry_request_memory = 4G\n", &[4096]),
        ("retry_request_memory = 512\n", &[]),
        (
            "retry_request_memory_increase = RequestMemory * 4\nretry_request_memory_max = 16G\n",
            &[4096, 16384],
        ),
        (
            "retry_request_memory_increase = RequestMemory * 3\nretry_request_memory_max = 8000M\n",
            &[3072, 8000],
        ),
        (
            "retry_request_memory_increase = 1G\nretry_request_memory_max = 3G\n",
            &[2048, 3072],
        ),
        (
            "retry_request_memory_increase = 500 + 12\nretry_request_memory_max = 2048\n",
            &[1536, 2048],
        ),
        (
            "retry_request_memory = 3G\nretry_request_memory_increase = RequestMemory + 1024.5\n\
             retry_request_memory_max = 4500\n",
            &[3072, 4097, 4500],
        ),
        ("retry_request_memory_increase = RequestMemory / 2\n", &[]),
        ("retry_request_memory_increase = NotThere * 2\n", &[]),
    ];
    for (text, expected) in rows {
        let spec = job(&format!("request_memory = 1G\n{text}"));
        let mut ad = spec.ad.clone();
        let mut has = spec.request_memory_mib;
        let mut found = Vec::new();
        while let Some(next) = spec
            .policy
            .raise_memory
            .as_ref()
            .and_then(|r| r.after(has, &ad))
        {
            found.push(next);
            has = next;
            ad.insert("RequestMemory", i64::try_from(has).unwrap());
        }
        assert_eq!(found, expected, "{text}");
    }
    // Of the two others, in their own units.
    let spec = job(
        "request_gpu_memory = 1G\nretry_request_gpu_memory_increase = 1G\n\
                    retry_request_gpu_memory_max = 8G\nrequest_disk = 1G\nretry_request_disk = 2G\n",
    );
    let policy = &spec.policy;
    let next =
        |raise: &Option<dags::submit::Raise>, has| raise.as_ref().unwrap().after(has, &spec.ad);
    assert_eq!(next(&policy.raise_gpu_memory, 1024), Some(2048));
    assert_eq!(next(&policy.raise_gpu_memory, 8192), None);
    assert_eq!(next(&policy.raise_disk, 1 << 20), Some(2 << 20));
    assert_eq!(policy.raise_memory, None);
    assert_eq!(attribute(&spec, "RetryRequestDisk"), "2097152");
}

#[test]
fn a_macro_of_a_commands_name_has_the_last_word() {
    let mut macros = Macros::new();
    macros.insert("request_memory", 4096);
    macros.insert("request_gpu_memory", 2048);
    macros.insert("request_disk", 99);
    let spec = expand("RequestMemory = 1G\nrequest_gpu_memory = 1G\n", &macros).unwrap();
    assert_eq!((spec.request_memory_mib, spec.request_disk_kib), (4096, 99));
    assert_eq!(spec.request_gpu_memory_mib, Some(2048));
    assert_eq!(
        attribute(&spec, "RequireGPUs"),
        "FreeGlobalMemoryMb >= 2048"
    );
}

#[test]
fn how_many_jobs_at_a_time_and_what_becomes_of_the_evicted() {
    let plain = job("");
    assert_eq!(plain.materialize, Materialize::default());
    assert_eq!(plain.gpu_naming, GpuNaming::Uuid);
    assert!(!plain.policy.interruptible);
    assert_eq!(
        (plain.policy.max_restarts, plain.policy.max_vacate_s),
        (None, None)
    );

    let spec = job(
        "max_materialize = 100\nmax_idle = 2 * 5\ngpu_ids = Index\nrequest_gpus = 1\n\
                    max_job_restarts = 3\ninterruptible = true\njob_max_vacate_time = 90\n\
                    kill_sig_timeout = 20\nnice_user = true\naccounting_group_user = eve\n\
                    concurrency_limits = Licence:2, db\n",
    );
    let limits = Materialize {
        jobs_max: Some(100),
        idle_max: Some(10),
    };
    assert_eq!(spec.materialize, limits);
    assert_eq!(spec.gpu_naming, GpuNaming::Index);
    let policy = &spec.policy;
    assert!(policy.interruptible);
    assert_eq!(
        (policy.max_restarts, policy.max_vacate_s),
        (Some(3), Some(90))
    );
    assert_eq!(policy.accounting_group.as_deref(), Some("nice-user"));
    assert_eq!(policy.accounting_group_user.as_deref(), Some("eve"));
    let attributes = [
        ("MaxJobRestarts", "3"),
        ("Interruptible", "true"),
        ("JobMaterializeMaxIdle", "2 * 5"),
        ("JobMaxVacateTime", "90"),
        ("ConcurrencyLimits", "\"db,licence:2\""),
    ];
    for (name, text) in attributes {
        assert_eq!(attribute(&spec, name), text);
    }
    assert_eq!(
        job("materialize_max_idle = 4\n").materialize.idle_max,
        Some(4)
    );
    assert_eq!(job("kill_sig_timeout = 20\n").policy.max_vacate_s, Some(20));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let rows = [
        ("request_gpu_memory = much\n", "S111"),
        ("request_gpu_memory = 0\n", "S111"),
        ("request_gpus = 0\nrequest_gpu_memory = 1G\n", "S111"),
        ("request_gpu_memory = TARGET.Memory\n", "S110"),
        ("request_bandwidth = TARGET.Bandwidth\n", "S110"),
        ("request_bandwidth = true\n", "S111"),
        ("gpu_ids = numbers\n", "S111"),
        ("retry_request_memory_max = 4G\n", "S111"),
        ("retry_request_memory = 0\n", "S111"),
        ("retry_request_memory = many\n", "S111"),
        ("retry_request_memory_increase = -1\n", "S111"),
        ("retry_request_memory_increase = \"x\"\n", "S111"),
        ("retry_request_memory_increase = RequestMemory *\n", "S104"),
        ("retry_request_gpu_memory = 4G\n", "S111"),
        ("max_materialize = 0\n", "S111"),
        ("max_materialize = -3\n", "S111"),
        ("max_idle = often\n", "S111"),
        ("max_job_restarts = -1\n", "S103"),
        ("interruptible = maybe\n", "S103"),
        ("job_max_vacate_time = soon\n", "S111"),
    ];
    for (text, code) in rows {
        let errors = expand(text, &Macros::new()).unwrap_err();
        let found: Vec<(&str, u32)> = errors.errors().map(|e| (e.code.id(), e.line)).collect();
        let line = 1 + u32::try_from(text.lines().count()).unwrap();
        assert_eq!(found, [(code, line)], "{text}\n{}", errors.render());
    }
}
