//! What a worker is told by whoever starts it, and the plan that comes of it together with the
//! configuration file and what is found on the machine. Flags win over the file, the file over what
//! is found.

use std::path::PathBuf;
use std::time::Duration;

use classad::Expr;
use nix::unistd::gethostname;
use proto::nouns::WorkerName;
use tonic::transport::Endpoint;

use crate::WorkerError;
use crate::config::{Config, is_attribute_name, resource_name};
use crate::discovery::{self, Found, Wanted};

/// What this build calls itself.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Default size limit of the cache of staged files.
pub const CACHE_BYTES_MAX: u64 = 10 << 30;
/// How often the GPUs are looked at again, by default.
pub const GPU_LOOK_MS: u64 = 60_000;
/// How long a worker that was asked to stop may take, all in all.
pub const STOP_MS_MAX: u64 = 15_000;
/// How much of that a job gets to end by itself, however long its own grace is.
pub const STOP_GRACE_MS_MAX: u64 = 10_000;
/// How long a stopping worker without jobs waits for the manager to acknowledge the last reports.
/// What is not acknowledged stays on disk and is said again by the next worker in the same state
/// directory.
pub const STOP_ACK_MS_MAX: u64 = 3_000;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that says nothing is asked after this long, and given up after that.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 flow control: bytes under way of one blob, and of all.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// What the command line gives.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `host:port` of the manager. May be empty if the configuration names it.
    pub manager: String,
    /// The worker's own directory: cache, jobs, reports. One worker at a time.
    pub state_dir: PathBuf,
    /// Default: the host's name.
    pub name: Option<WorkerName>,
    /// Cores to offer. Default: those that this process may use.
    pub cpus: Option<u32>,
    /// Memory to offer, MiB. Default: the machine's, or its control group's limit.
    pub memory_mib: Option<u64>,
    /// Attributes of the machine's ad, each `NAME = expression`.
    pub attributes: Vec<String>,
    /// A condor-style configuration file; see [`crate::config`].
    pub config: Option<PathBuf>,
    /// GPUs to pretend to have, each `MODEL:N`; then real ones are not offered.
    pub simulate_gpus: Vec<String>,
    /// A file that names those of them which are broken; it is read each time they are looked at.
    pub simulate_broken_gpus: Option<PathBuf>,
    /// How often GPUs are looked at, milliseconds; 0 means [`GPU_LOOK_MS`].
    pub gpu_look_ms: u64,
    /// Custom resources to offer, each `NAME=N`.
    pub resources: Vec<String>,
    /// What becomes of a job that uses more memory than it asked for.
    pub enforcement: Enforcement,
    /// Size limit of the cache, bytes; 0 means the configuration's or [`CACHE_BYTES_MAX`].
    pub cache_bytes_max: u64,
    /// The program whose `train` verb is the trainer: the running binary.
    pub trainer: PathBuf,
}

/// What becomes of a job that uses more memory than it asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// It is killed, and reported to have used too much.
    #[default]
    Kill,
    /// Nothing, unless the machine kills it.
    Leave,
}

/// Everything decided that can be decided before anything is touched.
#[derive(Debug)]
pub(crate) struct Plan {
    pub endpoint: Endpoint,
    pub name: WorkerName,
    pub found: Found,
    pub wanted: Wanted,
    pub look_period: Duration,
    pub state_dir: PathBuf,
    pub cache_bytes_max: u64,
    pub trainer: PathBuf,
    pub enforcement: Enforcement,
}

/// Settings, configuration and discovery put together. Warnings go to the log.
pub(crate) fn plan(settings: Settings) -> Result<Plan, WorkerError> {
    let config = read_config(&settings)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let host = gethostname()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = match settings.name.or(config.name) {
        Some(name) => name,
        None => host
            .parse()
            .map_err(|error: proto::nouns::ParseIdError| WorkerError::NoName {
                host: host.clone(),
                reason: error.to_string(),
            })?,
    };
    let manager = match (settings.manager.as_str(), config.manager) {
        ("", None) => return Err(WorkerError::NoManager),
        ("", Some(manager)) => manager,
        (manager, _) => manager.to_owned(),
    };
    let mut attributes = config.attributes;
    for text in &settings.attributes {
        attributes.push(parse_attribute(text)?);
    }
    let mut resources = config.resources;
    for text in &settings.resources {
        let (name, amount) = parse_resource(text)?;
        resources.insert(name, amount);
    }
    std::fs::create_dir_all(&settings.state_dir).map_err(|source| WorkerError::State {
        path: settings.state_dir.clone(),
        source,
    })?;
    let wanted = Wanted {
        host,
        name: name.clone(),
        state_dir: settings.state_dir.clone(),
        cpus: settings.cpus.or(config.cpus),
        memory_mib: settings.memory_mib.or(config.memory_mib),
        requirements: config.requirements,
        rank: config.rank,
        attributes,
        simulate_gpus: if settings.simulate_gpus.is_empty() {
            config.simulate_gpus
        } else {
            settings.simulate_gpus
        },
        simulate_broken_gpus: settings.simulate_broken_gpus,
        resources,
    };
    let cache_bytes_max = match settings.cache_bytes_max {
        0 => config.cache_bytes_max.unwrap_or(CACHE_BYTES_MAX),
        bytes => bytes,
    };
    Ok(Plan {
        endpoint: endpoint(&manager)?,
        name,
        found: discovery::look(&wanted)?,
        wanted,
        look_period: Duration::from_millis(match settings.gpu_look_ms {
            0 => GPU_LOOK_MS,
            ms => ms,
        }),
        state_dir: settings.state_dir,
        cache_bytes_max,
        trainer: settings.trainer,
        enforcement: settings.enforcement,
    })
}

