//! Plans that PostgreSQL logs (auto_explain) of the statements that the service executes.

use std::path::{Path, PathBuf};

use serde_json::Value;
use servers::Postgres;

/// One executed statement.
#[derive(Debug, Clone)]
pub struct Executed {
    /// Text of the statement, with parameters in place of values.
    pub statement: String,
    /// Duration at the server, in milliseconds.
    pub milliseconds: f64,
    /// Pages that it used, found in memory or not.
    pub pages: u64,
    /// Tables that it read completely.
    pub scanned_tables: Vec<String>,
    /// Plan in the form of `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)`.
    pub plan: Value,
}

/// Log all plans of the sessions of a database that begin from now on.
pub fn log_plans(server: &Postgres, url: &str) {
    let name = url.rsplit('/').next().unwrap_or_default();
    for (setting, value) in [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_buffers", "on"),
        // Reading the clock for each row would take longer than many of the statements.
        ("auto_explain.log_timing", "off"),
        ("auto_explain.log_format", "json"),
    ] {
        server.execute(url, &format!("ALTER DATABASE {name} SET {setting} = '{value}'"));
    }
}

/// Reads the log from where it ended before.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    position: usize,
}

impl Log {
    /// Read from the end of a log.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { path: path.to_owned(), position: std::fs::read(path)?.len() })
    }

    /// Statements that were logged since the last call.
    ///
    /// # Errors
    /// The file cannot be read, or a plan is not JSON.
    pub fn read(&mut self) -> anyhow::Result<Vec<Executed>> {
        let bytes = std::fs::read(&self.path)?;
        let text = String::from_utf8_lossy(&bytes[self.position..]).into_owned();
        self.position = bytes.len();
        let (mut statements, mut lines) = (Vec::new(), text.lines().peekable());
        while let Some(line) = lines.next() {
            let Some((_, rest)) = line.split_once("duration: ") else { continue };
            let Some((milliseconds, _)) = rest.split_once(" ms  plan:") else { continue };
            let mut json = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
                json.push_str(line.trim_start_matches('\t'));
            }
            statements.push(executed(milliseconds.parse()?, serde_json::from_str(&json)?));
        }
        Ok(statements)
    }
}

fn executed(milliseconds: f64, plan: Value) -> Executed {
    let pages = |name: &str| plan["Plan"][name].as_u64().unwrap_or_default();
    let mut scanned_tables = Vec::new();
    find_scans(&plan["Plan"], &mut scanned_tables);
    Executed {
        statement: plan["Query Text"].as_str().unwrap_or_default().to_owned(),
        milliseconds,
        pages: pages("Shared Hit Blocks") + pages("Shared Read Blocks"),
        scanned_tables,
        plan,
    }
}

/// Collect the tables that a plan reads sequentially.
fn find_scans(plan: &Value, tables: &mut Vec<String>) {
    if plan["Node Type"] == "Seq Scan" {
        tables.extend(plan["Relation Name"].as_str().map(str::to_owned));
    }
    for child in plan["Plans"].as_array().into_iter().flatten() {
        find_scans(child, tables);
    }
}
