//! Messages to nouns and back. From the wire everything is doubted: what is missing, malformed or
//! out of range is an error that names the field.

use std::str::FromStr;

use crate::nouns::{
    Blob, ClaimId, Digest, Ended, Exceeds, Fault, GpuNaming, Input, LogStream, Offer, OfferedGpu,
    Outputs, Program, RelPath, Report, ToManager, ToWorker, VacateReason, WorkOrder,
};
use crate::wire;

/// A message that does not say what it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub field: &'static str,
    pub reason: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed message: {}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for tonic::Status {
    fn from(malformed: Malformed) -> tonic::Status {
        tonic::Status::invalid_argument(malformed.to_string())
    }
}

type Convert<T> = Result<T, Malformed>;

/// Parses a field that holds an identifier or path as text.
pub fn parse<T: FromStr>(field: &'static str, text: &str) -> Convert<T>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Malformed {
        field,
        reason: error.to_string(),
    })
}

/// Batches are taken apart before their messages are read.
fn nested() -> Malformed {
    Malformed {
        field: "batch",
        reason: "a batch holds no batches".to_owned(),
    }
}

fn present<T>(field: &'static str, value: Option<T>) -> Convert<T> {
    value.ok_or_else(|| Malformed {
        field,
        reason: "it is missing".to_owned(),
    })
}

