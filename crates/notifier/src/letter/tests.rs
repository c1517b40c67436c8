use jobs::{JobId, UserId};
use uuid::Uuid;

use super::*;

const PAGE: &str = "https://fiapx.example.com/";
const NOW: &str = "2026-11-24T10:00:00Z";

fn user(language: Language) -> User {
    User {
        id: UserId(Uuid::nil()),
        email: "ana@example.com".to_owned(),
        name: "Ana Conceição".to_owned(),
        password_hash: String::new(),
        language,
        generation: 0,
        created_at: NOW.parse().expect("a time"),
    }
}

fn job(state: State) -> Job {
    let now: Time = NOW.parse().expect("a time");
    Job {
        id: JobId(Uuid::nil()),
        user_id: UserId(Uuid::nil()),
        state,
        filename: "férias na praia.mp4".to_owned(),
        video_format: "mp4".to_owned(),
        video_path: "videos/u/j/input.mp4".to_owned(),
        video_size_bytes: 1,
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
        next_attempt_at: None,
        traceparent: None,
        created_at: now,
        started_at: Some(now),
        completed_at: Some(now),
        expires_at: "2026-12-01T14:05:59Z".parse().expect("a time"),
    }
}

fn about(job: &Job, user: &User) -> Letter {
    Letter::about(job, user, PAGE, NOW.parse().expect("a time")).expect("a letter")
}

fn incomplete() -> Job {
    let warnings = vec![
        "the container breaks off: End of file".to_owned(),
        "packets cut short or damaged: 3".to_owned(),
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

/// What users read stands in files, to be read by whoever changes it.
macro_rules! reads_as {
    ($($test:ident: $job:expr, $language:expr, $name:literal, $subject:literal;)*) => {
        $(
            #[test]
            fn $test() {
                let letter = about(&$job, &user($language));
                assert_eq!(letter.subject, $subject);
                assert_eq!(letter.text, include_str!(concat!("../../snapshots/", $name, ".txt")));
                assert_eq!(letter.html, include_str!(concat!("../../snapshots/", $name, ".html")));
            }
        )*
    };
}

reads_as! {
    completed_in_portuguese: job(State::Done), Language::Pt, "completed.pt", "Seu vídeo está pronto: férias na praia.mp4";
    completed_in_english: job(State::Done), Language::En, "completed.en", "Your video is ready: férias na praia.mp4";
    incomplete_in_portuguese: incomplete(), Language::Pt, "incomplete.pt", "Seu vídeo está pronto: férias na praia.mp4";
    incomplete_in_english: incomplete(), Language::En, "incomplete.en", "Your video is ready: férias na praia.mp4";
    failed_in_portuguese: failed(), Language::Pt, "failed.pt", "Não foi possível processar seu vídeo: férias na praia.mp4";
    failed_in_english: failed(), Language::En, "failed.en", "Your video could not be processed: férias na praia.mp4";
}

#[test]
fn damage_without_a_missing_picture_is_told_too() {
    let job = Job { complete: Some(false), ..job(State::Done) };
    assert!(
        about(&job, &user(Language::Pt)).text.contains("Algumas imagens podem estar danificadas.")
    );
    assert!(about(&job, &user(Language::En)).text.contains("Some pictures may be damaged."));
}

#[test]
fn every_failure_has_its_words_in_its_mail() {
    for code in FailureCode::ALL {
        for language in [Language::Pt, Language::En] {
            let letter = about(&Job { error_code: Some(*code), ..failed() }, &user(language));
            assert!(letter.text.contains(code.user_message(language)), "{code} {language:?}");
            assert!(letter.text.contains(code.name()), "{code} {language:?}");
        }
    }
}

#[test]
fn what_users_write_stays_text() {
    let hostile = "<img src=x onerror=\"alert(1)\">' & {{ mail.words }}";
    for state in [State::Done, State::Failed] {
        for language in [Language::Pt, Language::En] {
            let job = Job {
                filename: format!("{hostile}.mp4"),
                warnings: vec![hostile.to_owned()],
                error_code: Some(FailureCode::EmptyFile),
                ..job(state)
            };
            let user = User { name: hostile.to_owned(), ..user(language) };
            let letter = about(&job, &user);
            assert!(!letter.html.contains("<img"), "{}", letter.html);
            assert!(
                letter.html.contains(
                    "&#60;img src=x onerror=&#34;alert(1)&#34;&#62;&#39; &#38; {{ mail.words }}"
                ),
                "{}",
                letter.html
            );
            assert!(letter.text.contains(&format!("{hostile}.mp4")), "{}", letter.text);
        }
    }
}

#[test]
fn what_users_write_stays_on_its_line() {
    let hostile = "Ana\r\nSubject: free money\r\n\r\n\u{2028}<b>\u{202E}evil\u{7}";
    let job = Job { filename: format!("{hostile}.mp4"), ..failed() };
    let letter = about(&job, &User { name: hostile.to_owned(), ..user(Language::En) });
    assert_eq!(
        letter.subject,
        "Your video could not be processed: Ana Subject: free money <b>evil.mp4"
    );
    assert_eq!(letter.text.lines().next(), Some("Hello, Ana Subject: free money <b>evil!"));
}

#[test]
fn no_name_is_greeted_without_one_and_a_long_one_is_cut() {
    let unnamed = about(&failed(), &User { name: " \n".to_owned(), ..user(Language::Pt) });
    assert!(unnamed.text.starts_with("Olá!\n"), "{}", unnamed.text);
    let long = about(&failed(), &User { name: "x".repeat(500), ..user(Language::En) });
    assert!(
        long.text.starts_with(&format!("Hello, {}…!\n", "x".repeat(LONGEST_NAME - 1))),
        "{}",
        long.text
    );
}

#[test]
fn only_outcomes_that_still_matter_are_told() {
    let user = user(Language::Pt);
    let at = |job: &Job, now: &str| {
        Letter::about(job, &user, PAGE, now.parse().expect("a time")).expect_err("nothing to tell")
    };
    assert!(matches!(at(&job(State::Expired), NOW), Untold::Expired));
    // Over, though nobody has marked it yet.
    assert!(matches!(at(&job(State::Done), "2026-12-01T14:05:59Z"), Untold::Expired));
    assert!(matches!(at(&job(State::Cancelled), NOW), Untold::NoOutcome(State::Cancelled)));
}

#[test]
fn counts_are_grouped() {
    let counts = [0, 1, 12, 999, 1000, 1_234_567];
    let in_language = |language| counts.map(|count| pictures(count, language));
    assert_eq!(
        in_language(Language::Pt),
        [
            "0 imagens",
            "1 imagem",
            "12 imagens",
            "999 imagens",
            "1.000 imagens",
            "1.234.567 imagens"
        ]
    );
    assert_eq!(in_language(Language::En)[5], "1,234,567 pictures");
}

#[test]
fn moments_are_written_as_in_the_language() {
    let first = "2027-03-01T00:07:00Z".parse().expect("a time");
    assert_eq!(moment(first, Language::Pt), "1º de março de 2027, às 00h07 (UTC)");
    assert_eq!(moment(first, Language::En), "1 March 2027 at 00:07 (UTC)");
}
