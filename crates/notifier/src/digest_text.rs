//! Text of the mail about several jobs, for users who want one in place of many.

use askama::Template;
use database::Job;
use database::users::User;
use jobs::video::MAX_FILENAME_CHARS;
use jobs::{FailureCode, Language, State, Time};

use crate::text::{
    Contents, MailText, TextError, account_url, display_name, job_url, language_tag, one_line,
};

/// Maximum number of jobs that a mail lists.
const MAX_ITEMS: usize = 50;

/// Values of the layout and the frame of the mail.
struct Common<'a> {
    language: &'static str,
    subject: String,
    name: Option<String>,
    /// Address of the list of videos on the page.
    url: &'a str,
    account_url: String,
}

/// Values of the mail.
struct Digest<'a> {
    common: Common<'a>,
    items: Vec<Item>,
    /// Number of jobs that are not listed.
    more: usize,
}

/// Job in the list.
struct Item {
    filename: String,
    outcome: String,
    url: String,
}

macro_rules! templates {
    ($($name:ident = $path:literal;)*) => {
        $(
            #[derive(Template)]
            #[template(path = $path)]
            struct $name<'a> {
                mail: &'a Digest<'a>,
            }
        )*
    };
}

templates! {
    PtText = "digest.pt.txt";
    PtHtml = "digest.pt.html";
    EnText = "digest.en.txt";
    EnHtml = "digest.en.html";
}

/// Render the mail about these jobs, which are finished, to their user. Of several, archives that
/// have expired are left out. `page_url` is the address of the page.
pub(crate) fn render(
    jobs: &[&Job],
    user: &User,
    page_url: &str,
    now: Time,
) -> Result<MailText, TextError> {
    if let [job] = jobs {
        return MailText::about(job, user, page_url, now);
    }
    let is_current = |job: &&&Job| match job.state {
        State::Done => job.expires_at > now,
        state => state == State::Failed,
    };
    let jobs: Vec<&Job> = jobs.iter().filter(is_current).copied().collect();
    match jobs[..] {
        [] => return Err(TextError::Expired),
        [job] => return MailText::about(job, user, page_url, now),
        _ => {}
    }
    let language = user.language;
    let item = |job: &&Job| Item {
        filename: one_line(&job.filename, MAX_FILENAME_CHARS),
        outcome: outcome(job, language),
        url: job_url(page_url, job),
    };
    let mail = &Digest {
        common: Common {
            language: language_tag(language),
            subject: subject(&jobs, language),
            name: display_name(user),
            url: page_url,
            account_url: account_url(page_url),
        },
        items: jobs.iter().take(MAX_ITEMS).map(item).collect(),
        more: jobs.len().saturating_sub(MAX_ITEMS),
    };
    let (plain, html) = match language {
        Language::Pt => (PtText { mail }.render()?, PtHtml { mail }.render()?),
        Language::En => (EnText { mail }.render()?, EnHtml { mail }.render()?),
    };
    Ok(MailText {
        language: mail.common.language,
        subject: mail.common.subject.clone(),
        // askama omits the newline at the end of a template.
        plain: plain + "\n",
        html: html + "\n",
    })
}

/// Subject with the number of each outcome.
fn subject(jobs: &[&Job], language: Language) -> String {
    let failed = jobs.iter().filter(|job| job.state == State::Failed).count();
    let ready = jobs.len() - failed;
    let (beginning, ready_text, failed_text) = match language {
        Language::Pt if ready == 1 => ("Seus vídeos", "pronto", "com falha"),
        Language::Pt => ("Seus vídeos", "prontos", "com falha"),
        Language::En => ("Your videos", "ready", "failed"),
    };
    let counts = [(ready, ready_text), (failed, failed_text)];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let texts: Vec<_> = counts.map(|(count, text)| format!("{count} {text}")).collect();
    format!("{beginning}: {}", texts.join(", "))
}

/// Outcome of a job in a few words.
fn outcome(job: &Job, language: Language) -> String {
    if job.state == State::Failed {
        let code = job.error_code.unwrap_or(FailureCode::InternalError);
        return code.user_message(language).to_owned();
    }
    let Contents { frames, shortfall, damaged } = Contents::of(job, language);
    match (language, shortfall) {
        (Language::Pt, Some(shortfall)) => format!("pronto, mas só com {shortfall}"),
        (Language::Pt, None) if damaged => {
            format!("pronto, com {frames}, mas com partes danificadas")
        }
        (Language::Pt, None) => format!("pronto, com {frames}"),
        (Language::En, Some(shortfall)) => format!("ready, but with only {shortfall}"),
        (Language::En, None) if damaged => {
            format!("ready, with {frames}, but parts of it are damaged")
        }
        (Language::En, None) => format!("ready, with {frames}"),
    }
}

#[cfg(test)]
mod tests;