fn parse_all<T: FromStr>(field: &'static str, texts: &[String]) -> Convert<Vec<T>>
where
    T::Err: std::fmt::Display,
{
    texts.iter().map(|text| parse(field, text)).collect()
}

// === blobs ===

impl From<Blob> for wire::Blob {
    fn from(blob: Blob) -> wire::Blob {
        let Blob {
            digest,
            bytes,
            executable,
        } = blob;
        wire::Blob {
            digest: digest.to_string(),
            bytes,
            executable,
        }
    }
}

impl TryFrom<wire::Blob> for Blob {
    type Error = Malformed;

    fn try_from(blob: wire::Blob) -> Convert<Blob> {
        let digest: Digest = parse("blob.digest", &blob.digest)?;
        Ok(Blob {
            digest,
            bytes: blob.bytes,
            executable: blob.executable,
        })
    }
}

fn file(path: &RelPath, blob: Blob) -> wire::File {
    wire::File {
        path: path.to_string(),
        blob: Some(blob.into()),
    }
}

fn from_file(file: wire::File) -> Convert<(RelPath, Blob)> {
    let path = parse("file.path", &file.path)?;
    Ok((path, present("file.blob", file.blob)?.try_into()?))
}

// === offers ===

impl From<Offer> for wire::Offer {
    fn from(offer: Offer) -> wire::Offer {
        let Offer {
            ad,
            cpus,
            memory_mib,
            disk_kib,
            gpus,
            resources,
        } = offer;
        let gpu = |OfferedGpu { id, ad, broken }| wire::Gpu { id, ad, broken };
        wire::Offer {
            ad,
            cpus,
            memory_mib,
            disk_kib,
            gpus: gpus.into_iter().map(gpu).collect(),
            resources,
        }
    }
}

impl From<wire::Offer> for Offer {
    fn from(offer: wire::Offer) -> Offer {
        let wire::Offer {
            ad,
            cpus,
            memory_mib,
            disk_kib,
            gpus,
            resources,
        } = offer;
        let gpu = |wire::Gpu { id, ad, broken }| OfferedGpu { id, ad, broken };
        Offer {
            ad,
            cpus,
            memory_mib,
            disk_kib,
            gpus: gpus.into_iter().map(gpu).collect(),
            resources,
        }
    }
}

// === reports ===

impl From<Report> for wire::Report {
    fn from(report: Report) -> wire::Report {
        use wire::report::Ended as Wire;
        let ended = match report.ended {
            Ended::Exited(code) => Wire::Exited(code),
            Ended::Signaled(signal) => Wire::Signaled(signal),
            Ended::Vacated => Wire::Vacated(wire::Vacated {}),
            Ended::Exceeded { resource, used_mib } => {
                let resource = match resource {
                    Exceeds::Memory => wire::exceeded::Resource::Memory,
                    Exceeds::GpuMemory => wire::exceeded::Resource::GpuMemory,
                    Exceeds::Disk => wire::exceeded::Resource::Disk,
                };
                Wire::Exceeded(wire::Exceeded {
                    resource: resource.into(),
                    used_mib,
                })
            }
            Ended::NotStarted { fault, reason } => Wire::NotStarted(wire::NotStarted {
                job_fault: fault == Fault::Job,
                reason,
            }),
        };
        wire::Report {
            ended: Some(ended),
            started_ms: report.started_ms,
            ended_ms: report.ended_ms,
            user_cpu_ms: report.user_cpu_ms,
            system_cpu_ms: report.system_cpu_ms,
            rss_max_kib: report.rss_max_kib,
            outputs: report
                .outputs
                .iter()
                .map(|(path, blob)| file(path, *blob))
                .collect(),
            missing: report.missing.iter().map(RelPath::to_string).collect(),
            stdout: report.stdout.map(Into::into),
            stderr: report.stderr.map(Into::into),
            metrics: report.metrics,
            metrics_error: report.metrics_error,
        }
    }
}

impl TryFrom<wire::Report> for Report {
    type Error = Malformed;

    fn try_from(report: wire::Report) -> Convert<Report> {
        use wire::report::Ended as Wire;
        let ended = match present("report.ended", report.ended)? {
            Wire::Exited(code) => Ended::Exited(code),
            Wire::Signaled(signal) => Ended::Signaled(signal),
            Wire::Vacated(wire::Vacated {}) => Ended::Vacated,
            Wire::Exceeded(exceeded) => Ended::Exceeded {
                resource: match exceeded.resource() {
                    wire::exceeded::Resource::GpuMemory => Exceeds::GpuMemory,
                    wire::exceeded::Resource::Disk => Exceeds::Disk,
                    wire::exceeded::Resource::Memory | wire::exceeded::Resource::Unspecified => {
                        Exceeds::Memory
                    }
                },
                used_mib: exceeded.used_mib,
            },
            Wire::NotStarted(wire::NotStarted { job_fault, reason }) => {
                let fault = if job_fault { Fault::Job } else { Fault::Worker };
                Ended::NotStarted { fault, reason }
            }
        };
        Ok(Report {
            ended,
            started_ms: report.started_ms,
            ended_ms: report.ended_ms,
            user_cpu_ms: report.user_cpu_ms,
            system_cpu_ms: report.system_cpu_ms,
            rss_max_kib: report.rss_max_kib,
            outputs: report
                .outputs
                .into_iter()
                .map(from_file)
                .collect::<Convert<_>>()?,
            missing: parse_all("report.missing", &report.missing)?,
            stdout: report.stdout.map(TryInto::try_into).transpose()?,
            stderr: report.stderr.map(TryInto::try_into).transpose()?,
            // What is no number cannot be compared, and has no JSON form to be stored in.
            metrics: report
                .metrics
                .into_iter()
                .filter(|(_, value)| value.is_finite())
                .collect(),
            metrics_error: report.metrics_error,
        })
    }
}

// === work orders ===

impl From<WorkOrder> for wire::WorkOrder {
    fn from(order: WorkOrder) -> wire::WorkOrder {
        use wire::work_order::Program as Wire;
        let program = match order.program {
            Program::Staged(path) => Wire::Staged(path.to_string()),
            Program::Installed(name) => Wire::Installed(name),
            Program::Trainer => Wire::Trainer(wire::Trainer {}),
        };
        let outputs = match order.outputs {
            Outputs::New => None,
            Outputs::Listed(paths) => Some(wire::Listed {
                paths: paths.iter().map(RelPath::to_string).collect(),
            }),
        };
        let gpu_naming = match order.gpu_naming {
            GpuNaming::Uuid => wire::GpuNaming::Uuid,
            GpuNaming::Index => wire::GpuNaming::Index,
        };
        wire::WorkOrder {
            job: order.job.to_string(),
            attempt: order.attempt,
            owner: order.owner,
            program: Some(program),
            arguments: order.arguments,
            environment: order.environment,
            inputs: order
                .inputs
                .iter()
                .map(|input| file(&input.path, input.blob))
                .collect(),
            stdin: order.stdin.map(|path| path.to_string()),
            outputs,
            cpus: order.cpus,
            memory_mib: order.memory_mib,
            gpus: order.gpus,
            params: order.params,
            kill_signal: order.kill_signal,
            kill_grace_ms: order.kill_grace_ms,
            gpu_memory_mib: order.gpu_memory_mib,
            gpu_naming: gpu_naming.into(),
            resources: order.resources,
        }
    }
}

impl TryFrom<wire::WorkOrder> for WorkOrder {
    type Error = Malformed;

    fn try_from(order: wire::WorkOrder) -> Convert<WorkOrder> {
        use wire::work_order::Program as Wire;
        let gpu_naming = match order.gpu_naming() {
            wire::GpuNaming::Unspecified | wire::GpuNaming::Uuid => GpuNaming::Uuid,
            wire::GpuNaming::Index => GpuNaming::Index,
        };
        let program = match present("order.program", order.program)? {
            Wire::Staged(path) => Program::Staged(parse("order.staged", &path)?),
            Wire::Installed(name) => Program::Installed(name),
            Wire::Trainer(wire::Trainer {}) => Program::Trainer,
        };
        let outputs = match order.outputs {
            None => Outputs::New,
            Some(listed) => Outputs::Listed(parse_all("order.outputs", &listed.paths)?),
        };
        let input = |file| from_file(file).map(|(path, blob)| Input { path, blob });
        Ok(WorkOrder {
            job: parse("order.job", &order.job)?,
            attempt: order.attempt,
            owner: order.owner,
            program,
            arguments: order.arguments,
            environment: order.environment,
            inputs: order
                .inputs
                .into_iter()
                .map(input)
                .collect::<Convert<_>>()?,
            stdin: order
                .stdin
                .map(|path| parse("order.stdin", &path))
                .transpose()?,
            outputs,
            cpus: order.cpus,
            memory_mib: order.memory_mib,
            gpus: order.gpus,
            params: order.params,
            kill_signal: order.kill_signal,
            kill_grace_ms: order.kill_grace_ms,
            gpu_memory_mib: order.gpu_memory_mib,
            gpu_naming,
            resources: order.resources,
        })
    }
}

// === sessions ===

fn claims(claims: &[ClaimId]) -> Vec<String> {
    claims.iter().map(ClaimId::to_string).collect()
}

impl From<ToManager> for wire::WorkerMessage {
    fn from(message: ToManager) -> wire::WorkerMessage {
        use wire::worker_message::Kind;
        let kind = match message {
            ToManager::Hello {
                worker,
                boot,
                version,
                offer,
                claims: known,
                cached,
            } => Kind::Hello(wire::Hello {
                worker: worker.to_string(),
                boot,
                version,
                offer: Some(offer.into()),
                claims: claims(&known),
                cached: cached.iter().map(Digest::to_string).collect(),
            }),
            ToManager::Advertise { offer } => Kind::Advertise(offer.into()),
            ToManager::Beat { claims: known } => Kind::Beat(wire::Beat {
                claims: claims(&known),
            }),
            ToManager::Started { claim } => Kind::Started(wire::Started {
                claim: claim.to_string(),
            }),
            ToManager::Progress { claim, lines } => Kind::Progress(wire::Progress {
                claim: claim.to_string(),
                lines,
            }),
            ToManager::Finished { claim, report } => {
                let report = Some((*report).into());
                Kind::Finished(wire::Finished {
                    claim: claim.to_string(),
                    report,
                })
            }
            ToManager::Log {
                request,
                offset,
                bytes,
            } => Kind::Log(wire::LogBytes {
                request,
                offset,
                bytes,
            }),
        };
        wire::WorkerMessage { kind: Some(kind) }
    }
}

impl TryFrom<wire::WorkerMessage> for ToManager {
    type Error = Malformed;

    fn try_from(message: wire::WorkerMessage) -> Convert<ToManager> {
        use wire::worker_message::Kind;
        Ok(match present("kind", message.kind)? {
            Kind::Hello(hello) => ToManager::Hello {
                worker: parse("hello.worker", &hello.worker)?,
                boot: hello.boot,
                version: hello.version,
                offer: present("hello.offer", hello.offer)?.into(),
                claims: parse_all("hello.claims", &hello.claims)?,
                cached: parse_all("hello.cached", &hello.cached)?,
            },
            Kind::Advertise(offer) => ToManager::Advertise {
                offer: offer.into(),
            },
            Kind::Beat(beat) => ToManager::Beat {
                claims: parse_all("beat.claims", &beat.claims)?,
            },
            Kind::Started(started) => ToManager::Started {
                claim: parse("started.claim", &started.claim)?,
            },
            Kind::Progress(progress) => ToManager::Progress {
                claim: parse("progress.claim", &progress.claim)?,
                lines: progress.lines,
            },
            Kind::Finished(finished) => ToManager::Finished {
                claim: parse("finished.claim", &finished.claim)?,
                report: Box::new(present("finished.report", finished.report)?.try_into()?),
            },
            Kind::Log(wire::LogBytes {
                request,
                offset,
                bytes,
            }) => ToManager::Log {
                request,
                offset,
                bytes,
            },
            Kind::Batch(_) => return Err(nested()),
        })
    }
}

impl From<ToWorker> for wire::ManagerMessage {
    fn from(message: ToWorker) -> wire::ManagerMessage {
        use wire::manager_message::Kind;
        use wire::vacate::Reason;
        let kind = match message {
            ToWorker::Welcome {
                pool,
                lease_ms,
                beat_ms,
            } => Kind::Welcome(wire::Welcome {
                pool,
                lease_ms,
                beat_ms,
            }),
            ToWorker::Activate {
                claim,
                order,
                behind,
            } => {
                let order = Some((*order).into());
                Kind::Activate(wire::Activate {
                    claim: claim.to_string(),
                    order,
                    behind: behind.map(|behind| behind.to_string()),
                })
            }
            ToWorker::Vacate {
                claim,
                reason,
                grace_ms,
            } => {
                let reason = match reason {
                    VacateReason::Stale => Reason::Stale,
                    VacateReason::Held => Reason::Held,
                    VacateReason::Removed => Reason::Removed,
                    VacateReason::Preempted => Reason::Preempted,
                    VacateReason::Drained => Reason::Drained,
                    VacateReason::CalledBack => Reason::CalledBack,
                };
                Kind::Vacate(wire::Vacate {
                    claim: claim.to_string(),
                    reason: reason.into(),
                    grace_ms,
                })
            }
            ToWorker::Forget { claim } => Kind::Forget(wire::Forget {
                claim: claim.to_string(),
            }),
            ToWorker::Tail {
                request,
                claim,
                stream,
                offset,
            } => Kind::Tail(wire::Tail {
                request,
                claim: claim.to_string(),
                stderr: stream == LogStream::Stderr,
                offset,
            }),
            ToWorker::Goodbye { reason } => Kind::Goodbye(wire::Goodbye { reason }),
            ToWorker::Leave { reason } => Kind::Leave(wire::Leave { reason }),
        };
        wire::ManagerMessage { kind: Some(kind) }
    }
}

impl TryFrom<wire::ManagerMessage> for ToWorker {
    type Error = Malformed;

    fn try_from(message: wire::ManagerMessage) -> Convert<ToWorker> {
        use wire::manager_message::Kind;
        use wire::vacate::Reason;
        Ok(match present("kind", message.kind)? {
            Kind::Welcome(wire::Welcome {
                pool,
                lease_ms,
                beat_ms,
            }) => ToWorker::Welcome {
                pool,
                lease_ms,
                beat_ms,
            },
            Kind::Activate(activate) => ToWorker::Activate {
                claim: parse("activate.claim", &activate.claim)?,
                order: Box::new(present("activate.order", activate.order)?.try_into()?),
                behind: activate
                    .behind
                    .map(|behind| parse("activate.behind", &behind))
                    .transpose()?,
            },
            Kind::Vacate(vacate) => {
                let reason = match vacate.reason() {
                    Reason::Unspecified | Reason::Stale => VacateReason::Stale,
                    Reason::Held => VacateReason::Held,
                    Reason::Removed => VacateReason::Removed,
                    Reason::Preempted => VacateReason::Preempted,
                    Reason::Drained => VacateReason::Drained,
                    Reason::CalledBack => VacateReason::CalledBack,
                };
                ToWorker::Vacate {
                    claim: parse("vacate.claim", &vacate.claim)?,
                    reason,
                    grace_ms: vacate.grace_ms,
                }
            }
            Kind::Forget(forget) => ToWorker::Forget {
                claim: parse("forget.claim", &forget.claim)?,
            },
            Kind::Tail(tail) => ToWorker::Tail {
                request: tail.request,
                claim: parse("tail.claim", &tail.claim)?,
                stream: if tail.stderr {
                    LogStream::Stderr
                } else {
                    LogStream::Stdout
                },
                offset: tail.offset,
            },
            Kind::Goodbye(goodbye) => ToWorker::Goodbye {
                reason: goodbye.reason,
            },
            Kind::Leave(leave) => ToWorker::Leave {
                reason: leave.reason,
            },
            Kind::Batch(_) => return Err(nested()),
        })
    }
}
