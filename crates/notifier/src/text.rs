//! Text of the mails: subject, plain text and HTML, in Portuguese and English.

use askama::Template;
use chrono::{Datelike, Timelike};
use database::Job;
use database::users::User;
use jobs::video::MAX_FILENAME_CHARS;
use jobs::{FailureCode, Language, State, Time};

/// Maximum length of a name in a mail, in characters. Anyone can register with the address of
/// another person; a longer name could contain a message to that person.
const MAX_NAME: usize = 60;

/// Maximum number of warnings in a mail. The manifest in the archive has all of them.
const MAX_WARNINGS: usize = 10;

/// Maximum length of a warning in a mail, in characters.
const MAX_WARNING: usize = 200;

/// Text of a mail about the outcome of a job.
#[derive(Debug)]
pub(crate) struct MailText {
    /// Tag of the language (BCP 47).
    pub(crate) language: &'static str,
    pub(crate) subject: String,
    pub(crate) plain: String,
    pub(crate) html: String,
}

/// Reason why there is no text for a mail. Another attempt would fail in the same way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextError {
    /// The mail would offer an archive that is deleted.
    #[error("the archive expired before the mail could be sent")]
    Expired,
    /// The notification refers to a job that is not done and has not failed.
    #[error("the job is {0}; mails are sent about jobs that are DONE or FAILED")]
    NotFinished(State),
    /// The mail is about a link whose secret is gone.
    #[error("the mail has no token for its link")]
    NoToken,
    /// A template failed.
    #[error("cannot render the template of the mail: {0}")]
    Template(#[from] askama::Error),
}

/// Values that the templates of mails about one job use.
struct Common {
    language: &'static str,
    subject: String,
    name: Option<String>,
    filename: String,
    /// Address of the job on the page.
    url: String,
    /// Address of the account on the page, where users choose their mails.
    account_url: String,
}

/// Values of the mail about a completed job.
struct Completed {
    common: Common,
    contents: Contents,
    warnings: Vec<String>,
    expires_at: String,
}

/// Contents of an archive, in words.
pub(crate) struct Contents {
    /// Number of frames with its noun.
    pub(crate) frames: String,
    /// Number of frames of the expected number, if some are missing.
    pub(crate) shortfall: Option<String>,
    /// Whether parts of the video are damaged, but no frame is missing.
    pub(crate) damaged: bool,
}

impl Contents {
    /// Contents of the archive of a job that is done.
    pub(crate) fn of(job: &Job, language: Language) -> Self {
        let count = job.frame_count.unwrap_or_default();
        let incomplete = job.complete == Some(false);
        let expected = job.progress_expected.filter(|expected| incomplete && *expected > count);
        let of = match language {
            Language::Pt => "de",
            Language::En => "of",
        };
        let shortfall =
            |expected| format!("{} {of} {}", grouped(count, language), frames(expected, language));
        Self {
            frames: frames(count, language),
            shortfall: expected.map(shortfall),
            damaged: incomplete && expected.is_none(),
        }
    }
}

/// Values of the mail about a failed job.
struct Failed {
    common: Common,
    code: FailureCode,
    user_message: &'static str,
}

macro_rules! templates {
    ($($name:ident($mail:ident) = $path:literal;)*) => {
        $(
            #[derive(Template)]
            #[template(path = $path)]
            struct $name<'a> {
                mail: &'a $mail,
            }
        )*
    };
}

templates! {
    CompletedPtText(Completed) = "completed.pt.txt";
    CompletedPtHtml(Completed) = "completed.pt.html";
    CompletedEnText(Completed) = "completed.en.txt";
    CompletedEnHtml(Completed) = "completed.en.html";
    FailedPtText(Failed) = "failed.pt.txt";
    FailedPtHtml(Failed) = "failed.pt.html";
    FailedEnText(Failed) = "failed.en.txt";
    FailedEnHtml(Failed) = "failed.en.html";
}

impl MailText {
    /// Render the mail about a finished job to its user. `page_url` is the address of the page,
    /// which shows the job.
    pub(crate) fn about(
        job: &Job,
        user: &User,
        page_url: &str,
        now: Time,
    ) -> Result<Self, TextError> {
        match job.state {
            State::Done if job.expires_at > now => completed(job, user, page_url),
            State::Done | State::Expired => Err(TextError::Expired),
            State::Failed => failed(job, user, page_url),
            state => Err(TextError::NotFinished(state)),
        }
    }
}

fn completed(job: &Job, user: &User, page_url: &str) -> Result<MailText, TextError> {
    let language = user.language;
    let contents = Contents::of(job, language);
    let subject = match (language, &contents.shortfall) {
        (Language::Pt, Some(_)) => "Seu vídeo está pronto, mas faltam quadros",
        (Language::Pt, None) if contents.damaged => {
            "Seu vídeo está pronto, mas tem partes danificadas"
        }
        (Language::Pt, None) => "Seu vídeo está pronto",
        (Language::En, Some(_)) => "Your video is ready, but frames are missing",
        (Language::En, None) if contents.damaged => {
            "Your video is ready, but parts of it are damaged"
        }
        (Language::En, None) => "Your video is ready",
    };
    let warnings = job.warnings.iter().take(MAX_WARNINGS);
    let mail = &Completed {
        common: Common::new(subject, job, user, page_url),
        contents,
        warnings: warnings.map(|warning| one_line(&warning.text(language), MAX_WARNING)).collect(),
        expires_at: date_and_time(job.expires_at, user),
    };
    match language {
        Language::Pt => render(&mail.common, &CompletedPtText { mail }, &CompletedPtHtml { mail }),
        Language::En => render(&mail.common, &CompletedEnText { mail }, &CompletedEnHtml { mail }),
    }
}

