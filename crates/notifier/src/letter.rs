//! An outcome in the words of its user: subject, text and HTML, in Portuguese and English.

use askama::Template;
use chrono::{Datelike, Timelike};
use database::Job;
use database::users::User;
use jobs::video::MAX_FILENAME_CHARS;
use jobs::{FailureCode, Language, State, Time};

/// Longest name that a mail repeats, in characters. Anyone can register with the address of
/// somebody else, whom a longer one could be made to tell a story.
const LONGEST_NAME: usize = 60;

/// Most warnings that a mail lists; the manifest in the archive has all.
const MOST_WARNINGS: usize = 10;

/// Longest warning, in characters.
const LONGEST_WARNING: usize = 200;

/// What is told to a user.
#[derive(Debug)]
pub(crate) struct Letter {
    /// Tag of the language (BCP 47).
    pub(crate) language: &'static str,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// Why there is nothing to tell, now and later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untold {
    /// A mail would invite its reader to fetch what is not there any more.
    #[error("the archive expired before its mail could be sent")]
    Expired,
    /// The job has no outcome. The messages about jobs say otherwise, so that one of the two is
    /// wrong.
    #[error("the job is {0}, of which nobody is told")]
    NoOutcome(State),
    /// A template failed.
    #[error("the mail could not be written: {0}")]
    Template(#[from] askama::Error),
}

/// What both outcomes have in common.
struct Frame<'a> {
    language: &'static str,
    subject: String,
    name: Option<String>,
    filename: String,
    page: &'a str,
}

struct Completed<'a> {
    frame: Frame<'a>,
    /// The count and its noun.
    pictures: String,
    incomplete: bool,
    /// How many pictures there should have been, if that is more than there are.
    expected: Option<String>,
    warnings: Vec<String>,
    until: String,
}

struct Failed<'a> {
    frame: Frame<'a>,
    code: FailureCode,
    words: &'static str,
}

macro_rules! templates {
    ($($name:ident($mail:ident) = $path:literal;)*) => {
        $(
            #[derive(Template)]
            #[template(path = $path)]
            struct $name<'a> {
                mail: &'a $mail<'a>,
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

impl Letter {
    /// What is to be told of a job to its user, who finds everything else on the page at `page`.
    pub(crate) fn about(job: &Job, user: &User, page: &str, now: Time) -> Result<Self, Untold> {
        match job.state {
            State::Done if job.expires_at > now => completed(job, user, page),
            State::Done | State::Expired => Err(Untold::Expired),
            State::Failed => failed(job, user, page),
            state => Err(Untold::NoOutcome(state)),
        }
    }
}

fn completed(job: &Job, user: &User, page: &str) -> Result<Letter, Untold> {
    let count = job.frame_count.unwrap_or_default();
    let incomplete = job.complete == Some(false);
    let subject = match user.language {
        Language::Pt => "Seu vídeo está pronto",
        Language::En => "Your video is ready",
    };
    let mail = &Completed {
        frame: Frame::new(subject, job, user, page),
        pictures: pictures(count, user.language),
        incomplete,
        expected: job
            .progress_expected
            .filter(|expected| incomplete && *expected > count)
            .map(|it| pictures(it, user.language)),
        warnings: job
            .warnings
            .iter()
            .take(MOST_WARNINGS)
            .map(|warning| one_line(warning, LONGEST_WARNING))
            .collect(),
        until: moment(job.expires_at, user.language),
    };
    let (text, html) = match user.language {
        Language::Pt => (written(&CompletedPtText { mail })?, written(&CompletedPtHtml { mail })?),
        Language::En => (written(&CompletedEnText { mail })?, written(&CompletedEnHtml { mail })?),
    };
    Ok(Letter { language: mail.frame.language, subject: mail.frame.subject.clone(), text, html })
}

fn failed(job: &Job, user: &User, page: &str) -> Result<Letter, Untold> {
    let code = job.error_code.unwrap_or(FailureCode::InternalError);
    let subject = match user.language {
        Language::Pt => "Não foi possível processar seu vídeo",
        Language::En => "Your video could not be processed",
    };
    let mail = &Failed {
        frame: Frame::new(subject, job, user, page),
        code,
        words: code.user_message(user.language),
    };
    let (text, html) = match user.language {
        Language::Pt => (written(&FailedPtText { mail })?, written(&FailedPtHtml { mail })?),
        Language::En => (written(&FailedEnText { mail })?, written(&FailedEnHtml { mail })?),
    };
    Ok(Letter { language: mail.frame.language, subject: mail.frame.subject.clone(), text, html })
}

/// The template with its values, and the end of its last line, which askama leaves out.
fn written(template: &impl Template) -> Result<String, askama::Error> {
    Ok(template.render()? + "\n")
}

impl<'a> Frame<'a> {
    fn new(subject: &str, job: &Job, user: &User, page: &'a str) -> Self {
        let language = match user.language {
            Language::Pt => "pt-BR",
            Language::En => "en",
        };
        let filename = one_line(&job.filename, MAX_FILENAME_CHARS);
        Self {
            language,
            subject: format!("{subject}: {filename}"),
            name: called(user),
            filename,
            page,
        }
    }
}

/// What the user wants to be called; none if that is nothing.
pub(crate) fn called(user: &User) -> Option<String> {
    Some(one_line(&user.name, LONGEST_NAME)).filter(|name| !name.is_empty())
}

/// What somebody else wrote, as one line of at most `most` characters without any that could break
/// a header, a line, or the direction of writing (Unicode Standard Annex 9).
fn one_line(text: &str, most: usize) -> String {
    let turns = |char| matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let plain = |char: &char| char.is_whitespace() || !(char.is_control() || turns(*char));
    let words: String = text.chars().filter(plain).collect();
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A count of pictures.
fn pictures(count: u64, language: Language) -> String {
    let (separator, noun) = match (language, count) {
        (Language::Pt, 1) => (".", "imagem"),
        (Language::Pt, _) => (".", "imagens"),
        (Language::En, 1) => (",", "picture"),
        (Language::En, _) => (",", "pictures"),
    };
    let digits = count.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push_str(separator);
        }
        grouped.push(digit);
    }
    format!("{grouped} {noun}")
}

/// A moment, to the minute, in the zone that it names.
fn moment(time: Time, language: Language) -> String {
    const PT: [&str; 12] = [
        "janeiro",
        "fevereiro",
        "março",
        "abril",
        "maio",
        "junho",
        "julho",
        "agosto",
        "setembro",
        "outubro",
        "novembro",
        "dezembro",
    ];
    const EN: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (day, month, year, hour, minute) =
        (time.day(), time.month0() as usize, time.year(), time.hour(), time.minute());
    match language {
        Language::Pt => {
            let day = if day == 1 { "1º".to_owned() } else { day.to_string() };
            format!("{day} de {} de {year}, às {hour:02}h{minute:02} (UTC)", PT[month])
        }
        Language::En => format!("{day} {} {year} at {hour:02}:{minute:02} (UTC)", EN[month]),
    }
}

#[cfg(test)]
mod tests;
