//! Logins whose clients disconnect cost no more memory than others.

use std::thread::available_parallelism;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::post;
use crate::harness::client::PASSWORD;
use crate::harness::clips::scratch;
use crate::harness::process::Process;

/// Time after which clients reset their connections: the hash has begun, and takes longer.
const PATIENCE: Duration = Duration::from_millis(4);

/// Memory of one hash, in bytes.
const HASH: u64 = 19 << 20;

/// Send a login, and reset the connection before the response.
async fn abandon_login(address: &str, number: usize) {
    let body = json!({ "email": format!("user{number}@example.org"), "password": "wrong" });
    let body = body.to_string();
    let request = format!(
        "POST /auth/login HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(address).await.expect("the service listens");
    connection.write_all(request.as_bytes()).await.expect("the request is sent");
    tokio::time::sleep(PATIENCE).await;
    connection.set_zero_linger().expect("the connection is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_logins_do_not_pile_up() {
    let directory = scratch();
    let limits = [("LIMIT_ATTEMPTS_PER_ADDRESS", "1000")];
    let process = Process::start(directory.path(), &limits);
    // Uses the memory of one hash, and starts the threads.
    let user = process.user().await;
    let before = process.peak_memory();
    let address = process.base().trim_start_matches("http://").to_owned();
    // The memory must not grow from one round to the next either.
    for round in 0..5 {
        let logins = (0..40).map(|number| abandon_login(&address, 40 * round + number));
        futures_util::future::join_all(logins).await;
    }

    let credentials = json!({ "email": user.email, "password": PASSWORD });
    let (status, session) = post(&process, "/auth/login", &credentials).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let grown = process.peak_memory() - before;
    let cores = available_parallelism().map_or(1, |cores| cores.get() as u64);
    let allowed = cores * HASH + (32 << 20);
    assert!(grown <= allowed, "{} of {} MiB", grown >> 20, allowed >> 20);
}