fn read_config(settings: &Settings) -> Result<Config, WorkerError> {
    let Some(path) = &settings.config else {
        return Ok(Config::default());
    };
    let text = std::fs::read_to_string(path).map_err(|source| WorkerError::ConfigFile {
        path: path.clone(),
        source,
    })?;
    Ok(Config::parse(&path.display().to_string(), &text)?)
}

/// Reads `NAME = expression`.
fn parse_attribute(text: &str) -> Result<(String, Expr), WorkerError> {
    let wrong = |reason: String| WorkerError::Attribute {
        text: text.to_owned(),
        reason,
    };
    let (name, expr) = text
        .split_once('=')
        .ok_or_else(|| wrong("it has no `=`".to_owned()))?;
    let name = name.trim();
    if !is_attribute_name(name) {
        return Err(wrong(format!("`{name}` is not a name")));
    }
    let expr = Expr::parse_old(expr.trim()).map_err(|error| {
        let column = text.len() - expr.trim_start().len() + error.offset + 1;
        wrong(format!("column {column}: {error}"))
    })?;
    Ok((name.to_owned(), expr))
}

/// Reads `NAME=N`. The name is given back in lower case.
fn parse_resource(text: &str) -> Result<(String, u64), WorkerError> {
    let wrong = |reason: String| WorkerError::Resource {
        text: text.to_owned(),
        reason,
    };
    let (name, amount) = text
        .split_once('=')
        .ok_or_else(|| wrong("it has no `=`".to_owned()))?;
    let (name, amount) = (name.trim(), amount.trim());
    let name = resource_name(name).map_err(wrong)?;
    let amount = amount
        .parse()
        .map_err(|_| wrong(format!("`{amount}` is not a whole number")))?;
    Ok((name, amount))
}

fn endpoint(manager: &str) -> Result<Endpoint, WorkerError> {
    let wrong = |reason: String| WorkerError::ManagerAddress {
        text: manager.to_owned(),
        reason,
    };
    let uri = match manager.split_once("://") {
        None => format!("http://{manager}"),
        Some(("http", _)) => manager.to_owned(),
        Some((scheme, _)) => return Err(wrong(format!("`{scheme}` is not spoken here"))),
    };
    let endpoint = Endpoint::from_shared(uri).map_err(|error| wrong(error.to_string()))?;
    if endpoint.uri().port().is_none() {
        return Err(wrong("it has no port".to_owned()));
    }
    Ok(endpoint
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_they_are_used() {
        for good in ["127.0.0.1:9600", "http://manager:9600", "[::1]:9600"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["manager", "ftp://manager:1", "a b:1", "manager:99999", ""] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resources_are_checked_before_they_are_used() {
        assert_eq!(
            parse_resource("Licence = 3").unwrap(),
            ("licence".to_owned(), 3)
        );
        let rows = [
            ("licence", "it has no `=`"),
            ("1x=2", "`1x` is not a name"),
            ("x=-1", "`-1` is not a whole number"),
            ("GPUs=2", "`GPUs` is no custom resource"),
        ];
        for (text, expected) in rows {
            let error = parse_resource(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn attributes_are_checked_before_they_are_used() {
        let (name, expr) = parse_attribute(" HAS_GPU = TARGET.RequestGpus > 0").unwrap();
        assert_eq!(
            (name.as_str(), expr.to_old().as_str()),
            ("HAS_GPU", "TARGET.RequestGpus > 0")
        );
        let rows = [
            ("HAS_GPU", "no `=`"),
            ("1X = 2", "`1X` is not a name"),
            ("X = ", "column"),
            ("X = (1", "column"),
        ];
        for (text, expected) in rows {
            let error = parse_attribute(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
