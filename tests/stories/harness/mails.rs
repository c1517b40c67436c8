//! Mails, as a mail program shows them.

use std::collections::BTreeMap;
use std::path::Path;

use super::clips::scratch;
use super::programs::{output, tool};

/// A mail, as a mail program shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Address of the recipient.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// Plain text body.
    pub text: String,
    /// HTML body.
    pub html: String,
}

/// Mails by their `Message-ID` (RFC 5322, 3.6.4), so that repetitions count once.
pub fn distinct(mails: Vec<String>) -> BTreeMap<String, String> {
    let id = |mail: &str| {
        mail.lines().find_map(|line| Some(line.strip_prefix("Message-ID: ")?.to_owned()))
    };
    mails.into_iter().map(|mail| (id(&mail).expect("a mail has a Message-ID"), mail)).collect()
}

/// Write mails that a server received to a data directory, as a service without a server does.
pub fn write_mails(mails: &BTreeMap<String, String>, data_directory: &Path) {
    let directory = data_directory.join("mails");
    std::fs::create_dir_all(&directory).expect("the directory can be created");
    for (number, mail) in mails.values().enumerate() {
        std::fs::write(directory.join(format!("{number}.eml")), mail).expect("it can be written");
    }
}

/// Mails by their sources, as [`read_mails`] reads them.
pub fn parse_mails(sources: Vec<String>) -> Vec<Mail> {
    let directory = scratch();
    write_mails(&distinct(sources), directory.path());
    read_mails(directory.path())
}

/// Mails in a data directory, as Python's mail package reads them, sorted by subject.
pub fn read_mails(data_directory: &Path) -> Vec<Mail> {
    const READER: &str = "
import email, email.policy, json, pathlib, sys
def read(path):
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    bodies = [mail.get_body([kind]).get_content() for kind in ('plain', 'html')]
    return [mail['to'].addresses[0].addr_spec, mail['subject'], *bodies]
mails = [read(path) for path in pathlib.Path(sys.argv[1]).glob('*.eml')]
print(json.dumps(sorted(mails, key=lambda mail: mail[1])))
";
    let read = output(tool("python3").args(["-c", READER]).arg(data_directory.join("mails")))
        .expect("the mails can be read");
    let mails: Vec<[String; 4]> = serde_json::from_slice(&read).expect("the reader writes JSON");
    mails.into_iter().map(|[to, subject, text, html]| Mail { to, subject, text, html }).collect()
}
