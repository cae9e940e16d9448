//! `why`: what keeps a job from running, clause by clause.

use proto::wire;

use crate::args;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, count, one_line, records};
use crate::settings::Settings;

pub async fn run(client: Client, args: args::Why, settings: &Settings) -> Result<Exit, Failure> {
    let reply = client.why(args.id.to_string()).await?;
    match settings.format {
        Format::Table => output::print(&explanation(&reply))?,
        Format::Json => output::print_json(&records::Why::from(reply))?,
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
    if !why.clauses.is_empty() {
        let mut table = Table::new(&[
            Column::Number("PASS"),
            Column::Number("LEFT"),
            Column::Text("CLAUSE"),
            Column::Text("NEAREST MISS"),
        ]);
        for clause in &why.clauses {
            table.row([
                format!("{}/{}", clause.alone, why.workers),
                clause.in_order.to_string(),
                clause.text.clone(),
                clause.nearest_miss.clone(),
            ]);
        }
        text.push('\n');
        text.push_str(&table.render());
    }
    let of_workers = [
        (why.busy, "matching but busy"),
        (why.refused_by_worker, "refusing the job"),
        (why.drained, "drained"),
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
    for hint in &why.hints {
        text.push_str(&format!("hint: {}\n", one_line(hint)));
    }
    text
}
