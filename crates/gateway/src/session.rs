//! The gateway's session with broker and archive: one connection, the nine steps on it, and messages in the
//! two channels that they open. A session lives and dies with its connection; the next request makes a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use http::Method;
use sealwort_net::client::{Body, Connection, Endpoints, HopClient, PASS_EVERY, ResponseBody};
use sealwort_net::exchange::{
    AUTHENTICATE_PATH, CHANNEL_PATH, ExchangeError, NOTICES_PATH, RELAY_PATH, accepted, send,
};
use sealwort_net::member::Member;
use sealwort_net::steps::{StepReport, Steps};
use sealwort_net::traces::Name;
use sealwort_pki::{Identity, UnixTime};
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::error::{Fault, ProtocolError, Step};
use sealwort_proto::frame::{Frame, FrameDecoder, Receiver};
use sealwort_proto::handshake::Party;
use sealwort_proto::handshake::gateway::{Established, Presented, start};
use sealwort_proto::message::{FromArchive, FromBroker, HANDSHAKE_BYTES_MAX, MESSAGE_BYTES_MAX, ToArchive, ToBroker};
use tokio::sync::{Mutex, watch};

use crate::error::GatewayError;

/// Time for the archive's first byte of an answer, by way of the broker.
const ARCHIVE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(125);
/// How long a reading waits for the first of the broker's notices.
const NOTICES_PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);
/// Times that a broker may ask for its cookie in one run.
const COOKIES_MAX: usize = 3;

/// One established session.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) party: Arc<Party>,
    pub(crate) established: Established,
    /// Whether the broker's notices are heard; what is held open counts only while they are.
    pub(crate) hears_notices: watch::Sender<bool>,
    /// Whether somebody listens to them.
    pub(crate) notices_started: AtomicBool,
    /// How often they fell silent: what came meanwhile was not heard.
    pub(crate) notices_lost: AtomicU64,
    begun: Instant,
    /// Whether nothing more is begun over it.
    left: watch::Sender<bool>,
}

/// Makes sessions, one at a time.
pub(crate) struct Sessions {
    member: Arc<Member>,
    client: HopClient,
    broker: Endpoints,
    archive: Identity,
    steps: Steps,
    current: Mutex<Option<Arc<Session>>>,
}

/// The archive's messages in answer to one request, as they arrive.
pub(crate) struct Answers {
    session: Arc<Session>,
    member: Arc<Member>,
    number: u64,
    body: ResponseBody,
    frames: FrameDecoder,
}

impl Sessions {
    pub(crate) fn new(
        member: Arc<Member>,
        client: HopClient,
        broker: Endpoints,
        archive: Identity,
        steps: Steps,
    ) -> Self {
        Self { member, client, broker, archive, steps, current: Mutex::new(None) }
    }

    /// The live session, or a new one.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, GatewayError> {
        let mut current = self.current.lock().await;
        let now = self.now();
        if let Some(live) = current.as_ref().filter(|s| s.is_live(now)) {
            return Ok(Arc::clone(live));
        }
        let session = Arc::new(Box::pin(self.establish()).await?);
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// The live session, if there is one.
    pub(crate) async fn live(&self) -> Option<Arc<Session>> {
        let now = self.now();
        self.current.lock().await.as_ref().filter(|s| s.is_live(now)).map(Arc::clone)
    }

    /// The same without waiting, as it is for whoever only wants to know: a session that is being begun is none.
    pub(crate) fn live_now(&self) -> Option<Arc<Session>> {
        let now = self.now();
        self.current.try_lock().ok()?.as_ref().filter(|s| s.is_live(now)).map(Arc::clone)
    }

