//! What only holds of S3, held against a real store.

mod gate;
mod trouble;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jobs::{JobId, UserId, VideoFormat};
use servers::Garage;
use tokio::task::JoinSet;

use super::*;
use crate::{PAGE, conformance};

/// How long anything may take that happens in the background.
const PATIENCE: Duration = Duration::from_mins(1);

fn settings(garage: &Garage) -> S3Settings {
    S3Settings {
        endpoint: garage.endpoint(),
        public_endpoint: None,
        region: garage.region().to_owned(),
        bucket: garage.bucket().to_owned(),
        access_key: garage.access_key().into(),
        secret_key: garage.secret_key().into(),
        path_style: true,
        upload_memory: LEAST_UPLOAD_MEMORY,
    }
}

fn connect(garage: &Garage) -> S3 {
    S3::connect(settings(garage)).expect("the settings are right")
}

fn new_key() -> Key {
    Key::archive(UserId::generate(), JobId::generate(), 1)
}

/// Bytes that tell where they lie.
fn content(length: usize) -> Bytes {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

async fn put(s3: &S3, key: &Key, bytes: Bytes) {
    let length = bytes.len() as u64;
    let mut upload = s3.create(key).await.expect("an upload begins");
    upload.write(bytes).await.expect("bytes are taken");
    assert_eq!(upload.complete().await.expect("the upload is completed"), length);
}

/// The numbers and sizes of the parts that the store has of each unfinished upload.
async fn unfinished(s3: &S3) -> BTreeMap<String, Vec<(i32, i64)>> {
    let Store { client, bucket, .. } = &*s3.store;
    let uploads =
        client.list_multipart_uploads().bucket(bucket).send().await.expect("uploads can be listed");
    let mut found = BTreeMap::new();
    for upload in uploads.uploads() {
        let (key, id) = (
            upload.key().expect("it has a key"),
            upload.upload_id().expect("it has an identifier"),
        );
        // One that goes meanwhile is not there.
        let Ok(parts) = client.list_parts().bucket(bucket).key(key).upload_id(id).send().await
        else {
            continue;
        };
        let parts = parts.parts().iter().filter_map(|part| part.part_number().zip(part.size()));
        found.insert(key.to_owned(), parts.collect());
    }
    found
}

/// Wait until something that happens in the background has happened.
async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !happened().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    conformance::all(Arc::new(s3.clone())).await;
    assert_eq!(unfinished(&s3).await, BTreeMap::new());
    assert_eq!(
        s3.store.memory.available_permits(),
        LEAST_UPLOAD_MEMORY,
        "all memory was given back"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_sent_in_as_many_parts_as_it_fills() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let smallest = part::SMALLEST;
    // The size of the object, and the parts that were sent before it is complete.
    for (size, sent) in [
        (smallest - 1, 0),
        (smallest, 0),
        (smallest + 1, 1),
        (2 * smallest, 1),
        (2 * smallest + 1, 2),
        (6 * smallest, 5),
    ] {
        let (key, bytes) = (new_key(), content(size));
        let mut upload = s3.create(&key).await.expect("an upload begins");
        upload.write(bytes.clone()).await.expect("bytes are taken");
        let expected: Vec<(i32, i64)> =
            (1..=sent).map(|number| (number, smallest as i64)).collect();
        until(&format!("{sent} parts of {size} bytes are sent"), async || {
            unfinished(&s3).await.remove(key.as_str()).unwrap_or_default() == expected
        })
        .await;
        assert_eq!(
            unfinished(&s3).await.len(),
            usize::from(sent > 0),
            "a small object needs no multipart upload"
        );
        assert_eq!(upload.complete().await.expect("the upload is completed"), size as u64);
        assert_eq!(unfinished(&s3).await, BTreeMap::new());

        let found = s3
            .store
            .client
            .head_object()
            .bucket(&s3.store.bucket)
            .key(key.as_str())
            .send()
            .await
            .expect("it is there");
        assert_eq!(found.content_type(), Some("application/zip"));
        let parts = if sent == 0 { None } else { Some(sent + 1) };
        // The ETag of an object of several parts ends with their number (Amazon S3 API reference,
        // "Object").
        let number = found
            .e_tag()
            .and_then(|tag| tag.trim_matches('"').rsplit_once('-'))
            .and_then(|(_, number)| number.parse().ok());
        assert_eq!(number, parts, "{size} bytes are sent in this many parts");
        assert!(s3.read(&key, 0..size as u64).await.expect("the object can be read") == bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_given_up_leaves_no_parts() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let begin = async || {
        let mut upload = s3.create(&new_key()).await.expect("an upload begins");
        upload.write(content(3 * part::SMALLEST)).await.expect("bytes are taken");
        assert_eq!(unfinished(&s3).await.len(), 1);
        upload
    };
    let is_clean = async || {
        unfinished(&s3).await.is_empty()
            && s3.store.memory.available_permits() == LEAST_UPLOAD_MEMORY
    };

    begin().await.abort().await;
    assert!(is_clean().await, "an aborted upload is gone at once");

    drop(begin().await);
    until("a dropped upload goes", is_clean).await;

    // Dropped where no runtime is entered.
    let upload = begin().await;
    std::thread::spawn(|| drop(upload)).join().expect("dropping does not panic");
    until("an upload that another thread dropped goes", is_clean).await;

    // Given up while the store begins it, and while parts are sent.
    for after in [0, 1, 2, 5, 10, 20, 50, 100].map(Duration::from_millis) {
        let mut upload = s3.create(&new_key()).await.expect("an upload begins");
        let bytes = content(6 * part::SMALLEST);
        let written = tokio::time::timeout(after, upload.write(bytes)).await;
        if written.is_err() {
            let lost = upload.write(content(1)).await.expect_err("it was given up");
            assert!(matches!(lost, Error::CutShort { .. }), "{lost}");
            assert!(matches!(upload.complete().await, Err(Error::CutShort { .. })));
        } else {
            drop(upload);
        }
        until(&format!("an upload that was given up after {after:?} goes"), is_clean).await;
    }
    assert_eq!(s3.list(Key::ROOT, None).await.expect("objects can be listed"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_share_little_memory() {
    /// Of which memory holds the parts of 12.
    const UPLOADS: u64 = 100;
    let garage = Garage::start();
    let s3 = connect(&garage);
    let bytes = content(2 * part::SMALLEST + 1);
    let mut uploads = JoinSet::new();
    for _ in 0..UPLOADS {
        let (s3, bytes) = (s3.clone(), bytes.clone());
        uploads.spawn(async move {
            let key = new_key();
            let mut upload = s3.create(&key).await.expect("an upload begins");
            // In pieces, so that all of them hold parts that are not full while they wait.
            for from in (0..bytes.len()).step_by(1 << 20) {
                upload
                    .write(bytes.slice(from..bytes.len().min(from + (1 << 20))))
                    .await
                    .expect("bytes are taken");
                tokio::task::yield_now().await;
            }
            assert_eq!(
                upload.complete().await.expect("the upload is completed"),
                bytes.len() as u64
            );
        });
    }
    uploads.join_all().await;
    assert_eq!(
        s3.list(Key::ROOT, None).await.expect("objects can be listed").len() as u64,
        UPLOADS
    );
    assert_eq!(s3.store.memory.available_permits(), LEAST_UPLOAD_MEMORY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_gives_the_object_to_anybody_for_a_while() {
    const NAME: &str = "férias & \"sol\" 100%.zip";
    let garage = Garage::start();
    let public = garage.endpoint().replace("127.0.0.1", "localhost");
    let s3 = S3::connect(S3Settings { public_endpoint: Some(public.clone()), ..settings(&garage) })
        .expect("the settings are right");
    let (key, other, bytes) = (new_key(), new_key(), content(1000));
    put(&s3, &key, bytes.clone()).await;
    put(&s3, &other, bytes.clone()).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");

    let link = s3.link(&key, NAME, Duration::from_mins(15)).await.expect("a link can be made");
    assert!(link.starts_with(&format!("{public}/{}/{key}?", garage.bucket())), "{link}");
    assert!(!link.contains(garage.secret_key()));
    let answer = client.get(&link).send().await.expect("the store answers");
    assert_eq!(answer.status(), 200);
    let header = |name: &str| {
        answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let disposition = "attachment; filename=\"f_rias _ _sol_ 100_.zip\"; filename*=UTF-8''f%C3%A9rias%20%26%20%22sol%22%20100%25.zip";
    assert_eq!(header("content-disposition").as_deref(), Some(disposition));
    assert_eq!(header("content-type").as_deref(), Some("application/zip"));
    assert_eq!(answer.bytes().await.expect("the answer is whole"), bytes);

    let part =
        client.get(&link).header("range", "bytes=10-19").send().await.expect("the store answers");
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.expect("the answer is whole"), bytes.slice(10..20));

    for wrong in [
        link.replace(key.as_str(), other.as_str()),
        link.replace("Expires=900", "Expires=901"),
        link.replace("100", "101"),
    ] {
        assert_ne!(wrong, link);
        assert_eq!(
            client.get(&wrong).send().await.expect("the store answers").status(),
            403,
            "{wrong}"
        );
    }
    assert_eq!(
        client.delete(&link).send().await.expect("the store answers").status(),
        403,
        "a link is for reading"
    );

    let short = s3.link(&key, NAME, Duration::from_millis(1)).await.expect("a link can be made");
    assert!(short.contains("X-Amz-Expires=1&"), "{short}");
    // Amazon answers 403, Garage 400.
    until("a link expires", async || {
        client.get(&short).send().await.expect("the store answers").status().is_client_error()
    })
    .await;
    assert_eq!(client.get(&link).send().await.expect("the store answers").status(), 200);

    s3.link(&key, NAME, Duration::from_hours(7 * 24)).await.expect("seven days can be signed");
    s3.link(&key, NAME, Duration::from_hours(7 * 24 + 1)).await.expect_err("no more can");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bucket_is_told_what_to_forget() {
    use aws_sdk_s3::types::{
        AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus,
        LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    };
    let garage = Garage::start();
    let s3 = connect(&garage);
    let Store { client, bucket, .. } = &*s3.store;
    let theirs = LifecycleRule::builder()
        .id("theirs")
        .filter(LifecycleRuleFilter::builder().prefix("logs/").build())
        .expiration(LifecycleExpiration::builder().days(30).build())
        .status(ExpirationStatus::Enabled)
        .build()
        .expect("the rule is whole");
    let theirs =
        BucketLifecycleConfiguration::builder().rules(theirs).build().expect("there is a rule");
    let set = client
        .put_bucket_lifecycle_configuration()
        .bucket(bucket)
        .lifecycle_configuration(theirs)
        .send()
        .await;
    set.expect("rules can be set");

    // Half a day more is a full one; asking again changes nothing, asking for something else does.
    for (retention, days) in [(7 * 24, 7), (7 * 24, 7), (8 * 24 - 12, 8)] {
        assert_eq!(
            s3.prepare(Duration::from_hours(retention)).await.expect("rules can be set"),
            Vec::<String>::new()
        );
        let rules = client
            .get_bucket_lifecycle_configuration()
            .bucket(bucket)
            .send()
            .await
            .expect("there are rules");
        let told: BTreeMap<_, _> = rules
            .rules()
            .iter()
            .map(|rule| {
                let prefix =
                    rule.filter().and_then(LifecycleRuleFilter::prefix).unwrap_or_default();
                let days = rule.expiration().and_then(LifecycleExpiration::days);
                let unfinished = rule
                    .abort_incomplete_multipart_upload()
                    .and_then(AbortIncompleteMultipartUpload::days_after_initiation);
                (rule.id().unwrap_or_default(), (prefix, days, unfinished))
            })
            .collect();
        let expected = [
            ("fiapx-retention", ("videos/", Some(days), None)),
            ("fiapx-unfinished", ("videos/", None, Some(1))),
            ("theirs", ("logs/", Some(30), None)),
        ];
        assert_eq!(told, BTreeMap::from(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_others_are_not_listed() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let Store { client, bucket, .. } = &*s3.store;
    let (user, job) = (UserId::generate(), JobId::generate());
    let folder = Key::folder(user, job);
    // More than a page of them, all before ours.
    let mut puts = JoinSet::new();
    for number in 0..=PAGE {
        let put = client.put_object().bucket(bucket).key(format!("{folder}a{number}"));
        puts.spawn(put.send());
        if puts.len() == 16 {
            puts.join_next()
                .await
                .expect("there are some")
                .expect("no panic")
                .expect("objects can be written");
        }
    }
    for put in puts.join_all().await {
        put.expect("objects can be written");
    }
    let key = Key::input(user, job, VideoFormat::Mp4);
    put(&s3, &key, content(1)).await;
    let object = s3.head(&key).await.expect("it is there");
    assert_eq!(s3.list(Key::ROOT, None).await.expect("objects can be listed"), [object]);
    assert_eq!(s3.list(Key::ROOT, Some(&key)).await.expect("objects can be listed"), []);
}
