//! The submit commands: which are acted upon, which are only kept in the ad, which are refused.

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// It does what HTCondor's manual says.
    Full,
    /// It is put into the job's ad under this name, and nothing acts upon it.
    Kept {
        attribute: &'static str,
        value: ValueKind,
    },
    /// It is read and has no effect, by its nature: what it speaks of does not exist here.
    Moot,
    /// A job with it would do something else than it says: it is refused.
    Refused,
}

/// How the value of a kept command is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    Expression,
    Text,
    Boolean,
    /// An expression that is a whole number by itself, which is kept.
    Number,
}

const fn expression(attribute: &'static str) -> Support {
    Support::Kept {
        attribute,
        value: ValueKind::Expression,
    }
}

const fn text(attribute: &'static str) -> Support {
    Support::Kept {
        attribute,
        value: ValueKind::Text,
    }
}

const fn number(attribute: &'static str) -> Support {
    Support::Kept {
        attribute,
        value: ValueKind::Number,
    }
}

const fn boolean(attribute: &'static str) -> Support {
    Support::Kept {
        attribute,
        value: ValueKind::Boolean,
    }
}

/// All commands, by their lower-case names.
pub(super) const COMMANDS: &[(&str, Support)] = &[
    ("accounting_group", text("AcctGroup")),
    ("accounting_group_user", text("AcctGroupUser")),
    (
        "allowed_execute_duration",
        expression("AllowedExecuteDuration"),
    ),
    ("allowed_job_duration", expression("AllowedJobDuration")),
    ("append_files", text("AppendFiles")),
    ("arguments", Support::Full),
    ("args", Support::Full),
    ("batch_id", text("JobBatchId")),
    ("batch_name", Support::Full),
    ("buffer_size", expression("BufferSize")),
    ("checkpoint_destination", text("CheckpointDestination")),
    (
        "checkpoint_exit_code",
        expression("SuccessCheckpointExitCode"),
    ),
    ("compress_files", text("CompressFiles")),
    ("concurrency_limits", text("ConcurrencyLimits")),
    ("concurrency_limits_expr", expression("ConcurrencyLimits")),
    ("container_image", Support::Refused),
    ("container_target_dir", text("ContainerTargetDir")),
    ("core_size", number("CoreSize")),
    ("coresize", number("CoreSize")),
    ("cron_day_of_month", Support::Refused),
    ("cron_day_of_week", Support::Refused),
    ("cron_hour", Support::Refused),
    ("cron_minute", Support::Refused),
    ("cron_month", Support::Refused),
    ("cron_prep_time", Support::Moot),
    ("cron_window", Support::Moot),
    ("dag_node_name", text("DAGNodeName")),
    ("dagman_log", Support::Moot),
    ("deferral_prep_time", Support::Moot),
    ("deferral_time", Support::Refused),
    ("deferral_window", Support::Moot),
    ("description", text("JobDescription")),
    ("docker_image", Support::Refused),
    ("docker_network_type", text("DockerNetworkType")),
    ("docker_pull_policy", text("DockerPullPolicy")),
    ("dont_encrypt_input_files", Support::Refused),
    ("dont_encrypt_output_files", Support::Refused),
    ("email_attributes", text("EmailAttributes")),
    ("encrypt_input_files", Support::Refused),
    ("encrypt_output_files", Support::Refused),
    (
        "encrypt_execute_directory",
        boolean("EncryptExecuteDirectory"),
    ),
    ("env", Support::Full),
    ("environment", Support::Full),
    ("error", Support::Full),
    ("stderr", Support::Full),
    ("executable", Support::Full),
    ("getenv", Support::Full),
    ("get_env", Support::Full),
    ("gpus_maximum_capability", Support::Full),
    ("gpus_minimum_capability", Support::Full),
    ("gpus_minimum_memory", Support::Full),
    ("gpus_minimum_runtime", Support::Full),
    ("hold", Support::Full),
    ("hold_kill_sig", text("HoldKillSig")),
    ("image_size", Support::Moot),
    ("initialdir", Support::Full),
    ("initial_dir", Support::Full),
    ("input", Support::Full),
    ("stdin", Support::Full),
    ("job_ad_information_attrs", text("JobAdInformationAttrs")),
    ("job_lease_duration", Support::Full),
    ("job_machine_attrs", text("JobMachineAttrs")),
    (
        "job_machine_attrs_history_length",
        number("JobMachineAttrsHistoryLength"),
    ),
    ("job_max_vacate_time", expression("JobMaxVacateTime")),
    ("keep_claim_idle", expression("KeepClaimIdle")),
    ("kill_sig", Support::Full),
    ("kill_sig_timeout", expression("KillSigTimeout")),
    ("leave_in_queue", expression("LeaveJobInQueue")),
    ("load_profile", boolean("LoadProfile")),
    ("log", Support::Full),
    ("log_xml", Support::Moot),
    ("manifest", boolean("ManifestDesired")),
    ("manifest_dir", text("ManifestDir")),
    ("max_idle", expression("JobMaterializeMaxIdle")),
    (
        "max_job_retirement_time",
        expression("MaxJobRetirementTime"),
    ),
    ("max_materialize", Support::Moot),
    ("max_retries", Support::Full),
    ("max_transfer_input_mb", expression("MaxTransferInputMB")),
    ("max_transfer_output_mb", expression("MaxTransferOutputMB")),
    ("next_job_start_delay", number("NextJobStartDelay")),
    ("nice_user", boolean("AcctGroup")),
    ("noop_job", boolean("IsNoopJob")),
    ("noop_job_exit_code", expression("NoopJobExitCode")),
    ("noop_job_exit_signal", expression("NoopJobExitSignal")),
    ("notification", Support::Moot),
    ("notify_user", text("NotifyUser")),
    ("on_exit_hold", expression("OnExitHold")),
    ("on_exit_hold_reason", expression("OnExitHoldReason")),
    ("on_exit_hold_subcode", expression("OnExitHoldSubCode")),
    ("on_exit_remove", expression("OnExitRemove")),
    ("output", Support::Full),
    ("stdout", Support::Full),
    ("output_destination", Support::Refused),
    ("periodic_hold", expression("PeriodicHold")),
    ("periodic_hold_reason", expression("PeriodicHoldReason")),
    ("periodic_hold_subcode", expression("PeriodicHoldSubCode")),
    ("periodic_release", expression("PeriodicRelease")),
    ("periodic_remove", expression("PeriodicRemove")),
    ("periodic_vacate", expression("PeriodicVacate")),
    ("preferences", Support::Full),
    ("preserve_relative_paths", boolean("PreserveRelativePaths")),
    ("priority", Support::Full),
    ("prio", Support::Full),
    ("public_input_files", text("PublicInputFiles")),
    ("rank", Support::Full),
    ("remote_initialdir", Support::Refused),
    ("remove_kill_sig", text("RemoveKillSig")),
    ("request_cpus", Support::Full),
    ("request_cpu", Support::Full),
    ("request_disk", Support::Full),
    ("request_gpus", Support::Full),
    ("request_gpu", Support::Full),
    ("request_memory", Support::Full),
    ("require_gpus", Support::Full),
    ("requirements", Support::Full),
    ("retry_until", expression("OnExitRemove")),
    ("run_as_owner", boolean("RunAsOwner")),
    ("shell", Support::Refused),
    ("should_transfer_files", Support::Full),
    ("skip_if_dataflow", boolean("SkipIfDataflow")),
    ("stream_error", Support::Moot),
    ("stream_input", Support::Moot),
    ("stream_output", Support::Moot),
    ("submit_event_notes", text("SubmitEventNotes")),
    ("submit_event_user_notes", text("SubmitEventUserNotes")),
    ("success_exit_code", Support::Full),
    ("transfer_container", Support::Moot),
    ("transfer_checkpoint_files", text("TransferCheckpoint")),
    ("transfer_error", Support::Moot),
    ("transfer_executable", Support::Full),
    ("transfer_input", Support::Moot),
    ("transfer_input_files", Support::Full),
    ("transfer_output", Support::Moot),
    ("transfer_output_files", Support::Full),
    ("transfer_output_remaps", Support::Full),
    ("transfer_plugins", Support::Refused),
    ("ulog_execute_attrs", text("UserLogExecuteEventAttrs")),
    ("universe", Support::Full),
    ("use_oauth_services", Support::Refused),
    ("use_x509userproxy", Support::Refused),
    ("want_graceful_removal", boolean("WantGracefulRemoval")),
    ("when_to_transfer_output", Support::Full),
    ("x509userproxy", Support::Refused),
];

