//! The stream of what happens, kept up while a manager restarts: taken up again where it broke, or
//! begun anew with a snapshot.

use std::time::Duration;

use proto::wire::update::What;
use proto::wire::{self, FollowRequest};

use super::Client;
use crate::exit::Failure;

/// How long a manager that went away is looked for, and how often.
const AWAY_MAX: Duration = Duration::from_secs(60);
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// What a stream that broke goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// With a snapshot.
    Anew,
    /// Behind the last event.
    Behind,
}

/// Whether more is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    On,
    Enough,
}

impl Client {
    /// Takes what comes until the stream ends or enough came.
    ///
    /// # Errors
    /// The manager is away for longer than a restart takes; what `take` fails with.
    pub async fn follow(
        &self,
        mut request: FollowRequest,
        again: Again,
        take: &mut dyn FnMut(What) -> Result<Go, Failure>,
    ) -> Result<(), Failure> {
        let mut away = Duration::ZERO;
        let mut seen = None;
        loop {
            let ended = self.follow_once(&request, &mut away, &mut seen, take).await;
            match ended {
                Err(failure @ Failure::Unreachable { .. }) if away >= AWAY_MAX => {
                    return Err(failure);
                }
                Err(Failure::Unreachable { .. }) => {
                    away += AWAY_PAUSE;
                    tokio::time::sleep(AWAY_PAUSE).await;
                }
                ended => return ended,
            }
            if again == Again::Behind && seen.is_some() {
                request.after = seen;
            }
        }
    }

    async fn follow_once(
        &self,
        request: &FollowRequest,
        away: &mut Duration,
        seen: &mut Option<u64>,
        take: &mut dyn FnMut(What) -> Result<Go, Failure>,
    ) -> Result<(), Failure> {
        let mut updates = self.updates(request.clone()).await?;
        while let Some(update) = self.next(&mut updates).await? {
            *away = Duration::ZERO;
            let Some(what) = update.what else {
                continue;
            };
            match &what {
                What::Marker(wire::Marker { sequence }) => *seen = Some(*sequence),
                What::Event(event) => *seen = Some(event.sequence),
                What::Batch(_) | What::Standing(_) => {}
            }
            if take(what)? == Go::Enough {
                return Ok(());
            }
        }
        Ok(())
    }
}
