//! `sealwort login` and `sealwort logout`: signs a user in at the gateway's own pages, in their browser, and keeps the token
//! of that session in a file that its owner alone can read. The browser comes back to a port of this computer (RFC 8252),
//! with a code that only this very run can use (RFC 7636).

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use sealwort_net::secret_file;
use sealwort_proto::crypto::{random, sha256};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::client::{ClientArgs, JSON, Question, read};
use crate::error::CliError;
use crate::output::Output;

/// How long the user may take in the browser.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long a browser may take to send its request.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// Longest beginning of a request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
const PAGE: &str = "<!DOCTYPE html><title>Signed in</title><p>You may close this page and go back to the terminal.</p>";

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// For patients and delegates with several records: the id of the Patient.
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Deserialize)]
struct Token {
    access_token: Zeroizing<String>,
    expires_in: u64,
}

pub(crate) async fn login(args: LoginArgs, output: Output) -> Result<(), CliError> {
    let file = token_file(&args.client)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.map_err(|error| CliError::Local(format!("no port for the way back: {error}")))?;
    let port = listener.local_addr().map_err(|error| CliError::Local(error.to_string()))?.port();
    let (state, verifier) = (hex::encode(random::<16>()), Zeroizing::new(URL_SAFE_NO_PAD.encode(random::<32>())));
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let mut client = args.client.without_token()?;
    let address = client.address();
    let patient = args.patient.map(|id| format!("&patient={}", crate::client::encode(&id))).unwrap_or_default();
    let url = format!("{address}/auth/terminal?port={port}&state={state}&code_challenge={challenge}{patient}");
    output.message(format!("Open this address in your browser and sign in there:\n\n  {url}\n"));
    let code = timeout(PATIENCE, code(&listener, &state)).await;
    let code = code.map_err(|_| CliError::Local("nobody signed in within ten minutes; run it again".to_owned()))??;
    let body = json!({ "code": code.as_str(), "code_verifier": verifier.as_str() }).to_string();
    let answer = client.ask(Question::post("/auth/terminal/token", JSON, body.into())).await?;
    let token: Token = read(&answer.body)?;
    secret_file::replace(&file, token.access_token.as_bytes())?;
    let hours = token.expires_in / 3600;
    output.message(format!("Signed in for at most {hours} h; the token is in {}", file.display()));
    Ok(())
}

pub(crate) async fn logout(args: LogoutArgs, output: Output) -> Result<(), CliError> {
    let file = token_file(&args.client)?;
    args.client.client()?.ask(Question::post("/auth/terminal/logout", JSON, "{}".into())).await?;
    std::fs::remove_file(&file).map_err(|error| CliError::Local(format!("{}: {error}", file.display())))?;
    output.message("signed out; the session has ended");
    Ok(())
}

fn token_file(client: &ClientArgs) -> Result<PathBuf, CliError> {
    client.token_file()?.ok_or_else(|| {
        let text = "say where the token is kept: --token-file FILE, or SEALWORT_CLIENT__TOKEN_FILE for all commands";
        CliError::Local(text.to_owned())
    })
}

/// The code that the browser brings back. Whatever else comes to the port is answered and passed over.
async fn code(listener: &TcpListener, state: &str) -> Result<Zeroizing<String>, CliError> {
    loop {
        let (stream, _) = listener.accept().await.map_err(|error| CliError::Local(error.to_string()))?;
        if let Ok(Some(code)) = timeout(REQUEST_PATIENCE, answered(stream, state)).await {
            return Ok(code);
        }
    }
}

async fn answered(mut stream: TcpStream, state: &str) -> Option<Zeroizing<String>> {
    let mut request = Zeroizing::new(Vec::new());
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut piece = Zeroizing::new([0; 1024]);
        let length = stream.read(piece.as_mut()).await.ok().filter(|length| *length > 0)?;
        request.extend_from_slice(piece.get(..length)?);
        if request.len() > REQUEST_BYTES_MAX {
            return None;
        }
    }
    let code = code_in(&request, state);
    let (status, page) = if code.is_some() { ("200 OK", PAGE) } else { ("404 Not Found", "") };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Security-Policy: default-src 'none'\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    code
}

/// The code of a request whose state is this run's.
fn code_in(request: &[u8], state: &str) -> Option<Zeroizing<String>> {
    let line = std::str::from_utf8(request).ok()?.lines().next()?;
    let query = line.strip_prefix("GET /?")?.split(' ').next()?;
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value("state").filter(|shown| *shown == state)?;
    value("code").map(|code| Zeroizing::new(code.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_runs_code_is_taken() {
        let found = |request: &str| code_in(request.as_bytes(), "s1").map(|code| code.to_string());
        assert_eq!(found("GET /?code=abc&state=s1 HTTP/1.1\r\n\r\n"), Some("abc".to_owned()));
        for wrong in [
            "GET /?code=abc&state=s2 HTTP/1.1\r\n\r\n",
            "GET /?code=abc HTTP/1.1\r\n\r\n",
            "GET /?state=s1 HTTP/1.1\r\n\r\n",
            "POST /?code=abc&state=s1 HTTP/1.1\r\n\r\n",
            "",
        ] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
    }
}
