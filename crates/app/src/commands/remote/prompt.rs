//! Questions at a terminal. Other input is read by lines.

use std::io::{IsTerminal, Write, stderr, stdin};

use anyhow::{Context, Result, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;

/// Ask for a text.
pub(super) async fn text(question: &str) -> Result<String> {
    Ok(read_line(question).await?.trim().to_owned())
}

/// Ask for a secret, which is not shown.
pub(super) async fn secret(question: &str) -> Result<SecretString> {
    let hidden = stdin().is_terminal().then(Hidden::begin).transpose()?;
    let line = read_line(question).await?;
    if hidden.is_some() {
        // The one that the user has entered was not shown either.
        let _ = writeln!(stderr());
    }
    Ok(SecretString::from(line))
}

/// Read a line without its end. The question is shown at a terminal only.
async fn read_line(question: &str) -> Result<String> {
    if stdin().is_terminal() {
        let _ = write!(stderr(), "{question}: ");
        let _ = stderr().flush();
    }
    // On a thread of its own, so that Ctrl-C ends the command.
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|bytes| (bytes, line))
    });
    let (bytes, line) = read.await?.context("cannot read standard input")?;
    if bytes == 0 {
        bail!("standard input ended where a line was expected ({question})");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Terminal that does not show what is entered. Dropping it restores the terminal.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Result<Self> {
        let before = tcgetattr(stdin()).context("cannot query the terminal")?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(stdin(), SetArg::TCSAFLUSH, &silent).context("cannot hide the input")?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &self.0);
    }
}
