//! Ctrl-C and SIGTERM: the two ways to be asked to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure};

/// Both signals, from the moment this is made.
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Takes the signals over from their default action. Needs a runtime.
    ///
    /// # Errors
    /// The system refuses handlers.
    pub fn listen() -> Result<Interrupts, Failure> {
        let refused = |error| Failure::Internal(format!("cannot listen for signals: {error}"));
        let interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
        let terminate = signal(SignalKind::terminate()).map_err(refused)?;
        Ok(Interrupts {
            interrupt,
            terminate,
        })
    }

    /// Resolves at the next of either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// From here on the next signal ends the process at once: the second Ctrl-C of somebody who
    /// will not wait.
    pub fn end_at_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(i32::from(Exit::Interrupted.code()));
        });
    }
}
