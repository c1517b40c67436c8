//! Words of the mails about accounts, in Portuguese and English.

use database::account_mails::AccountMailKind;
use jobs::Language;

/// Words of a mail: its subject, the paragraphs before its link, the label of the link, and the
/// paragraphs after it.
pub(crate) struct Words {
    pub(crate) subject: &'static str,
    pub(crate) before: &'static [&'static str],
    pub(crate) action: &'static str,
    pub(crate) after: &'static [&'static str],
}

/// Words of a mail in both languages.
struct Translated {
    pt: Words,
    en: Words,
}

/// Last line of a mail.
pub(crate) const fn footer(language: Language) -> &'static str {
    match language {
        Language::Pt => "Esta é uma mensagem automática; não é preciso responder.",
        Language::En => "This is an automatic message; please do not reply.",
    }
}

/// Words of the mails of a kind.
pub(crate) const fn words(kind: AccountMailKind, language: Language) -> &'static Words {
    let translated = match kind {
        AccountMailKind::ConfirmAddress => &CONFIRM_ADDRESS,
        AccountMailKind::AlreadyRegistered => &ALREADY_REGISTERED,
        AccountMailKind::ResetPassword => &RESET_PASSWORD,
        AccountMailKind::ConfirmNewAddress => &CONFIRM_NEW_ADDRESS,
        AccountMailKind::AddressChangeRequested => &ADDRESS_CHANGE_REQUESTED,
        AccountMailKind::AddressChanged => &ADDRESS_CHANGED,
        AccountMailKind::PasswordChanged => &PASSWORD_CHANGED,
        AccountMailKind::SecondFactorEnabled => &SECOND_FACTOR_ENABLED,
        AccountMailKind::SecondFactorDisabled => &SECOND_FACTOR_DISABLED,
        AccountMailKind::KeyCreated => &KEY_CREATED,
        AccountMailKind::WebhookDisabled => &WEBHOOK_DISABLED,
    };
    match language {
        Language::Pt => &translated.pt,
        Language::En => &translated.en,
    }
}

const CONFIRM_ADDRESS: Translated = Translated {
    pt: Words {
        subject: "Confirme seu e-mail",
        before: &[
            "Olá!",
            "Alguém, provavelmente você, criou uma conta no FIAP X com este e-mail. Confirme \
             que ele é seu para poder enviar vídeos:",
        ],
        action: "Confirmar e-mail",
        after: &[
            "O link vale por 24 horas e só pode ser usado uma vez.",
            "Não foi você? Então ignore esta mensagem: sem a confirmação, a conta não aceita \
             vídeos.",
        ],
    },
    en: Words {
        subject: "Confirm your e-mail address",
        before: &[
            "Hello!",
            "Someone, probably you, registered at FIAP X with this e-mail address. Confirm \
             that it is yours, so that you can upload videos:",
        ],
        action: "Confirm the address",
        after: &[
            "The link is valid for 24 hours and works once.",
            "Was it not you? Then ignore this message: without the confirmation, the account \
             accepts no videos.",
        ],
    },
};

const ALREADY_REGISTERED: Translated = Translated {
    pt: Words {
        subject: "Você já tem uma conta",
        before: &[
            "Olá!",
            "Alguém, provavelmente você, tentou usar este e-mail em uma nova conta do FIAP X. \
             Ele já pertence a uma conta, e nada mudou nela.",
            "Entre com a sua senha. Se você a esqueceu, crie uma nova na página de entrada:",
        ],
        action: "Abrir o FIAP X",
        after: &["Não foi você? Então ignore esta mensagem."],
    },
    en: Words {
        subject: "You already have an account",
        before: &[
            "Hello!",
            "Someone, probably you, tried to use this e-mail address for a new account at \
             FIAP X. It belongs to an account already, in which nothing has changed.",
            "Log in with your password. If you forgot it, set a new one on the log-in page:",
        ],
        action: "Open FIAP X",
        after: &["Was it not you? Then ignore this message."],
    },
};

