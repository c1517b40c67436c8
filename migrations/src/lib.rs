//! The schema of the database, one file per change, for PostgreSQL 15 or later and SQLite 3.35 or
//! later.
//!
//! A file that has been released never changes; what it made is changed by the next one. Every
//! change has to leave the programs of the release before at work: it may add what they do not know
//! and allow more, and takes away only what no release needs any more.

use sea_orm_migration::prelude::*;

mod m20261123_000001_jobs;
mod m20261124_000002_generations;
mod m20261125_000003_put_back;

/// All changes in their order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_jobs::Migration),
            Box::new(m20261124_000002_generations::Migration),
            Box::new(m20261125_000003_put_back::Migration),
        ]
    }
}
