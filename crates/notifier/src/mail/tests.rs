use proptest::prelude::*;

use super::*;
use crate::text::one_line;

/// Return a mail to this user.
pub(crate) fn sample(email: &str, name: &str) -> Mail {
    compose(email, name, "Your video is ready: férias.mp4").expect("a mail")
}

fn compose(email: &str, name: &str, subject: &str) -> Result<Mail, Error> {
    compose_with(email, name, subject, None)
}

fn compose_with(
    email: &str,
    name: &str,
    subject: &str,
    unsubscribe: Option<&str>,
) -> Result<Mail, Error> {
    let now = "2026-11-24T10:00:00Z".parse().expect("a time");
    let name = Some(one_line(name, 60)).filter(|name| !name.is_empty());
    let recipient = Recipient { address: email, name };
    let text = MailText {
        language: "en",
        subject: subject.to_owned(),
        plain: "First line.\n.\n. A line that begins with a dot: férias.\n".to_owned(),
        html: "<p>férias</p>\n".to_owned(),
    };
    let sender = Sender::parse("fiapx@mail.example.com").expect("a sender");
    let id = "0190a000-0000-7000-8000-000000000001".parse().expect("an id");
    Mail::compose(id, &sender, recipient, text, unsubscribe, now)
}

fn text(mail: &Mail) -> String {
    String::from_utf8(mail.bytes()).expect("text")
}

/// Names of the headers, in order.
fn header_names(mail: &Mail) -> Vec<String> {
    let text = text(mail);
    let (head, _) = text.split_once("\r\n\r\n").expect("a head");
    let folded = |line: &&str| !line.starts_with([' ', '\t']);
    head.split("\r\n")
        .filter(folded)
        .map(|line| line.split(':').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn message_is_stable() {
    let mail = sample("ana@example.com", "Ana");
    let message = text(&mail);
    assert!(message.is_ascii() && !message.replace("\r\n", "").contains(['\r', '\n']));
    insta::assert_snapshot!("message", message.replace("\r\n", "\n"));
}

/// Check that the name of a user adds no header and no recipient.
fn assert_no_injection(name: &str) {
    let mail = sample("ana@example.com", name);
    assert_eq!(header_names(&mail), header_names(&sample("ana@example.com", "Ana")), "{name:?}");
    let to: Vec<String> = mail.envelope().to().iter().map(ToString::to_string).collect();
    assert_eq!(to, ["ana@example.com"], "{name:?}");
    let text = text(&mail);
    let from_to =
        text.lines().skip_while(|line| !line.starts_with("To: ")).collect::<Vec<_>>().join("\n");
    let ends_with_address = from_to
        .split("Subject:")
        .next()
        .is_some_and(|to| to.trim_end().trim_end_matches('>').ends_with("ana@example.com"));
    assert!(ends_with_address, "{name:?} {from_to}");
    // Maximum length of a line (RFC 5322, 2.1.1).
    assert!(text.lines().all(|line| line.len() <= 998 && line.is_ascii()), "{name:?}");
}

#[test]
fn names_add_no_header_and_no_recipient() {
    for name in [
        "Ana\r\nBcc: eve@example.com",
        "Ana\nBcc: eve@example.com\n\nBody",
        "Ana\rBcc: eve@example.com",
        "Ana\0\u{b}\u{85}\u{2028}Bcc: eve@example.com",
        "Ana <eve@example.com>, \"Eve\" <eve@example.com>",
        "\" <eve@example.com>, \"",
        "\\",
        "eve@example.com",
        "=?utf-8?q?=0D=0ABcc:_eve@example.com?=",
        "Ана 安娜 👩‍💻 آنا",
        "",
        "   ",
        ",;:<>()[]\\\"@",
    ] {
        assert_no_injection(name);
    }
}

proptest! {
    #[test]
    fn arbitrary_names_add_no_header_and_no_recipient(name in any::<String>()) {
        // `Subject:` marks the end of the name in the check.
        prop_assume!(!name.contains("Subject:"));
        assert_no_injection(&name);
    }
}

#[test]
fn mails_are_ended_by_one_click() {
    for (scheme, one_click) in [("https", true), ("http", false)] {
        let url = format!("{scheme}://example.com/mails/unsubscribe?secret={}", "0".repeat(32));
        let mail = compose_with("ana@example.com", "Ana", "Ready", Some(&url)).expect("a mail");
        // Long headers are folded (RFC 5322, 2.2.3), before a word and behind its space.
        let unfolded = text(&mail).replace("\r\n ", "");
        assert!(unfolded.contains(&format!("List-Unsubscribe: <{url}>\r\n")), "{unfolded}");
        let post = "\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n";
        assert_eq!(unfolded.contains(post), one_click, "{unfolded}");
    }
}

#[test]
fn subjects_add_no_header() {
    let mail = compose("ana@example.com", "Ana", "Ready\r\nBcc: eve@example.com\r\n\r\nBody")
        .expect("a mail");
    assert_eq!(header_names(&mail), header_names(&sample("ana@example.com", "Ana")));
}

#[test]
fn encodes_names_in_headers() {
    let to_header = |name: &str| {
        text(&sample("ana@example.com", name))
            .lines()
            .find(|line| line.starts_with("To: "))
            .map(str::to_owned)
    };
    assert_eq!(to_header("Ana").as_deref(), Some("To: Ana <ana@example.com>"));
    assert_eq!(
        to_header("Ana \"Nana\" Reis").as_deref(),
        Some("To: \"Ana \\\"Nana\\\" Reis\" <ana@example.com>")
    );
    // Base64 of "Conceição" (RFC 2047).
    assert_eq!(
        to_header("Conceição").as_deref(),
        Some("To: =?utf-8?b?Q29uY2Vpw6fDo28=?= <ana@example.com>")
    );
    assert_eq!(to_header("").as_deref(), Some("To: ana@example.com"));
}

#[test]
fn invalid_addresses_are_permanent_errors() {
    for address in [
        "",
        "ana",
        "ana@",
        "ana@example.com\r\nBcc: eve@example.com",
        "ana@example.com, eve@example.com",
    ] {
        let error = compose(address, "Ana", "Ready").expect_err(address);
        assert!(error.permanent, "{error}");
    }
}

#[test]
fn parses_senders_with_and_without_a_name() {
    let parsed = |from: &str| Sender::parse(from).map(|sender| sender.0.to_string());
    assert_eq!(parsed("fiapx@example.com"), Ok("FIAP X <fiapx@example.com>".to_owned()));
    assert_eq!(parsed(" Videos <v@example.com> "), Ok("Videos <v@example.com>".to_owned()));
    let error = parsed("nobody").expect_err("not an address");
    assert!(error.to_string().starts_with("EMAIL_FROM: `nobody`"), "{error}");
}
