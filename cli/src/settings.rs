//! What holds for every verb, from four places: flags > environment (`UPDRAFT_*`) > configuration
//! file > default.
//!
//! clap has merged flags and environment before this file sees them; here the configuration file
//! comes in. What only one verb can be told stays in its arguments.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use dags::diagnostic::did_you_mean;

use crate::args::Common;
use crate::exit::Failure;
use crate::output::Format;

/// Where a manager listens, and is looked for, when nobody says.
pub const MANAGER_DEFAULT: &str = "127.0.0.1:7878";

/// The keys of the configuration file.
const KEYS: [&str; 3] = ["manager", "output", "state_dir"];

/// The configuration file is small; a larger one is some other file.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What holds for every verb.
#[derive(Clone, Debug)]
pub struct Settings {
    pub manager: Address,
    pub format: Format,
    /// Where `updraft run` keeps its store, when neither a flag nor the environment says.
    pub state_dir: Option<PathBuf>,
    pub verbosity: Verbosity,
}

/// How much goes to standard error besides what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    Normal,
    /// The log of what runs in this process.
    Verbose,
}

/// `host:port` of a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Settings {
    /// Puts the four places together.
    ///
    /// # Errors
    /// A configuration file that was named and cannot be read, or one with keys or values that mean
    /// nothing.
    pub fn gather(flags: &Common) -> Result<Settings, Failure> {
        let config = match &flags.config {
            Some(path) => Config::read(path)?,
            None => match config_path_default().filter(|path| path.exists()) {
                Some(path) => Config::read(&path)?,
                None => Config::default(),
            },
        };
        let manager = flags.manager.clone().or(config.manager);
        let format = flags.output.or(config.output).unwrap_or(Format::Table);
        let verbosity = if flags.verbose {
            Verbosity::Verbose
        } else {
            Verbosity::Normal
        };
        Ok(Settings {
            manager: manager.unwrap_or_else(|| Address(MANAGER_DEFAULT.to_owned())),
            format,
            state_dir: config.state_dir,
            verbosity,
        })
    }
}

/// The directory for state that outlives a process: `$XDG_STATE_HOME`, else `~/.local/state`.
pub fn state_home() -> Option<PathBuf> {
    absolute_in_env("XDG_STATE_HOME").or_else(|| Some(home()?.join(".local/state")))
}

fn config_path_default() -> Option<PathBuf> {
    let home = absolute_in_env("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")))?;
    Some(home.join("updraft/config.toml"))
}

fn home() -> Option<PathBuf> {
    absolute_in_env("HOME")
}

/// The XDG specification has relative values ignored.
fn absolute_in_env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

#[derive(Debug, Default, PartialEq)]
struct Config {
    manager: Option<Address>,
    output: Option<Format>,
    state_dir: Option<PathBuf>,
}

impl Config {
    fn read(path: &Path) -> Result<Config, Failure> {
        let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
        let bytes = std::fs::metadata(path)
            .map_err(|error| wrong(error.to_string()))?
            .len();
        if bytes > CONFIG_BYTES_MAX {
            return Err(wrong(format!(
                "the file has {bytes} bytes, more than {CONFIG_BYTES_MAX} (CONFIG_BYTES_MAX)"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Config::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Config, String> {
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| error.to_string())?;
        let mut config = Config::default();
        for (key, value) in &table {
            let text = value
                .as_str()
                .ok_or_else(|| format!("`{key}` must be a text in quotes"));
            match key.as_str() {
                "manager" => config.manager = Some(text?.parse()?),
                "output" => {
                    let text = text?;
                    let format = Format::from_str(text, false)
                        .map_err(|_| format!("`output` is `table` or `json`, not `{text}`"))?;
                    config.output = Some(format);
                }
                "state_dir" => config.state_dir = Some(PathBuf::from(text?)),
                unknown => return Err(unknown_key(unknown)),
            }
        }
        Ok(config)
    }
}

fn unknown_key(key: &str) -> String {
    match did_you_mean(key, KEYS) {
        Some(known) => format!("there is no key `{key}`; did you mean `{known}`?"),
        None => format!("there is no key `{key}`; the keys are {}", KEYS.join(", ")),
    }
}

impl Address {
    /// For a manager of our own.
    pub fn of(socket: std::net::SocketAddr) -> Address {
        Address(socket.to_string())
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let rest = text.trim();
        let rest = rest
            .strip_prefix("http://")
            .unwrap_or(rest)
            .trim_end_matches('/');
        let port = rest.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match port.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(port)) if port != 0 && !rest.contains("://") => Ok(Address(rest.to_owned())),
            Some(_) | None => Err(format!("`{text}` is not an address (expected HOST:PORT)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let good = [
            "127.0.0.1:80",
            "http://h:1",
            "http://h:1/",
            "[::1]:99",
            "a.b:65535",
        ];
        for text in good {
            let address = text.parse::<Address>().unwrap();
            assert!(!address.to_string().contains("//"), "{text}");
        }
        for text in [
            "",
            "h",
            "h:",
            ":1",
            "h:0",
            "h:65536",
            "https://h:1",
            "ftp://h:1",
            "h:x",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn configuration_files() {
        let config = Config::parse("manager = 'h:1'\noutput = 'json'\nstate_dir = '/x'").unwrap();
        assert_eq!(config.manager.unwrap().to_string(), "h:1");
        assert_eq!(config.output, Some(Format::Json));
        assert_eq!(config.state_dir, Some(PathBuf::from("/x")));
        let rows = [
            ("manger = 'h:1'", "did you mean `manager`"),
            ("colour = 'no'", "the keys are manager, output, state_dir"),
            ("output = 'yaml'", "`table` or `json`"),
            ("manager = 5", "must be a text"),
            ("manager = 'h'", "HOST:PORT"),
            ("manager", "expected"),
        ];
        for (text, part) in rows {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
