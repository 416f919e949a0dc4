//! A peer for the warm read: nginx, one process, giving a file of the same size from its cache of open files over the
//! same loopback. It knows nothing of users, patients or labels, so it shows what HTTP alone costs on this machine.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;

use super::cores::Cores;
use crate::exchange::text;
use crate::measure::Failure;
use crate::processes::{Binary, Process};

/// The file, as a path of the server.
pub(super) const FILE: &str = "/resource.json";

/// An nginx that goes on until this is dropped.
pub(super) struct Nginx {
    pub(super) process: Process,
    pub(super) address: SocketAddr,
}

impl Nginx {
    /// Starts it on the server's core with a JSON file of this many bytes; `None` where it is not installed.
    pub(super) async fn start(place: &Path, bytes: usize, cores: &Cores) -> Result<Option<Self>, Failure> {
        let Some(program) = program() else { return Ok(None) };
        let prefix = place.join("nginx");
        std::fs::create_dir_all(&prefix)?;
        std::fs::write(prefix.join("resource.json"), json(bytes))?;
        // A port that was free a moment ago: nginx does not tell which one it took.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        std::fs::write(prefix.join("nginx.conf"), configuration(address))?;
        let prefix = format!("{}/", text(&prefix)?);
        let arguments = ["-e", "stderr", "-p", &prefix, "-c", "nginx.conf"];
        let process = cores.on_server(|| Binary::new(program).start(&arguments, &place.join("nginx.log")))??;
        for _ in 0..START_TRIES {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(Some(Self { process, address }));
            }
            tokio::time::sleep(START_WAIT).await;
        }
        Err(format!("nginx did not start; it says: {}", std::fs::read_to_string(place.join("nginx.log"))?).into())
    }
}

/// Where Debian keeps it, or a build of one's own.
fn program() -> Option<PathBuf> {
    ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"]
        .map(PathBuf::from)
        .into_iter()
        .map(|folder| folder.join("nginx"))
        .find(|program| program.is_file())
}

/// An object of exactly this many bytes, where there is room for one.
fn json(bytes: usize) -> String {
    const OPEN: &str = "{\"resourceType\":\"Basic\",\"text\":\"";
    const CLOSE: &str = "\"}";
    format!("{OPEN}{}{CLOSE}", "x".repeat(bytes.saturating_sub(OPEN.len() + CLOSE.len())))
}

/// One process without a master, so that its CPU time is all there is; nothing is logged, and connections are kept.
fn configuration(address: SocketAddr) -> String {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = folders.map(|name| format!("  {name}_temp_path tmp_{name};\n")).concat();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n{folders}  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  \
         open_file_cache max=8 inactive=1h;\n  open_file_cache_valid 1h;\n  \
         keepalive_timeout 1h;\n  keepalive_requests 1000000000;\n  default_type application/fhir+json;\n  \
         server {{ listen {address}; root .; }}\n}}\n"
    )
}

const START_TRIES: usize = 100;
const START_WAIT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_json_of_the_size_asked_for() {
        for bytes in [60, 900, 12_000] {
            let file = json(bytes);
            assert_eq!(file.len(), bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&file).is_ok(), "{bytes}");
        }
    }
}
