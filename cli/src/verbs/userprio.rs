//! `userprio`: who has which right to the pool and uses how much of it, in HTCondor's terms; and
//! what an admin changes of that.

use proto::wire;
use proto::wire::set_account_request::Setting;
use serde::Serialize;

use super::pool::{amount, groups_table};
use crate::args;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::records::{GroupShare, UserShare};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, one_line};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    /// The best priority first.
    users: Vec<UserShare>,
    groups: Vec<GroupShare>,
}

/// The same of one whose account was changed.
#[derive(Serialize)]
struct Changed {
    user: Option<UserShare>,
}

pub async fn run(
    client: Client,
    args: args::Userprio,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let setting = match (args.factor, args.default_factor, args.recent) {
        (Some(factor), _, _) => Some(Setting::Factor(factor)),
        (None, true, _) => Some(Setting::DefaultFactor(true)),
        (None, false, recent) => recent.map(Setting::Recent),
    };
    if let (Some(name), Some(setting)) = (args.name, setting) {
        return change(client, name, setting, settings).await;
    }
    let accounts = client.accounts().await?;
    match settings.format {
        Format::Json => output::print_json(&Document {
            users: accounts.users.into_iter().map(UserShare::from).collect(),
            groups: accounts.groups.into_iter().map(GroupShare::from).collect(),
        })?,
        Format::Table if accounts.users.is_empty() && accounts.groups.is_empty() => {
            output::print("nobody has used anything yet\n")?;
        }
        Format::Table => {
            let mut parts = Vec::new();
            if !accounts.users.is_empty() {
                parts.push(users_table(&accounts.users).render());
            }
            if !accounts.groups.is_empty() {
                parts.push(groups_table(&accounts.groups).render());
            }
            output::print(&parts.join("\n"))?;
        }
    }
    Ok(Exit::Ok)
}

async fn change(
    client: Client,
    name: String,
    setting: Setting,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let request = wire::SetAccountRequest {
        name: name.clone(),
        setting: Some(setting),
    };
    client.set_account(request).await?;
    let mut users = client.accounts().await?.users.into_iter();
    // The group of a name compares without case.
    let user = users.find(|user| user.name.eq_ignore_ascii_case(&name));
    match (settings.format, user) {
        (Format::Json, user) => {
            let user = user.map(UserShare::from);
            output::print_json(&Changed { user })?;
        }
        (Format::Table, Some(user)) => output::print(&users_table(&[user]).render())?,
        (Format::Table, None) => output::print(&format!("{name} is changed\n"))?,
    }
    Ok(Exit::Ok)
}

fn users_table(users: &[wire::UserShare]) -> Table {
    let mut table = Table::new(&[
        Column::Id("USER"),
        Column::Number("PRIORITY"),
        Column::Number("REAL"),
        Column::Number("FACTOR"),
        Column::Number("WEIGHT IN USE"),
        Column::Number("JOBS"),
        Column::Number("WAITING"),
        Column::Number("HOURS USED"),
    ]);
    for user in users {
        table.row([
            one_line(&user.name),
            format!("{:.2}", user.priority),
            format!("{:.2}", user.recent),
            amount(user.factor),
            amount(user.weight_used),
            user.jobs_running.to_string(),
            user.jobs_waiting.to_string(),
            format!("{:.2}", user.used_s / 3600.0),
        ]);
    }
    table
}
