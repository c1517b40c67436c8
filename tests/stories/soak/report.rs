//! What the soak has caused, and what became of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::incident::Incident;
use crate::harness::cluster::Cluster;

/// Incidents by kind.
#[derive(Default)]
pub(super) struct Report {
    kinds: BTreeMap<String, (usize, Duration)>,
}

impl Report {
    pub(super) fn add(&mut self, incident: &Incident) {
        let (count, duration) = self.kinds.entry(incident.kind.to_string()).or_default();
        *count += 1;
        *duration += incident.duration;
    }

    /// Print how often and how long each kind happened.
    pub(super) fn print(&self) {
        println!("| incident | times | seconds |\n|---|---|---|");
        let total = |(count, all): (usize, Duration), (more, time): &(usize, Duration)| {
            (count + more, all + *time)
        };
        let sum = self.kinds.values().fold((0, Duration::ZERO), total);
        let rows = self.kinds.iter().map(|(kind, counts)| (kind.as_str(), *counts));
        for (kind, (count, duration)) in rows.chain([("all", sum)]) {
            println!("| {kind} | {count} | {:.0} |", duration.as_secs_f64());
        }
    }
}

/// Print how often attempts ended without an outcome, by the reason in the history.
pub(super) fn print_retries(cluster: &Cluster) {
    let database = cluster.namespaces.setting("DATABASE_URL").expect("it is set");
    let select = "SELECT COALESCE(metadata::json->>'error_code', 'given back') || ': ' || \
                  count(*) FROM job_events WHERE old_state = 'PROCESSING' AND new_state NOT IN \
                  ('DONE', 'FAILED') AND (metadata::json->>'worker') IS NULL \
                  GROUP BY metadata::json->>'error_code' ORDER BY 1";
    println!("attempts without an outcome, by reason:");
    print!("{}", cluster.postgres.execute(&database, select));
}