const RESET_PASSWORD: Translated = Translated {
    pt: Words {
        subject: "Crie uma nova senha",
        before: &[
            "Olá!",
            "Alguém, provavelmente você, pediu uma nova senha para a sua conta no FIAP X. Crie \
             a senha aqui:",
        ],
        action: "Criar nova senha",
        after: &[
            "O link vale por 30 minutos e só pode ser usado uma vez. A sua conta será \
             desconectada de todos os aparelhos.",
            "Não foi você? Então ignore esta mensagem: sua senha continua a mesma.",
        ],
    },
    en: Words {
        subject: "Set a new password",
        before: &[
            "Hello!",
            "Someone, probably you, requested a new password for your account at FIAP X. Set \
             it here:",
        ],
        action: "Set a new password",
        after: &[
            "The link is valid for 30 minutes and works once. You will be logged out on all \
             devices.",
            "Was it not you? Then ignore this message: your password stays the same.",
        ],
    },
};

const CONFIRM_NEW_ADDRESS: Translated = Translated {
    pt: Words {
        subject: "Confirme seu novo e-mail",
        before: &[
            "Olá!",
            "Alguém, provavelmente você, quer usar este e-mail em sua conta do FIAP X. \
             Confirme a troca:",
        ],
        action: "Confirmar novo e-mail",
        after: &[
            "O link vale por 24 horas e só pode ser usado uma vez.",
            "Não foi você? Então ignore esta mensagem.",
        ],
    },
    en: Words {
        subject: "Confirm your new e-mail address",
        before: &[
            "Hello!",
            "Someone, probably you, wants to use this e-mail address for their account at \
             FIAP X. Confirm the change:",
        ],
        action: "Confirm the new address",
        after: &[
            "The link is valid for 24 hours and works once.",
            "Was it not you? Then ignore this message.",
        ],
    },
};

const ADDRESS_CHANGE_REQUESTED: Translated = Translated {
    pt: Words {
        subject: "Foi pedida a troca do seu e-mail",
        before: &[
            "Olá!",
            "Foi pedida a troca do e-mail da sua conta no FIAP X. Ela só acontece quando o \
             novo e-mail for confirmado.",
            "Não foi você? Então alguém sabe a sua senha. Troque-a agora, e a troca do e-mail \
             será cancelada:",
        ],
        action: "Abrir o FIAP X",
        after: &[],
    },
    en: Words {
        subject: "A change of your e-mail address was requested",
        before: &[
            "Hello!",
            "A change of the e-mail address of your account at FIAP X was requested. It takes \
             effect when the new address is confirmed.",
            "Was it not you? Then somebody knows your password. Change it now, which also \
             cancels the change of the address:",
        ],
        action: "Open FIAP X",
        after: &[],
    },
};

const ADDRESS_CHANGED: Translated = Translated {
    pt: Words {
        subject: "Seu e-mail foi trocado",
        before: &[
            "Olá!",
            "O e-mail da sua conta no FIAP X foi trocado. Esta é a última mensagem para este \
             endereço; entre com o novo:",
        ],
        action: "Abrir o FIAP X",
        after: &["Não foi você? Então fale logo com o operador do serviço."],
    },
    en: Words {
        subject: "Your e-mail address was changed",
        before: &[
            "Hello!",
            "The e-mail address of your account at FIAP X was changed. This is the last \
             message to this address; log in with the new one:",
        ],
        action: "Open FIAP X",
        after: &["Was it not you? Then contact the operator of the service at once."],
    },
};

const PASSWORD_CHANGED: Translated = Translated {
    pt: Words {
        subject: "Sua senha foi trocada",
        before: &[
            "Olá!",
            "A senha da sua conta no FIAP X foi trocada, e a conta foi desconectada de todos \
             os aparelhos. Entre com a nova senha:",
        ],
        action: "Abrir o FIAP X",
        after: &["Não foi você? Então crie uma nova senha agora mesmo: use “Esqueci a senha” na \
             página de entrada."],
    },
    en: Words {
        subject: "Your password was changed",
        before: &[
            "Hello!",
            "The password of your account at FIAP X was changed, and you were logged out on \
             all devices. Log in with the new password:",
        ],
        action: "Open FIAP X",
        after: &["Was it not you? Then set a new password at once: use “Forgot password” on the \
             log-in page."],
    },
};

