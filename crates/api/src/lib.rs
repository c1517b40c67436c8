//! HTTP interface: accounts, uploads, jobs, frames, downloads and events, with an OpenAPI document
//! generated from the operations.
//!
//! [`Service`] is the state that the operations share, [`endpoint`] serves all of them on one port,
//! and [`document`] is the OpenAPI document.

// In dependency order.
mod settings;
mod tags;
mod examples;
mod language;
mod drain;
mod forwarded;
mod client;
mod browser;
mod rate_limit;
mod upload_slots;
mod field_code;
mod problem;
mod problem_examples;
mod operation_error;
mod concurrency;
mod fair_queue;
mod input;
mod opaque_string;
mod common_passwords;
mod argon2id;
mod passwords;
mod tokens;
mod totp;
mod link_tokens;
mod job_watch;
mod archives;
mod thumbnails;
mod object_response;
mod dependency;
mod operator_access;
mod health;
mod service;
mod attempts;
mod sessions;
mod reauthentication;
mod authentication;
mod session_list;
mod second_factor;
mod accounts;
mod confirmation;
mod password_reset;
mod account_deletion;
mod profile;
mod account_export;
mod recipe_view;
mod job_view;
mod upload_records;
mod quotas;
mod video_reservation;
mod form_body;
mod upload_rate;
mod form_file_name;
mod own_job;
mod forecasts;
mod fingerprints;
mod receive;
mod uploads;
mod another_job;
mod videos;
mod events;
mod downloads;
mod files;
mod frame_view;
mod frames;
mod webhook_view;
mod webhooks;
mod webhook_deliveries;
mod document;
mod swagger_ui;
mod middleware;
mod endpoint;

pub use client::network_of;
pub use dependency::Dependency;
pub use document::document;
pub use endpoint::{endpoint, operators_endpoint};
pub use health::HealthChecks;
pub use rate_limit::{InMemoryRateLimiter, RateLimitStatus, RateLimiter, RedisRateLimiter};
pub use service::{DetectContainer, Parts, RenderMetrics, Service};
pub use settings::Settings;
