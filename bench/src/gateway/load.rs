//! Requests one after another on each of several connections, for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::demo::Hospital;
use crate::http_client::Client;
use crate::measure::{Failure, Samples, factor, micros};
use crate::processes::Process;

/// What is asked for, of whom.
pub(super) struct Target {
    pub(super) hospital: Hospital,
    pub(super) paths: Arc<Vec<String>>,
}

/// What came out, over any number of rounds.
#[derive(Default)]
pub(super) struct Load {
    /// Requests a second, one value a round.
    pub(super) rate: Samples,
    /// Microseconds of each request.
    pub(super) latency: Samples,
    /// Microseconds of the server's CPU for each request, one value a round.
    pub(super) cpu: Samples,
}

impl Load {
    /// Takes in another round.
    pub(super) fn append(&mut self, other: Self) {
        self.rate.append(other.rate);
        self.latency.append(other.latency);
        self.cpu.append(other.cpu);
    }
}

/// One round.
pub(super) async fn run(
    target: &Target,
    connections: usize,
    round: Duration,
    server: &Process,
) -> Result<Load, Failure> {
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(Client::connect(target.hospital.address, &target.hospital.token).await?);
    }
    let (cpu, begun) = (server.cpu()?, Instant::now());
    let tasks: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, client)| tokio::spawn(ask(client, Arc::clone(&target.paths), number, round)))
        .collect();
    let (mut load, mut requests) = (Load::default(), 0);
    for task in tasks {
        let (asked, latency) = task.await??;
        requests += asked;
        load.latency.append(latency);
    }
    load.rate.push(factor(requests) / begun.elapsed().as_secs_f64());
    load.cpu.push(micros(server.cpu()?.saturating_sub(cpu)) / factor(requests));
    Ok(load)
}

/// Each connection begins at another place, so that no two ask for the same at the same time.
async fn ask(
    mut client: Client,
    paths: Arc<Vec<String>>,
    number: usize,
    round: Duration,
) -> Result<(u64, Samples), Failure> {
    let (mut asked, mut latency) = (0, Samples::default());
    let begun = Instant::now();
    for path in paths.iter().cycle().skip(number * STRIDE) {
        if begun.elapsed() >= round {
            break;
        }
        let sent = Instant::now();
        client.get(path).await?;
        latency.push_micros(sent.elapsed());
        asked += 1;
    }
    Ok((asked, latency))
}

const STRIDE: usize = 61;
