//! A proxy in front of a server, which can hold all bytes back like a network that drops them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// Forwards connections to a port of this machine.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    frozen: Mutex<bool>,
    changed: Condvar,
}

impl State {
    fn wait_while_frozen(&self) {
        let mut frozen = self.frozen.lock();
        while *frozen {
            self.changed.wait(&mut frozen);
        }
    }
}

impl Proxy {
    /// Forward to a loopback port.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn start(port: u16) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, port)
    }

    /// Forward from an address of this machine to a loopback port.
    ///
    /// # Panics
    /// It is not an address of this machine, or no port is free.
    #[must_use]
    pub fn at(address: Ipv4Addr, port: u16) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let state = Arc::clone(&shared);
                    thread::spawn(move || forward(from, to, &state));
                }
            }
        });
        Self { address, state }
    }

    /// Port of the proxy.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Hold all bytes back, in both directions; connections stay open.
    pub fn freeze(&self) {
        *self.state.frozen.lock() = true;
    }

    /// Forward again, first what was held back.
    pub fn thaw(&self) {
        *self.state.frozen.lock() = false;
        self.state.changed.notify_all();
    }
}

/// Forward one direction of a connection until it ends.
fn forward(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        state.wait_while_frozen();
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Either end may be closed already.
    let _ = to.shutdown(std::net::Shutdown::Write);
}
