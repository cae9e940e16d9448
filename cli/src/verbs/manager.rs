//! `manager`: the daemon.

use super::pool;
use crate::args;
use crate::exit::{Exit, Failure};
use crate::logging;
use crate::output::told;
use crate::signals::Interrupts;

/// Serves until asked to end, then drains.
pub async fn run(args: args::Manager) -> Result<Exit, Failure> {
    logging::to_stderr();
    let mut interrupts = Interrupts::listen()?;
    let mut settings = manager::Settings::new(args.state_dir);
    settings.listen = args.listen;
    settings.address_file = args.address_file;
    settings.scripts = match args.scripts {
        args::ScriptPolicy::Allow => manager::ScriptPolicy::Allow,
        args::ScriptPolicy::Refuse => manager::ScriptPolicy::Refuse,
    };
    if let Some(file) = &args.rules {
        settings.rules = Some(pool::read(file)?.rules);
    }
    if let Some(seconds) = args.lease_s {
        settings.lease_ms = lease_ms(seconds)?;
        // Several beats may be lost before the lease is.
        settings.beat_ms = settings.beat_ms.min(settings.lease_ms / BEATS_PER_LEASE);
    }
    if let Some(seconds) = args.policy_interval_s {
        // The range of the flag keeps it far below the limits of either type.
        settings.policy_interval_ms = (seconds * 1000.0).round() as u64;
    }
    let mut manager = manager::start(settings)
        .await
        .map_err(|error| start_failure(&error))?;
    tracing::info!("serving on {}", manager.address());
    tokio::select! {
        ended = manager.stopped() => {
            let ended = ended.map_err(|fault| Failure::Internal(told(&fault)));
            ended.map(|()| Exit::Ok)
        }
        () = interrupts.next() => {
            interrupts.end_at_next();
            manager.drain().await.map_err(|fault| Failure::Internal(told(&fault)))?;
            Ok(Exit::Ok)
        }
    }
}

/// Beats that fit into a lease.
const BEATS_PER_LEASE: u64 = 5;
/// Shorter leases end between two beats on a busy machine.
const LEASE_MS_MIN: u64 = 500;

fn lease_ms(seconds: f64) -> Result<u64, Failure> {
    // The range of the flag keeps it far below the limits of either type.
    let ms = (seconds * 1000.0).round() as u64;
    if ms < LEASE_MS_MIN {
        let least = LEASE_MS_MIN as f64 / 1000.0;
        return Err(Failure::Usage(format!(
            "--lease-s {seconds}: a lease has at least {least} s"
        )));
    }
    Ok(ms)
}

/// Why a manager does not start: nearly always its address or its directory.
pub fn start_failure(error: &manager::StartError) -> Failure {
    Failure::Work(format!("the manager cannot start: {}", told(error)))
}
