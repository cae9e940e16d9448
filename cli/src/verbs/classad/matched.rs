//! `classad match`: a job's ad against machines' ads, both ways, and clause by clause where it is
//! refused. Counts nothing itself: that is `classad::explain`.

use std::path::Path;

use classad::explain::{self, ClauseReport, Explanation, NearMiss, UnknownAttr};
use classad::matching::{self, REQUIREMENTS};
use classad::{ClassAd, Scope};
use serde::Serialize;

use super::{ads_of, now_secs, one_ad};
use crate::args;
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, count, one_line};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    targets: usize,
    /// How many machines the job's Requirements accept.
    accepted: usize,
    /// How many of those accept the job.
    matched: usize,
    /// The job's.
    clauses: Vec<Clause>,
    /// Names that the job wants of machines and that none has.
    unknown: Vec<Unknown>,
    machines: Vec<Machine>,
}

#[derive(Serialize)]
struct Clause {
    text: String,
    /// How many ads it accepts by itself.
    passing: usize,
    /// How many ads it and all clauses before it accept.
    surviving: usize,
    undefined: usize,
    errors: usize,
    nearest: Option<Nearest>,
}

/// The refused ad that comes closest: `wanted_of` is `has`, and would have to be `op needs`.
#[derive(Serialize)]
struct Nearest {
    name: String,
    wanted_of: String,
    has: String,
    op: &'static str,
    needs: String,
}

#[derive(Serialize)]
struct Unknown {
    name: String,
    did_you_mean: Option<String>,
}

#[derive(Serialize)]
struct Machine {
    name: String,
    matches: bool,
    /// Whether the job's Requirements accept it.
    accepted: bool,
    /// Whether its own accept the job.
    accepts: bool,
    /// How the job ranks it.
    rank: f64,
    /// How it ranks the job.
    ranks_job: f64,
    /// The clauses of its own Requirements that refuse the job.
    refusals: Vec<Clause>,
}

