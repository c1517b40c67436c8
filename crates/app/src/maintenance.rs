//! Maintenance of a process that has the storage, and recovery when it starts.

use std::time::Duration;

use anyhow::Result;
use worker::maintenance::Maintenance;

use crate::parts::Parts;
use crate::settings::Settings;

/// Return the maintenance, if the process has the storage.
pub(crate) fn maintenance_of(settings: &Settings, parts: &Parts) -> Option<Maintenance> {
    let days = |days: u64| Duration::from_hours(24 * days);
    let (database, storage) = (parts.database.clone(), parts.storage.as_ref()?.storage.clone());
    let mut maintenance = Maintenance::new(database, storage, parts.broker.clone());
    maintenance.settings.history_after = days(settings.database.history_after_days);
    let history_days = settings.database.history_days;
    maintenance.settings.history_kept = (history_days > 0).then(|| days(history_days));
    Some(maintenance)
}

/// Recover what an interrupted process left in embedded parts. No other process can be using them.
pub(crate) async fn recover(
    settings: &Settings,
    parts: &Parts,
    maintenance: Option<&Maintenance>,
) -> Result<()> {
    if settings.database.url.is_none() {
        parts.database.recover_after_restart().await?;
    }
    if settings.broker.url.is_none() {
        parts.database.announce_lost(Duration::ZERO, true).await?;
    }
    if let Some(maintenance) = maintenance.filter(|_| parts.is_on_disk()) {
        if settings.database.url.is_none() {
            parts.database.abandon_uploads().await?;
            maintenance.delete_abandoned_uploads().await?;
        }
        maintenance.sweeper().sweep(Duration::ZERO, false).await?;
    }
    Ok(())
}
