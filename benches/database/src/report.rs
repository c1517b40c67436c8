//! Report of what the calls cost.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::calls::{Call, PROCESSES, Repeated};
use crate::plans::Executed;

/// One call and its statements.
pub struct Measured {
    /// The call.
    pub call: &'static Call,
    /// Statements that it executed.
    pub executed: Vec<Executed>,
    /// Error that it returned.
    pub error: Option<anyhow::Error>,
}

/// All measured calls.
#[derive(Default)]
pub struct Report {
    calls: Vec<Measured>,
}

impl Report {
    /// Add a call.
    pub fn add(&mut self, measured: Measured) {
        self.calls.push(measured);
    }

    /// Table with one line per call, and the sum of the periodic ones.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "call | statements | median ms of a call | slowest statement, ms | most pages | \
             scanned tables | ms per second of all processes\n",
        );
        let mut sum = 0.0;
        for (name, calls) in self.by_name() {
            let mut totals: Vec<f64> = calls.iter().map(total).collect();
            totals.sort_by(f64::total_cmp);
            let median = totals[totals.len() / 2];
            let statements = || calls.iter().flat_map(|call| &call.executed);
            let slowest = statements().map(|one| one.milliseconds).fold(0.0, f64::max);
            let pages = statements().map(|one| one.pages).max().unwrap_or_default();
            let mut scans: Vec<&str> =
                statements().flat_map(|one| &one.scanned_tables).map(String::as_str).collect();
            scans.sort_unstable();
            scans.dedup();
            let load = calls[0].call.repeated.per_second().map(|calls| calls * median);
            sum += load.unwrap_or_default();
            let load = load.map_or("-".to_owned(), |load| format!("{load:.1}"));
            let _ = writeln!(
                table,
                "{name} | {} | {median:.2} | {slowest:.2} | {pages} | {} | {load}",
                calls[0].executed.len(),
                scans.join(" "),
            );
        }
        let _ = writeln!(
            table,
            "{PROCESSES} processes of each role: {:.2} cores, without parsing and commits",
            sum / 1000.0
        );
        table
    }

    /// Failed calls, and periodic statements that take longer than a limit or read all jobs.
    pub fn faults(&self, limit_ms: f64) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, calls) in self.by_name() {
            if let Some(error) = calls.iter().find_map(|call| call.error.as_ref()) {
                faults.push(format!("{name}: {error:#}"));
            }
            if calls[0].call.repeated == Repeated::ForARequest {
                continue;
            }
            let executed = calls.iter().flat_map(|call| &call.executed);
            let fault = executed.clone().find(|one| one.milliseconds > limit_ms);
            faults.extend(
                fault.map(|one| format!("{name}: {:.1} ms: {}", one.milliseconds, one.statement)),
            );
            let is_scan = |one: &&Executed| one.scanned_tables.iter().any(|table| table == "jobs");
            faults.extend(
                executed
                    .clone()
                    .find(is_scan)
                    .map(|one| format!("{name}: reads all jobs: {}", one.statement)),
            );
        }
        faults
    }

    /// Slowest plan of each statement, as JSON.
    pub fn plans(&self) -> String {
        let mut plans = BTreeMap::<(&str, &str), &Executed>::new();
        for call in &self.calls {
            for one in &call.executed {
                let slowest = plans.entry((call.call.name, &one.statement)).or_insert(one);
                if one.milliseconds > slowest.milliseconds {
                    *slowest = one;
                }
            }
        }
        let texts = plans.iter().map(|((name, _), one)| {
            format!("{name}: {:.2} ms\n{:#}\n", one.milliseconds, one.plan)
        });
        texts.collect()
    }

    /// Calls in their order, those with the same name together.
    fn by_name(&self) -> Vec<(&'static str, &[Measured])> {
        let same = |one: &Measured, other: &Measured| one.call.name == other.call.name;
        self.calls.chunk_by(same).map(|calls| (calls[0].call.name, calls)).collect()
    }
}

/// Duration of all statements of a call, in milliseconds.
fn total(call: &Measured) -> f64 {
    call.executed.iter().map(|one| one.milliseconds).sum()
}
