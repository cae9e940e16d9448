//! What machine a job may run on: file transfer, abilities, and the whole requirement.

use classad::Expr;

use super::super::requirements::{self, Ability, Asked, Host, NEW_TRANSFER, OWN_PLUGINS, Outputs};
use super::super::spec::{ShouldTransfer, Universe};
use super::fill::flag;
use super::resources::Resources;
use super::{Job, Text};
use crate::diagnostic::Code;

/// When a deferred job may be sent out.
const DEFERRAL: &str = "(((time() + ScheddInterval) >= (DeferralTime - DeferralPrepTime)) && \
                        (time() < (DeferralTime + DeferralWindow)))";
/// Where images are on every machine.
const SHARED: &str = "/cvmfs/";
const DEFERRAL_PREP_S: i64 = 300;
const SCHEDD_INTERVAL_S: i64 = 300;

/// Whether files are moved, and when they come back.
pub(super) fn transfer_mode(job: &mut Job<'_, '_>) -> (ShouldTransfer, Outputs) {
    let said = should_transfer(job);
    let when = job.command(&["when_to_transfer_output"]);
    let mut should = said.unwrap_or(ShouldTransfer::IfNeeded);
    let mut name = "ON_EXIT".to_owned();
    if let Some(text) = &when {
        name = text.text.to_ascii_uppercase();
        // HTCondor takes it for nothing said.
        let is_never = name == "NEVER" && said != Some(ShouldTransfer::No);
        if is_never {
            "ON_EXIT".clone_into(&mut name);
        }
        let wrong = match (name.as_str(), said) {
            ("ON_EXIT_OR_EVICT", Some(ShouldTransfer::IfNeeded)) => {
                Some("`ON_EXIT_OR_EVICT` needs `should_transfer_files = YES`".to_owned())
            }
            ("ON_EXIT" | "ON_EXIT_OR_EVICT" | "ON_SUCCESS" | "NEVER", Some(ShouldTransfer::No)) => {
                Some("`should_transfer_files = NO` leaves nothing to say of when".to_owned())
            }
            ("ON_EXIT_OR_EVICT", None) => {
                should = ShouldTransfer::Yes;
                None
            }
            ("ON_EXIT" | "ON_EXIT_OR_EVICT" | "ON_SUCCESS", _) => None,
            (_, _) => Some(format!("`{}` is no time to transfer outputs", text.text)),
        };
        if let Some(message) = wrong {
            let diagnostic = job.at_value(text, Code::BadValue, message);
            job.diagnostics
                .push(diagnostic.expected("`ON_EXIT`, `ON_EXIT_OR_EVICT` or `ON_SUCCESS`"));
        }
    }
    let transfer = match should {
        ShouldTransfer::Yes => "YES",
        ShouldTransfer::No => "NO",
        ShouldTransfer::IfNeeded => "IF_NEEDED",
    };
    job.ad.insert("ShouldTransferFiles", transfer);
    if should != ShouldTransfer::No {
        job.ad.insert("WhenToTransferOutput", name.as_str());
    }
    let outputs = match name.as_str() {
        "ON_SUCCESS" => Outputs::OnSuccess,
        _ => Outputs::Always,
    };
    (should, outputs)
}

fn should_transfer(job: &mut Job<'_, '_>) -> Option<ShouldTransfer> {
    let text = job.command(&["should_transfer_files"])?;
    match text.text.to_ascii_uppercase().as_str() {
        "YES" | "TRUE" => Some(ShouldTransfer::Yes),
        "NO" | "FALSE" => Some(ShouldTransfer::No),
        "IF_NEEDED" | "AUTO" => Some(ShouldTransfer::IfNeeded),
        _ => {
            let message = format!("`{}` is no way to transfer files", text.text);
            let diagnostic = job.at_value(&text, Code::BadValue, message);
            job.diagnostics
                .push(diagnostic.expected("`YES`, `NO` or `IF_NEEDED`"));
            None
        }
    }
}

