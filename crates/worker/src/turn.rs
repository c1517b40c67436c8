//! Turns at the chores of the whole system, which one process at a time carries out for all.

use std::pin::pin;
use std::time::Duration;

use database::Database;
use database::chores::TURN;
use uuid::Uuid;

use crate::background::log_error;
use crate::error::Error;

/// Carry out a chore if its turn is due and no other process has it, and extend the turn until the
/// chore is done.
///
/// A process that is dropped or frozen meanwhile loses its turn after [`TURN`]. What it still does
/// later has to be correct beside another process.
pub(crate) async fn in_turn(
    database: &Database,
    name: &'static str,
    holder: Uuid,
    interval: Duration,
    chore: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    if !database.take_turn(name, holder, interval).await? {
        return Ok(());
    }
    let mut chore = pin!(chore);
    let result = loop {
        tokio::select! {
            result = &mut chore => break result,
            () = tokio::time::sleep(TURN / 3) => {
                log_error(database.extend_turn(name, holder).await, name);
            }
        }
    };
    database.end_turn(name, holder).await?;
    result
}
