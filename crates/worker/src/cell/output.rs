//! Output channel of a cell.

use std::fs::File;
use std::io;
use std::sync::Arc;

use frames::Preview;
use parking_lot::Mutex;

use super::protocol::{self, CellMessage};

/// Output channel of the cell, shared by the archive and the messages.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<File>>);

impl Output {
    pub(super) fn new(file: File) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    pub(super) fn send(&self, message: &CellMessage) -> io::Result<()> {
        protocol::send_message(&mut *self.0.lock(), message)
    }

    pub(super) fn send_preview(&self, preview: &Preview) -> io::Result<()> {
        protocol::send_preview(&mut *self.0.lock(), preview)
    }

    pub(super) fn send_archive(&self, bytes: &[u8]) -> io::Result<()> {
        protocol::send_archive(&mut *self.0.lock(), bytes)
    }
}