/// The user's requirement with the automatic clauses.
pub(super) fn requirements_of(
    job: &mut Job<'_, '_>,
    universe: Universe,
    host: Host,
    resources: &Resources,
    (should_transfer, outputs): (ShouldTransfer, Outputs),
    abilities: &[(Ability, String)],
) -> Option<Expr> {
    let user = job.command(&["requirements"]);
    if let Some(text) = &user {
        job.expression(text)?;
    }
    let in_container = abilities.iter().any(|(kind, _)| *kind == Ability::System);
    let text = requirements::text(&Asked {
        user: user.as_ref().map_or("", |text| &text.text),
        universe,
        host: if in_container { Host::Docker } else { host },
        arch: &job.built_in("arch"),
        opsys: &job.built_in("opsys"),
        disk: resources.disk_asked,
        memory: resources.memory_asked,
        cpus: resources.cpus_asked,
        gpus: resources.gpus_asked,
        custom: &resources.custom,
        should_transfer,
        outputs,
        abilities,
    });
    match Expr::parse(&text) {
        Ok(expr) => {
            job.ad.insert("Requirements", expr.clone());
            Some(expr)
        }
        Err(error) => {
            let message = format!("`requirements` with its automatic clauses: {error}");
            match &user {
                Some(user) => job.bad(user, Code::BadExpression, message),
                None => {
                    let diagnostic = job.missing(Code::BadExpression, &message);
                    job.diagnostics.push(diagnostic);
                }
            }
            None
        }
    }
}

/// What only some machines can do.
pub(super) fn abilities(job: &mut Job<'_, '_>, host: Host) -> Vec<(Ability, String)> {
    let mut found = Vec::new();
    if flag(job, &["encrypt_execute_directory"]) == Some(true) {
        found.push((
            Ability::Place,
            "TARGET.HasEncryptExecuteDirectory".to_owned(),
        ));
    }
    for clause in container(job, host) {
        found.push((Ability::System, format!("TARGET.{clause}")));
    }
    let new_transfer = flag(job, &["preserve_relative_paths"]) == Some(true)
        || job.command(&["transfer_checkpoint_files"]).is_some();
    if new_transfer {
        found.push((Ability::Transfer, NEW_TRANSFER.to_owned()));
    }
    let encrypted: [&'static [&'static str]; 4] = [
        &["encrypt_input_files"],
        &["encrypt_output_files"],
        &["dont_encrypt_input_files"],
        &["dont_encrypt_output_files"],
    ];
    if encrypted.iter().any(|names| job.command(names).is_some()) {
        found.push((Ability::Transfer, "TARGET.HasPerFileEncryption".to_owned()));
    }
    let methods = plugin_methods(job);
    for method in &methods {
        let clause =
            format!("stringListIMember(\"{method}\", TARGET.HasFileTransferPluginMethods)");
        found.push((Ability::Transfer, clause));
    }
    if !methods.is_empty() {
        job.ad
            .insert("WantTransferPluginMethods", methods.join(","));
    }
    if job.command(&["transfer_plugins"]).is_some() {
        found.push((Ability::Transfer, OWN_PLUGINS.to_owned()));
    }
    if job.command(&["checkpoint_exit_code"]).is_some() {
        job.ad.insert("WantFTOnCheckpoint", true);
        found.push((
            Ability::Late,
            "TARGET.HasSelfCheckpointTransfers".to_owned(),
        ));
    }
    let timed = cron(job);
    let deferred = job.command(&["deferral_time"]);
    if deferred.is_some() || timed {
        deferral(job, deferred.as_ref(), timed);
        found.push((Ability::Late, "TARGET.HasJobDeferral".to_owned()));
        found.push((Ability::Late, DEFERRAL.to_owned()));
    }
    found
}

/// The schemes of the URLs that files come from and go to.
fn plugin_methods(job: &mut Job<'_, '_>) -> Vec<String> {
    let inputs = job.command(&["transfer_input_files"]);
    let output = job.command(&["output_destination"]);
    let mut methods = Vec::new();
    for text in inputs.iter().chain(&output) {
        for path in text.text.split(',') {
            let scheme = path.trim().split_once("://").map(|(scheme, _)| scheme);
            let scheme = scheme.filter(|scheme| scheme.starts_with(|c: char| c.is_alphabetic()));
            methods.extend(scheme.map(str::to_owned).filter(|s| !methods.contains(s)));
        }
    }
    methods
}

