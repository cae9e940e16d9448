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
    /// It is put into the job's ad under this name, and the queue acts upon it by the ad.
    Policy {
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

const fn policy(attribute: &'static str) -> Support {
    Support::Policy {
        attribute,
        value: ValueKind::Expression,
    }
}

/// A text that the queue reads from the ad.
const fn told(attribute: &'static str) -> Support {
    Support::Policy {
        attribute,
        value: ValueKind::Text,
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
    ("accounting_group", told("AcctGroup")),
    ("accounting_group_user", told("AcctGroupUser")),
    ("allowed_execute_duration", policy("AllowedExecuteDuration")),
    ("allowed_job_duration", policy("AllowedJobDuration")),
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
    ("concurrency_limits", told("ConcurrencyLimits")),
    ("concurrency_limits_expr", policy("ConcurrencyLimits")),
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
    ("gpu_ids", Support::Full),
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
    ("interruptible", Support::Full),
    ("job_ad_information_attrs", told("JobAdInformationAttrs")),
    ("job_lease_duration", Support::Full),
    ("job_machine_attrs", text("JobMachineAttrs")),
    (
        "job_machine_attrs_history_length",
        number("JobMachineAttrsHistoryLength"),
    ),
    ("job_max_vacate_time", policy("JobMaxVacateTime")),
    ("keep_claim_idle", expression("KeepClaimIdle")),
    ("kill_sig", Support::Full),
    ("kill_sig_timeout", policy("KillSigTimeout")),
    ("leave_in_queue", expression("LeaveJobInQueue")),
    ("load_profile", boolean("LoadProfile")),
    ("log", Support::Full),
    ("log_xml", Support::Full),
    ("manifest", boolean("ManifestDesired")),
    ("manifest_dir", text("ManifestDir")),
    ("match_list_length", number("LastMatchListLength")),
    ("materialize_max_idle", policy("JobMaterializeMaxIdle")),
    ("max_idle", policy("JobMaterializeMaxIdle")),
    ("max_job_restarts", Support::Full),
    (
        "max_job_retirement_time",
        expression("MaxJobRetirementTime"),
    ),
    ("max_materialize", Support::Full),
    ("max_retries", Support::Full),
    ("max_transfer_input_mb", expression("MaxTransferInputMB")),
    ("max_transfer_output_mb", expression("MaxTransferOutputMB")),
    ("next_job_start_delay", expression("NextJobStartDelay")),
    (
        "nice_user",
        Support::Policy {
            attribute: "AcctGroup",
            value: ValueKind::Boolean,
        },
    ),
    ("noop_job", expression("IsNoopJob")),
    ("noop_job_exit_code", expression("NoopJobExitCode")),
    ("noop_job_exit_signal", expression("NoopJobExitSignal")),
    ("notification", Support::Moot),
    ("notify_user", text("NotifyUser")),
    ("on_exit_hold", policy("OnExitHold")),
    ("on_exit_hold_reason", policy("OnExitHoldReason")),
    ("on_exit_hold_subcode", policy("OnExitHoldSubCode")),
    ("on_exit_remove", policy("OnExitRemove")),
    ("output", Support::Full),
    ("stdout", Support::Full),
    ("output_destination", Support::Refused),
    ("periodic_hold", policy("PeriodicHold")),
    ("periodic_hold_reason", policy("PeriodicHoldReason")),
    ("periodic_hold_subcode", policy("PeriodicHoldSubCode")),
    ("periodic_release", policy("PeriodicRelease")),
    ("periodic_remove", policy("PeriodicRemove")),
    ("periodic_vacate", policy("PeriodicVacate")),
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
    ("request_gpu_memory", Support::Full),
    ("request_gpus", Support::Full),
    ("request_gpu", Support::Full),
    ("request_memory", Support::Full),
    ("require_gpus", Support::Full),
    ("requirements", Support::Full),
    ("retry_until", policy("OnExitRemove")),
    ("run_as_owner", boolean("RunAsOwner")),
    ("container_is_common", Support::Refused),
    ("container_service_names", Support::Refused),
    ("cuda_version", Support::Refused),
    ("docker_override_entrypoint", Support::Refused),
    ("docker_send_credentials", Support::Refused),
    ("mount_under_scratch", Support::Refused),
    ("output_directory", Support::Refused),
    ("primary_unix_group", Support::Refused),
    ("retry_request_disk", Support::Full),
    ("retry_request_disk_increase", Support::Full),
    ("retry_request_disk_max", Support::Full),
    ("retry_request_gpu_memory", Support::Full),
    ("retry_request_gpu_memory_increase", Support::Full),
    ("retry_request_gpu_memory_max", Support::Full),
    ("retry_request_memory", Support::Full),
    ("retry_request_memory_increase", Support::Full),
    ("retry_request_memory_max", Support::Full),
    ("scitokens_file", Support::Refused),
    ("shell", Support::Refused),
    ("suspend_job_at_exec", Support::Refused),
    ("tool_daemon_cmd", Support::Refused),
    ("transfer_common_input", Support::Refused),
    ("use_scitoken", Support::Refused),
    ("use_scitokens", Support::Refused),
    ("should_transfer_files", Support::Full),
    ("skip_if_dataflow", boolean("SkipIfDataflow")),
    ("stack_size", expression("StackSize")),
    ("stream_error", Support::Moot),
    ("stream_input", Support::Moot),
    ("stream_output", Support::Moot),
    ("submit_event_notes", told("SubmitEventNotes")),
    ("submit_event_user_notes", told("SubmitEventUserNotes")),
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
    ("want_graceful_removal", expression("WantGracefulRemoval")),
    ("when_to_transfer_output", Support::Full),
    ("x509userproxy", Support::Refused),
];

/// HTCondor's commands for universes, clouds and daemons that do not exist here. A job that needs
/// one is refused for its universe or its URLs.
const ELSEWHERE: &[&str] = &[
    "allow_arguments_v1",
    "allow_environment_v1",
    "allow_startd_script",
    "arc_application",
    "arc_data_staging",
    "arc_resources",
    "arc_rte",
    "arguments2",
    "aws_access_key_id_file",
    "aws_region",
    "aws_secret_access_key_file",
    "azure_admin_key",
    "azure_admin_username",
    "azure_auth_file",
    "azure_image",
    "azure_location",
    "azure_size",
    "batch_extra_submit_args",
    "batch_project",
    "batch_queue",
    "batch_runtime",
    "buffer_block_size",
    "buffer_files",
    "cloud_label_names",
    "cream_attributes",
    "dagman_job_id",
    "delegate_job_gsi_credentials_lifetime",
    "ec2_access_key_id",
    "ec2_ami_id",
    "ec2_availability_zone",
    "ec2_block_device_mapping",
    "ec2_ebs_volumes",
    "ec2_elastic_ip",
    "ec2_iam_profile_arn",
    "ec2_iam_profile_name",
    "ec2_instance_type",
    "ec2_keypair",
    "ec2_keypair_file",
    "ec2_parameter_names",
    "ec2_secret_access_key",
    "ec2_security_groups",
    "ec2_security_ids",
    "ec2_spot_price",
    "ec2_tag_names",
    "ec2_user_data",
    "ec2_user_data_file",
    "ec2_vpc_ip",
    "ec2_vpc_subnet",
    "environment2",
    "fetch_files",
    "file_remaps",
    "gce_account",
    "gce_auth_file",
    "gce_image",
    "gce_json_file",
    "gce_machine_type",
    "gce_metadata",
    "gce_metadata_file",
    "gce_preemptible",
    "grid_resource",
    "gs_access_key_id_file",
    "gs_secret_access_key_file",
    "interactive_args",
    "interactive_executable",
    "jar_files",
    "java_vm_args",
    "java_vm_arguments",
    "java_vm_arguments2",
    "jobset",
    "local_files",
    "machine_count",
    "node_count",
    "nordugrid_rsl",
    "parallel_script_shadow",
    "parallel_script_starter",
    "project_name",
    "s3_access_key_id_file",
    "s3_secret_access_key_file",
    "skip_filechecks",
    "starter_debug",
    "starter_log",
    "submit_event_notes_attrs",
    "submit_fail_empty_matches",
    "submit_match_directories",
    "submit_warn_duplicate_matches",
    "submit_warn_empty_matches",
    "tool_daemon_args",
    "tool_daemon_arguments",
    "tool_daemon_arguments2",
    "tool_daemon_error",
    "tool_daemon_input",
    "tool_daemon_output",
    "vm_checkpoint",
    "vm_disk",
    "vm_macaddr",
    "vm_memory",
    "vm_networking",
    "vm_networking_type",
    "vm_no_output_vm",
    "vm_type",
    "vm_vcpus",
    "vm_vnc",
    "vmware_dir",
    "vmware_should_transfer_files",
    "vmware_snapshot_disk",
    "want_io_proxy",
    "want_job_networking",
    "xen_initrd",
    "xen_kernel",
    "xen_kernel_params",
    "xen_root",
];
/// Beginnings of such commands that end in a name of the user's.
const ELSEWHERE_UNDER: [&str; 3] = ["cloud_label_", "ec2_parameter_", "ec2_tag_"];
/// What stands in the middle or at the end of the commands of credential services.
const CREDENTIALS: [&str; 2] = ["_oauth_permissions", "_oauth_resource"];

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
    let elsewhere = ELSEWHERE.contains(&name)
        || ELSEWHERE_UNDER.iter().any(|head| name.starts_with(head))
        || CREDENTIALS.iter().any(|part| name.contains(part));
    if elsewhere {
        return Some(Support::Moot);
    }
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
        Support::Policy {
            attribute: "AcctGroup" | "AcctGroupUser" | "ConcurrencyLimits",
            ..
        } => None,
        Support::Kept { attribute, .. } | Support::Policy { attribute, .. } => Some(attribute),
        Support::Full | Support::Moot | Support::Refused => None,
    }
}

/// All names of commands, for what was probably meant.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(known, _)| *known)
}
