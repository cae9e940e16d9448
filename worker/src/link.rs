//! The connection to the manager, made again for ever. Turns messages into nouns; understands none
//! of them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proto::batch::{BATCH_MESSAGES_MAX, Batched, pack};
use proto::nouns::{ToManager, ToWorker};
use proto::wire;
use proto::wire::workers_client::WorkersClient;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::transport::Endpoint;

use crate::backoff::Backoff;

/// Messages to the manager that may wait; a session that falls behind further is closed, for a new
/// one begins by saying everything that matters.
pub(crate) const OUTBOUND_MESSAGES_MAX: usize = 4_096;
/// Size of one message, either way.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// How long the manager may take to accept a session on a connection that is made.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the link tells.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A connection is there and takes messages. Comes before the manager has accepted the session.
    Up(Line),
    Message(ToWorker),
    Down,
}

/// The sending side of one session. Dropping it hangs up.
#[derive(Debug)]
pub(crate) struct Line {
    pub outbound: mpsc::Sender<ToManager>,
    _hangup: oneshot::Sender<()>,
}

/// What is queued, as the wire has it.
struct Outgoing {
    queue: mpsc::Receiver<ToManager>,
    taken: Vec<ToManager>,
    encoded: VecDeque<wire::WorkerMessage>,
}

/// Nobody listens to the link any more.
struct Unheard;

/// Connects, carries one session after the other, and ends when nobody listens to `events`.
pub(crate) async fn keep(endpoint: Endpoint, events: mpsc::Sender<LinkEvent>) {
    let mut backoff = Backoff::default();
    let mut said = String::new();
    loop {
        let heard = match session(&endpoint, &events, &mut backoff).await {
            Ok(reason) if reason == said => Ok(()),
            Ok(reason) => {
                tracing::info!(
                    "not connected to the manager at {}: {reason}",
                    endpoint.uri()
                );
                said = reason;
                Ok(())
            }
            Err(Unheard) => Err(Unheard),
        };
        if heard.is_err() || events.is_closed() {
            return;
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// Makes wire messages of what was queued together, in order, and leaves `queued` empty.
fn encode(queued: &mut Vec<ToManager>) -> VecDeque<wire::WorkerMessage> {
    pack(queued.drain(..).map(Into::into))
}

impl Outgoing {
    fn new(queue: mpsc::Receiver<ToManager>) -> Outgoing {
        Outgoing {
            queue,
            taken: Vec::new(),
            encoded: VecDeque::new(),
        }
    }
}

impl Stream for Outgoing {
    type Item = wire::WorkerMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Outgoing {
            queue,
            taken,
            encoded,
        } = &mut *self;
        if encoded.is_empty() {
            ready!(queue.poll_recv_many(cx, taken, BATCH_MESSAGES_MAX));
            *encoded = encode(taken);
        }
        Poll::Ready(encoded.pop_front())
    }
}

/// One session from connecting to its end, and why it ended.
async fn session(
    endpoint: &Endpoint,
    events: &mpsc::Sender<LinkEvent>,
    backoff: &mut Backoff,
) -> Result<String, Unheard> {
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => return Ok(innermost(&error)),
    };
    let (outbound, queue) = mpsc::channel(OUTBOUND_MESSAGES_MAX);
    let (hangup, mut hung_up) = oneshot::channel();
    let line = Line {
        outbound,
        _hangup: hangup,
    };
    events
        .send(LinkEvent::Up(line))
        .await
        .map_err(|_| Unheard)?;
    let mut client = WorkersClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let opening = client.session(Outgoing::new(queue));
    let accepted = tokio::select! {
        _ = &mut hung_up => None,
        accepted = tokio::time::timeout(ACCEPT_TIMEOUT, opening) => {
            Some(accepted)
        }
    };
    let reason = match accepted {
        None => "the session was closed".to_owned(),
        Some(Err(_)) => "it does not accept the session".to_owned(),
        Some(Ok(Err(status))) => status.message().to_owned(),
        Some(Ok(Ok(response))) => {
            listen(response.into_inner(), events, backoff, &mut hung_up).await?
        }
    };
    events.send(LinkEvent::Down).await.map_err(|_| Unheard)?;
    Ok(reason)
}

/// Passes messages on until the session ends.
async fn listen(
    mut inbound: tonic::Streaming<wire::ManagerMessage>,
    events: &mpsc::Sender<LinkEvent>,
    backoff: &mut Backoff,
    hung_up: &mut oneshot::Receiver<()>,
) -> Result<String, Unheard> {
    loop {
        let message = tokio::select! {
            _ = &mut *hung_up => return Ok("the session was closed".to_owned()),
            message = inbound.message() => message,
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return Ok("the manager ended the session".to_owned()),
            Err(status) => return Ok(status.message().to_owned()),
        };
        for message in message.unbatch() {
            let message = match ToWorker::try_from(message) {
                Ok(message) => message,
                // One message that cannot be read says nothing against the next.
                Err(malformed) => {
                    tracing::warn!("from the manager: {malformed}");
                    continue;
                }
            };
            if let ToWorker::Welcome { lease_ms, .. } = &message {
                backoff.succeeded();
                tracing::info!(lease_ms, "connected to the manager");
            }
            events
                .send(LinkEvent::Message(message))
                .await
                .map_err(|_| Unheard)?;
        }
    }
}

/// The cause that says most: a transport error's own text is only "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
