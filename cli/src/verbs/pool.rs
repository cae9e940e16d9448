//! `pool`: the rules of the pool, shown, checked and set.

use std::io::Read;
use std::path::Path;

use dags::Rules;
use dags::rules::RULES_BYTES_MAX;
use proto::wire;
use serde::Serialize;

use super::ask;
use crate::args;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::records::{GroupShare, LimitUse};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, count, one_line};
use crate::settings::Settings;

/// What `pool show -o json` prints.
#[derive(Serialize)]
struct Document {
    /// TOML: all that holds, the defaults included.
    rules: String,
    /// What all workers have together by the rules' weight, and what is in use.
    weight: f64,
    weight_used: f64,
    jobs_running: u32,
    jobs_running_max: Option<u32>,
    jobs_waiting: u64,
    groups: Vec<GroupShare>,
    limits: Vec<LimitUse>,
}

/// What `pool check` and `pool set` print with `-o json`.
#[derive(Serialize)]
struct Verdict {
    file: String,
    /// Whether they are in force now.
    set: bool,
}

/// What became of a rules file that is right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Force {
    Checked,
    Set,
}

/// A rules file that is right.
pub struct Found {
    pub rules: Rules,
    name: String,
    text: String,
}

pub fn run(pool: args::Pool, settings: &Settings) -> Result<Exit, Failure> {
    match pool {
        args::Pool::Show => ask(settings, |client| show(client, settings)),
        args::Pool::Check { file } => {
            let found = read(&file)?;
            verdict(found.name, Force::Checked, settings)
        }
        args::Pool::Set { file } => {
            let found = read(&file)?;
            ask(settings, |client| set(client, found, settings))
        }
    }
}

/// Reads a rules file; what is wrong with it is printed, all of it.
///
/// # Errors
/// It cannot be read, or something is wrong with it.
pub fn read(file: &Path) -> Result<Found, Failure> {
    let name = file.display().to_string();
    let wrong = |error: String| Failure::Usage(format!("{name}: {error}"));
    let opened = std::fs::File::open(file).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    // One byte more than a rules file may have: reading says so.
    opened
        .take(RULES_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(error.to_string()))?;
    match Rules::parse(&name, &text) {
        Ok(rules) => Ok(Found { rules, name, text }),
        Err(found) => {
            output::complain(found.render().trim_end());
            let errors = count(found.len() as u64, "error");
            Err(Failure::Usage(format!(
                "{errors} in {name}; no rule was changed"
            )))
        }
    }
}

async fn set(client: Client, found: Found, settings: &Settings) -> Result<Exit, Failure> {
    let request = wire::SetRulesRequest {
        file: found.name.clone(),
        text: found.text,
    };
    client.set_rules(request).await?;
    verdict(found.name, Force::Set, settings)
}

fn verdict(file: String, force: Force, settings: &Settings) -> Result<Exit, Failure> {
    match (settings.format, force) {
        (Format::Json, _) => {
            let set = force == Force::Set;
            output::print_json(&Verdict { file, set })?;
        }
        (Format::Table, Force::Set) => {
            output::print(&format!("the rules of {file} are in force\n"))?
        }
        (Format::Table, Force::Checked) => output::print(&format!("{file}: ok\n"))?,
    }
    Ok(Exit::Ok)
}

async fn show(client: Client, settings: &Settings) -> Result<Exit, Failure> {
    let pool = client.pool().await?;
    match settings.format {
        Format::Json => output::print_json(&document(pool))?,
        Format::Table => output::print(&told(&pool))?,
    }
    Ok(Exit::Ok)
}

fn document(pool: wire::PoolReply) -> Document {
    Document {
        rules: pool.rules,
        weight: pool.weight,
        weight_used: pool.weight_used,
        jobs_running: pool.jobs_running,
        jobs_running_max: pool.jobs_running_max,
        jobs_waiting: pool.jobs_waiting,
        groups: pool.groups.into_iter().map(GroupShare::from).collect(),
        limits: pool.limits.into_iter().map(LimitUse::from).collect(),
    }
}

/// The rules, and behind them, as comments, what is in use.
fn told(pool: &wire::PoolReply) -> String {
    let mut text = pool.rules.clone();
    let max = pool.jobs_running_max;
    let max = max.map_or(String::new(), |max| format!(" of {max}"));
    let mut notes = format!(
        "weight in use: {} of {}\njobs: {}{max} running, {} waiting\n",
        amount(pool.weight_used),
        amount(pool.weight),
        pool.jobs_running,
        pool.jobs_waiting,
    );
    if !pool.groups.is_empty() {
        notes.push('\n');
        notes.push_str(&groups_table(&pool.groups).render());
    }
    if !pool.limits.is_empty() {
        let mut table = Table::new(&[
            Column::Id("LIMIT"),
            Column::Number("IN USE"),
            Column::Number("MAX"),
        ]);
        for limit in &pool.limits {
            let max = limit.max.map_or("none".to_owned(), amount);
            table.row([one_line(&limit.name), amount(limit.used), max]);
        }
        notes.push('\n');
        notes.push_str(&table.render());
    }
    text.push('\n');
    for line in notes.lines() {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
    text
}

/// Groups with their quotas.
pub fn groups_table(groups: &[wire::GroupShare]) -> Table {
    let mut table = Table::new(&[
        Column::Id("GROUP"),
        Column::Number("QUOTA"),
        Column::Number("WEIGHT IN USE"),
        Column::Number("JOBS"),
        Column::Number("WAITING"),
        Column::Id("SURPLUS"),
    ]);
    for group in groups {
        let surplus = if group.surplus { "yes" } else { "no" };
        table.row([
            one_line(&group.name),
            amount(group.quota),
            amount(group.weight_used),
            group.jobs_running.to_string(),
            group.jobs_waiting.to_string(),
            surplus.to_owned(),
        ]);
    }
    table
}

/// A weight, to two places where it has any.
pub fn amount(amount: f64) -> String {
    let text = format!("{amount:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
