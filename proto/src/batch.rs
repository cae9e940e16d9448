//! Messages of a session that are there together travel as one: what it takes to send many small
//! messages is mostly what it takes to send one.

use std::collections::VecDeque;

use prost::Message;

use crate::wire::{ManagerBatch, ManagerMessage, WorkerBatch, WorkerMessage};
use crate::wire::{manager_message, worker_message};

/// Messages of one batch.
pub const BATCH_MESSAGES_MAX: usize = 1_024;
/// Bytes of one batch, unless a single message has more: far below what either side takes.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// A message that may be a batch of its kind.
pub trait Batched: Message + Sized {
    fn batch(messages: Vec<Self>) -> Self;
    /// The messages of a batch, or the message itself.
    fn unbatch(self) -> Vec<Self>;
}

/// Packs messages into as few as the limits allow, in order.
pub fn pack<M: Batched>(messages: impl IntoIterator<Item = M>) -> VecDeque<M> {
    let mut packed = VecDeque::new();
    let mut open: Vec<M> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        let len = message.encoded_len();
        if open.len() >= BATCH_MESSAGES_MAX || !open.is_empty() && bytes + len > BATCH_BYTES_MAX {
            packed.push_back(closed(std::mem::take(&mut open)));
            bytes = 0;
        }
        bytes += len;
        open.push(message);
    }
    if !open.is_empty() {
        packed.push_back(closed(open));
    }
    packed
}

/// One message needs no batch.
fn closed<M: Batched>(mut messages: Vec<M>) -> M {
    match (messages.len(), messages.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            messages.extend(last);
            M::batch(messages)
        }
    }
}

impl Batched for WorkerMessage {
    fn batch(messages: Vec<Self>) -> Self {
        let kind = worker_message::Kind::Batch(WorkerBatch { messages });
        WorkerMessage { kind: Some(kind) }
    }

    fn unbatch(self) -> Vec<Self> {
        match self.kind {
            Some(worker_message::Kind::Batch(batch)) => batch.messages,
            kind => vec![WorkerMessage { kind }],
        }
    }
}

impl Batched for ManagerMessage {
    fn batch(messages: Vec<Self>) -> Self {
        let kind = manager_message::Kind::Batch(ManagerBatch { messages });
        ManagerMessage { kind: Some(kind) }
    }

    fn unbatch(self) -> Vec<Self> {
        match self.kind {
            Some(manager_message::Kind::Batch(batch)) => batch.messages,
            kind => vec![ManagerMessage { kind }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nouns::{ClaimId, ToWorker};

    fn forget(serial: u64) -> ManagerMessage {
        let claim = ClaimId { pool: 1, serial };
        ToWorker::Forget { claim }.into()
    }

    fn goodbye(bytes: usize) -> ManagerMessage {
        let reason = "x".repeat(bytes);
        ToWorker::Goodbye { reason }.into()
    }

    #[test]
    fn what_is_packed_is_unpacked_in_order() {
        let many = BATCH_MESSAGES_MAX as u64 * 2 + 1;
        let rows = [
            (Vec::new(), 0),
            (vec![forget(1)], 1),
            ((0..many).map(forget).collect(), 3),
            (vec![goodbye(BATCH_BYTES_MAX * 2), forget(1), forget(2)], 2),
            (
                vec![
                    forget(1),
                    goodbye(BATCH_BYTES_MAX),
                    goodbye(BATCH_BYTES_MAX),
                ],
                3,
            ),
        ];
        for (messages, count) in rows {
            let packed = pack(messages.clone());
            assert_eq!(packed.len(), count);
            let unpacked: Vec<ManagerMessage> =
                packed.into_iter().flat_map(Batched::unbatch).collect();
            assert_eq!(unpacked, messages);
        }
    }

    #[test]
    fn a_batch_in_a_batch_is_refused() {
        let inner = ManagerMessage::batch(vec![forget(1)]);
        assert!(ToWorker::try_from(inner).is_err());
    }
}
