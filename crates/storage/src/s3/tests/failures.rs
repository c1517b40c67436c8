//! Slow, stopped and misconfigured stores.

use super::proxy::Proxy;
use super::*;

/// Texts in the head of a request for the assembly of an object.
const ASSEMBLY: [&str; 2] = ["POST /fiapx-test/videos", "?uploadId="];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_part_delays_nothing_else() {
    const PARTS: usize = 12;
    let garage = Garage::start();
    let proxy = Proxy::holding(&garage.endpoint(), "partNumber=2&").await;
    let s3 = S3::connect(S3Settings { endpoint: proxy.endpoint(), ..settings(&garage) })
        .expect("the settings are valid");
    let (key, bytes) = (new_key(), content(1, PARTS * part_size::MIN));
    let mut upload = s3.create(&key).await.expect("an upload starts");
    let write = timeout(TIMEOUT, upload.write(bytes.clone()));
    write.await.expect("the write does not wait for the slow part").expect("bytes are accepted");
    until("the second part is held", async || proxy.intercepted() == 1).await;
    until("all parts but the slow one and the last are sent", async || {
        let parts: Vec<usize> =
            unfinished(&s3).await[key.as_str()].iter().map(|part| part.number as usize).collect();
        parts == [1].into_iter().chain(3..PARTS).collect::<Vec<_>>()
    })
    .await;
    // Another upload completes.
    put(&s3, &new_key(), content(1, 100)).await;
    assert_eq!(unfinished(&s3).await[key.as_str()].len(), PARTS - 2);

    proxy.release();
    assert_eq!(upload.complete().await.expect("the upload completes"), bytes.len() as u64);
    assert!(
        s3.read(&key, 0..bytes.len() as u64).await.expect("the object can be read") == bytes,
        "the parts are in order"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_slow_parts_delay_their_upload() {
    let garage = Garage::start();
    let proxy = Proxy::holding(&garage.endpoint(), "partNumber=").await;
    let s3 = S3::connect(S3Settings { endpoint: proxy.endpoint(), ..settings(&garage) })
        .expect("the settings are valid");
    let mut upload = s3.create(&new_key()).await.expect("an upload starts");
    // Four parts in transit, and a full one.
    upload.write(content(1, 5 * part_size::MIN)).await.expect("bytes are accepted");
    until("four parts are in transit", async || proxy.intercepted() == 4).await;
    // The first 128 KiB of an upload are not counted.
    let reserved = 5 * part_size::MIN - (128 << 10);
    assert_eq!(s3.store.archives.free(), MIN_UPLOAD_MEMORY - reserved);
    let mut write = tokio::spawn(async move {
        upload.write(content(1, 1)).await.expect("bytes are accepted");
        upload
    });
    let waited = timeout(Duration::from_millis(300), &mut write).await;
    assert!(waited.is_err(), "the next byte waits until a part is sent");
    proxy.release();
    let upload = write.await.expect("the write does not panic");
    assert_eq!(
        upload.complete().await.expect("the upload completes"),
        5 * part_size::MIN as u64 + 1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_breaks_off_is_requested_again() {
    const SIZE: usize = 4 << 20;
    let garage = Garage::start();
    let proxy = Proxy::holding(&garage.endpoint(), "no request is held").await;
    let s3 = S3::connect(S3Settings { endpoint: proxy.endpoint(), ..settings(&garage) })
        .expect("the settings are valid");
    let (key, bytes) = (new_key(), content(1, SIZE));
    put(&s3, &key, bytes.clone()).await;
    proxy.cut_next_response();
    let response = s3
        .store
        .client
        .get_object()
        .bucket(&s3.store.bucket)
        .key(key.as_str())
        .send()
        .await
        .expect("the response starts");
    response.body.collect().await.expect_err("the proxy cuts the response");
    proxy.cut_next_response();
    assert!(s3.read(&key, 0..SIZE as u64).await.expect("the second response is complete") == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_store_is_unavailable_until_it_restarts() {
    let mut garage = Garage::start();
    let s3 = connect(&garage);
    let (old, key) = (new_key(), new_key());
    put(&s3, &old, content(1, 100)).await;
    let mut upload = s3.create(&key).await.expect("an upload starts");
    upload.write(content(1, 2 * part_size::MIN + 1)).await.expect("bytes are accepted");
    garage.kill();

    let error = upload.complete().await.expect_err("the store is stopped");
    assert!(matches!(error, Error::Unavailable { .. }) && error.retry_may_help(), "{error}");
    let mut small = s3.create(&key).await.expect("an upload starts");
    small.write(content(1, 1)).await.expect("bytes are accepted");
    let failures = tokio::join!(
        async { small.complete().await.err() },
        async { s3.head(&old).await.err() },
        async { s3.read(&old, 0..1).await.err() },
        async { s3.delete(&old).await.err() },
        async { s3.list(Key::ROOT, None).await.err() },
        async { s3.sweep(Duration::ZERO, &[]).await.err() },
        async { s3.check().await.err() },
        async { s3.configure_lifecycle(Duration::from_hours(24)).await.err() },
    );
    for error in <[Option<Error>; 8]>::from(failures) {
        let error = error.expect("the store is stopped");
        assert!(matches!(error, Error::Unavailable { .. }) && error.retry_may_help(), "{error}");
        let message = error.to_string();
        let expected = format!("{} cannot be reached (Connection refused", garage.endpoint());
        assert!(message.contains(&expected) && message.contains("S3_ENDPOINT"), "{message}");
    }

    garage.start_again();
    s3.check().await.expect("the store is running");
    assert_eq!(
        s3.list(Key::ROOT, None).await.expect("objects can be listed").len(),
        1,
        "no incomplete object is visible"
    );
    put(&s3, &key, content(1, 2 * part_size::MIN + 1)).await;
    // The abort of the first upload may have failed while the store was stopped.
    s3.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds");
    assert_eq!(unfinished(&s3).await, BTreeMap::new());
    until("all memory is released", async || s3.store.archives.free() == MIN_UPLOAD_MEMORY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successful_status_with_an_error_in_the_body_is_an_error() {
    /// Responses to the request that completes an upload, which never reaches the store.
    const RESPONSES: [&str; 4] = [
        "<Error><Code>InternalError</Code><Message>Try again.</Message></Error>",
        "<Error><Code>SomethingElse</Code></Error>",
        "<CompleteMultipartUploadResult><ETag>\"0\"</ETag></CompleteMultipartUploadResult>",
        "",
    ];
    let garage = Garage::start();
    for body in RESPONSES {
        let response = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let proxy = Proxy::answering(&garage.endpoint(), ASSEMBLY, response).await;
        let s3 = S3::connect(S3Settings { endpoint: proxy.endpoint(), ..settings(&garage) })
            .expect("the settings are valid");
        let key = new_key();
        let mut upload = s3.create(&key).await.expect("an upload starts");
        upload.write(content(1, part_size::MIN + 1)).await.expect("bytes are accepted");
        let error = upload.complete().await.expect_err("the object was not completed");
        assert!(proxy.intercepted() > 0, "the proxy answered");
        assert!(error.retry_may_help(), "{body}: {error}");
        assert!(matches!(s3.head(&key).await, Err(Error::NotFound { .. })));
        until("the upload is removed", async || unfinished(&s3).await.is_empty()).await;
    }
}

/// A request whose response is lost.
struct LostResponse {
    /// Texts in the head of the request.
    texts: [&'static str; 2],
    size: usize,
    /// Whether the connection is closed instead of the response.
    is_closed: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_whose_response_is_lost_has_succeeded() {
    const SMALL: [&str; 2] = ["PUT /fiapx-test/videos", "x-amz-meta-fiapx-upload"];
    let garage = Garage::start();
    for LostResponse { texts, size, is_closed } in [
        LostResponse { texts: ASSEMBLY, size: 2 * part_size::MIN + 1, is_closed: true },
        LostResponse { texts: ASSEMBLY, size: 2 * part_size::MIN + 1, is_closed: false },
        LostResponse { texts: SMALL, size: 1000, is_closed: true },
    ] {
        let proxy = Proxy::losing_responses(&garage.endpoint(), texts, is_closed).await;
        let s3 = S3::connect(S3Settings {
            endpoint: proxy.endpoint(),
            assembly_timeout: Duration::from_secs(2),
            ..settings(&garage)
        })
        .expect("the settings are valid");
        let (key, bytes) = (new_key(), content(1, size));
        let mut upload = s3.create(&key).await.expect("an upload starts");
        upload.write(bytes.clone()).await.expect("bytes are accepted");
        let completed = upload.complete().await;
        assert!(proxy.intercepted() > 0, "a response was lost");
        assert_eq!(completed.expect("the object is complete"), size as u64, "{is_closed}");
        let stored = connect(&garage).read(&key, 0..size as u64).await;
        assert!(stored.expect("the object can be read") == bytes);
        assert_eq!(unfinished(&s3).await, BTreeMap::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_object_is_not_taken_for_the_one_that_could_not_be_completed() {
    const SIZE: usize = part_size::MIN + 1;
    let garage = Garage::start();
    let (key, old) = (new_key(), content(1, SIZE));
    put(&connect(&garage), &key, old.clone()).await;
    let response = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 47\r\n\r\n\
                    <Error><Code>NoSuchUpload</Code></Error>       ";
    let proxy = Proxy::answering(&garage.endpoint(), ASSEMBLY, response.to_owned()).await;
    let s3 = S3::connect(S3Settings { endpoint: proxy.endpoint(), ..settings(&garage) })
        .expect("the settings are valid");
    let mut upload = s3.create(&key).await.expect("an upload starts");
    upload.write(content(2, SIZE)).await.expect("bytes are accepted");
    let error = upload.complete().await.expect_err("the object was not completed");
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert!(s3.read(&key, 0..SIZE as u64).await.expect("the object can be read") == old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distinguishes_a_full_store() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let key = new_key();
    put(&s3, &key, content(1, 1000)).await;
    let quota =
        |size: &str| garage.control(&["bucket", "set-quotas", "--max-size", size, garage.bucket()]);
    quota("1MB");
    for size in [2_000_000, 2 * part_size::MIN] {
        let mut upload = s3.create(&new_key()).await.expect("an upload starts");
        let written = upload.write(content(1, size)).await;
        let error = match written {
            Err(error) => error,
            Ok(()) => upload.complete().await.expect_err("the store is full"),
        };
        assert!(matches!(error, Error::Full) && error.retry_may_help(), "{error}");
    }
    until("no remains of the uploads", async || unfinished(&s3).await.is_empty()).await;
    assert_eq!(s3.list(Key::ROOT, None).await.expect("objects can be listed").len(), 1);
    quota("none");
    put(&s3, &key, content(1, 2_000_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_missing_permissions() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let deny = |permission: &str| {
        garage.control(&[
            "bucket",
            "deny",
            permission,
            garage.bucket(),
            "--key",
            garage.access_key(),
        ])
    };
    s3.check().await.expect("the key has all permissions");

    deny("--owner");
    let warnings = s3
        .configure_lifecycle(Duration::from_hours(7 * 24))
        .await
        .expect("a warning is not an error");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("videos/ after 7 days") && warnings[0].contains("AccessDenied"),
        "{warnings:?}"
    );
    s3.check().await.expect("the key has the required permissions");

    deny("--write");
    let error = s3.check().await.expect_err("the key may not write").to_string();
    for text in
        ["rejects the access key", "S3_ACCESS_KEY", "S3_BUCKET", "use the bucket `fiapx-test`"]
    {
        assert!(error.contains(text), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swept_upload_is_interrupted() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let mut upload = s3.create(&new_key()).await.expect("an upload starts");
    upload.write(content(1, part_size::MIN + 1)).await.expect("bytes are accepted");
    until("the first part is sent", async || {
        unfinished(&s3).await.values().any(|parts| parts.len() == 1)
    })
    .await;
    assert_eq!(s3.sweep(Duration::ZERO, &[]).await.expect("the sweep succeeds"), 1);
    let error = upload.complete().await.expect_err("the upload no longer exists");
    assert!(matches!(error, Error::Interrupted { .. }) && error.retry_may_help(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_the_wrong_setting() {
    let garage = Garage::start();
    let right = settings(&garage);
    let key = new_key();
    let table = [
        ("S3_BUCKET", S3Settings { bucket: "another".to_owned(), ..right.clone() }),
        (
            "S3_ACCESS_KEY",
            S3Settings { access_key: "GKffffffffffffffffffffffff".into(), ..right.clone() },
        ),
        ("S3_SECRET_KEY", S3Settings { secret_key: "f".repeat(64).into(), ..right.clone() }),
        ("S3_REGION", S3Settings { region: "eu-west-1".to_owned(), ..right.clone() }),
        // A server that is not a store.
        ("S3_ENDPOINT", S3Settings { endpoint: closing_server().await, ..right.clone() }),
    ];
    for (setting, settings) in table {
        let s3 = S3::connect(settings).expect("the settings are well-formed");
        let mut upload = s3.create(&key).await.expect("an upload starts");
        upload.write(content(1, 1)).await.expect("bytes are accepted");
        let failures = [
            s3.check().await.expect_err("the settings are invalid"),
            s3.read(&key, 0..1).await.expect_err("the settings are invalid"),
            upload.complete().await.expect_err("the settings are invalid"),
        ];
        for error in failures {
            let message = error.to_string();
            assert!(matches!(error, Error::Unavailable { .. }), "{message}");
            assert!(message.contains(setting), "{setting} is wrong, but the message is: {message}");
            assert!(!message.contains(garage.secret_key()), "{message}");
        }
        // Responses to HEAD have no body.
        let error = s3.head(&key).await.expect_err("the settings are invalid");
        assert!(
            matches!(error, Error::Unavailable { .. }),
            "the object does not count as missing: {error}"
        );
    }
    assert!(!format!("{:?}", settings(&garage)).contains(garage.secret_key()));
}

/// Address of a server that closes every connection.
async fn closing_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    format!("http://{address}")
}

#[tokio::test]
async fn rejects_malformed_settings() {
    let right = S3Settings {
        endpoint: "http://store:3900".to_owned(),
        public_endpoint: Some("https://files.example.com/".to_owned()),
        region: "garage".to_owned(),
        bucket: "fiapx".to_owned(),
        access_key: "key".into(),
        secret_key: "secret".into(),
        path_style: true,
        upload_memory: DEFAULT_UPLOAD_MEMORY,
        assembly_timeout: DEFAULT_ASSEMBLY_TIMEOUT,
    };
    let s3 = S3::connect(right.clone()).expect("the settings are valid");
    let key = new_key();
    let link =
        s3.link(&key, "film.zip", Duration::from_mins(1)).await.expect("a link can be created");
    assert!(link.starts_with(&format!("https://files.example.com/fiapx/{key}?")), "{link}");
    let hosts = S3::connect(S3Settings { path_style: false, ..right.clone() })
        .expect("the settings are valid");
    let link =
        hosts.link(&key, "film.zip", Duration::from_mins(1)).await.expect("a link can be created");
    assert!(link.starts_with(&format!("https://fiapx.files.example.com/{key}?")), "{link}");

    for wrong in [
        "",
        "store:3900",
        "ftp://store",
        "http://",
        "http://user:hush@store",
        "http://store?x",
        "http://store#x",
    ] {
        let endpoint = S3::connect(S3Settings { endpoint: wrong.to_owned(), ..right.clone() });
        let public =
            S3::connect(S3Settings { public_endpoint: Some(wrong.to_owned()), ..right.clone() });
        for (name, result) in [("S3_ENDPOINT", endpoint), ("S3_PUBLIC_ENDPOINT", public)] {
            let error = result.expect_err("the setting is malformed");
            assert!(
                matches!(error, Error::Setting { setting, .. } if setting == name)
                    && !error.retry_may_help(),
                "{error}"
            );
            assert!(
                error.to_string().starts_with(name) && !error.to_string().contains("hush"),
                "{error}"
            );
        }
    }
    let small_budget = S3::connect(S3Settings { upload_memory: MIN_UPLOAD_MEMORY - 1, ..right });
    assert!(matches!(small_budget, Err(Error::Setting { .. })));
}
