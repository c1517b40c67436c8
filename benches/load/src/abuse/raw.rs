//! Connections on which anything can be sent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// Connect from an address.
pub async fn connect(from: IpAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(target).await
}

/// Send `head`, and then `piece` again and again after this pause, until the service responds or
/// closes the connection. Return the status of the response, or `closed`.
pub async fn send_endlessly(
    stream: TcpStream,
    head: &[u8],
    piece: &[u8],
    pause: Duration,
) -> String {
    let (mut read, mut write) = stream.into_split();
    let sending = async {
        if write.write_all(head).await.is_err() {
            return;
        }
        while piece.is_empty() || write.write_all(piece).await.is_ok() {
            sleep(pause).await;
        }
    };
    let receiving = async {
        let mut received = Vec::new();
        while received.len() < "HTTP/1.1 200".len() {
            if read.read_buf(&mut received).await? == 0 {
                break;
            }
        }
        Ok::<_, io::Error>(received)
    };
    let received = tokio::select! {
        received = receiving => received.unwrap_or_default(),
        // The connection is reset.
        () = sending => Vec::new(),
    };
    let status = received.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.map_or_else(|| "closed".to_owned(), |status| String::from_utf8_lossy(status).into())
}
