//! A line between a client and a service, which fails once.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Direction of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the service.
    Up,
    /// From the service to the client.
    Down,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both ends are closed.
    Cut,
    /// Nothing passes any more.
    Stall,
}

/// Fault after a number of bytes of one connection in one direction.
type Due = Arc<Mutex<Option<(Direction, usize, Fault)>>>;

/// Forwards connections to a service. It runs in the runtime of the test that starts it.
pub struct Line {
    url: String,
    due: Due,
    /// Ends with the line.
    _tasks: JoinSet<()>,
}

impl Line {
    /// Line to the service at `http://address:port`.
    pub async fn to(service: &str) -> Self {
        let address = service.strip_prefix("http://").expect("an HTTP service").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let (mut tasks, due) = (JoinSet::new(), Due::default());
        let kept = Arc::clone(&due);
        tasks.spawn(async move {
            // Connections end with this task.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (address, due) = (address.clone(), Arc::clone(&kept));
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(&address).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    // The first direction that ends ends the connection.
                    tokio::select! {
                        _ = forward(from_client, to_server, Direction::Up, &due) => {}
                        _ = forward(from_server, to_client, Direction::Down, &due) => {}
                    }
                });
            }
        });
        Self { url, due, _tasks: tasks }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Let the first connection fail in which so many bytes have passed in this direction.
    pub fn fail(&self, direction: Direction, after: usize, fault: Fault) {
        *self.due.lock() = Some((direction, after, fault));
    }

    /// Return whether the fault has happened.
    pub fn has_failed(&self) -> bool {
        self.due.lock().is_none()
    }
}

/// Forward one direction of a connection until it ends or fails.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    due: &Due,
) -> io::Result<()> {
    let (mut buffer, mut passed) = (vec![0; 16 << 10], 0);
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        passed += count;
        let is_due = |due: &mut (Direction, usize, Fault)| due.0 == direction && passed > due.1;
        let fault = due.lock().take_if(is_due).map(|(.., fault)| fault);
        match fault {
            Some(Fault::Cut) => return Ok(()),
            Some(Fault::Stall) => std::future::pending().await,
            None => to.write_all(&buffer[..count]).await?,
        }
    }
}
