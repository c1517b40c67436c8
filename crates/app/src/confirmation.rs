//! Whether users have to confirm their address, and where the links for that lead.

use anyhow::{Result, bail};
use tracing::info;

use crate::roles::Roles;
use crate::settings::{Confirm, Settings};

/// Replace the default of the setting by whether new users have to confirm their address. Logs if
/// they do not by default.
///
/// # Errors
/// They do, but the URL of the page is unknown, to which the links in mails have to lead. It is
/// never taken from a request: whoever sends it could make the link lead elsewhere.
pub(crate) fn resolve(settings: &mut Settings, roles: Roles) -> Result<()> {
    let is_loopback = settings.server.listen.ip().is_loopback();
    let is_private = roles == Roles::ALL && is_loopback && settings.mail.host.is_none();
    let confirm = &mut settings.accounts.confirm;
    match *confirm {
        Confirm::Auto if is_private => {
            info!(
                "users need not confirm their address, because the service listens on a loopback \
                 address and SMTP_HOST is not set; ACCOUNTS_CONFIRM=true changes that"
            );
            *confirm = Confirm::Never;
        }
        Confirm::Auto => *confirm = Confirm::Always,
        Confirm::Always | Confirm::Never => {}
    }
    // A notifier alone does not listen, so the address of the server is unknown to it.
    let needs_url = roles.api && !is_loopback || roles.notifier && !roles.api;
    if *confirm == Confirm::Always && needs_url && settings.server.public_url.is_none() {
        bail!(
            "PUBLIC_URL is missing: the links in mails to users lead there; set it to the URL of \
             the page, or set ACCOUNTS_CONFIRM=false if users need not confirm their address"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Overrides, load};

    /// Whether the confirmation is required in an environment; `None` if the start is refused.
    fn required(roles: Roles, environment: &[(&str, &str)]) -> Option<bool> {
        let variable = |name: &str| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut settings = load(None, variable, Overrides::default()).expect("valid settings");
        match resolve(&mut settings, roles) {
            Ok(()) => Some(settings.accounts.confirm == Confirm::Always),
            Err(error) => {
                assert!(error.to_string().starts_with("PUBLIC_URL is missing"), "{error}");
                None
            }
        }
    }

    #[test]
    fn only_a_private_machine_needs_no_confirmation() {
        let (mail, open) = (("SMTP_HOST", "mail"), ("API_HOST", "0.0.0.0"));
        let url = ("PUBLIC_URL", "https://videos.example.com");
        assert_eq!(required(Roles::ALL, &[]), Some(false));
        assert_eq!(required(Roles::ALL, &[("API_HOST", "::1")]), Some(false));
        assert_eq!(required(Roles::ALL, &[mail]), Some(true));
        assert_eq!(required(Roles::ALL, &[open, url]), Some(true));
        // A role alone does not know whether the notifier has a mail server.
        assert_eq!(required(Roles::API, &[]), Some(true));
    }

    #[test]
    fn links_need_a_url() {
        let open = ("API_HOST", "0.0.0.0");
        assert_eq!(required(Roles::ALL, &[open]), None);
        assert_eq!(required(Roles::API, &[open]), None);
        assert_eq!(required(Roles::NOTIFIER, &[]), None);
        assert_eq!(required(Roles::WORKER, &[open]), Some(true), "a worker sends no mails");
        for roles in [Roles::ALL, Roles::API, Roles::NOTIFIER] {
            assert_eq!(required(roles, &[open, ("ACCOUNTS_CONFIRM", "false")]), Some(false));
        }
    }

    #[test]
    fn the_setting_overrides_the_default() {
        assert_eq!(required(Roles::ALL, &[("ACCOUNTS_CONFIRM", "true")]), Some(true));
        assert_eq!(required(Roles::API, &[("ACCOUNTS_CONFIRM", "False")]), Some(false));
    }
}
