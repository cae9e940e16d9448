//! The numbers of events and what they are called. Knows nothing of what an event holds.

/// Events of a job, by number.
const JOB: [(&str, &str); 48] = [
    ("SUBMIT", "SubmitEvent"),
    ("EXECUTE", "ExecuteEvent"),
    ("EXECUTABLE_ERROR", "ExecutableErrorEvent"),
    ("CHECKPOINTED", "CheckpointedEvent"),
    ("JOB_EVICTED", "JobEvictedEvent"),
    ("JOB_TERMINATED", "JobTerminatedEvent"),
    ("IMAGE_SIZE", "JobImageSizeEvent"),
    ("SHADOW_EXCEPTION", "ShadowExceptionEvent"),
    ("GENERIC", "GenericEvent"),
    ("JOB_ABORTED", "JobAbortedEvent"),
    ("JOB_SUSPENDED", "JobSuspendedEvent"),
    ("JOB_UNSUSPENDED", "JobUnsuspendedEvent"),
    ("JOB_HELD", "JobHeldEvent"),
    // The one type whose name does not follow from the event's.
    ("JOB_RELEASED", "JobReleaseEvent"),
    ("NODE_EXECUTE", "NodeExecuteEvent"),
    ("NODE_TERMINATED", "NodeTerminatedEvent"),
    ("POST_SCRIPT_TERMINATED", "PostScriptTerminatedEvent"),
    ("GLOBUS_SUBMIT", FUTURE),
    ("GLOBUS_SUBMIT_FAILED", FUTURE),
    ("GLOBUS_RESOURCE_UP", FUTURE),
    ("GLOBUS_RESOURCE_DOWN", FUTURE),
    ("REMOTE_ERROR", "RemoteErrorEvent"),
    ("JOB_DISCONNECTED", "JobDisconnectedEvent"),
    ("JOB_RECONNECTED", "JobReconnectedEvent"),
    ("JOB_RECONNECT_FAILED", "JobReconnectFailedEvent"),
    ("GRID_RESOURCE_UP", "GridResourceUpEvent"),
    ("GRID_RESOURCE_DOWN", "GridResourceDownEvent"),
    ("GRID_SUBMIT", "GridSubmitEvent"),
    ("JOB_AD_INFORMATION", "JobAdInformationEvent"),
    ("JOB_STATUS_UNKNOWN", FUTURE),
    ("JOB_STATUS_KNOWN", FUTURE),
    ("JOB_STAGE_IN", FUTURE),
    ("JOB_STAGE_OUT", FUTURE),
    ("ATTRIBUTE_UPDATE", "AttributeUpdateEvent"),
    ("PRESKIP", FUTURE),
    ("CLUSTER_SUBMIT", "ClusterSubmitEvent"),
    ("CLUSTER_REMOVE", "ClusterRemoveEvent"),
    ("FACTORY_PAUSED", "FactoryPausedEvent"),
    ("FACTORY_RESUMED", "FactoryResumedEvent"),
    ("NONE", FUTURE),
    ("FILE_TRANSFER", "FileTransferEvent"),
    ("RESERVE_SPACE", "ReserveSpaceEvent"),
    ("RELEASE_SPACE", "ReleaseSpaceEvent"),
    ("FILE_COMPLETE", "FileCompleteEvent"),
    ("FILE_USED", "FileUsedEvent"),
    ("FILE_REMOVED", "FileRemovedEvent"),
    ("DATAFLOW_JOB_SKIPPED", "DataflowJobSkippedEvent"),
    ("COMMON_FILES", "CommonFilesEvent"),
];

/// Events of an execution point, from [`EP_FIRST`] on.
const EP: [(&str, &str); 13] = [
    ("EP_STARTUP", "EPStartupEvent"),
    ("EP_READY", "EPReadyEvent"),
    ("EP_RECONFIG", "EPReconfigEvent"),
    ("EP_SHUTDOWN", "EPShutdownEvent"),
    ("EP_REQUEST_CLAIM", "RequestClaimEvent"),
    ("EP_RELEASE_CLAIM", "ReleaseClaimEvent"),
    ("EP_ACTIVATE_CLAIM", "ActivateClaimEvent"),
    ("EP_DEACTIVATE_CLAIM", "DeactivateClaimEvent"),
    ("EP_VACATE_CLAIM", "VacateClaimEvent"),
    ("EP_DRAIN", "DrainEvent"),
    ("EP_RESOURCE_BREAK", "ResourceBreakEvent"),
    ("EP_RESOURCE_MEND", "ResourceMendEvent"),
    ("EP_FUTURE_EVENT", "EPFutureEvent"),
];

/// The number of the first event of an execution point.
pub(super) const EP_FIRST: u16 = 100;
/// What HTCondor calls an event that it does not know, or does not name in an ad.
const FUTURE: &str = "FutureEvent";

/// What HTCondor calls the event of a number, as in `JOB_TERMINATED`.
pub fn name(number: u16) -> &'static str {
    find(number).map_or("FUTURE_EVENT", |(name, _)| name)
}

/// The `MyType` of the event's ad.
pub fn my_type(number: u16) -> &'static str {
    find(number).map_or(FUTURE, |(_, my_type)| my_type)
}

/// Whether this is one of the events that an execution point writes.
pub(super) fn is_ep(number: u16) -> bool {
    number >= EP_FIRST && find(number).is_some()
}

fn find(number: u16) -> Option<(&'static str, &'static str)> {
    match number.checked_sub(EP_FIRST) {
        Some(at) => EP.get(usize::from(at)).copied(),
        None => JOB.get(usize::from(number)).copied(),
    }
}
