//! Text of the mails about accounts.
//!
//! They contain nothing that a user has entered, not even a name: anyone can register with the
//! address of another person, who would receive the text.

use askama::Template;
use database::account_mails::AccountMailKind;
use jobs::Language;

use crate::account_words::{Words, footer, words};
use crate::text::{MailText, TextError, language_tag};

/// Values of the layout.
struct Common {
    language: &'static str,
    subject: &'static str,
}

/// Values of a mail about an account.
struct AccountMail {
    common: Common,
    before: &'static [&'static str],
    url: String,
    action: &'static str,
    after: &'static [&'static str],
    footer: &'static str,
}

#[derive(Template)]
#[template(path = "account.txt", escape = "none")]
struct PlainText<'a> {
    mail: &'a AccountMail,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Html<'a> {
    mail: &'a AccountMail,
}

/// Render a mail about an account, in its user's language. `token` is the secret of its link.
pub(crate) fn render(
    kind: AccountMailKind,
    language: Language,
    page_url: &str,
    token: Option<&str>,
) -> Result<MailText, TextError> {
    let Words { subject, before, action, after } = *words(kind, language);
    let mail = &AccountMail {
        common: Common { language: language_tag(language), subject },
        before,
        url: url(kind, page_url, token)?,
        action,
        after,
        footer: footer(language),
    };
    Ok(MailText {
        language: mail.common.language,
        subject: subject.to_owned(),
        // askama omits the newline at the end of a template.
        plain: PlainText { mail }.render()? + "\n",
        html: Html { mail }.render()? + "\n",
    })
}

/// Address of the page to which a mail leads.
fn url(kind: AccountMailKind, page_url: &str, token: Option<&str>) -> Result<String, TextError> {
    let Some(path) = link(kind) else { return Ok(page_url.to_owned()) };
    let token = token.ok_or(TextError::NoToken)?;
    Ok(format!("{page_url}#/{path}/{token}"))
}

/// Path of the page for the link of a mail; `None` if its token is not needed.
const fn link(kind: AccountMailKind) -> Option<&'static str> {
    match kind {
        AccountMailKind::ConfirmAddress => Some("confirm"),
        AccountMailKind::ResetPassword => Some("reset"),
        AccountMailKind::ConfirmNewAddress => Some("change-address"),
        AccountMailKind::AlreadyRegistered
        | AccountMailKind::AddressChangeRequested
        | AccountMailKind::AddressChanged
        | AccountMailKind::PasswordChanged
        | AccountMailKind::SecondFactorEnabled
        | AccountMailKind::SecondFactorDisabled
        | AccountMailKind::KeyCreated
        | AccountMailKind::WebhookDisabled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://fiapx.example.com/";

    /// Snapshots of all parts of the mails, as their users read them.
    #[test]
    fn mails_are_readable_in_both_languages() {
        for kind in AccountMailKind::ALL {
            for language in [Language::Pt, Language::En] {
                let token = link(kind).map(|_| "hL3m0q3Vn1q0bQ8Z5m7rG2Yk4c9T6xWd1sEoPuJfAiM");
                let text = render(kind, language, PAGE, token).expect("a mail");
                let mail = format!("Subject: {}\n\n{}\n{}", text.subject, text.plain, text.html);
                let name = format!("{}_{}", kind.name().to_lowercase(), text.language);
                insta::assert_snapshot!(name, mail);
            }
        }
    }

    #[test]
    fn a_link_without_its_token_is_an_error() {
        let text = render(AccountMailKind::ResetPassword, Language::Pt, PAGE, None);
        assert!(matches!(text, Err(TextError::NoToken)));
    }

    /// Both forms contain the link once, and mail programs recognize the one in plain text.
    #[test]
    fn links_lead_to_the_page() {
        for (kind, path) in [
            (AccountMailKind::ConfirmAddress, "confirm"),
            (AccountMailKind::ResetPassword, "reset"),
            (AccountMailKind::ConfirmNewAddress, "change-address"),
        ] {
            let text = render(kind, Language::En, PAGE, Some("secret")).expect("a mail");
            let url = format!("{PAGE}#/{path}/secret");
            assert!(text.plain.lines().any(|line| line == url), "{}", text.plain);
            assert!(text.html.contains(&format!("href=\"{url}\"")), "{}", text.html);
        }
    }
}
