//! Key that signs access tokens: configured, or generated and stored.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::super::{Overrides, Settings, jwt_secret, link_key, load};

fn settings_with_secret(secret: Option<&str>, data_dir: &Path) -> Settings {
    let mut settings = load(None, |_| None, Overrides::default()).expect("valid defaults");
    settings.accounts.jwt_secret = secret.map(SecretString::from);
    data_dir.clone_into(&mut settings.data_dir);
    settings
}

#[test]
fn stores_and_reuses_a_generated_key() {
    let directory = TempDir::new().expect("a directory");
    let settings = settings_with_secret(None, directory.path());
    let first = jwt_secret(&settings).expect("a key");
    // 32 bytes in base64 without padding.
    assert_eq!(first.expose_secret().len(), 43);
    assert_eq!(jwt_secret(&settings).expect("a key").expose_secret(), first.expose_secret());
    let file = directory.path().join("jwt-secret");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(directory.path()).expect("a directory").count(),
        1,
        "temporary files remain"
    );

    let other = TempDir::new().expect("a directory");
    assert_ne!(
        jwt_secret(&settings_with_secret(None, other.path())).expect("a key").expose_secret(),
        first.expose_secret()
    );

    fs::write(&file, "truncated").expect("a written file");
    let line = format!("{:#}", jwt_secret(&settings).expect_err("a damaged key"));
    assert!(line.contains("jwt-secret is damaged"), "{line}");
    let line = format!(
        "{:#}",
        jwt_secret(&settings_with_secret(None, Path::new("/nowhere"))).expect_err("no directory")
    );
    assert!(line.contains("/nowhere/jwt-secret"), "{line}");
}

#[test]
fn concurrent_processes_generate_one_key() {
    let directory = TempDir::new().expect("a directory");
    let settings = settings_with_secret(None, directory.path());
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| jwt_secret(&settings).expect("a key"))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a finished thread").expose_secret().to_owned())
            .collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn rejects_known_and_short_keys() {
    let directory = TempDir::new().expect("a directory");
    let error = |secret| {
        format!(
            "{:#}",
            jwt_secret(&settings_with_secret(Some(secret), directory.path())).expect_err(secret)
        )
    };
    for example in [
        "secret",
        "changeme",
        "change-me",
        "CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME",
        "your-secret-key",
        "your-secret-key-change-in-production",
        "your-super-secret-jwt-key-of-32-characters",
        "dev-secret-key-that-is-long-enough-for-hmac",
    ] {
        let line = error(example);
        assert!(line.contains("JWT_SECRET") && line.contains("well-known"), "{line}");
        assert!(example == "secret" || !line.contains(example), "{line}");
    }
    let line = error("q8Zt5LwX0aRk7VbN2mHy4cEu9JsPf1D");
    assert!(line.contains("JWT_SECRET") && line.contains("too short"), "{line}");
    assert!(
        fs::read_dir(directory.path()).expect("a directory").next().is_none(),
        "no key is generated if one is configured"
    );

    let random = "q8Zt5LwX0aRk7VbN2mHy4cEu9JsPf1Dg";
    assert_eq!(
        jwt_secret(&settings_with_secret(Some(random), directory.path()))
            .expect("a key")
            .expose_secret(),
        random
    );
}

#[test]
fn the_key_of_links_is_derived() {
    let secret = SecretString::from("0123456789abcdef0123456789abcdef");
    let (key, again) = (link_key(&secret), link_key(&secret));
    assert_eq!((key.expose_secret().len(), key.expose_secret()), (32, again.expose_secret()));
    assert_ne!(key.expose_secret(), secret.expose_secret().as_bytes());
    let other = link_key(&SecretString::from("0123456789abcdef0123456789abcdeg"));
    assert_ne!(key.expose_secret(), other.expose_secret());
}