fn failed(job: &Job, user: &User, page_url: &str) -> Result<MailText, TextError> {
    let code = job.error_code.unwrap_or(FailureCode::InternalError);
    let subject = match user.language {
        Language::Pt => "Não foi possível processar seu vídeo",
        Language::En => "Your video could not be processed",
    };
    let mail = &Failed {
        common: Common::new(subject, job, user, page_url),
        code,
        user_message: code.user_message(user.language),
    };
    match user.language {
        Language::Pt => render(&mail.common, &FailedPtText { mail }, &FailedPtHtml { mail }),
        Language::En => render(&mail.common, &FailedEnText { mail }, &FailedEnHtml { mail }),
    }
}

fn render(
    common: &Common,
    plain: &impl Template,
    html: &impl Template,
) -> Result<MailText, TextError> {
    Ok(MailText {
        language: common.language,
        subject: common.subject.clone(),
        // askama omits the newline at the end of a template.
        plain: plain.render()? + "\n",
        html: html.render()? + "\n",
    })
}

impl Common {
    fn new(subject: &str, job: &Job, user: &User, page_url: &str) -> Self {
        let filename = one_line(&job.filename, MAX_FILENAME_CHARS);
        Self {
            language: language_tag(user.language),
            subject: format!("{subject}: {filename}"),
            name: display_name(user),
            filename,
            url: job_url(page_url, job),
            account_url: account_url(page_url),
        }
    }
}

/// Address of a job on the page.
pub(crate) fn job_url(page_url: &str, job: &Job) -> String {
    format!("{page_url}#/jobs/{}", job.id)
}

/// Address of the account on the page.
pub(crate) fn account_url(page_url: &str) -> String {
    format!("{page_url}#/account")
}

/// Tag of a language (BCP 47).
pub(crate) const fn language_tag(language: Language) -> &'static str {
    match language {
        Language::Pt => "pt-BR",
        Language::En => "en",
    }
}

/// Name of the user for a mail, or `None` if it is empty.
pub(crate) fn display_name(user: &User) -> Option<String> {
    Some(one_line(&user.name, MAX_NAME)).filter(|name| !name.is_empty())
}

/// Return a text from outside as one line of at most `max` characters. Removes line breaks, control
/// characters and characters that change the writing direction (Unicode Standard Annex 9).
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let is_bidi_control = |char| matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let is_allowed =
        |char: &char| char.is_whitespace() || !(char.is_control() || is_bidi_control(*char));
    let allowed: String = text.chars().filter(is_allowed).collect();
    let line = allowed.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= max {
        return line;
    }
    line.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// Number of frames with its noun.
fn frames(count: u64, language: Language) -> String {
    let noun = match (language, count) {
        (Language::Pt, 1) => "quadro",
        (Language::Pt, _) => "quadros",
        (Language::En, 1) => "frame",
        (Language::En, _) => "frames",
    };
    format!("{} {noun}", grouped(count, language))
}

/// Number with separators of thousands.
fn grouped(count: u64, language: Language) -> String {
    let separator = match language {
        Language::Pt => '.',
        Language::En => ',',
    };
    let digits = count.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    grouped
}

/// Date and time to the minute in the time zone of a user, with its difference to UTC.
fn date_and_time(time: Time, user: &User) -> String {
    #[rustfmt::skip]
    const PT: [&str; 12] = [
        "janeiro", "fevereiro", "março", "abril", "maio", "junho",
        "julho", "agosto", "setembro", "outubro", "novembro", "dezembro",
    ];
    #[rustfmt::skip]
    const EN: [&str; 12] = [
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ];
    let local = user.time_zone.map_or_else(|| time.fixed_offset(), |zone| zone.local(time));
    let (day, month, year, hour, minute) =
        (local.day(), local.month0() as usize, local.year(), local.hour(), local.minute());
    let zone = zone_text(local.offset().local_minus_utc());
    match user.language {
        Language::Pt => {
            let day = if day == 1 { "1º".to_owned() } else { day.to_string() };
            format!("{day} de {} de {year}, às {hour:02}h{minute:02} ({zone})", PT[month])
        }
        Language::En => format!("{day} {} {year} at {hour:02}:{minute:02} ({zone})", EN[month]),
    }
}

/// Name of a time zone by its difference to UTC in seconds, such as `UTC-3` or `UTC+5:30`.
fn zone_text(seconds: i32) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes.abs()) {
        (0, 0) => "UTC".to_owned(),
        (_, 0) => format!("UTC{hours:+}"),
        (_, minutes) => {
            let sign = if seconds < 0 { '-' } else { '+' };
            format!("UTC{sign}{}:{minutes:02}", hours.abs())
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::{job, user};
