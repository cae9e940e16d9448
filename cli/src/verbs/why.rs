//! `why`: what keeps a job from running, clause by clause; a node from going on, a worker from
//! getting work; all that waits, by cause.

use proto::nouns::Subject;
use proto::wire;

use crate::args;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, count, one_line, records};
use crate::settings::Settings;

pub async fn run(client: Client, args: args::Why, settings: &Settings) -> Result<Exit, Failure> {
    if args.all {
        return all(client, settings).await;
    }
    let reply = client.why(asked(args)?).await?;
    let exit = exit_of(reply.prospect());
    match settings.format {
        Format::Table => output::print(&explanation(&reply))?,
        Format::Json => output::print_json(&records::Why::from(reply))?,
    }
    Ok(exit)
}

fn asked(args: args::Why) -> Result<wire::WhyRequest, Failure> {
    if let Some(worker) = args.worker {
        return Ok(wire::WhyRequest {
            worker: worker.to_string(),
            ..wire::WhyRequest::default()
        });
    }
    let missing = || Failure::Usage("nothing is asked (expected a job, or --all)".to_owned());
    let id = args.id.ok_or_else(missing)?;
    let node = match (id.node, args.node) {
        (Some(_), Some(node)) => {
            let text = format!("`{node}` is a second node (expected RUN/NODE or RUN NODE)");
            return Err(Failure::Usage(text));
        }
        (one, other) => one.or(other).unwrap_or_default(),
    };
    if let (Subject::Job(job), false) = (id.subject, node.is_empty()) {
        let text = format!("{job} is a job and has no nodes (expected a DAG run, such as 12)");
        return Err(Failure::Usage(text));
    }
    Ok(wire::WhyRequest {
        id: id.subject.to_string(),
        node,
        worker: String::new(),
    })
}

fn exit_of(prospect: wire::Prospect) -> Exit {
    match prospect {
        wire::Prospect::Unspecified | wire::Prospect::Well => Exit::Ok,
        wire::Prospect::Failed => Exit::Failed,
        wire::Prospect::NotNow => Exit::NotYet,
        wire::Prospect::Never => Exit::Never,
    }
}

/// By cause. It has said what it was asked: 0, whatever waits.
async fn all(client: Client, settings: &Settings) -> Result<Exit, Failure> {
    let reply = client.why_all().await?;
    match settings.format {
        Format::Json => output::print_json(&records::Causes::from(reply))?,
        Format::Table if reply.causes.is_empty() => output::print("no job waits\n")?,
        Format::Table => {
            let mut table = Table::new(&[
                Column::Number("JOBS"),
                Column::Id("CODE"),
                Column::Id("EXAMPLE"),
                Column::Text("CAUSE"),
            ]);
            for cause in &reply.causes {
                let text = match cause.clause.as_str() {
                    "" => one_line(&cause.summary),
                    clause => format!("{}: {clause}", one_line(&cause.summary)),
                };
                let (code, example) = (cause.code.clone(), cause.example.clone());
                table.row([cause.jobs.to_string(), code, example, text]);
            }
            output::print(&table.render())?;
        }
    }
    Ok(Exit::Ok)
}

fn explanation(why: &wire::WhyReply) -> String {
    let code = if why.code.is_empty() {
        String::new()
    } else {
        format!("  {}", why.code)
    };
    let mut text = format!(
        "{} {}{code}\n{}\n",
        why.id,
        why.status,
        one_line(&why.summary)
    );
    let of_worker = why.code.starts_with("W3");
    let (own, other) = match of_worker {
        true => ("ITS CLAUSE", "CLAUSE OF JOBS"),
        false => ("CLAUSE", "CLAUSE OF WORKERS"),
    };
    text.push_str(&clauses(&why.clauses, own));
    text.push_str(&clauses(&why.devices, "CLAUSE OF EACH GPU"));
    text.push_str(&clauses(&why.other_side, other));
    let of_workers = [
        (why.open, "free for it"),
        (why.busy, "matching but busy"),
        (why.refused_by_worker, "refusing the job"),
        (why.drained, "drained"),
        (why.paused, "paused"),
    ];
    let told: Vec<String> = of_workers
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    if !told.is_empty() {
        let all = count(u64::from(why.workers), "worker");
        text.push_str(&format!("\n{all}: {}\n", told.join(", ")));
    }
    text.push_str(&course(why));
    for change in &why.changes {
        text.push_str(&advice(&why.id, change));
    }
    for hint in &why.hints {
        text.push_str(&format!("hint: {}\n", one_line(hint)));
    }
    text
}

fn clauses(of: &[wire::Clause], title: &'static str) -> String {
    if of.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        Column::Number("PASS"),
        Column::Number("LEFT"),
        Column::Text(title),
        Column::Text("NEAREST MISS"),
    ]);
    for clause in of {
        table.row([
            format!("{}/{}", clause.alone, clause.of),
            clause.in_order.to_string(),
            clause.text.clone(),
            clause.nearest_miss.clone(),
        ]);
    }
    format!("\n{}", table.render())
}

/// Who holds what, the place in line, and when it starts.
fn course(why: &wire::WhyReply) -> String {
    let mut text = String::new();
    for holder in &why.holders {
        let until = match holder.until_ms.and_then(output::time::rfc3339) {
            Some(until) => format!("probably until {until}"),
            None => "for an unknown time".to_owned(),
        };
        text.push_str(&format!(
            "held: {} by {}, {until}\n",
            holder.worker, holder.job
        ));
    }
    if let Some(line) = &why.line {
        let before = match line.before {
            Some(0) => format!("no job of {} before it", line.submitter),
            Some(before) => format!(
                "{} of {} before it, {} for the same places",
                count(before, "job"),
                line.submitter,
                line.rivals
            ),
            None => format!("no place yet among the jobs of {}", line.submitter),
        };
        text.push_str(&format!(
            "line: {before}; {} has {} of a pool of {}, is entitled to {} (priority {})\n",
            line.submitter, line.weight, line.pool, line.entitled, line.priority
        ));
    }
    match (why.starts_in_ms, why.starts_because.as_str()) {
        (Some(ms), because) => {
            let seconds = ms as f64 / 1000.0;
            text.push_str(&format!("start: in about {seconds:.1} s, {because}\n"));
        }
        (None, "") => {}
        (None, because) => text.push_str(&format!("start: unknown: {because}\n")),
    }
    text
}

/// A change as something that can be typed.
fn advice(id: &str, change: &wire::SmallChange) -> String {
    let slots = count(u64::from(change.slots), "slot");
    let what = match change.to.as_str() {
        "" => format!("without `{}`", change.from),
        to => format!("`{}` → `{to}`", change.from),
    };
    // Of a node the job stands behind its name.
    let job = id.rsplit(' ').next().unwrap_or(id);
    let edits: Vec<String> = change.edits.iter().map(typed).collect();
    format!(
        "change: {what}: {slots}\n  updraft qedit {job} {}\n",
        edits.join(" ")
    )
}

/// An edit as a shell takes it.
fn typed(edit: &wire::Edit) -> String {
    let text = format!("{}={}", edit.name, edit.value);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_=.-".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
