//! A manager for one test: a real gRPC server whose every word the test says itself.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::batch::Batched;
use proto::nouns::{Blob, ClaimId, Digest, Report, ToManager, ToWorker, WorkOrder};
use proto::wire;
use proto::wire::blobs_server::{Blobs, BlobsServer};
use proto::wire::workers_server::{Workers, WorkersServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

pub const POOL: u32 = 3;
/// No test waits longer for anything than this before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Manager {
    pub address: String,
    pub store: Arc<Store>,
    sessions: mpsc::Receiver<Session>,
}

/// The manager's blobs, and how often each was asked for.
#[derive(Default)]
pub struct Store {
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    gets: Mutex<BTreeMap<Digest, u32>>,
    puts: Mutex<BTreeMap<Digest, u32>>,
    /// Taken by each question about what is missing.
    open: Arc<tokio::sync::Mutex<()>>,
}

/// One session, the manager's side. Dropping it ends the session.
pub struct Session {
    from_worker: Streaming<wire::WorkerMessage>,
    heard: VecDeque<wire::WorkerMessage>,
    to_worker: mpsc::Sender<Result<wire::ManagerMessage, Status>>,
    /// Lines of progress that came while something else was waited for.
    pub progress: Vec<String>,
}

struct Door(mpsc::Sender<Session>);

