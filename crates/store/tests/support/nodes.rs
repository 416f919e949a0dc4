//! Stores in processes of their own that can be killed, and clients that append to them over sockets, so that what the
//! clients were told outlives every kill. [`contend`] has several clients write to the same logs through one node or
//! several, kills nodes meanwhile, and hands the histories to [`linearizable::check`].
// Each test that includes it uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sealwort_proto::log::empty;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, LabelTag, Pseudonym, crypto};
use sealwort_store::conformance::some_patient;
use sealwort_store::{Append, Appended, LogStore, NewEntry};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::linearizable::{self, Clock, Operation, Told};
use crate::place::{self, Place, Random};

const SOCKET: &str = "SEALWORT_STORE_CHILD_SOCKET";
const PAUSE: Duration = Duration::from_millis(5);
const CLIENTS: usize = 4;
/// Logs that the clients contend for.
const PATIENTS: usize = 8;

/// A store in a process of its own. The test binary needs a test `node` that calls [`serve_where_told`].
pub struct Node {
    place: Place,
    socket: PathBuf,
    child: Child,
}

impl Node {
    pub fn start(place: Place, socket: PathBuf) -> Self {
        let child = Self::spawn(&place, &socket);
        Self { place, socket, child }
    }

    fn spawn(place: &Place, socket: &PathBuf) -> Child {
        let mut command = place::again("node");
        place.give(&mut command);
        command.env(SOCKET, socket).stdout(Stdio::null()).spawn().unwrap()
    }

    /// Kills it (SIGKILL) and starts it again. It need not be ready then.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.place, &self.socket);
    }

    /// Starts it again where it ended by itself, as one does that found no database.
    fn keep(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            self.child = Self::spawn(&self.place, &self.socket);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a node does, in its process.
pub async fn serve_where_told() {
    let (Some(place), Some(socket)) = (Place::given(), std::env::var_os(SOCKET)) else { return };
    let store = match place.open().await {
        Ok(store) => store,
        Err(error) => return eprintln!("a node cannot open its store: {error}"),
    };
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(store.logs(), stream));
    }
}

