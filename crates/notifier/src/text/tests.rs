use database::mail_choice::MailChoice;
use jobs::{JobId, StoredRecipe, TimeZone, UserId, Warning};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const PAGE: &str = "https://fiapx.example.com/";
const NOW: &str = "2026-11-24T10:00:00Z";

/// User with a language.
pub(crate) fn user(language: Language) -> User {
    User {
        id: UserId(Uuid::nil()),
        email: "ana@example.com".to_owned(),
        name: "Ana Conceição".to_owned(),
        password_hash: String::new(),
        language,
        generation: 0,
        is_active: true,
        created_at: NOW.parse().expect("a time"),
        updated_at: NOW.parse().expect("a time"),
        confirmed: true,
        second_factor: false,
        mails: MailChoice::default(),
        time_zone: None,
    }
}

/// Job in a final state.
pub(crate) fn job(state: State) -> Job {
    let now: Time = NOW.parse().expect("a time");
    Job {
        id: JobId(Uuid::nil()),
        user_id: UserId(Uuid::nil()),
        state,
        filename: "férias na praia.mp4".to_owned(),
        video_format: "mp4".to_owned(),
        video_path: "videos/u/j/input.mp4".to_owned(),
        video_size_bytes: 1,
        source: None,
        recipe: StoredRecipe::default(),
        zip_path: Some("videos/u/j/output-1.zip".to_owned()),
        zip_size_bytes: Some(1),
        frame_count: Some(1234),
        complete: Some(true),
        warnings: vec![],
        processing_time_seconds: Some(1.0),
        progress_done: 1234,
        progress_expected: Some(1234),
        error_code: None,
        error_message: None,
        attempt: 1,
        fence: 1,
        charged: 0,
        next_attempt_at: None,
        traceparent: None,
        created_at: now,
        started_at: Some(now),
        completed_at: Some(now),
        expires_at: "2026-12-01T14:05:59Z".parse().expect("a time"),
    }
}

fn about(job: &Job, user: &User) -> MailText {
    MailText::about(job, user, PAGE, NOW.parse().expect("a time")).expect("a mail")
}

fn incomplete() -> Job {
    let reason = "the element at byte 40 reaches past the end".to_owned();
    let warnings = vec![
        Warning::FileTruncated { reason, end_s: 4.25 },
        Warning::PacketsDamaged { packets: 3 },
    ];
    Job {
        complete: Some(false),
        frame_count: Some(1),
        progress_expected: Some(12),
        warnings,
        ..job(State::Done)
    }
}

fn failed() -> Job {
    Job { error_code: Some(FailureCode::NoVideoStream), ..job(State::Failed) }
}

/// Snapshot of all parts of a mail, as its user reads them.
fn assert_mail(name: &str, job: &Job) {
    for language in [Language::Pt, Language::En] {
        let MailText { language: tag, subject, plain, html } = about(job, &user(language));
        let mail = format!("Subject: {subject}\n\n{plain}\n{html}");
        insta::assert_snapshot!(format!("{name}_{tag}"), mail);
    }
}

#[test]
fn mails_about_complete_archives() {
    assert_mail("completed", &job(State::Done));
}

#[test]
fn mails_about_incomplete_archives() {
    assert_mail("incomplete", &incomplete());
}

#[test]
fn mails_about_damaged_frames() {
    assert_mail("damaged", &Job { complete: Some(false), ..job(State::Done) });
}

#[test]
fn mails_about_failed_jobs() {
    assert_mail("failed", &failed());
}

#[test]
fn mails_contain_the_message_and_code_of_each_failure() {
    for code in FailureCode::ALL {
        for language in [Language::Pt, Language::En] {
            let mail = about(&Job { error_code: Some(*code), ..failed() }, &user(language));
            assert!(mail.plain.contains(code.user_message(language)), "{code} {language:?}");
            assert!(mail.plain.contains(code.name()), "{code} {language:?}");
        }
    }
}

#[test]
fn escapes_html_in_text_from_users() {
    let hostile = "<img src=x onerror=\"alert(1)\">' & {{ mail.subject }}";
    for state in [State::Done, State::Failed] {
        for language in [Language::Pt, Language::En] {
            let job = Job {
                filename: format!("{hostile}.mp4"),
                warnings: vec![Warning::Other { text: hostile.to_owned() }],
                error_code: Some(FailureCode::EmptyFile),
                ..job(state)
            };
            let user = User { name: hostile.to_owned(), ..user(language) };
            let mail = about(&job, &user);
            assert!(!mail.html.contains("<img"), "{}", mail.html);
            let escaped =
                "&#60;img src=x onerror=&#34;alert(1)&#34;&#62;&#39; &#38; {{ mail.subject }}";
            assert!(mail.html.contains(escaped), "{}", mail.html);
            assert!(mail.plain.contains(&format!("{hostile}.mp4")), "{}", mail.plain);
        }
    }
}

