//! The tables, column by column, as the migrations made them.

pub(crate) mod user;
pub(crate) mod refresh_token;
pub(crate) mod job;
pub(crate) mod job_event;
pub(crate) mod outbox;
pub(crate) mod notification;
pub(crate) mod idempotency_key;
