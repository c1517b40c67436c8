//! Uploads that clients send to the bucket themselves.

use super::*;

/// Size of an upload of two parts.
const SIZE: usize = (16 << 20) + 5;

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client can be created")
}

fn video_key() -> Key {
    Key::input(UserId::generate(), JobId::generate(), VideoFormat::Mp4)
}

/// Begin an upload, and sign the requests for its parts.
async fn begin(s3: &S3, key: &Key, size: usize) -> (Checkpoint, Vec<PartRequest>) {
    let upload = s3.begin_direct(key, size as u64).await.expect("an upload begins");
    let signed = s3.part_requests(key, &upload, Duration::from_hours(48)).await;
    (upload, signed.expect("requests can be signed"))
}

/// Status of a request, and the tag that it returns.
async fn put(url: &str, bytes: Bytes) -> (u16, String) {
    let response = client().put(url).body(bytes).send().await.expect("the store responds");
    let tag = response.headers().get("etag").and_then(|tag| tag.to_str().ok());
    (response.status().as_u16(), tag.unwrap_or_default().to_owned())
}

/// Send the parts of an upload, and return their tags.
async fn send(requests: &[PartRequest], mut bytes: Bytes) -> Vec<String> {
    let mut tags = Vec::new();
    for request in requests {
        let (status, tag) = put(&request.url, bytes.split_to(request.size as usize)).await;
        assert_eq!(status, 200);
        tags.push(tag);
    }
    assert!(bytes.is_empty(), "the parts are smaller than the object");
    tags
}

async fn stored(s3: &S3, key: &Key, upload: &Checkpoint) -> Vec<StoredPart> {
    s3.stored_parts(key, upload).await.expect("parts can be listed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_sends_the_parts_of_an_object() {
    let garage = Garage::start();
    let public = garage.endpoint().replace("127.0.0.1", "localhost");
    let s3 = S3::connect(S3Settings { public_endpoint: Some(public.clone()), ..settings(&garage) })
        .expect("the settings are valid");
    let (key, bytes) = (video_key(), content(1, SIZE));
    let (upload, requests) = begin(&s3, &key, SIZE).await;
    assert!(!upload.is_complete());
    assert_eq!(upload.direct_part_size(), Some(16 << 20));
    for request in &requests {
        let start = format!("{public}/{}/{key}?", garage.bucket());
        assert!(request.url.starts_with(&start), "{}", request.url);
        assert!(request.url.contains("X-Amz-SignedHeaders=content-length%3Bhost"));
        assert!(request.url.contains("X-Amz-Expires=172800"));
        assert!(!request.url.contains(garage.secret_key()));
    }
    assert_eq!(stored(&s3, &key, &upload).await, []);
    let tags = send(&requests, bytes.clone()).await;
    let parts = stored(&s3, &key, &upload).await;
    let all = upload.with_parts(&parts, &tags).expect("all parts are stored");
    assert!(matches!(s3.head(&key).await, Err(Error::NotFound { .. })));
    for _ in 0..2 {
        let size = s3.assemble(&key, &all).await.expect("all parts are stored");
        assert_eq!(size, SIZE as u64);
    }
    assert!(s3.read(&key, 0..SIZE as u64).await.expect("it can be read") == bytes);
    // The requests have no effect anymore.
    assert_eq!(put(&requests[1].url, content(2, 5)).await.0, 404);
    let gone = s3.stored_parts(&key, &upload).await;
    assert!(matches!(gone, Err(Error::Interrupted { .. })), "{gone:?}");
    assert!(s3.read(&key, 0..SIZE as u64).await.expect("it can be read") == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_fixes_the_length_of_its_part() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let key = video_key();
    let (upload, requests) = begin(&s3, &key, 1000).await;
    assert_eq!(requests.len(), 1);
    let url = &requests[0].url;
    for size in [999, 1001, 5000] {
        assert_eq!(put(url, content(1, size)).await.0, 403, "{size} bytes");
    }
    // Without a body, the signed header is missing.
    assert_eq!(put(url, content(1, 0)).await.0, 400);
    let other = url.replace("partNumber=1", "partNumber=2");
    assert_eq!(put(&other, content(1, 1000)).await.0, 403);
    assert_eq!(stored(&s3, &key, &upload).await, []);
    assert_eq!(put(url, content(1, 1000)).await.0, 200);
    s3.discard(&key, Some(&upload)).await.expect("it can be discarded");
    assert_eq!(put(url, content(1, 1000)).await.0, 404);
    assert_eq!(unfinished(&s3).await, BTreeMap::new());
}

/// A part that its client replaces after its tag was recorded is not assembled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_replaced_late_interrupts_the_upload() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let key = video_key();
    let (upload, requests) = begin(&s3, &key, SIZE).await;
    let tags = send(&requests, content(1, SIZE)).await;
    let parts = stored(&s3, &key, &upload).await;
    let all = upload.with_parts(&parts, &tags).expect("all parts are stored");
    assert_eq!(put(&requests[1].url, content(2, 5)).await.0, 200);
    let assembled = s3.assemble(&key, &all).await;
    assert!(matches!(assembled, Err(Error::Interrupted { .. })), "{assembled:?}");
    assert!(matches!(s3.head(&key).await, Err(Error::NotFound { .. })));
    s3.discard(&key, Some(&all)).await.expect("it can be discarded");
    assert_eq!(unfinished(&s3).await, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_have_a_thousand_parts() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let (key, size) = (video_key(), 100_000_000_001);
    let upload = s3.begin_direct(&key, size).await.expect("an upload begins");
    let signed = s3.part_requests(&key, &upload, Duration::from_hours(1)).await;
    let signed = signed.expect("requests can be signed");
    assert_eq!(signed.len(), 1000);
    assert_eq!(signed.iter().map(|part| part.size).sum::<u64>(), size);
    let days = s3.part_requests(&key, &upload, Duration::from_hours(8 * 24)).await;
    assert!(days.is_err(), "more than seven days cannot be signed");
    let error = s3.begin_direct(&key, part_size::MAX_OBJECT + 1).await;
    assert!(matches!(error, Err(Error::TooLarge { .. })), "{error:?}");
}