#[test]
fn removes_line_breaks_and_control_characters() {
    let hostile = "Ana\r\nSubject: free money\r\n\r\n\u{2028}<b>\u{202E}evil\u{7}";
    let job = Job { filename: format!("{hostile}.mp4"), ..failed() };
    let mail = about(&job, &User { name: hostile.to_owned(), ..user(Language::En) });
    assert_eq!(
        mail.subject,
        "Your video could not be processed: Ana Subject: free money <b>evil.mp4"
    );
    assert_eq!(mail.plain.lines().next(), Some("Hello, Ana Subject: free money <b>evil!"));
}

#[test]
fn omits_an_empty_name_and_truncates_a_long_one() {
    let unnamed = about(&failed(), &User { name: " \n".to_owned(), ..user(Language::Pt) });
    assert!(unnamed.plain.starts_with("Olá!\n"), "{}", unnamed.plain);
    let long = about(&failed(), &User { name: "x".repeat(500), ..user(Language::En) });
    assert!(
        long.plain.starts_with(&format!("Hello, {}…!\n", "x".repeat(MAX_NAME - 1))),
        "{}",
        long.plain
    );
}

#[test]
fn rejects_jobs_that_are_not_finished_or_expired() {
    let user = user(Language::Pt);
    let at = |job: &Job, now: &str| {
        MailText::about(job, &user, PAGE, now.parse().expect("a time")).expect_err("no mail")
    };
    assert!(matches!(at(&job(State::Expired), NOW), TextError::Expired));
    // Expired, but not marked as such yet.
    assert!(matches!(at(&job(State::Done), "2026-12-01T14:05:59Z"), TextError::Expired));
    assert!(matches!(at(&job(State::Cancelled), NOW), TextError::NotFinished(State::Cancelled)));
}

#[test]
fn groups_the_digits_of_counts() {
    let counts = [0, 1, 12, 999, 1000, 1_234_567];
    let in_language = |language| counts.map(|count| frames(count, language));
    assert_eq!(
        in_language(Language::Pt),
        [
            "0 quadros",
            "1 quadro",
            "12 quadros",
            "999 quadros",
            "1.000 quadros",
            "1.234.567 quadros"
        ]
    );
    assert_eq!(in_language(Language::En)[5], "1,234,567 frames");
}

#[test]
fn formats_dates_in_the_language_of_the_user() {
    let first = "2027-03-01T00:07:00Z".parse().expect("a time");
    let pt = date_and_time(first, &user(Language::Pt));
    assert_eq!(pt, "1º de março de 2027, às 00h07 (UTC)");
    assert_eq!(date_and_time(first, &user(Language::En)), "1 March 2027 at 00:07 (UTC)");
}

#[test]
fn dates_are_those_of_the_users_time_zone() {
    let time = "2027-03-01T00:07:00Z".parse().expect("a time");
    for (zone, pt, en) in [
        (
            "America/Sao_Paulo",
            "28 de fevereiro de 2027, às 21h07 (UTC-3)",
            "28 February 2027 at 21:07 (UTC-3)",
        ),
        (
            "Asia/Kolkata",
            "1º de março de 2027, às 05h37 (UTC+5:30)",
            "1 March 2027 at 05:37 (UTC+5:30)",
        ),
        (
            "America/St_Johns",
            "28 de fevereiro de 2027, às 20h37 (UTC-3:30)",
            "28 February 2027 at 20:37 (UTC-3:30)",
        ),
    ] {
        let user = |language| User { time_zone: TimeZone::from_name(zone), ..user(language) };
        assert_eq!(date_and_time(time, &user(Language::Pt)), pt);
        assert_eq!(date_and_time(time, &user(Language::En)), en);
    }
    assert_eq!(zone_text(-1800), "UTC-0:30");
}

proptest! {
    #[test]
    fn one_line_is_short_and_has_no_line_breaks(text in any::<String>(), max in 1..80_usize) {
        let is_break = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}');
        let line = one_line(&text, max);
        prop_assert!(line.chars().count() <= max, "{line:?}");
        prop_assert!(!line.contains(is_break), "{line:?}");
    }
}