/// One line asks, one answers. A client whose question fails is cut off, as by a kill.
async fn answer(store: Arc<dyn LogStore>, stream: UnixStream) {
    let (questions, mut answers) = stream.into_split();
    let mut questions = BufReader::new(questions).lines();
    while let Ok(Some(question)) = questions.next_line().await {
        let words: Vec<_> = question.split(' ').collect();
        let patient = Pseudonym::from_slice(&hex::decode(words[1]).unwrap()).unwrap();
        let answer = match words[0] {
            "head" => store.head(patient).await.map(|head| said("head", head.unwrap_or_else(|| empty(patient)))),
            _ => store.append(append(patient, &words[2..])).await.map(|appended| match appended {
                Appended::Stored(head) | Appended::Known(head) => said("stored", head),
                Appended::Conflict(head) => said("conflict", head),
                Appended::Erased => panic!("nobody erases"),
            }),
        };
        let Ok(answer) = answer else { return };
        if answers.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn said(word: &str, head: Witness) -> String {
    format!("{word} {} {}\n", head.sequence, head.head)
}

fn append(patient: Pseudonym, words: &[&str]) -> Append {
    let [deposit, sequence, head, new] = words else { panic!("{words:?}") };
    let after = Witness { sequence: sequence.parse().unwrap(), head: digest(head) };
    let entry = NewEntry {
        sequence: after.sequence + 1,
        hash: digest(new),
        tag: LabelTag::new([1; 16]),
        author_key: Digest::new([2; 32]),
        envelope: vec![3; 300],
        ciphertext: vec![4; 1000],
    };
    let deposit = DepositId::from_slice(&hex::decode(deposit).unwrap()).unwrap();
    Append { patient, deposit, after, entries: vec![entry] }
}

fn digest(text: &str) -> Digest {
    Digest::from_slice(&hex::decode(text).unwrap()).unwrap()
}

/// A connection to one of the nodes, and to another one after it was lost.
struct Connection {
    nodes: Vec<PathBuf>,
    next: usize,
    stream: Option<BufReader<UnixStream>>,
}

impl Connection {
    /// The answer, or nothing where none came: what was asked for may have happened or not.
    async fn ask(&mut self, question: &str) -> Option<(String, Witness)> {
        let answer = self.try_to_ask(question).await;
        if answer.is_none() {
            self.stream = None;
            self.next += 1;
            tokio::time::sleep(PAUSE).await;
        }
        answer
    }

    async fn try_to_ask(&mut self, question: &str) -> Option<(String, Witness)> {
        if self.stream.is_none() {
            let node = &self.nodes[self.next % self.nodes.len()];
            self.stream = Some(BufReader::new(UnixStream::connect(node).await.ok()?));
        }
        let stream = self.stream.as_mut()?;
        stream.write_all(format!("{question}\n").as_bytes()).await.ok()?;
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let line = line.strip_suffix('\n')?;
        let (word, rest) = line.split_once(' ')?;
        let (sequence, head) = rest.split_once(' ')?;
        Some((word.to_owned(), Witness { sequence: sequence.parse().ok()?, head: digest(head) }))
    }
}

/// What the clients share.
#[derive(Default)]
struct Shared {
    clock: Clock,
    /// Conditional appends that were answered.
    writes: AtomicU64,
}

type History = Vec<(Pseudonym, Operation)>;

/// One client: appends after the head that it knows of, until so many were answered.
async fn client(
    shared: Arc<Shared>,
    mut nodes: Connection,
    patients: Vec<Pseudonym>,
    writes: u64,
    mut random: Random,
) -> History {
    let mut heads: HashMap<_, _> = patients.iter().map(|patient| (*patient, empty(*patient))).collect();
    let (mut history, mut answered) = (History::new(), 0);
    while answered < writes {
        let patient = patients[usize::try_from(random.below(PATIENTS as u64)).unwrap()];
        let after = heads[&patient];
        let new = Digest::new(crypto::random());
        let (reads, gives_up) = (random.below(16) == 0, random.below(4) == 0);
        let question = if reads {
            format!("head {patient}")
        } else {
            format!("append {patient} {} {} {} {new}", DepositId::random(), after.sequence, after.head)
        };
        let asked = shared.clock.now();
        let answer = loop {
            match nodes.ask(&question).await {
                None if !gives_up => {}
                answer => break answer,
            }
        };
        let told = match &answer {
            Some((word, head)) => {
                heads.insert(patient, *head);
                match word.as_str() {
                    "head" => Told::Read { head: head.head },
                    "stored" => Told::Stored { after: after.head, new },
                    _ => Told::Conflict { after: after.head, head: head.head },
                }
            }
            None if reads => continue,
            None => Told::Unknown { after: after.head, new },
        };
        history.push((patient, Operation { told, asked, answered: shared.clock.now() }));
        if answer.is_some() && !reads {
            answered += 1;
            shared.writes.fetch_add(1, Ordering::SeqCst);
        }
    }
    history
}

/// Four clients with so many conditional appends each, and kills of nodes spread over them; `other_fault`, where there is
/// one, is every third. Afterwards each log is asked for its head once more, and all histories must be linearizable.
pub async fn contend(mut nodes: Vec<Node>, writes: u64, kills: u64, mut other_fault: Option<&mut dyn FnMut()>) {
    let mut random = Random::seeded("contending clients");
    let shared = Arc::new(Shared::default());
    let patients: Vec<_> = (0..PATIENTS).map(|_| some_patient()).collect();
    let sockets: Vec<_> = nodes.iter().map(|node| node.socket.clone()).collect();
    let connection = |next| Connection { nodes: sockets.clone(), next, stream: None };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let random = Random::new(random.below(u64::MAX));
            tokio::spawn(client(Arc::clone(&shared), connection(number), patients.clone(), writes, random))
        })
        .collect();
    for kill in 1..=kills {
        // Spread over the writes, so that each meets some, however fast the machine is. Once a client is done, what is left
        // comes while the others still write.
        while shared.writes.load(Ordering::SeqCst) < writes * CLIENTS as u64 * kill / (kills + 1)
            && !clients.iter().any(tokio::task::JoinHandle::is_finished)
        {
            nodes.iter_mut().for_each(Node::keep);
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        match &mut other_fault {
            Some(fault) if kill % 3 == 0 => tokio::task::block_in_place(fault),
            _ => {
                let victim = usize::try_from(random.below(nodes.len() as u64)).unwrap();
                nodes[victim].kill();
            }
        }
    }
    let mut histories: HashMap<Pseudonym, Vec<Operation>> = HashMap::new();
    for mut client in clients {
        let history = loop {
            tokio::select! {
                ended = &mut client => break ended.unwrap(),
                () = tokio::time::sleep(PAUSE) => nodes.iter_mut().for_each(Node::keep),
            }
        };
        for (patient, operation) in history {
            histories.entry(patient).or_default().push(operation);
        }
    }
    let mut last = connection(0);
    for patient in &patients {
        let asked = shared.clock.now();
        let (_, head) = loop {
            nodes.iter_mut().for_each(Node::keep);
            if let Some(answer) = last.ask(&format!("head {patient}")).await {
                break answer;
            }
        };
        let told = Told::Read { head: head.head };
        let operations = histories.entry(*patient).or_default();
        operations.push(Operation { told, asked, answered: shared.clock.now() });
        let stored = operations.iter().filter(|operation| matches!(operation.told, Told::Stored { .. })).count() as u64;
        let unknown =
            operations.iter().filter(|operation| matches!(operation.told, Told::Unknown { .. })).count() as u64;
        assert!((stored..=stored + unknown).contains(&head.sequence), "{stored} stored, {unknown} unknown, {head:?}");
        linearizable::check(empty(*patient).head, operations)
            .unwrap_or_else(|longest| panic!("not linearizable after {longest} of {} operations", operations.len()));
    }
    let count = |wanted: fn(&Told) -> bool| histories.values().flatten().filter(|done| wanted(&done.told)).count();
    println!(
        "{CLIENTS} clients, {writes} conditional appends each, {} nodes, {kills} kills: {} stored, {} conflicts, {} reads, {} \
         unknown; linearizable, none lost",
        nodes.len(),
        count(|told| matches!(told, Told::Stored { .. })),
        count(|told| matches!(told, Told::Conflict { .. })),
        count(|told| matches!(told, Told::Read { .. })),
        count(|told| matches!(told, Told::Unknown { .. })),
    );
}
