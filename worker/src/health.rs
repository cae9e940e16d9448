//! Looks at the machine's GPUs again and again, so that one that breaks is offered as broken, and
//! as well when it is well again. Decides nothing.

use std::time::Duration;

use proto::nouns::Offer;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::discovery::{self, Wanted};

/// The watch; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Health(JoinHandle<()>);

impl Drop for Health {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks each `period`, and tells what the machine offers whenever that has changed. A machine
/// that had no devices when its worker started is not looked at.
pub(crate) fn start(
    wanted: Wanted,
    offer: Offer,
    period: Duration,
) -> (Health, mpsc::Receiver<Offer>) {
    let (tell, offers) = mpsc::channel(1);
    let watch = tokio::spawn(async move {
        if !offer.gpus.is_empty() {
            watch(wanted, offer, period, tell).await;
        }
    });
    (Health(watch), offers)
}

async fn watch(wanted: Wanted, mut offer: Offer, period: Duration, tell: mpsc::Sender<Offer>) {
    let mut timer = tokio::time::interval_at(Instant::now() + period, period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let (wanted, before) = (wanted.clone(), offer.clone());
        let look = move || discovery::look_again(&wanted, &before);
        let now = match tokio::task::spawn_blocking(look).await {
            Ok(Ok(now)) => now,
            Ok(Err(error)) => {
                tracing::warn!("cannot look at the GPUs: {error}");
                continue;
            }
            Err(error) => {
                tracing::warn!("the look at the GPUs failed: {error}");
                continue;
            }
        };
        for (was, is) in offer.gpus.iter().zip(&now.gpus) {
            match (&was.broken, &is.broken) {
                (None, Some(reason)) => tracing::warn!("GPU {} is broken: {reason}", is.id),
                (Some(_), None) => tracing::info!("GPU {} is well again", is.id),
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        if now != offer {
            offer = now.clone();
            if tell.send(now).await.is_err() {
                return;
            }
        }
    }
}