/// The names of attributes that are taken for the commands that make them, in lower case. Those of
/// commands that are kept are taken besides.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("iwd", "initialdir"),
    ("job_iwd", "initialdir"),
    ("jobbatchname", "batch_name"),
    ("jobleaseduration", "job_lease_duration"),
    ("jobmaxretries", "max_retries"),
    ("jobprio", "priority"),
    ("killsig", "kill_sig"),
    ("requestcpus", "request_cpus"),
    ("requestdisk", "request_disk"),
    ("requestgpus", "request_gpus"),
    ("requestmemory", "request_memory"),
    ("shouldtransferfiles", "should_transfer_files"),
    ("transferexecutable", "transfer_executable"),
    ("transferinputfiles", "transfer_input_files"),
    ("transferoutputfiles", "transfer_output_files"),
    ("transferoutputremaps", "transfer_output_remaps"),
    ("userlog", "log"),
    ("whentotransferoutput", "when_to_transfer_output"),
    ("niceuser", "nice_user"),
];

/// A command by its name in lower case.
pub(super) fn support(name: &str) -> Option<Support> {
    let of = |name: &str| {
        COMMANDS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, support)| *support)
    };
    let named = of(name).or_else(|| {
        let alias = ATTRIBUTES.iter().find(|(alias, _)| *alias == name);
        alias.and_then(|(_, command)| of(command))
    });
    named.or_else(|| {
        let kept = COMMANDS.iter().map(|(_, support)| *support);
        kept.into_iter()
            .find(|support| attribute_of(*support).is_some_and(|a| a.eq_ignore_ascii_case(name)))
    })
}

/// Whether a name is one of [`other_names`] of some command.
pub(super) fn is_other_name(name: &str) -> bool {
    let aliases = ATTRIBUTES.iter().map(|(alias, _)| *alias);
    let kept = COMMANDS
        .iter()
        .filter_map(|(_, support)| attribute_of(*support));
    aliases
        .chain(kept)
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// The names besides its own under which a command may stand.
pub(super) fn other_names(command: &str) -> impl Iterator<Item = &'static str> {
    let own = COMMANDS.iter().find(|(known, _)| *known == command);
    let attribute = own.and_then(|(_, support)| attribute_of(*support));
    let aliases = ATTRIBUTES.iter().filter(move |(_, of)| *of == command);
    aliases
        .map(|(alias, _)| *alias)
        .chain(attribute)
        .collect::<Vec<_>>()
        .into_iter()
}

fn attribute_of(support: Support) -> Option<&'static str> {
    match support {
        // HTCondor does not take these attributes for commands.
        Support::Kept {
            attribute: "AcctGroup" | "AcctGroupUser" | "ConcurrencyLimits",
            ..
        } => None,
        Support::Kept { attribute, .. } => Some(attribute),
        Support::Full | Support::Moot | Support::Refused => None,
    }
}