pub fn run(args: &args::Match, settings: &Settings) -> Result<Exit, Failure> {
    let job = one_ad(&args.job)?;
    let (mut names, mut machines) = (Vec::new(), Vec::new());
    for path in &args.machines {
        let ads = ads_of(path)?;
        let several = ads.len() > 1;
        for (i, ad) in ads.into_iter().enumerate() {
            names.push(name_of(&ad, path, several.then_some(i + 1)));
            machines.push(ad);
        }
    }
    let now_secs = now_secs();
    let explanation = explain::explain(&job, &machines, now_secs);
    let document = Document::of(&explanation, &job, &machines, &names, now_secs);
    match settings.format {
        Format::Json => output::print_json(&document)?,
        Format::Table => output::print(&document.told(&job))?,
    }
    Ok(if document.matched > 0 {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// A machine's own name, or its place.
fn name_of(ad: &ClassAd, path: &Path, number: Option<usize>) -> String {
    let own = Scope::new(ad).eval_str("Name");
    match (own, number) {
        (Some(name), _) if !name.is_empty() => one_line(&name),
        (_, Some(number)) => format!("{}#{number}", path.display()),
        (_, None) => path.display().to_string(),
    }
}

impl Document {
    fn of(
        explanation: &Explanation,
        job: &ClassAd,
        machines: &[ClassAd],
        names: &[String],
        now_secs: i64,
    ) -> Self {
        let clause = |report: &ClauseReport| Clause::of(report, names);
        let machine = |(ad, name): (&ClassAd, &String)| Machine::of(ad, name, job, now_secs);
        Self {
            targets: explanation.targets,
            accepted: explanation.accepted,
            matched: explanation.matched,
            clauses: explanation.clauses.iter().map(clause).collect(),
            unknown: explanation.unknown.iter().map(Unknown::of).collect(),
            machines: machines.iter().zip(names).map(machine).collect(),
        }
    }

    fn told(&self, job: &ClassAd) -> String {
        let all = count(self.targets as u64, "machine");
        let mut text = format!(
            "{} of {all} match; the job accepts {}\n",
            self.matched, self.accepted
        );
        if !job.contains(REQUIREMENTS) {
            text.push_str("the job has no Requirements, and so accepts nothing\n");
        }
        if !self.clauses.is_empty() {
            text.push('\n');
            text.push_str(&self.clause_table());
        }
        let mut table = Table::new(&[
            Column::Id("MACHINE"),
            Column::Text("MATCH"),
            Column::Number("RANK"),
            Column::Text("WHY NOT"),
        ]);
        for machine in &self.machines {
            let refusals: Vec<&str> = machine.refusals.iter().map(Clause::text).collect();
            let why_not = match (machine.accepted, machine.accepts) {
                (true, true) => String::new(),
                (false, true) => "the job refuses it".to_owned(),
                (accepted, false) => {
                    let both = if accepted { "" } else { "the job refuses it; " };
                    format!("{both}it refuses the job: {}", refusals.join(" && "))
                }
            };
            table.row([
                machine.name.clone(),
                if machine.matches { "yes" } else { "no" }.to_owned(),
                machine.rank.to_string(),
                why_not,
            ]);
        }
        text.push('\n');
        text.push_str(&table.render());
        for unknown in &self.unknown {
            let name = one_line(&unknown.name);
            let meant = unknown
                .did_you_mean
                .as_deref()
                .map_or(String::new(), |meant| {
                    format!("; did you mean {}?", one_line(meant))
                });
            text.push_str(&format!("hint: no machine has {name}{meant}\n"));
        }
        text
    }

    fn clause_table(&self) -> String {
        let mut table = Table::new(&[
            Column::Number("PASS"),
            Column::Number("LEFT"),
            Column::Text("CLAUSE"),
            Column::Text("NEAREST MISS"),
        ]);
        for clause in &self.clauses {
            table.row([
                format!("{}/{}", clause.passing, self.targets),
                clause.surviving.to_string(),
                one_line(&clause.text),
                clause.nearest.as_ref().map_or(String::new(), Nearest::told),
            ]);
        }
        table.render()
    }
}

impl Machine {
    fn of(ad: &ClassAd, name: &str, job: &ClassAd, now_secs: i64) -> Self {
        let pair = matching::matches(job, ad, now_secs);
        let own = [job.clone()];
        let clauses = match ad.get(REQUIREMENTS) {
            Some(requirements) if !pair.right_accepts => requirements.clauses(),
            Some(_) | None => Vec::new(),
        };
        let reports = explain::explain_clauses(&clauses, ad, &own, now_secs);
        let refusals = reports.iter().filter(|report| report.passing == 0);
        Self {
            name: name.to_owned(),
            matches: pair.matches(),
            accepted: pair.left_accepts,
            accepts: pair.right_accepts,
            rank: pair.left_rank,
            ranks_job: pair.right_rank,
            refusals: refusals
                .map(|report| Clause::of(report, &["the job".to_owned()]))
                .collect(),
        }
    }
}

impl Clause {
    fn of(report: &ClauseReport, names: &[String]) -> Self {
        Self {
            text: report.clause.to_string(),
            passing: report.passing,
            surviving: report.surviving,
            undefined: report.undefined,
            errors: report.errors,
            nearest: report.nearest.as_ref().map(|near| Nearest::of(near, names)),
        }
    }

    fn text(&self) -> &str {
        &self.text
    }
}

impl Nearest {
    fn of(near: &NearMiss, names: &[String]) -> Self {
        Self {
            name: names.get(near.target).cloned().unwrap_or_default(),
            wanted_of: near.wanted_of.to_string(),
            has: near.has.to_string(),
            op: near.op.symbol(),
            needs: near.needs.to_string(),
        }
    }

    fn told(&self) -> String {
        let Self {
            name,
            has,
            op,
            needs,
            ..
        } = self;
        one_line(&format!("{name} has {has}, needs {op} {needs}"))
    }
}

impl Unknown {
    fn of(unknown: &UnknownAttr) -> Self {
        Self {
            name: unknown.name.to_string(),
            did_you_mean: unknown.did_you_mean.as_ref().map(ToString::to_string),
        }
    }
}
