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
    ("arguments", Support::Full),
    ("args", Support::Full),
    ("batch_name", Support::Full),
    ("checkpoint_destination", text("CheckpointDestination")),
    (
        "checkpoint_exit_code",
        expression("SuccessCheckpointExitCode"),
    ),
    ("concurrency_limits", text("ConcurrencyLimits")),
    ("container_image", Support::Refused),
    ("coresize", expression("CoreSize")),
    ("dagman_log", Support::Moot),
    ("deferral_prep_time", expression("DeferralPrepTime")),
    ("deferral_time", Support::Refused),
    ("deferral_window", expression("DeferralWindow")),
    ("description", text("JobDescription")),
    ("docker_image", Support::Refused),
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
    ("initialdir", Support::Full),
    ("initial_dir", Support::Full),
    ("input", Support::Full),
    ("stdin", Support::Full),
    ("job_lease_duration", Support::Full),
    ("job_machine_attrs", text("JobMachineAttrs")),
    ("job_max_vacate_time", expression("JobMaxVacateTime")),
    ("keep_claim_idle", expression("KeepClaimIdle")),
    ("kill_sig", Support::Full),
    ("kill_sig_timeout", expression("KillSigTimeout")),
    ("leave_in_queue", expression("LeaveJobInQueue")),
    ("log", Support::Full),
    ("log_xml", Support::Moot),
    ("manifest", boolean("WantManifest")),
    ("max_idle", expression("JobMaterializeMaxIdle")),
    (
        "max_job_retirement_time",
        expression("MaxJobRetirementTime"),
    ),
    ("max_materialize", expression("JobMaterializeLimit")),
    ("max_retries", Support::Full),
    ("max_transfer_input_mb", expression("MaxTransferInputMB")),
    ("max_transfer_output_mb", expression("MaxTransferOutputMB")),
    ("nice_user", boolean("NiceUser")),
    ("noop_job", boolean("IsNoopJob")),
    ("noop_job_exit_code", expression("NoopJobExitCode")),
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
    ("rank", Support::Full),
    ("remote_initialdir", Support::Refused),
    ("request_cpus", Support::Full),
    ("request_cpu", Support::Full),
    ("request_disk", Support::Full),
    ("request_gpus", Support::Full),
    ("request_gpu", Support::Full),
    ("request_memory", Support::Full),
    ("require_gpus", Support::Full),
    ("requirements", Support::Full),
    ("retry_until", expression("RetryUntil")),
    ("run_as_owner", boolean("RunAsOwner")),
    ("shell", Support::Refused),
    ("should_transfer_files", Support::Full),
    ("skip_if_dataflow", boolean("SkipIfDataflow")),
    ("stream_error", Support::Moot),
    ("stream_input", Support::Moot),
    ("stream_output", Support::Moot),
    ("submit_event_notes", text("SubmitEventNotes")),
    ("success_exit_code", Support::Full),
    ("transfer_checkpoint_files", text("TransferCheckpoint")),
    ("transfer_error", Support::Moot),
    ("transfer_executable", Support::Full),
    ("transfer_input", Support::Moot),
    ("transfer_input_files", Support::Full),
    ("transfer_output", Support::Moot),
    ("transfer_output_files", Support::Full),
    ("transfer_output_remaps", Support::Full),
    ("transfer_plugins", Support::Refused),
    ("universe", Support::Full),
    ("use_oauth_services", Support::Refused),
    ("use_x509userproxy", Support::Refused),
    ("want_graceful_removal", boolean("WantGracefulRemoval")),
    ("when_to_transfer_output", Support::Full),
    ("x509userproxy", Support::Refused),
];

/// A command by its name in lower case.
pub(super) fn support(name: &str) -> Option<Support> {
    COMMANDS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, support)| *support)
}
