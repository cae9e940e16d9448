//! A job's specification after attributes of its ad were changed in the queue: which attributes
//! may be changed, and what they mean to the fields. The one place where fields are made from an
//! ad.

use classad::{AttrName, ClassAd, Expr, Value};

use super::policy::JobPolicy;
use super::quoting::split_raw;
use super::spec::JobSpec;
use super::{environment, job, values};

/// What the queue keeps itself: nobody else says it.
const OF_QUEUE: [&str; 35] = [
    "ClusterId",
    "CompletionDate",
    "CurrentHosts",
    "DAGManJobId",
    "DAGNodeName",
    "EnteredCurrentStatus",
    "ExitBySignal",
    "ExitCode",
    "ExitSignal",
    "GlobalJobId",
    "HoldReason",
    "HoldReasonCode",
    "HoldReasonSubCode",
    "JobCurrentStartDate",
    "JobCurrentStartExecutingDate",
    "JobStartDate",
    "JobStatus",
    "JobUniverse",
    "LastRemoteHost",
    "LastVacateTime",
    "MyType",
    "NumHolds",
    "NumJobCompletions",
    "NumJobStarts",
    "NumRestarts",
    "NumShadowStarts",
    "Owner",
    "ProcId",
    "QDate",
    "RemoteHost",
    "RemoteWallClockTime",
    "RemoveReason",
    "TargetType",
    "User",
    "WantTrain",
];
/// What says which files a job has: they were taken when it was submitted.
const OF_FILES: [&str; 9] = [
    "Cmd",
    "In",
    "Iwd",
    "ShouldTransferFiles",
    "TransferExecutable",
    "TransferInput",
    "TransferInputFiles",
    "UserLog",
    "WhenToTransferOutput",
];
/// Attributes of one edit.
pub const EDITS_MAX: usize = 1_000;
/// Bytes of one edit's expression.
const EXPR_BYTES_MAX: usize = 64 << 10;

/// An attribute that cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditError {
    pub name: String,
    pub reason: String,
}

impl std::fmt::Display for EditError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.name, self.reason)
    }
}

impl std::error::Error for EditError {}

/// Reads `NAME = EXPR` pairs. What can be told to be wrong without any job is refused here.
///
/// # Errors
/// The first attribute that must not be changed, or whose value cannot be read or cannot be meant.
pub fn parse_edits<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<ClassAd, EditError> {
    let mut edits = ClassAd::new();
    for (name, text) in pairs {
        let name = name.trim();
        may_edit(name)?;
        let refused = |reason: String| error(name, reason);
        if text.len() > EXPR_BYTES_MAX {
            let bytes = text.len();
            return Err(refused(format!(
                "has a value of {bytes} bytes, more than {EXPR_BYTES_MAX} (EXPR_BYTES_MAX)"
            )));
        }
        let expr = Expr::parse(text).map_err(|found| {
            let column = text[..found.offset].chars().count() + 1;
            refused(format!("cannot be `{text}`: column {column}: {found}"))
        })?;
        if edits.len() >= EDITS_MAX {
            return Err(refused(format!(
                "is one too many: at most {EDITS_MAX} attributes at a time"
            )));
        }
        edits.insert(name, expr);
    }
    for (name, expr) in edits.iter() {
        if let Some(field) = Field::of(name).filter(|_| expr.is_literal()) {
            field.check(name, expr, &edits)?;
        }
    }
    Ok(edits)
}

fn may_edit(name: &str) -> Result<(), EditError> {
    let among = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(error(name, "is no attribute name"));
    }
    if among(&OF_QUEUE) {
        return Err(error(name, "is the queue's own and cannot be changed"));
    }
    if among(&OF_FILES) {
        let reason = "cannot be changed: the job's files were taken when it was submitted";
        return Err(error(name, reason));
    }
    Ok(())
}

fn error(name: impl Into<String>, reason: impl Into<String>) -> EditError {
    EditError {
        name: name.into(),
        reason: reason.into(),
    }
}

/// A field of the specification that an attribute stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Cpus,
    Memory,
    Disk,
    Gpus,
    GpuMemory,
    /// A custom resource, by its name in lower case.
    Other(String),
    Priority,
    MaxRetries,
    SuccessExitCode,
    Lease,
    KillSignal,
    BatchName,
    Arguments,
    OldArguments,
    Environment,
    OldEnvironment,
    Stdout,
    Stderr,
    Outputs,
    Remaps,
}