    /// Drops a session that turned out to be lost.
    pub(crate) async fn drop_session(&self, lost: &Arc<Session>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|s| Arc::ptr_eq(s, lost)) {
            *current = None;
        }
        lost.connection.close();
    }

    /// The nine steps. A node that cannot take them is left for the next one.
    async fn establish(&self) -> Result<Session, GatewayError> {
        let outcome = match self.steps.observation() {
            Some(observation) => observation.within(Name::Session, GatewayError::code, self.nine_steps()).await,
            None => self.nine_steps().await,
        };
        if let Some(refusal) = outcome.as_ref().err().and_then(GatewayError::refusal) {
            self.broker.pass_over(&refusal.code);
        }
        outcome
    }

    async fn nine_steps(&self) -> Result<Session, GatewayError> {
        let connection = self.client.connect_any(&self.broker).await?;
        let peer = connection.require_peer()?.clone();
        let party = self.member.party();

        let begun = Instant::now();
        let (mut state, mut hello) = start(&party, &self.archive, peer.identity(), *peer.exporter());
        let step_1 = (hello.len(), begun.elapsed());
        let mut cookies = 0;
        let (state, share, step_4) = loop {
            let path = format!("{AUTHENTICATE_PATH}/1");
            let answer = send(&connection, &path, hello, 2 * HANDSHAKE_BYTES_MAX).await?;
            let begun = Instant::now();
            match self.member.with_peers(|peers| state.on_presentation(&answer, &party, peers))? {
                Presented::Continue(state, share) => break (state, share, begun.elapsed()),
                Presented::Again(again, repeated) if cookies < COOKIES_MAX => {
                    cookies += 1;
                    (state, hello) = (again, repeated);
                }
                Presented::Again(..) => {
                    let kind = sealwort_proto::ErrorKind::Cookie;
                    return Err(ProtocolError::new(Step::Authentication(1), Fault::Broker, kind).into());
                }
            }
        };
        let session = state.session();
        let report = |step, route, what, bytes, duration| {
            let step = Step::Authentication(step);
            self.steps.report(StepReport { step, route, what, session, bytes, duration });
        };
        report(1, "L → T", "certificate of the gateway, nonce, the archive wanted", step_1.0, step_1.1);
        report(4, "L → T", "ephemeral key, policies, signature", share.len(), step_4);

        let path = format!("{AUTHENTICATE_PATH}/4/{session}");
        let answer = send(&connection, &path, share, 2 * HANDSHAKE_BYTES_MAX).await?;
        let begun_9 = Instant::now();
        let (state, completion) = state.on_answer(&answer, &party, self.now())?;
        report(9, "L → T, M", "encapsulation, signature, confirmations: SK_LM", completion.len(), begun_9.elapsed());
        let path = format!("{AUTHENTICATE_PATH}/9/{session}");
        let confirmation = send(&connection, &path, completion, HANDSHAKE_BYTES_MAX).await?;
        let established = state.on_confirmation(&confirmation, self.now())?;
        tracing::info!(
            broker = %established.broker.identity(),
            archive = %established.archive.identity(),
            %session,
            micros = begun.elapsed().as_micros(),
            "session established"
        );
        Ok(Session {
            connection,
            party,
            established,
            hears_notices: watch::Sender::new(false),
            notices_started: AtomicBool::new(false),
            notices_lost: AtomicU64::new(0),
            begun: Instant::now(),
            left: watch::Sender::new(false),
        })
    }

    /// Asks the broker inside L–T.
    pub(crate) async fn ask_broker(&self, session: &Session, question: &ToBroker) -> Result<FromBroker, GatewayError> {
        let channel = &session.established.with_broker;
        let (number, message) = channel.request(&to_bytes(question), self.now())?;
        let answer = send(&session.connection, CHANNEL_PATH, message, MESSAGE_BYTES_MAX).await?;
        let content = channel.open_reply(number, &answer, self.now())?;
        match from_bytes(&content, MESSAGE_BYTES_MAX) {
            Ok(FromBroker::Refused(refusal)) => {
                if !*session.left.borrow() && self.broker.pass_over(&refusal.code) {
                    session.leave();
                }
                Err(ExchangeError::Refused(Box::new(refusal)).into())
            }
            Ok(reply) => Ok(reply),
            Err(error) => Err(ProtocolError::new(Step::Channel, Fault::Broker, error).into()),
        }
    }

    /// Sends messages to the archive inside L–M; the answer is to the first of them.
    pub(crate) async fn ask_archive(
        &self,
        session: &Arc<Session>,
        questions: &[ToArchive],
    ) -> Result<Answers, GatewayError> {
        let channel = &session.established.with_archive;
        let (mut first, mut frames) = (None, Vec::with_capacity(questions.len()));
        for question in questions {
            let (number, message) = channel.request(&to_bytes(question), self.now())?;
            first.get_or_insert(number);
            frames.push(Ok::<_, std::convert::Infallible>(bytes::Bytes::from(Frame::end(message).to_bytes())));
        }
        let body = Body::from_stream(futures::stream::iter(frames));
        let path = format!("{RELAY_PATH}/{}", channel.session());
        let response = session.connection.request(Method::POST, &path, body, ARCHIVE_PATIENCE).await?;
        let response = accepted(response).await?;
        Ok(Answers {
            session: Arc::clone(session),
            member: Arc::clone(&self.member),
            number: first.unwrap_or_default(),
            body: response.body,
            frames: FrameDecoder::default(),
        })
    }

    /// The stream of the broker's notices.
    pub(crate) async fn notices(&self, session: &Arc<Session>) -> Result<ResponseBody, GatewayError> {
        let path = format!("{NOTICES_PATH}/{}", session.established.with_broker.session());
        let patience = sealwort_net::exchange::ANSWER_PATIENCE;
        let response = session.connection.request(Method::GET, &path, Body::empty(), patience).await?;
        Ok(accepted(response).await?.body)
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.member.trust().now()
    }

    pub(crate) fn steps(&self) -> &Steps {
        &self.steps
    }
}

