use servers::Mailbox;
use servers::mailbox::Behavior;

use super::*;
use crate::mail::sample;

/// Base64 of `\0mailer\0open sesame` (RFC 4616).
const PLAIN: &str = "PLAIN AG1haWxlcgBvcGVuIHNlc2FtZQ==";

/// Address of a test mail server, without a login.
pub(crate) fn server(mailbox: &Mailbox) -> Server {
    Server { host: mailbox.host(), port: mailbox.port(), login: None }
}

fn login() -> Login {
    Login { user: "mailer".to_owned(), password: "open sesame".into() }
}

#[tokio::test]
async fn sends_the_message_unchanged() {
    let sink = Mailbox::start([]).await;
    let mail = sample("ana@example.com", "Ana");
    SmtpMailer::new(server(&sink)).send(&mail).await.expect("a sent mail");
    let [received] = &sink.received()[..] else { panic!("one mail should have arrived") };
    assert_eq!(received.from, "FROM:<fiapx@mail.example.com>");
    assert_eq!(received.to, "TO:<ana@example.com>");
    let written = String::from_utf8(mail.bytes()).expect("text");
    assert_eq!(received.data.trim_end(), written.trim_end());
    assert_eq!(received.login, None);
}

#[tokio::test]
async fn only_a_rejected_mail_is_a_permanent_error() {
    let mail = sample("ana@example.com", "Ana");
    for (behavior, permanent) in [
        (Behavior::Reply("RCPT", "550 5.1.1 no such user"), true),
        (Behavior::Reply("MAIL", "550 5.7.1 sender refused"), true),
        (Behavior::Reply(".", "554 5.6.0 looks like spam"), true),
        (Behavior::Reply("RCPT", "451 4.7.1 come back later"), false),
        (Behavior::Reply("DATA", "452 4.3.1 no room"), false),
        (Behavior::Reply(".", "421 4.3.2 going down"), false),
        (Behavior::Reply("MAIL", "530 5.7.0 authentication required"), false),
        (Behavior::Reply("CONNECT", "554 no service"), false),
        (Behavior::Reply("EHLO", "502 unknown"), false),
        (Behavior::Reply("RCPT", "what?"), false),
        (Behavior::Disconnect("CONNECT"), false),
        (Behavior::Disconnect("RCPT"), false),
        (Behavior::Disconnect("."), false),
    ] {
        let sink = Mailbox::start([behavior]).await;
        let smtp = SmtpMailer::new(server(&sink));
        let error = smtp.send(&mail).await.expect_err("no mail");
        assert_eq!(error.permanent, permanent, "{behavior:?} {error}");
        assert!(error.to_string().contains(&server(&sink).to_string()), "{error}");
        assert_eq!(sink.received(), [], "{behavior:?}");
        smtp.send(&mail).await.expect("the next attempt succeeds");
        assert_eq!(sink.received().len(), 1);
    }
}

#[tokio::test]
async fn a_silent_server_is_a_timeout() {
    let mail = sample("ana@example.com", "Ana");
    for verb in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        let sink = Mailbox::start([Behavior::Hang(verb)]).await;
        let limit = Duration::from_millis(300);
        let smtp = SmtpMailer {
            connect_timeout: limit,
            send_timeout: limit,
            ..SmtpMailer::new(server(&sink))
        };
        let error = smtp.send(&mail).await.expect_err(verb);
        assert!(!error.permanent, "{verb} {error}");
        assert!(error.to_string().contains("within 300ms"), "{verb} {error}");
    }
}

#[tokio::test]
async fn an_error_while_quitting_does_not_matter() {
    let sink = Mailbox::start([Behavior::Disconnect("QUIT")]).await;
    SmtpMailer::new(server(&sink))
        .send(&sample("ana@example.com", "Ana"))
        .await
        .expect("a sent mail");
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn an_unreachable_server_is_a_transient_error() {
    let sink = Mailbox::start([]).await;
    let server = server(&sink);
    drop(sink);
    // The port is free again once the listener's task is gone.
    while tokio::net::TcpStream::connect((server.host.as_str(), server.port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let smtp = SmtpMailer::new(server.clone());
    for error in [
        smtp.send(&sample("ana@example.com", "Ana")).await.expect_err("no server"),
        smtp.check().await.expect_err("no server"),
    ] {
        assert!(!error.permanent);
        assert!(error.to_string().starts_with(&format!("cannot use {server}")), "{error}");
    }
}

#[tokio::test]
async fn logs_in_first_and_a_rejected_login_is_transient() {
    let sink =
        Mailbox::start([Behavior::Accept, Behavior::Reply("AUTH", "535 5.7.8 wrong password")])
            .await;
    let smtp = SmtpMailer::new(Server { login: Some(login()), ..server(&sink) });
    let mail = sample("ana@example.com", "Ana");
    smtp.send(&mail).await.expect("a sent mail");
    assert_eq!(sink.received()[0].login.as_deref(), Some(PLAIN));
    let error = smtp.send(&mail).await.expect_err("a refused login");
    assert!(!error.permanent, "{error}");
    assert!(!format!("{error} {smtp:?}").contains("sesame"));
    smtp.check().await.expect("a kind server");
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn sends_no_password_unencrypted_to_another_machine() {
    let sink = Mailbox::start([]).await;
    // Linux connects to itself at this address, which is not a loopback address.
    let smtp = SmtpMailer::new(Server {
        host: "0.0.0.0".to_owned(),
        login: Some(login()),
        ..server(&sink)
    });
    let error = smtp.send(&sample("ana@example.com", "Ana")).await.expect_err("no encryption");
    assert!(error.to_string().contains("use port 465"), "{error}");
    assert_eq!(sink.received(), []);
    for (host, this) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("mail", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(is_this_machine(host), this, "{host}");
    }
}

#[tokio::test]
async fn does_not_continue_unencrypted_when_starttls_fails() {
    let offers = Behavior::Reply("EHLO", "250-sink\r\n250 STARTTLS");
    let sink = Mailbox::start([offers]).await;
    let error = SmtpMailer::new(server(&sink))
        .send(&sample("ana@example.com", "Ana"))
        .await
        .expect_err("no encryption");
    assert!(!error.permanent, "{error}");
    assert_eq!(sink.received(), []);
}