impl Manager {
    pub async fn start() -> Manager {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (door, sessions) = mpsc::channel(8);
        let store = Arc::new(Store::default());
        let server = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .add_service(WorkersServer::new(Door(door)))
            .add_service(BlobsServer::from_arc(store.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Manager {
            address,
            store,
            sessions,
        }
    }

    /// The next session, and its first message.
    pub async fn hello(&mut self) -> (Session, ToManager) {
        let mut session = within(self.sessions.recv()).await.unwrap();
        let hello = session.next().await;
        (session, hello)
    }

    /// The next session, welcomed, and the claims that its `Hello` named.
    pub async fn session(&mut self) -> (Session, Vec<ClaimId>) {
        let (session, hello) = self.hello().await;
        let ToManager::Hello { claims, .. } = hello else {
            panic!("the first message is no hello")
        };
        session
            .say(ToWorker::Welcome {
                pool: POOL,
                lease_ms: 60_000,
                beat_ms: 1_000,
            })
            .await;
        (session, claims)
    }
}

impl Session {
    pub async fn say(&self, message: ToWorker) {
        self.to_worker.send(Ok(message.into())).await.unwrap();
    }

    pub async fn activate(&self, claim: ClaimId, order: WorkOrder) {
        self.say(ToWorker::Activate {
            claim,
            order: Box::new(order),
            behind: None,
        })
        .await;
    }

    pub async fn next(&mut self) -> ToManager {
        while self.heard.is_empty() {
            let message = within(self.from_worker.message()).await.unwrap();
            let message = message.expect("the worker ended the session");
            self.heard.extend(message.unbatch());
        }
        let message = self.heard.pop_front().unwrap();
        message.try_into().unwrap()
    }

    /// Waits for the claim's report; beats and progress may come before it.
    pub async fn finished(&mut self, claim: ClaimId) -> Report {
        loop {
            match self.next().await {
                ToManager::Finished {
                    claim: ended,
                    report,
                } if ended == claim => return *report,
                ToManager::Progress { lines, .. } => self.progress.extend(lines),
                _ => {}
            }
        }
    }

    /// Waits until the job has written this line to its metrics file.
    pub async fn progress(&mut self, line: &str) {
        while !self.progress.iter().any(|it| it == line) {
            if let ToManager::Progress { lines, .. } = self.next().await {
                self.progress.extend(lines);
            }
        }
    }

    /// Runs an order to its report, and acknowledges that.
    pub async fn run(&mut self, claim: ClaimId, order: WorkOrder) -> Report {
        self.activate(claim, order).await;
        let report = self.finished(claim).await;
        self.say(ToWorker::Forget { claim }).await;
        report
    }
}

impl Store {
    pub fn add(&self, bytes: impl AsRef<[u8]>) -> Blob {
        let bytes = bytes.as_ref();
        let digest = Digest(*blake3::hash(bytes).as_bytes());
        self.blobs.lock().unwrap().insert(digest, bytes.to_vec());
        Blob {
            digest,
            bytes: bytes.len() as u64,
            executable: false,
        }
    }

    pub fn text(&self, blob: Blob) -> String {
        let blobs = self.blobs.lock().unwrap();
        let bytes = blobs.get(&blob.digest).expect("the blob was not delivered");
        assert_eq!(bytes.len() as u64, blob.bytes);
        String::from_utf8(bytes.clone()).unwrap()
    }

    /// Answers no question about what is missing until this is dropped.
    pub fn hold(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.open.clone().try_lock_owned().unwrap()
    }

    pub fn gets(&self, blob: Blob) -> u32 {
        self.gets
            .lock()
            .unwrap()
            .get(&blob.digest)
            .copied()
            .unwrap_or(0)
    }

    pub fn puts(&self, blob: Blob) -> u32 {
        self.puts
            .lock()
            .unwrap()
            .get(&blob.digest)
            .copied()
            .unwrap_or(0)
    }

    /// Replaces what is sent for a blob, or has it lacking.
    pub fn spoil(&self, blob: Blob, bytes: Option<&[u8]>) {
        let mut blobs = self.blobs.lock().unwrap();
        match bytes {
            Some(bytes) => blobs.insert(blob.digest, bytes.to_vec()),
            None => blobs.remove(&blob.digest),
        };
    }
}

pub async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("nothing came")
}

type Answer<T> = Result<Response<T>, Status>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Workers for Door {
    type SessionStream = BoxStream<wire::ManagerMessage>;

    async fn session(
        &self,
        request: Request<Streaming<wire::WorkerMessage>>,
    ) -> Answer<Self::SessionStream> {
        let (to_worker, messages) = mpsc::channel(64);
        let from_worker = request.into_inner();
        let session = Session {
            from_worker,
            heard: VecDeque::new(),
            to_worker,
            progress: Vec::new(),
        };
        self.0
            .send(session)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

#[tonic::async_trait]
impl Blobs for Store {
    async fn missing(&self, request: Request<wire::Digests>) -> Answer<wire::Digests> {
        let _open = self.open.lock().await;
        let blobs = self.blobs.lock().unwrap();
        let mut digests = request.into_inner().digests;
        digests.retain(|digest| !blobs.contains_key(&digest.parse().unwrap()));
        Ok(Response::new(wire::Digests { digests }))
    }

    async fn put(&self, request: Request<Streaming<wire::BlobChunk>>) -> Answer<wire::PutReply> {
        let mut chunks = request.into_inner();
        let mut digest = String::new();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            digest.push_str(&chunk.digest);
            bytes.extend(chunk.bytes);
        }
        let blob = self.add(&bytes);
        if blob.digest.to_string() != digest {
            return Err(Status::invalid_argument("other bytes than announced"));
        }
        *self.puts.lock().unwrap().entry(blob.digest).or_default() += 1;
        Ok(Response::new(wire::PutReply { bytes: blob.bytes }))
    }

    type GetStream = BoxStream<wire::BlobChunk>;

    async fn get(&self, request: Request<wire::GetRequest>) -> Answer<Self::GetStream> {
        let request = request.into_inner();
        let digest: Digest = request.digest.parse().unwrap();
        *self.gets.lock().unwrap().entry(digest).or_default() += 1;
        let bytes = self.blobs.lock().unwrap().get(&digest).cloned();
        let bytes = bytes.ok_or_else(|| Status::not_found("there is no such blob"))?;
        let chunks: Vec<_> = bytes[request.offset as usize..]
            .chunks(1_000)
            .map(|bytes| {
                Ok(wire::BlobChunk {
                    digest: String::new(),
                    bytes: bytes.to_vec(),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }
}
