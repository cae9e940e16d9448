//! The grammar of what admins say of the pool: its rules, and the accounts of those who share it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Subcommand)]
pub enum Pool {
    /// Print the rules in force, the defaults included, and what of quotas and limits is in use
    ///
    /// The output is a rules file: save it, change it, set it again.
    Show,
    /// Say everything that is wrong with a rules file; needs no manager
    Check {
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Put the rules of a file into force
    ///
    /// What the file does not say is as by default, not as it was.
    Set {
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updraft userprio
  updraft userprio ada --factor 500
  updraft userprio physics.ada --recent 0

A share is as one over the effective priority, which is the real priority (what was in use of late)
times the factor.")]
pub struct Userprio {
    /// Whose account is changed: USER, or GROUP.USER
    #[arg(value_name = "USER", requires = "setting")]
    pub name: Option<String>,
    /// The factor: twice as much is half the share
    #[arg(long, value_name = "F", group = "setting", requires = "name")]
    #[arg(value_parser = at_least_one, allow_negative_numbers = true)]
    pub factor: Option<f64>,
    /// The factor that the rules give
    #[arg(long, group = "setting", requires = "name")]
    pub default_factor: bool,
    /// What recent use counts as, in the unit of the rules' weight; 0 forgets it
    #[arg(long, value_name = "R", group = "setting", requires = "name")]
    #[arg(value_parser = at_least_zero, allow_negative_numbers = true)]
    pub recent: Option<f64>,
}

fn at_least_one(text: &str) -> Result<f64, String> {
    at_least(text, 1.0)
}

fn at_least_zero(text: &str) -> Result<f64, String> {
    at_least(text, 0.0)
}

fn at_least(text: &str, least: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let number = number.filter(|number| number.is_finite() && *number >= least);
    number.ok_or_else(|| format!("expected a number of at least {least}"))
}
