//! Turn of a request in the queue of all requests.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::client::Network;
use crate::fair_queue::Turn;

/// Turn of the request that is processed. Clones share it.
#[derive(Debug, Clone)]
pub struct RequestTurn(Arc<Mutex<Option<Turn<Network>>>>);

impl RequestTurn {
    /// Turn of a request, or that of a request that needs none.
    pub fn new(turn: Option<Turn<Network>>) -> Self {
        Self(Arc::new(Mutex::new(turn)))
    }

    /// Let the next request begin, before this one waits for something else that is shared: what
    /// waits there would otherwise keep all places here occupied.
    pub fn end(&self) {
        drop(self.0.lock().take());
    }
}