const SECOND_FACTOR_ENABLED: Translated = Translated {
    pt: Words {
        subject: "Verificação em duas etapas ativada",
        before: &[
            "Olá!",
            "A verificação em duas etapas da sua conta no FIAP X foi ativada. A partir de \
             agora, você entra com a senha e um código do seu aplicativo autenticador.",
        ],
        action: "Abrir o FIAP X",
        after: &["Não foi você? Então fale logo com o operador do serviço."],
    },
    en: Words {
        subject: "Two-step verification is on",
        before: &[
            "Hello!",
            "Two-step verification was turned on for your account at FIAP X. From now on, you \
             log in with your password and a code of your authenticator app.",
        ],
        action: "Open FIAP X",
        after: &["Was it not you? Then contact the operator of the service at once."],
    },
};

const SECOND_FACTOR_DISABLED: Translated = Translated {
    pt: Words {
        subject: "Verificação em duas etapas desativada",
        before: &[
            "Olá!",
            "A verificação em duas etapas da sua conta no FIAP X foi desativada. A partir de \
             agora, basta a senha para entrar.",
        ],
        action: "Abrir o FIAP X",
        after: &["Não foi você? Então crie uma nova senha agora mesmo: use “Esqueci a senha” na \
             página de entrada."],
    },
    en: Words {
        subject: "Two-step verification is off",
        before: &[
            "Hello!",
            "Two-step verification was turned off for your account at FIAP X. From now on, \
             your password suffices to log in.",
        ],
        action: "Open FIAP X",
        after: &["Was it not you? Then set a new password at once: use “Forgot password” on the \
             log-in page."],
    },
};

const KEY_CREATED: Translated = Translated {
    pt: Words {
        subject: "Nova chave de API",
        before: &[
            "Olá!",
            "Foi criada uma chave de API na sua conta do FIAP X. Com ela, um programa usa a sua \
             conta sem senha. Veja suas chaves na página da conta:",
        ],
        action: "Abrir o FIAP X",
        after: &[
            "Não foi você? Então exclua a chave e troque sua senha agora mesmo: quem a criou \
             conhece a senha.",
        ],
    },
    en: Words {
        subject: "New API key",
        before: &[
            "Hello!",
            "An API key was created for your account at FIAP X. With it, a program uses your \
             account without the password. See your keys on the page of your account:",
        ],
        action: "Open FIAP X",
        after: &["Was it not you? Then delete the key and change your password at once: whoever \
             created it knows the password."],
    },
};

const WEBHOOK_DISABLED: Translated = Translated {
    pt: Words {
        subject: "Um webhook foi desativado",
        before: &[
            "Olá!",
            "Um dos seus webhooks no FIAP X não recebe mais eventos: nos últimos cinco dias, \
             nenhuma entrega deu certo. Na página você vê qual é e o que o servidor respondeu. \
             Depois de corrigir o problema, ative o webhook de novo:",
        ],
        action: "Abrir o FIAP X",
        after: &[
            "Eventos que acontecem enquanto ele está desativado não são enviados. Os que falharam \
             podem ser reenviados na página por até 30 dias.",
        ],
    },
    en: Words {
        subject: "A webhook was disabled",
        before: &[
            "Hello!",
            "One of your webhooks at FIAP X receives no more events: for the last five days, no \
             delivery has succeeded. The page shows which one it is, and what its server \
             responded. When the problem is solved, enable the webhook again:",
        ],
        action: "Open FIAP X",
        after: &[
            "Events that happen while it is disabled are not sent. Those that failed can be sent \
             again from the page for up to 30 days.",
        ],
    },
};
