//! Progress bars on a terminal, and lines above them.

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use remote::{Event, Step};

use super::super::console::{print, print_error};
use crate::cli::Progress;

/// Progress bars of a command.
pub(super) struct Bars(MultiProgress);

impl Bars {
    /// Bars that are shown on a terminal only, or never.
    pub fn new(progress: Progress) -> Self {
        Self(MultiProgress::with_draw_target(progress.target()))
    }

    /// Bar of a transfer of bytes.
    pub fn bytes(&self, name: &str) -> Bar {
        let transferred = "{decimal_bytes}/{decimal_total_bytes}";
        self.bar(name, &format!("{transferred}, {{decimal_bytes_per_sec}}, {{eta}} left {{msg}}"))
    }

    /// Bar of a job.
    pub fn frames(&self, name: &str) -> Bar {
        self.bar(name, "{pos}/{len} frames {msg}")
    }

    fn bar(&self, name: &str, numbers: &str) -> Bar {
        let template = format!("{{prefix:24!}} {{wide_bar}} {numbers}");
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::no_length().with_style(style).with_prefix(printable(name));
        Bar(self.0.add(bar))
    }

    /// Write a line to standard output.
    pub fn print(&self, line: &str) -> Result<()> {
        self.0.suspend(|| print(line))
    }

    /// Write a line to standard error.
    pub fn print_error(&self, line: &str) {
        self.0.suspend(|| print_error(line));
    }
}

/// A progress bar. Dropping it removes it.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Show a step of a transfer.
    pub fn show(&self, step: &Step<'_>) {
        match step {
            Step::Bytes(done, all) => {
                self.0.set_length(*all);
                self.0.set_position(*done);
                self.0.set_message("");
            }
            Step::Pause(error) => self.0.set_message(format!("(trying again: {error})")),
        }
    }

    /// Show an event of a job.
    pub fn show_event(&self, event: &Event) {
        let progress = event.progress;
        self.0.set_length(progress.expected.unwrap_or(progress.done).max(progress.done));
        self.0.set_position(progress.done);
        self.0.set_message(event.status.to_lowercase());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Text without characters that control a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