impl Session {
    pub(crate) fn is_live(&self, now: UnixTime) -> bool {
        !*self.left.borrow()
            && !self.connection.is_closed()
            && !self.established.with_broker.is_expired(now)
            && !self.established.with_archive.is_expired(now)
    }

    /// Begins nothing more over it; what is under way goes on.
    fn leave(&self) {
        self.left.send_replace(true);
    }

    /// Returns once it is left.
    pub(crate) async fn is_left(&self) {
        // An error says that the sender is gone, and that is this session.
        let _ = self.left.subscribe().wait_for(|left| *left).await;
    }

    /// Since which silence the notices are heard; none where they are not. What was read over this session may be shown
    /// without asking again as long as this is what it was before the reading began.
    pub(crate) fn heard_since(&self) -> Option<u64> {
        // In this order, and the other way round where they end: of a silence in between it gives what is gone already.
        let lost = self.notices_lost.load(Ordering::Acquire);
        self.hears_notices.borrow().then_some(lost)
    }

    /// The same once they are heard, for which it waits a moment: what is read before is shown once only.
    pub(crate) async fn await_notices(&self) -> Option<u64> {
        let mut hears = self.hears_notices.subscribe();
        let _ = tokio::time::timeout(NOTICES_PATIENCE, hears.wait_for(|hears| *hears)).await;
        self.heard_since()
    }
}

impl Answers {
    /// The next message; a refusal is an error.
    pub(crate) async fn next(&mut self) -> Result<(FromArchive, usize), GatewayError> {
        let error = |kind: sealwort_proto::ErrorKind| ProtocolError::new(Step::Channel, Fault::Broker, kind);
        loop {
            if let Some(frame) = self.frames.next().map_err(|e| error(e.into()))? {
                if frame.receiver != Receiver::End {
                    continue;
                }
                let now = self.member.trust().now();
                let bytes = frame.message.len();
                let content = self.session.established.with_archive.open_reply(self.number, &frame.message, now)?;
                let message = from_bytes(&content, MESSAGE_BYTES_MAX)
                    .map_err(|e| ProtocolError::new(Step::Channel, Fault::Archive, e))?;
                return match message {
                    FromArchive::Refused(refusal) => {
                        // The broker cannot read it. It hears of it, and takes another node, where the next session's
                        // steps are refused as well.
                        let unwell = matches!(&*refusal.code, "audit-unavailable" | "unavailable");
                        if unwell && self.session.begun.elapsed() > PASS_EVERY {
                            self.session.leave();
                        }
                        Err(ExchangeError::Refused(Box::new(refusal)).into())
                    }
                    message => Ok((message, bytes)),
                };
            }
            match self.body.next_chunk().await {
                Some(Ok(chunk)) => self.frames.push(&chunk),
                Some(Err(error)) => return Err(error.into()),
                // The far end went away in the middle of its answer: nothing is decided.
                None => return Err(ExchangeError::NotAnAnswer { status: http::StatusCode::BAD_GATEWAY }.into()),
            }
        }
    }
}
