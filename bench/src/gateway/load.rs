//! Requests one after another on each of several connections, for a while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::http_client::Client;
use crate::measure::{Failure, Samples, factor, micros};
use crate::processes::Process;

/// What is asked for, of whom.
pub(super) struct Target<'a> {
    /// The server, whose CPU time is what a request costs: the clients are in this program.
    pub(super) server: &'a Process,
    pub(super) address: SocketAddr,
    pub(super) token: &'a str,
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
    /// The part of it that went to the kernel.
    pub(super) system: Samples,
    /// The same of this program, which is the client.
    pub(super) client: Samples,
}

impl Load {
    /// Takes in another round.
    pub(super) fn append(&mut self, other: Self) {
        self.rate.append(other.rate);
        self.latency.append(other.latency);
        self.cpu.append(other.cpu);
        self.system.append(other.system);
        self.client.append(other.client);
    }
}

/// One round.
pub(super) async fn run(target: &Target<'_>, connections: usize, round: Duration) -> Result<Load, Failure> {
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(Client::connect(target.address, target.token).await?);
    }
    let (cpu, own, begun) = (target.server.cpu_time()?, own_cpu(), Instant::now());
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
    let each = |time: Duration| micros(time) / factor(requests);
    load.rate.push(factor(requests) / begun.elapsed().as_secs_f64());
    load.client.push(each(own_cpu().saturating_sub(own)));
    let after = target.server.cpu_time()?;
    let (user, system) = (after.user.saturating_sub(cpu.user), after.system.saturating_sub(cpu.system));
    load.cpu.push(each(user + system));
    load.system.push(each(system));
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

/// CPU time of this program.
fn own_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

const STRIDE: usize = 61;
