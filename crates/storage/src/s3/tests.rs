//! Behavior that is specific to S3, tested against a Garage server.

mod proxy;
mod failures;
mod direct;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use jobs::{JobId, UserId, VideoFormat};
use servers::Garage;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::conformance::{self, content};
use crate::interface::PAGE_SIZE;

/// Timeout of anything that happens in the background.
const TIMEOUT: Duration = Duration::from_mins(1);

fn settings(garage: &Garage) -> S3Settings {
    S3Settings {
        endpoint: garage.endpoint(),
        public_endpoint: None,
        region: garage.region().to_owned(),
        bucket: garage.bucket().to_owned(),
        access_key: garage.access_key().into(),
        secret_key: garage.secret_key().into(),
        path_style: true,
        upload_memory: MIN_UPLOAD_MEMORY,
        assembly_timeout: DEFAULT_ASSEMBLY_TIMEOUT,
    }
}

fn connect(garage: &Garage) -> S3 {
    S3::connect(settings(garage)).expect("the settings are valid")
}

fn new_key() -> Key {
    Key::archive(UserId::generate(), JobId::generate(), 1)
}

async fn put(s3: &S3, key: &Key, bytes: Bytes) {
    let length = bytes.len() as u64;
    let mut upload = s3.create(key).await.expect("an upload starts");
    upload.write(bytes).await.expect("bytes are accepted");
    assert_eq!(upload.complete().await.expect("the upload completes"), length);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_are_copied_in_parts() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let (from, to, bytes) = (new_key(), new_key(), content(1, 12 << 20));
    put(&s3, &from, bytes.clone()).await;
    let size = bytes.len() as u64;
    copy::copy_in_parts(&s3.store, &from, &to, size, 5 << 20).await.expect("it is copied");
    assert!(s3.read(&to, 0..size).await.expect("it can be read") == bytes, "another copy");
    let (missing, target) = (new_key(), new_key());
    let failed = copy::copy_in_parts(&s3.store, &missing, &target, size, 5 << 20).await;
    assert!(matches!(failed, Err(Error::NotFound { key }) if key == missing));
    assert!(matches!(s3.head(&target).await, Err(Error::NotFound { .. })));
}

/// A part that the store has received.
#[derive(Debug, PartialEq, Eq)]
struct PartInfo {
    number: i32,
    size: i64,
}

/// The parts that the store has received of each unfinished upload, by key.
async fn unfinished(s3: &S3) -> BTreeMap<String, Vec<PartInfo>> {
    let Store { client, bucket, .. } = &*s3.store;
    let uploads =
        client.list_multipart_uploads().bucket(bucket).send().await.expect("uploads can be listed");
    let mut found = BTreeMap::new();
    for upload in uploads.uploads() {
        let key = upload.key().expect("an upload has a key");
        let id = upload.upload_id().expect("an upload has an ID");
        // An upload that has ended meanwhile is skipped.
        let Ok(parts) = client.list_parts().bucket(bucket).key(key).upload_id(id).send().await
        else {
            continue;
        };
        let parts = parts
            .parts()
            .iter()
            .filter_map(|part| Some(PartInfo { number: part.part_number()?, size: part.size()? }));
        found.insert(key.to_owned(), parts.collect());
    }
    found
}