impl Field {
    fn of(name: &AttrName) -> Option<Field> {
        let folded = name.folded();
        Some(match folded.as_ref() {
            "requestcpus" => Field::Cpus,
            "requestmemory" => Field::Memory,
            "requestdisk" => Field::Disk,
            "requestgpus" => Field::Gpus,
            "requestgpumemory" => Field::GpuMemory,
            "jobprio" => Field::Priority,
            "jobmaxretries" => Field::MaxRetries,
            "jobsuccessexitcode" => Field::SuccessExitCode,
            "jobleaseduration" => Field::Lease,
            "killsig" => Field::KillSignal,
            "jobbatchname" => Field::BatchName,
            "arguments" => Field::Arguments,
            "args" => Field::OldArguments,
            "environment" => Field::Environment,
            "env" => Field::OldEnvironment,
            "out" => Field::Stdout,
            "err" => Field::Stderr,
            "transferoutput" => Field::Outputs,
            "transferoutputremaps" => Field::Remaps,
            // HTCondor has a few attributes that only begin alike.
            other if other.starts_with("requested") => return None,
            other => Field::Other(other.strip_prefix("request")?.to_owned()),
        })
    }

    /// Whether its value can be meant, as far as that can be told from `ad`.
    fn check(&self, name: &AttrName, expr: &Expr, ad: &ClassAd) -> Result<(), EditError> {
        let mut scratch = ad.clone();
        scratch.insert(name.clone(), expr.clone());
        Reader {
            ad: &scratch,
            name: name.as_str(),
        }
        .check(self)
    }
}

/// Reads the value of one attribute.
struct Reader<'a> {
    ad: &'a ClassAd,
    name: &'a str,
}

impl Reader<'_> {
    fn value(&self) -> Value {
        self.ad.eval(self.name)
    }

    fn wrong<T>(&self, expected: &str) -> Result<T, EditError> {
        let shown = self
            .ad
            .get(self.name)
            .map_or(String::new(), ToString::to_string);
        Err(error(
            self.name,
            format!("cannot be `{shown}` (expected {expected})"),
        ))
    }

    fn whole(&self, expected: &str) -> Result<i64, EditError> {
        match self.value() {
            Value::Int(number) => Ok(number),
            _ => self.wrong(expected),
        }
    }

    fn amount(&self, unit: &str) -> Result<u64, EditError> {
        let expected = format!("{unit}, 0 or more");
        let number = match self.value() {
            Value::Int(number) => u64::try_from(number).ok(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "amounts saturate; a fraction is rounded up"
            )]
            Value::Real(number) if number.is_finite() && number >= 0.0 => {
                Some((number.ceil() as u64).min(i64::MAX as u64))
            }
            _ => None,
        };
        number.map_or_else(|| self.wrong(&expected), Ok)
    }

    fn count(&self) -> Result<u32, EditError> {
        let expected = format!("a whole number from 0 to {}", u32::MAX);
        match u32::try_from(self.whole(&expected)?) {
            Ok(number) => Ok(number),
            Err(_) => self.wrong(&expected),
        }
    }

    fn text(&self) -> Result<String, EditError> {
        match self.value().as_str() {
            Some(text) => Ok(text.to_owned()),
            None => self.wrong("a string"),
        }
    }

    /// A string, or nothing where the attribute is undefined.
    fn text_if_any(&self) -> Result<Option<String>, EditError> {
        match self.value() {
            Value::Undefined => Ok(None),
            _ => self
                .text()
                .map(|text| Some(text).filter(|text| !text.is_empty())),
        }
    }

    fn read<T>(&self, read: Result<T, String>) -> Result<T, EditError> {
        read.map_err(|reason| error(self.name, format!("cannot be read: {reason}")))
    }

    fn check(&self, field: &Field) -> Result<(), EditError> {
        match field {
            Field::Cpus | Field::Gpus | Field::MaxRetries => self.count().map(drop),
            Field::Memory | Field::GpuMemory => self.amount("a number of MiB").map(drop),
            Field::Disk => self.amount("a number of KiB").map(drop),
            Field::Other(_) => self.other().map(drop),
            Field::Priority | Field::SuccessExitCode => self.number_i32().map(drop),
            Field::Lease => self.lease().map(drop),
            Field::KillSignal => self.signal().map(drop),
            Field::BatchName | Field::Stdout | Field::Stderr | Field::Outputs => {
                self.text_if_any().map(drop)
            }
            Field::Arguments => self.read(split_raw(&self.text()?)).map(drop),
            Field::OldArguments => self.text().map(drop),
            Field::Environment | Field::OldEnvironment => self.text().map(drop),
            Field::Remaps => self.read(values::remaps(&self.text()?)).map(drop),
        }
    }

    fn number_i32(&self) -> Result<i32, EditError> {
        let expected = format!("a whole number from {} to {}", i32::MIN, i32::MAX);
        match i32::try_from(self.whole(&expected)?) {
            Ok(number) => Ok(number),
            Err(_) => self.wrong(&expected),
        }
    }

    /// Of a custom resource: none where it is a text for its own clause to read.
    fn other(&self) -> Result<Option<u64>, EditError> {
        match self.value() {
            Value::Str(_) => Ok(None),
            _ => self.amount("a number").map(Some),
        }
    }

    fn lease(&self) -> Result<Option<u64>, EditError> {
        match self.value() {
            Value::Undefined => Ok(None),
            _ => self.amount("a number of seconds").map(Some),
        }
    }

    fn signal(&self) -> Result<String, EditError> {
        let text = match self.value() {
            Value::Int(number) => number.to_string(),
            _ => self.text()?,
        };
        match job::signal_name(&text) {
            Some(name) => Ok(name),
            None => self.wrong("a signal, such as \"SIGTERM\""),
        }
    }
}

