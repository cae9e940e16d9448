//! The pool's rules and the accounts of those who share it: messages to commands, and what is in
//! use to messages. What rules mean is the core's to say.

use std::sync::Arc;

use dags::Rules;
use dags::rules::Surplus;
use manager_core::{Command, GroupShare, Queue, Setting, Submitter, UserShare};
use proto::wire::set_account_request::Setting as Asked;
use proto::wire::{
    self, AccountsReply, PoolReply, SetAccountReply, SetAccountRequest, SetRulesReply,
    SetRulesRequest,
};
use tonic::Status;

use super::Shared;
use super::queue::status_of;

/// Bytes of a submitter's name, and of what messages call a file of rules.
const NAME_BYTES_MAX: usize = 256;

/// The rules, and what of quotas and limits is in use.
pub(super) async fn pool(shared: &Shared) -> Result<PoolReply, Status> {
    let now = crate::clock::now();
    let look = move |queue: &Queue| {
        let shares = queue.shares(now);
        let limits = shares.limits.into_iter().map(|limit| wire::LimitUse {
            name: limit.name,
            used: limit.used,
            max: limit.max,
        });
        PoolReply {
            rules: queue.rules().to_toml(),
            groups: shares.groups.into_iter().map(group).collect(),
            limits: limits.collect(),
            weight: shares.weight,
            weight_used: shares.weight_used,
            jobs_running: shares.jobs_running,
            jobs_waiting: shares.jobs_waiting,
            jobs_running_max: queue.rules().jobs_running_max,
        }
    };
    Ok(shared.queue.read(look).await?)
}

/// The rules of a file hold from now on; durable when answered.
pub(super) async fn set_rules(
    shared: &Shared,
    request: &SetRulesRequest,
) -> Result<SetRulesReply, Status> {
    if request.file.len() > NAME_BYTES_MAX {
        let text = format!("the name of a rules file has at most {NAME_BYTES_MAX} bytes");
        return Err(Status::invalid_argument(text));
    }
    let rules = Rules::parse(&request.file, &request.text)
        .map_err(|wrong| Status::invalid_argument(wrong.render()))?;
    carry(shared, Command::SetRules(Arc::new(rules))).await?;
    Ok(SetRulesReply {})
}

/// Who has a right to how much, and uses it.
pub(super) async fn accounts(shared: &Shared) -> Result<AccountsReply, Status> {
    let now = crate::clock::now();
    let shares = shared.queue.read(move |queue| queue.shares(now)).await?;
    Ok(AccountsReply {
        users: shares.users.into_iter().map(user).collect(),
        groups: shares.groups.into_iter().map(group).collect(),
    })
}

/// Something of an account is as it is asked for; durable when answered.
pub(super) async fn set_account(
    shared: &Shared,
    request: SetAccountRequest,
) -> Result<SetAccountReply, Status> {
    let setting = setting_of(request.setting)?;
    let name = request.name;
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
        let text = format!(
            "{name:?} is no name of a user: it has 1 to {NAME_BYTES_MAX} bytes and no spaces"
        );
        return Err(Status::invalid_argument(text));
    }
    let look = move |queue: &Queue| submitter_of(queue, &name);
    let submitter = shared.queue.read(look).await?;
    carry(shared, Command::SetAccount { submitter, setting }).await?;
    Ok(SetAccountReply {})
}

fn setting_of(asked: Option<Asked>) -> Result<Setting, Status> {
    let refused = |text: &str| Err(Status::invalid_argument(text.to_owned()));
    match asked {
        Some(Asked::Factor(factor)) if factor.is_finite() && factor >= 1.0 => {
            Ok(Setting::Factor(Some(factor)))
        }
        Some(Asked::Factor(_)) => refused("a factor is a number of at least 1"),
        Some(Asked::DefaultFactor(_)) => Ok(Setting::Factor(None)),
        Some(Asked::Recent(recent)) if recent.is_finite() && recent >= 0.0 => {
            Ok(Setting::Recent(recent))
        }
        Some(Asked::Recent(_)) => refused("recent use is a number of at least 0"),
        None => refused("nothing is asked for"),
    }
}

/// Whom a name means: an account that is called so, a user of a group that there is, or a user.
fn submitter_of(queue: &Queue, name: &str) -> Submitter {
    let mut known = queue.accounts().iter();
    if let Some((submitter, _)) = known.find(|(submitter, _)| submitter.to_string() == name) {
        return submitter.clone();
    }
    let groups = &queue.rules().groups;
    let dots = name.rmatch_indices('.');
    let mut splits = dots.map(|(at, _)| (name[..at].to_ascii_lowercase(), &name[at + 1..]));
    let within = splits.find(|(group, user)| groups.contains_key(group) && !user.is_empty());
    match within {
        Some((group, user)) => Submitter {
            group,
            user: user.to_owned(),
        },
        None => Submitter {
            group: String::new(),
            user: name.to_owned(),
        },
    }
}

async fn carry(shared: &Shared, command: Command) -> Result<(), Status> {
    let answer = shared.queue.carry(command).await?;
    answer.map(|_| ()).map_err(|refusal| status_of(&refusal))
}

fn group(share: GroupShare) -> wire::GroupShare {
    wire::GroupShare {
        name: share.name,
        quota: share.quota,
        surplus: share.surplus == Surplus::Accept,
        weight_used: share.weight_used,
        jobs_running: share.jobs_running,
        jobs_waiting: share.jobs_waiting,
    }
}

fn user(share: UserShare) -> wire::UserShare {
    wire::UserShare {
        name: share.submitter.to_string(),
        group: share.submitter.group,
        user: share.submitter.user,
        priority: share.priority,
        recent: share.recent,
        factor: share.factor,
        factor_given: share.factor_given,
        weight_used: share.weight_used,
        jobs_running: share.jobs_running,
        jobs_waiting: share.jobs_waiting,
        used_s: share.used_s,
    }
}
