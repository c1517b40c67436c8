//! Schema of the database, one file per change, for PostgreSQL 15 or later and SQLite 3.35 or
//! later.
//!
//! A released file never changes, apart from comments; later files change what it created. Programs
//! of the previous release have to keep working on the new schema, so a change may add and allow
//! more, and removes only what no running release needs.

use sea_orm_migration::prelude::*;

mod m20261123_000001_jobs;
mod m20261124_000002_generations;
mod m20261125_000003_put_back;
mod m20261125_000004_recipes;
mod m20261125_000005_active_users;
mod m20261126_000006_successors;
mod m20261126_000007_uploads;
mod m20261126_000008_delivery;
mod m20261126_000009_growth;
mod m20261126_000010_second_factors;
mod m20261126_000011_account_mails;
mod m20261126_000012_fingerprints;
mod m20261126_000013_fair_sharing;
mod m20261126_000014_api_keys;
mod m20261126_000015_webhooks;
mod m20261127_000016_resumable_uploads;
mod m20261127_000017_sources;
mod m20261127_000018_mail_choices;
mod m20261127_000019_job_shares;

/// Runs all changes in their order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_jobs::Migration),
            Box::new(m20261124_000002_generations::Migration),
            Box::new(m20261125_000003_put_back::Migration),
            Box::new(m20261125_000004_recipes::Migration),
            Box::new(m20261125_000005_active_users::Migration),
            Box::new(m20261126_000006_successors::Migration),
            Box::new(m20261126_000007_uploads::Migration),
            Box::new(m20261126_000008_delivery::Migration),
            Box::new(m20261126_000009_growth::Migration),
            Box::new(m20261126_000010_second_factors::Migration),
            Box::new(m20261126_000011_account_mails::Migration),
            Box::new(m20261126_000012_fingerprints::Migration),
            Box::new(m20261126_000013_fair_sharing::Migration),
            Box::new(m20261126_000014_api_keys::Migration),
            Box::new(m20261126_000015_webhooks::Migration),
            Box::new(m20261127_000016_resumable_uploads::Migration),
            Box::new(m20261127_000017_sources::Migration),
            Box::new(m20261127_000018_mail_choices::Migration),
            Box::new(m20261127_000019_job_shares::Migration),
        ]
    }
}
