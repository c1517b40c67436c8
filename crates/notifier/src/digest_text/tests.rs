use super::*;
use crate::text::{job, user};

const PAGE: &str = "https://fiapx.example.com/";
const NOW: &str = "2026-11-24T10:00:00Z";

fn rendered(jobs: &[&Job], language: Language) -> Result<MailText, TextError> {
    render(jobs, &user(language), PAGE, NOW.parse().expect("a time"))
}

/// Jobs with each outcome.
fn jobs() -> [Job; 4] {
    let named = |job: Job, name: &str| Job { filename: name.to_owned(), ..job };
    let incomplete = Job {
        complete: Some(false),
        frame_count: Some(42),
        progress_expected: Some(70),
        ..job(State::Done)
    };
    let failed = Job { error_code: Some(FailureCode::NoVideoStream), ..job(State::Failed) };
    [
        named(job(State::Done), "férias na praia.mp4"),
        named(incomplete, "cortado.mkv"),
        named(Job { complete: Some(false), ..job(State::Done) }, "danificado.avi"),
        named(failed, "só áudio.mp4"),
    ]
}

#[test]
fn a_digest_lists_each_outcome() {
    let jobs = jobs();
    for language in [Language::Pt, Language::En] {
        let rendered = rendered(&jobs.each_ref(), language).expect("a mail");
        let MailText { language: tag, subject, plain, html } = rendered;
        let mail = format!("Subject: {subject}\n\n{plain}\n{html}");
        insta::assert_snapshot!(format!("digest_{tag}"), mail);
    }
}

#[test]
fn subjects_state_the_number_of_each_outcome() {
    let [done, .., failed] = jobs();
    let subject = |jobs: &[&Job], language| rendered(jobs, language).expect("a mail").subject;
    let cases = [
        (&[&done, &done][..], "Your videos: 2 ready", "Seus vídeos: 2 prontos"),
        (&[&done, &failed], "Your videos: 1 ready, 1 failed", "Seus vídeos: 1 pronto, 1 com falha"),
        (&[&failed, &failed], "Your videos: 2 failed", "Seus vídeos: 2 com falha"),
    ];
    for (jobs, english, portuguese) in cases {
        assert_eq!(subject(jobs, Language::En), english);
        assert_eq!(subject(jobs, Language::Pt), portuguese);
    }
}

#[test]
fn long_digests_are_cut_off() {
    let job = job(State::Done);
    let jobs = vec![&job; MAX_ITEMS + 7];
    let mail = rendered(&jobs, Language::En).expect("a mail");
    assert_eq!(mail.subject, "Your videos: 57 ready");
    for body in [&mail.plain, &mail.html] {
        assert_eq!(body.matches("1,234 frames").count(), MAX_ITEMS);
        assert!(body.contains("And 7 more."), "{body}");
    }
}

#[test]
fn expired_archives_are_left_out() {
    let [done, _, _, failed] = jobs();
    let expired = Job { state: State::Expired, ..done.clone() };
    let single = rendered(&[&expired, &failed], Language::En).expect("a mail");
    assert_eq!(single.subject, "Your video could not be processed: só áudio.mp4");
    let none = rendered(&[&expired, &expired], Language::En).expect_err("no mail");
    assert!(matches!(none, TextError::Expired));
    let cancelled = job(State::Cancelled);
    let none = rendered(&[&cancelled], Language::En).expect_err("no mail");
    assert!(matches!(none, TextError::NotFinished(State::Cancelled)));
}

#[test]
fn names_of_files_are_escaped() {
    let hostile = Job { filename: "<b>\r\n\u{202e}x.mp4".to_owned(), ..job(State::Done) };
    let mail = rendered(&[&hostile, &hostile], Language::En).expect("a mail");
    assert!(mail.plain.contains("- <b> x.mp4: ready"), "{}", mail.plain);
    assert!(!mail.html.contains("<b>") && mail.html.contains("&#60;b&#62; x.mp4"), "{}", mail.html);
}
