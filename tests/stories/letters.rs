//! Mails, as mail programs show them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::{output, tool};

/// A mail, as a mail program shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// To which address.
    pub to: String,
    /// About what.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// Its HTML.
    pub html: String,
}

/// Mails by their names, of which each has one (RFC 5322, 3.6.4).
pub fn distinct(mails: Vec<String>) -> BTreeMap<String, String> {
    let name = |mail: &str| {
        mail.lines().find_map(|line| Some(line.strip_prefix("Message-ID: ")?.to_owned()))
    };
    mails.into_iter().map(|mail| (name(&mail).expect("a mail has a name"), mail)).collect()
}

/// Write mails that a server was given to a data directory, as a service without one does.
pub fn write_down(mails: &BTreeMap<String, String>, data_directory: &Path) {
    let directory = data_directory.join("mails");
    std::fs::create_dir_all(&directory).expect("there is room");
    for (number, mail) in mails.values().enumerate() {
        std::fs::write(directory.join(format!("{number}.eml")), mail).expect("there is room");
    }
}

/// The mails that were written to a data directory, as Python's mail package reads them, by their
/// subjects.
pub fn letters(data_directory: &Path) -> Vec<Letter> {
    const READER: &str = "
import email, email.policy, json, pathlib, sys
def read(path):
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    bodies = [mail.get_body([kind]).get_content() for kind in ('plain', 'html')]
    return [mail['to'].addresses[0].addr_spec, mail['subject'], *bodies]
print(json.dumps(sorted((read(path) for path in pathlib.Path(sys.argv[1]).glob('*.eml')), key=lambda mail: mail[1])))
";
    let read = output(tool("python3").args(["-c", READER]).arg(data_directory.join("mails")))
        .expect("the mails can be read");
    let mails: Vec<[String; 4]> = serde_json::from_slice(&read).expect("the reader writes JSON");
    mails.into_iter().map(|[to, subject, text, html]| Letter { to, subject, text, html }).collect()
}
