//! Numbers of the outcomes of attacks.

use std::collections::BTreeMap;
use std::fmt::Write;

use parking_lot::Mutex;

/// Numbers by attack and outcome, which is a status or a word.
#[derive(Default)]
pub struct Outcomes(Mutex<BTreeMap<(&'static str, String), u64>>);

impl Outcomes {
    /// Count an outcome.
    pub fn count(&self, attack: &'static str, outcome: String) {
        *self.0.lock().entry((attack, outcome)).or_default() += 1;
    }

    /// All numbers, one line for each attack.
    pub fn table(&self) -> String {
        let mut table = "outcomes of the attacks".to_owned();
        let mut last = "";
        for ((attack, outcome), count) in &*self.0.lock() {
            // Writing to a string cannot fail.
            if *attack != last {
                let _ = write!(table, "\n{attack:<20}");
                last = attack;
            }
            let _ = write!(table, " {outcome}: {count}");
        }
        table
    }
}