impl JobSpec {
    /// The job with attributes of its ad changed: the ad, and every field that stands for one of
    /// them or for something that is computed from one.
    ///
    /// # Errors
    /// The attribute whose value means nothing for its field.
    pub fn edited(mut self, edits: &ClassAd) -> Result<JobSpec, EditError> {
        self.ad.merge(edits);
        let ad = self.ad.clone();
        let is_touched = |name: &AttrName, expr: &Expr| {
            edits.get_name(name).is_some()
                || ad.references(expr).is_some_and(|found| {
                    found
                        .internal
                        .iter()
                        .any(|reached| edits.get_name(reached).is_some())
                })
        };
        for (name, expr) in ad.iter() {
            if let Some(field) = Field::of(name).filter(|_| is_touched(name, expr)) {
                let reader = Reader {
                    ad: &ad,
                    name: name.as_str(),
                };
                self.put(&field, &reader)?;
            }
        }
        if let Some(expr) = edits.get("Requirements") {
            self.requirements = Some(expr.clone());
        }
        if let Some(expr) = edits.get("Rank") {
            self.rank = Some(expr.clone());
        }
        self.policy = JobPolicy {
            retry_until: self.policy.retry_until.take(),
            ..JobPolicy::of(&ad)
        };
        Ok(self)
    }

    fn put(&mut self, field: &Field, reader: &Reader<'_>) -> Result<(), EditError> {
        match field {
            Field::Cpus => self.request_cpus = reader.count()?,
            Field::Gpus => self.request_gpus = reader.count()?,
            Field::Memory => self.request_memory_mib = reader.amount("a number of MiB")?,
            Field::Disk => self.request_disk_kib = reader.amount("a number of KiB")?,
            Field::GpuMemory => {
                self.request_gpu_memory_mib = Some(reader.amount("a number of MiB")?);
            }
            Field::Other(name) => {
                if let Some(amount) = reader.other()? {
                    self.request_other.insert(name.clone(), amount);
                }
            }
            Field::Priority => self.priority = i64::from(reader.number_i32()?),
            Field::MaxRetries => self.max_retries = reader.count()?,
            Field::SuccessExitCode => self.success_exit_code = reader.number_i32()?,
            Field::Lease => self.lease_s = reader.lease()?,
            Field::KillSignal => self.kill_signal = reader.signal()?,
            Field::BatchName => self.batch_name = reader.text_if_any()?,
            Field::Arguments => self.arguments = reader.read(split_raw(&reader.text()?))?,
            Field::OldArguments => {
                let text = reader.text()?;
                self.arguments = text.split_ascii_whitespace().map(str::to_owned).collect();
            }
            Field::Environment => {
                let entries = reader.read(split_raw(&reader.text()?))?;
                self.environment = reader.read(environment::entries(entries))?;
            }
            Field::OldEnvironment => {
                self.environment = reader.read(environment::parse(&reader.text()?))?;
            }
            Field::Stdout => self.stdout = reader.text_if_any()?,
            Field::Stderr => self.stderr = reader.text_if_any()?,
            Field::Outputs => {
                self.transfer_output = reader.text_if_any()?.map(|text| values::list(&text));
            }
            Field::Remaps => self.output_remaps = reader.read(values::remaps(&reader.text()?))?,
        }
        Ok(())
    }
}