/// Poll the store until a condition holds.
async fn until(description: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < TIMEOUT, "timed out: {description}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    conformance::all(Arc::new(s3.clone())).await;
    assert_eq!(unfinished(&s3).await, BTreeMap::new());
    assert_eq!(s3.store.archives.free(), MIN_UPLOAD_MEMORY, "all memory is released");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_as_many_parts_as_the_object_fills() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let min = part_size::MIN;
    // Size of the object, and number of parts sent before it is complete.
    for (size, sent) in
        [(min - 1, 0), (min, 0), (min + 1, 1), (2 * min, 1), (2 * min + 1, 2), (6 * min, 5)]
    {
        let (key, bytes) = (new_key(), content(1, size));
        let mut upload = s3.create(&key).await.expect("an upload starts");
        upload.write(bytes.clone()).await.expect("bytes are accepted");
        let expected: Vec<PartInfo> =
            (1..=sent).map(|number| PartInfo { number, size: min as i64 }).collect();
        until(&format!("{sent} parts of {size} bytes are sent"), async || {
            unfinished(&s3).await.remove(key.as_str()).unwrap_or_default() == expected
        })
        .await;
        assert_eq!(
            unfinished(&s3).await.len(),
            usize::from(sent > 0),
            "a small object needs no multipart upload"
        );
        assert_eq!(upload.complete().await.expect("the upload completes"), size as u64);
        assert_eq!(unfinished(&s3).await, BTreeMap::new());

        let found = s3
            .store
            .client
            .head_object()
            .bucket(&s3.store.bucket)
            .key(key.as_str())
            .send()
            .await
            .expect("the object exists");
        assert_eq!(found.content_type(), Some("application/zip"));
        let parts = if sent == 0 { None } else { Some(sent + 1) };
        // The ETag of an object of several parts ends with their number (Amazon S3 API reference,
        // "Object").
        let number = found
            .e_tag()
            .and_then(|tag| tag.trim_matches('"').rsplit_once('-'))
            .and_then(|(_, number)| number.parse().ok());
        assert_eq!(number, parts, "number of parts of {size} bytes");
        assert!(s3.read(&key, 0..size as u64).await.expect("the object can be read") == bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborting_or_dropping_an_upload_leaves_no_parts() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let start = async || {
        let mut upload = s3.create(&new_key()).await.expect("an upload starts");
        upload.write(content(1, 3 * part_size::MIN)).await.expect("bytes are accepted");
        assert_eq!(unfinished(&s3).await.len(), 1);
        upload
    };
    let is_clean =
        async || unfinished(&s3).await.is_empty() && s3.store.archives.free() == MIN_UPLOAD_MEMORY;

    start().await.abort().await;
    assert!(is_clean().await, "an aborted upload is removed immediately");

    drop(start().await);
    until("a dropped upload is removed", is_clean).await;

    // Dropped on a thread without a runtime.
    let upload = start().await;
    std::thread::spawn(|| drop(upload)).join().expect("dropping does not panic");
    until("an upload dropped by another thread is removed", is_clean).await;

    // Dropped while the store starts it, and while parts are sent.
    for after in [0, 1, 2, 5, 10, 20, 50, 100].map(Duration::from_millis) {
        let mut upload = s3.create(&new_key()).await.expect("an upload starts");
        let bytes = content(1, 6 * part_size::MIN);
        let written = timeout(after, upload.write(bytes)).await;
        if written.is_err() {
            let error = upload.write(content(1, 1)).await.expect_err("the write was dropped");
            assert!(matches!(error, Error::Interrupted { .. }), "{error}");
            assert!(matches!(upload.complete().await, Err(Error::Interrupted { .. })));
        } else {
            drop(upload);
        }
        until(&format!("an upload dropped after {after:?} is removed"), is_clean).await;
    }
    assert_eq!(s3.list(Key::ROOT, None).await.expect("objects can be listed"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_share_the_memory_budget() {
    /// The budget is enough for 12 parts.
    const UPLOADS: u64 = 100;
    let garage = Garage::start();
    let s3 = connect(&garage);
    let bytes = content(1, 2 * part_size::MIN + 1);
    let mut uploads = JoinSet::new();
    for _ in 0..UPLOADS {
        let (s3, bytes) = (s3.clone(), bytes.clone());
        uploads.spawn(async move {
            let key = new_key();
            let mut upload = s3.create(&key).await.expect("an upload starts");
            // In chunks, so that all of them hold partly filled parts while they wait.
            for from in (0..bytes.len()).step_by(1 << 20) {
                upload
                    .write(bytes.slice(from..bytes.len().min(from + (1 << 20))))
                    .await
                    .expect("bytes are accepted");
                tokio::task::yield_now().await;
            }
            assert_eq!(upload.complete().await.expect("the upload completes"), bytes.len() as u64);
        });
    }
    uploads.join_all().await;
    assert_eq!(
        s3.list(Key::ROOT, None).await.expect("objects can be listed").len() as u64,
        UPLOADS
    );
    assert_eq!(s3.store.archives.free(), MIN_UPLOAD_MEMORY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_allows_a_download_until_it_expires() {
    const NAME: &str = "férias & \"sol\" 100%.zip";
    let garage = Garage::start();
    let public = garage.endpoint().replace("127.0.0.1", "localhost");
    let s3 = S3::connect(S3Settings { public_endpoint: Some(public.clone()), ..settings(&garage) })
        .expect("the settings are valid");
    let (key, other, bytes) = (new_key(), new_key(), content(1, 1000));
    put(&s3, &key, bytes.clone()).await;
    put(&s3, &other, bytes.clone()).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client can be created");

    let link = s3.link(&key, NAME, Duration::from_mins(15)).await.expect("a link can be created");
    assert!(link.starts_with(&format!("{public}/{}/{key}?", garage.bucket())), "{link}");
    assert!(!link.contains(garage.secret_key()));
    let response = client.get(&link).send().await.expect("the store responds");
    assert_eq!(response.status(), 200);
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let disposition = "attachment; filename=\"f_rias _ _sol_ 100_.zip\"; \
        filename*=UTF-8''f%C3%A9rias%20%26%20%22sol%22%20100%25.zip";
    assert_eq!(header("content-disposition").as_deref(), Some(disposition));
    assert_eq!(header("content-type").as_deref(), Some("application/zip"));
    assert_eq!(response.bytes().await.expect("the response is complete"), bytes);

    let part =
        client.get(&link).header("range", "bytes=10-19").send().await.expect("the store responds");
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.expect("the response is complete"), bytes.slice(10..20));

    for wrong in [
        link.replace(key.as_str(), other.as_str()),
        link.replace("Expires=900", "Expires=901"),
        link.replace("100", "101"),
    ] {
        assert_ne!(wrong, link);
        assert_eq!(
            client.get(&wrong).send().await.expect("the store responds").status(),
            403,
            "{wrong}"
        );
    }
    assert_eq!(
        client.delete(&link).send().await.expect("the store responds").status(),
        403,
        "a link does not allow deletion"
    );

    let short = s3.link(&key, NAME, Duration::from_millis(1)).await.expect("a link can be created");
    assert!(short.contains("X-Amz-Expires=1&"), "{short}");
    // The status is 403 with Amazon and 400 with Garage.
    until("a link expires", async || {
        client.get(&short).send().await.expect("the store responds").status().is_client_error()
    })
    .await;
    assert_eq!(client.get(&link).send().await.expect("the store responds").status(), 200);
}

#[tokio::test]
async fn a_link_is_valid_for_at_most_seven_days() {
    let (s3, key) = (connect(Garage::shared()), new_key());
    let limit = Duration::from_hours(7 * 24);
    s3.link(&key, "film.zip", limit).await.expect("seven days are allowed");
    let error = s3.link(&key, "film.zip", limit + Duration::from_hours(1)).await;
    error.expect_err("more than seven days are not");
}

/// A lifecycle rule.
#[derive(Debug, PartialEq, Eq)]
struct RuleSummary {
    prefix: String,
    expiration_days: Option<i32>,
    abort_days: Option<i32>,
}

/// The lifecycle rules of the bucket by ID.
async fn lifecycle_rules(s3: &S3) -> BTreeMap<String, RuleSummary> {
    let Store { client, bucket, .. } = &*s3.store;
    let configuration = client
        .get_bucket_lifecycle_configuration()
        .bucket(bucket)
        .send()
        .await
        .expect("the bucket has rules");
    let summarize = |rule: &LifecycleRule| {
        let summary = RuleSummary {
            prefix: rule.filter().and_then(LifecycleRuleFilter::prefix).unwrap_or("").to_owned(),
            expiration_days: rule.expiration().and_then(LifecycleExpiration::days),
            abort_days: rule
                .abort_incomplete_multipart_upload()
                .and_then(AbortIncompleteMultipartUpload::days_after_initiation),
        };
        (rule.id().unwrap_or_default().to_owned(), summary)
    };
    configuration.rules().iter().map(summarize).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_lifecycle_rules_and_keeps_those_of_others() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let Store { client, bucket, .. } = &*s3.store;
    let foreign = LifecycleRule::builder()
        .id("foreign")
        .filter(LifecycleRuleFilter::builder().prefix("logs/").build())
        .expiration(LifecycleExpiration::builder().days(30).build())
        .status(ExpirationStatus::Enabled)
        .build()
        .expect("the rule is complete");
    let configuration = BucketLifecycleConfiguration::builder().rules(foreign).build();
    let set = client
        .put_bucket_lifecycle_configuration()
        .bucket(bucket)
        .lifecycle_configuration(configuration.expect("the configuration has a rule"))
        .send()
        .await;
    set.expect("rules can be set");

    // Half a day counts as a whole one. Repeating the call changes nothing.
    for (retention, days) in [(7 * 24, 7), (7 * 24, 7), (8 * 24 - 12, 8)] {
        let warnings = s3.configure_lifecycle(Duration::from_hours(retention)).await;
        assert_eq!(warnings.expect("rules can be set"), Vec::<String>::new());
        let expected = [
            ("fiapx-retention", "videos/", Some(days), None),
            ("fiapx-unfinished", "videos/", None, Some(3)),
            ("foreign", "logs/", Some(30), None),
        ]
        .map(|(id, prefix, expiration_days, abort_days)| {
            (id.to_owned(), RuleSummary { prefix: prefix.to_owned(), expiration_days, abort_days })
        });
        assert_eq!(lifecycle_rules(&s3).await, BTreeMap::from(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_not_list_foreign_objects() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let Store { client, bucket, .. } = &*s3.store;
    let (user, job) = (UserId::generate(), JobId::generate());
    let prefix = Key::job_prefix(user, job);
    // More than a page of them, all sorted before the listed object.
    let mut puts = JoinSet::new();
    for number in 0..=PAGE_SIZE {
        let put = client.put_object().bucket(bucket).key(format!("{prefix}a{number}"));
        puts.spawn(put.send());
        if puts.len() == 16 {
            let put = puts.join_next().await.expect("requests are in progress");
            put.expect("the request does not panic").expect("objects can be written");
        }
    }
    for put in puts.join_all().await {
        put.expect("objects can be written");
    }
    let key = Key::input(user, job, VideoFormat::Mp4);
    put(&s3, &key, content(1, 1)).await;
    let object = s3.head(&key).await.expect("the object exists");
    assert_eq!(s3.list(Key::ROOT, None).await.expect("objects can be listed"), [object]);
    assert_eq!(s3.list(Key::ROOT, Some(&key)).await.expect("objects can be listed"), []);
}