/// Whether a job is to run by the calendar, which is put into the ad.
fn cron(job: &mut Job<'_, '_>) -> bool {
    let parts: [(&'static [&'static str], &str); 5] = [
        (&["cron_minute"], "CronMinute"),
        (&["cron_hour"], "CronHour"),
        (&["cron_day_of_month"], "CronDayOfMonth"),
        (&["cron_month"], "CronMonth"),
        (&["cron_day_of_week"], "CronDayOfWeek"),
    ];
    let mut found = false;
    for (names, attribute) in parts {
        if let Some(text) = job.command(names) {
            job.ad.insert(attribute, text.text.as_str());
            found = true;
        }
    }
    found
}

fn deferral(job: &mut Job<'_, '_>, text: Option<&Text<'_, '_>>, timed: bool) {
    if let Some(expr) = text.and_then(|text| job.expression(text)) {
        job.ad.insert("DeferralTime", expr);
    }
    let (window, prep): (&'static [&'static str], &'static [&'static str]) = match timed {
        true => (&["cron_window"], &["cron_prep_time"]),
        false => (&["deferral_window"], &["deferral_prep_time"]),
    };
    let spans = [
        (window, "DeferralWindow", 0),
        (prep, "DeferralPrepTime", DEFERRAL_PREP_S),
    ];
    for (names, attribute, default) in spans {
        let own = job.command(names).and_then(|text| job.expression(&text));
        job.ad
            .insert(attribute, own.unwrap_or_else(|| default.into()));
    }
    job.ad.insert("ScheddInterval", SCHEDD_INTERVAL_S);
}

/// What a job in a container needs of a machine, with its attributes put into the ad.
fn container(job: &mut Job<'_, '_>, host: Host) -> Vec<&'static str> {
    let docker = job.command(&["docker_image"]);
    let image = job.command(&["container_image"]);
    if let Some(text) = &docker {
        let name = text.text.as_str();
        job.ad.insert("DockerImage", name);
        let universe = job.command(&["universe"]);
        if universe.is_some_and(|text| text.text.eq_ignore_ascii_case("docker")) {
            job.ad.insert("WantDocker", true);
            return vec!["HasDocker"];
        }
    }
    let Some(text) = image.or(docker) else {
        return match host {
            Host::Docker => vec!["HasContainer"],
            Host::Machine | Host::Queue => Vec::new(),
        };
    };
    job.ad.insert("WantContainer", true);
    let name = text.text.trim_end_matches('/').to_owned();
    let (kind, wants) = if name.starts_with("docker://") || text.name == "docker_image" {
        ("HasDockerURL", "WantDockerImage")
    } else if name.ends_with(".sif") {
        ("HasSIF", "WantSIF")
    } else {
        ("HasSandboxImage", "WantSandboxImage")
    };
    job.ad.insert(wants, true);
    if text.name == "container_image" {
        let moved = flag(job, &["transfer_container"]);
        if let Some(moved) = moved {
            job.ad.insert("TransferContainer", moved);
        }
        let is_there = moved == Some(false) || name.starts_with(SHARED);
        let source = match kind {
            "HasDockerURL" => "docker",
            _ if is_there => "local",
            _ => "cedar",
        };
        let mut image = name.as_str();
        if source == "cedar" {
            let own = job.ad.eval("TransferInput");
            let inputs: Vec<&str> = own
                .as_str()
                .into_iter()
                .chain([text.text.as_str()])
                .collect();
            job.ad.insert("TransferInput", inputs.join(","));
            image = image.rsplit('/').next().unwrap_or_default();
        }
        job.ad.insert("ContainerImage", image);
        job.ad.insert("ContainerImageSource", source);
    }
    vec!["HasContainer", kind]
}
