//! Secrets of keys: their format, what is stored of them, and what the log shows.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::task::block_in_place;

use super::use_key;
use crate::harness::client::ApiKey;
use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{output, tool};
use crate::harness::service::Service;

/// A well-formed key that was never issued: that of the bytes from 0 to 31.
const UNKNOWN: &str = "fx_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1Yo7hP";

/// Whether a text is a key, by the description of the format, as a scanner for secrets checks it.
const SCANNER: &str = "
import re, sys, zlib
digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
for key in re.findall(r'\\bfx_[0-9A-Za-z]{49}\\b', open(sys.argv[1]).read()):
    random, checksum = key[3:46], key[46:]
    number = 0
    for digit in checksum:
        number = number * 62 + digits.index(digit)
    if number == zlib.crc32(random.encode()):
        print(key)
";

#[tokio::test(flavor = "multi_thread")]
async fn scanners_recognize_keys() {
    let service = Service::start().await;
    let user = service.user().await;
    let keys = [user.create_key(&["videos:read"]).await, user.create_key(&["webhooks"]).await];
    let text = format!(
        "export FIAPX_API_KEY={}\n'{}' {UNKNOWN} x{UNKNOWN} {}0 {}",
        keys[0].key,
        keys[1].key,
        keys[0].key,
        UNKNOWN.replace("003a", "003b")
    );
    let file = service.directory.path().join("leak");
    std::fs::write(&file, text).expect("it can be written");
    let found = block_in_place(|| {
        output(tool("python3").args(["-c", SCANNER]).arg(&file)).expect("the scanner works")
    });
    let found = String::from_utf8(found).expect("it is text");
    assert_eq!(found.lines().collect::<Vec<_>>(), [&keys[0].key, &keys[1].key, UNKNOWN]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelled_key_is_refused_without_a_query() {
    let service = Service::start().await;
    let user = service.user().await;
    let with = |key: String| user.with_key(&ApiKey { id: String::new(), key });
    assert_eq!(
        use_key(&with(UNKNOWN.to_owned())).await,
        (StatusCode::UNAUTHORIZED, json!("KEY_INVALID"))
    );
    // A query fails now.
    service.execute_sql("ALTER TABLE api_keys RENAME TO lost_api_keys");
    assert_eq!(use_key(&with(UNKNOWN.to_owned())).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (longer, shorter) = (format!("{UNKNOWN}0"), UNKNOWN[..51].to_owned());
    let swapped = UNKNOWN.replace("7hP", "h7P");
    for misspelled in [longer, shorter, swapped, UNKNOWN.to_lowercase(), "fx_".to_owned()] {
        let (status, code) = use_key(&with(misspelled.clone())).await;
        assert_eq!(
            (status, code),
            (StatusCode::UNAUTHORIZED, json!("KEY_INVALID")),
            "{misspelled}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_hash_of_a_key_is_stored() {
    let service = Service::start().await;
    let user = service.user().await;
    let key = user.create_key(&["videos:read"]).await;
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&key.key));
    assert!(service.database().find_key(&hash).await.expect("the database responds").is_some());
    let directory = service.stop().await;
    let mut stored = Vec::new();
    for name in ["fiapx.db", "fiapx.db-wal"] {
        if let Ok(mut file) = std::fs::File::open(directory.path().join(name)) {
            file.read_to_end(&mut stored).expect("it is readable");
        }
    }
    let contains = |text: &str| stored.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(contains(&hash) && contains(&key.key[..8]));
    assert!(!contains(&key.key[..12]), "the database contains the key");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_keys_without_their_secrets() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("LOG_LEVEL", "trace")]);
    let user = process.user().await;
    let key = user.create_key(&["videos:read"]).await;
    let program = user.with_key(&key);
    assert_eq!(use_key(&program).await.0, StatusCode::OK);
    assert_eq!(program.get("/auth/me").await.0, StatusCode::FORBIDDEN);
    let unknown = "/videos/0190a000-0000-7000-8000-0000000000ee";
    assert_eq!(program.delete(unknown).await.0, StatusCode::FORBIDDEN);
    assert_eq!(user.delete(&format!("/keys/{}", key.id)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(use_key(&program).await.0, StatusCode::UNAUTHORIZED);
    let user_id = user.id.clone();
    let log = process.terminate();
    let events: Vec<&str> = log.iter().filter_map(|line| line["security_event"].as_str()).collect();
    let expected =
        ["registered", "login", "key_created", "key_denied", "key_denied", "key_deleted"];
    assert_eq!(events, [&expected[..], &["key_refused"]].concat());
    let is_denied = |line: &&serde_json::Value| line["security_event"] == "key_denied";
    let denied = log.iter().find(is_denied).expect("the request for the account is logged");
    assert_eq!(denied["start"], json!(key.key[..8]), "it attributes the request");
    let is_use = |line: &&serde_json::Value| {
        line["event"] == "request completed" && line["path"] == "/videos" && line["status"] == 200
    };
    let used = log.iter().find(is_use).expect("the request is logged");
    assert_eq!((&used["key_id"], &used["user_id"]), (&json!(key.id), &json!(user_id)));
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&key.key));
    for secret in [&key.key[8..], hash.as_str()] {
        let leak = log.iter().map(ToString::to_string).find(|line| line.contains(secret));
        assert_eq!(leak, None, "the log contains a secret");
    }
}
