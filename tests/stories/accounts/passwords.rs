//! Passwords: the same text in any of Unicode's forms is the same password.

use jobs::Language;
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::json;

use super::{field_errors, post, registration};
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// `Praça#2026` as Windows and Linux send it.
const COMPOSED: &str = "Pra\u{E7}a#2026";
/// The same text as macOS may send it.
const DECOMPOSED: &str = "Prac\u{327}a#2026";
/// Argon2id hash of [`DECOMPOSED`], as version 0.1.0 stored it.
const DECOMPOSED_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$MBR0FMeRsZd9IOcx52umiw\
                               $VrSEYDTrhq12Io+5L33NoS0NY/Nab/3R+0KEZ0SLPgI";

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_same_text_is_the_same_password(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    for (email, password) in [("ana@example.com", COMPOSED), ("bia@example.com", DECOMPOSED)] {
        let fields = registration(&json!({ "email": email, "password": password }));
        assert_eq!(post(&service, "/auth/register", &fields).await.0, StatusCode::CREATED);
    }
    for email in ["ana@example.com", "bia@example.com"] {
        for (password, expected) in [
            (COMPOSED, StatusCode::OK),
            (DECOMPOSED, StatusCode::OK),
            ("Praca#2026", StatusCode::UNAUTHORIZED),
        ] {
            let credentials = json!({ "email": email, "password": password });
            let (status, body) = post(&service, "/auth/login", &credentials).await;
            assert_eq!(status, expected, "{email} {password:?} {body}");
        }
    }

    let fields = registration(&json!({ "email": "eva@example.com", "password": "Praia#\t2026" }));
    let (status, problem) = post(&service, "/auth/register", &fields).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(field_errors(&problem), ["password: PASSWORD_CHARACTER_INVALID".to_owned()].into());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_hash_of_another_form_is_accepted_and_replaced(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let email = "ana@example.com";
    let registered = service
        .database()
        .register(email, "Ana", DECOMPOSED_HASH.to_owned(), Language::Pt)
        .await
        .expect("the database responds");
    let stored = async || {
        let user = service.database().user(registered.id).await.expect("the database responds");
        user.expect("the user exists")
    };
    let log_in = async |password: &str| {
        post(&service, "/auth/login", &json!({ "email": email, "password": password })).await.0
    };
    assert_eq!(log_in("Praca#2026").await, StatusCode::UNAUTHORIZED);
    assert_eq!(stored().await, registered, "a wrong password changes nothing");

    assert_eq!(log_in(COMPOSED).await, StatusCode::OK);
    let replaced = stored().await;
    assert_ne!(replaced.password_hash, DECOMPOSED_HASH);
    assert_eq!(replaced.generation, registered.generation, "sessions continue");
    assert_eq!(log_in(DECOMPOSED).await, StatusCode::OK);
    assert_eq!(log_in(COMPOSED).await, StatusCode::OK);
    assert_eq!(stored().await, replaced, "the new hash is that of the normal form");
}
