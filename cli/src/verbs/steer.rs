//! `dag resume|retry|rerun|halt|set|rescue`: what is asked of DAG runs. What would run, and why, is said
//! before it does.

use std::io::Write;
use std::path::{Path, PathBuf};

use proto::wire::plan_request;
use proto::wire::steer_request::{self, What};
use proto::wire::{PlanReply, SteerRequest};
use serde::Serialize;

use super::ask;
use crate::args::{Limits, Preview};
use crate::client::Client;
use crate::client::bundle::{Bundle, said as said_of};
use crate::client::inputs::{self, Found};
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, count};
use crate::settings::Settings;

/// Nodes of a plan that are named; the others are counted.
const NAMED_MAX: usize = 40;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    run: u32,
    /// Whether nothing was done.
    dry_run: bool,
    /// The run that took over, where the files changed.
    continued_by: Option<u32>,
    /// In the DAG's order.
    again: Vec<Again>,
    /// Nodes that stay done.
    kept: u32,
}

/// A node that runs again.
#[derive(Serialize)]
struct Again {
    node: String,
    /// Its state before; `New` for one that the earlier run did not have.
    status: String,
    why: String,
}

/// Says what a request would do, and does it.
pub async fn run(
    client: Client,
    run: u32,
    what: What,
    preview: Preview,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let request = SteerRequest {
        run,
        what: Some(what),
    };
    let plan = client
        .plan(plan_request::What::Steer(request.clone()))
        .await?;
    if settings.format == Format::Table {
        output::print(&told(&plan))?;
    }
    if !preview.dry_run {
        client.steer(request).await?;
    }
    if settings.format == Format::Json {
        output::print_json(&document(plan, preview, None))?;
    }
    Ok(Exit::Ok)
}

/// Goes on with a run whose files changed: a new run takes over what is the same.
pub fn resume_changed(
    run: u32,
    file: PathBuf,
    preview: Preview,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let bundle = dag_bundle(&file)?;
    let found = inputs::find(&bundle)?;
    ask(settings, |client| {
        take_over(client, run, (bundle, found), preview, settings)
    })
}

async fn take_over(
    client: Client,
    run: u32,
    (bundle, found): (Bundle, Found),
    preview: Preview,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let prepared = client.prepare(bundle, found).await?.continuing(run);
    let plan = client.plan(prepared.plan()).await?;
    if settings.format == Format::Table {
        output::print(&told(&plan))?;
    }
    let mut next = None;
    if !preview.dry_run {
        let id = client.send_prepared(prepared).await?.id;
        next = Some(id);
        if settings.format == Format::Table {
            output::print(&format!("DAG run {id} goes on from DAG run {run}\n"))?;
        }
    }
    if settings.format == Format::Json {
        output::print_json(&document(plan, preview, next))?;
    }
    Ok(Exit::Ok)
}

fn dag_bundle(file: &Path) -> Result<Bundle, Failure> {
    if crate::client::bundle::is_dag(file) {
        return Bundle::load(file, &[]);
    }
    let text = format!("{}: not a DAG file (.dag)", file.display());
    Err(Failure::Usage(text))
}

pub async fn halt(client: Client, run: u32, settings: &Settings) -> Result<Exit, Failure> {
    let what = Some(What::Halt(steer_request::Halt {}));
    client.steer(SteerRequest { run, what }).await?;
    said(
        &format!("DAG run {run} is halted; `updraft dag resume {run}` goes on\n"),
        settings,
    )
}

pub async fn set(client: Client, limits: Limits, settings: &Settings) -> Result<Exit, Failure> {
    let run = limits.run;
    let throttle = steer_request::Throttle {
        max_jobs: limits.max_jobs,
        max_idle: limits.max_idle,
        max_pre: limits.max_pre,
        max_post: limits.max_post,
        max_hold: limits.max_hold,
        categories: limits.category.into_iter().collect(),
    };
    if throttle == steer_request::Throttle::default() {
        let text = "no limit is given: --max-jobs, --max-idle, --max-pre, --max-post, --max-hold \
                    or --category";
        return Err(Failure::Usage(text.to_owned()));
    }
    let what = Some(What::Throttle(throttle));
    client.steer(SteerRequest { run, what }).await?;
    said(&format!("DAG run {run} has new limits\n"), settings)
}

pub async fn rescue(
    client: Client,
    run: u32,
    to: Option<PathBuf>,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let text = client.rescue(run).await?;
    match (&to, settings.format) {
        (Some(path), _) => {
            let wrong = |error: std::io::Error| {
                Failure::Usage(format!("{}: {}", path.display(), said_of(&error)))
            };
            let mut file = std::fs::File::create_new(path).map_err(wrong)?;
            file.write_all(text.as_bytes()).map_err(wrong)?;
        }
        (None, Format::Table) => output::print(&text)?,
        (None, Format::Json) => output::print_json(&serde_json::json!({ "text": text }))?,
    }
    Ok(Exit::Ok)
}

fn said(text: &str, settings: &Settings) -> Result<Exit, Failure> {
    match settings.format {
        Format::Table => output::print(text)?,
        Format::Json => output::print_json(&serde_json::json!({ "changed": true }))?,
    }
    Ok(Exit::Ok)
}

/// A plan for people: a line in all, then a line for each node.
pub fn told(plan: &PlanReply) -> String {
    let again = plan.again.len();
    let total = again + plan.kept as usize;
    let mut text = format!(
        "DAG run {}: {again} of {} to run, {} done already\n",
        plan.run,
        count(total as u64, "node"),
        plan.kept
    );
    let shown = || plan.again.iter().take(NAMED_MAX);
    let width = |of: fn(&proto::wire::Planned) -> &str| {
        let widths = shown().map(|node| of(node).chars().count());
        widths.max().unwrap_or(0).min(40)
    };
    let (names, states) = (width(|node| &node.node), width(|node| &node.status));
    for node in shown() {
        let why = output::one_line(&node.why);
        let line = format!("  {:<names$}  {:<states$}  {why}", node.node, node.status);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if again > NAMED_MAX {
        text.push_str(&format!("  and {} more\n", again - NAMED_MAX));
    }
    text
}

fn document(plan: PlanReply, preview: Preview, continued_by: Option<u32>) -> Document {
    let again = plan.again.into_iter().map(|node| Again {
        node: node.node,
        status: node.status,
        why: node.why,
    });
    Document {
        run: plan.run,
        dry_run: preview.dry_run,
        continued_by,
        again: again.collect(),
        kept: plan.kept,
    }
}
