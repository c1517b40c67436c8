//! Stores that are slow, gone, or set up otherwise than we were told.

use super::gate::Gate;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_part_holds_up_nothing_else() {
    const PARTS: usize = 12;
    let garage = Garage::start();
    let gate = Gate::before(&garage.endpoint(), "partNumber=2&").await;
    let s3 = S3::connect(S3Settings { endpoint: gate.endpoint(), ..settings(&garage) })
        .expect("the settings are right");
    let (key, bytes) = (new_key(), content(PARTS * part::SMALLEST));
    let mut upload = s3.create(&key).await.expect("an upload begins");
    let write = tokio::time::timeout(PATIENCE, upload.write(bytes.clone()));
    write.await.expect("nothing waits for the slow part").expect("bytes are taken");
    until("the second part is held up", async || gate.held() == 1).await;
    until("all parts but the slow one and the last are sent", async || {
        let parts: Vec<usize> = unfinished(&s3).await[key.as_str()]
            .iter()
            .map(|(number, _)| *number as usize)
            .collect();
        parts == [1].into_iter().chain(3..PARTS).collect::<Vec<_>>()
    })
    .await;
    // Another upload goes all the way.
    put(&s3, &new_key(), content(100)).await;
    assert_eq!(unfinished(&s3).await[key.as_str()].len(), PARTS - 2);

    gate.open();
    assert_eq!(upload.complete().await.expect("the upload is completed"), bytes.len() as u64);
    assert!(
        s3.read(&key, 0..bytes.len() as u64).await.expect("the object can be read") == bytes,
        "the parts are in order"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_slow_parts_hold_up_their_own_upload() {
    let garage = Garage::start();
    let gate = Gate::before(&garage.endpoint(), "partNumber=").await;
    let s3 = S3::connect(S3Settings { endpoint: gate.endpoint(), ..settings(&garage) })
        .expect("the settings are right");
    let mut upload = s3.create(&new_key()).await.expect("an upload begins");
    // Four on their way, and one that is full.
    upload.write(content(5 * part::SMALLEST)).await.expect("bytes are taken");
    until("four parts are on their way", async || gate.held() == 4).await;
    assert_eq!(s3.store.memory.available_permits(), LEAST_UPLOAD_MEMORY - 5 * part::SMALLEST);
    let mut write = tokio::spawn(async move {
        upload.write(content(1)).await.expect("bytes are taken");
        upload
    });
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut write).await;
    assert!(waited.is_err(), "the next byte waits until a part is sent");
    gate.open();
    let upload = write.await.expect("the write does not panic");
    assert_eq!(
        upload.complete().await.expect("the upload is completed"),
        5 * part::SMALLEST as u64 + 1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    const SIZE: usize = 4 << 20;
    let garage = Garage::start();
    let gate = Gate::before(&garage.endpoint(), "nothing is held").await;
    let s3 = S3::connect(S3Settings { endpoint: gate.endpoint(), ..settings(&garage) })
        .expect("the settings are right");
    let (key, bytes) = (new_key(), content(SIZE));
    put(&s3, &key, bytes.clone()).await;
    gate.cut_next_answer();
    let answer = s3
        .store
        .client
        .get_object()
        .bucket(&s3.store.bucket)
        .key(key.as_str())
        .send()
        .await
        .expect("the answer begins");
    answer.body.collect().await.expect_err("the gate cuts answers");
    gate.cut_next_answer();
    assert!(s3.read(&key, 0..SIZE as u64).await.expect("the second answer is whole") == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stops_is_unavailable_until_it_is_back() {
    let mut garage = Garage::start();
    let s3 = connect(&garage);
    let (old, key) = (new_key(), new_key());
    put(&s3, &old, content(100)).await;
    let mut upload = s3.create(&key).await.expect("an upload begins");
    upload.write(content(2 * part::SMALLEST + 1)).await.expect("bytes are taken");
    garage.kill();

    let failed = upload.complete().await.expect_err("nobody is there");
    assert!(matches!(failed, Error::Unavailable { .. }) && failed.retry_may_help(), "{failed}");
    let mut small = s3.create(&key).await.expect("an upload begins");
    small.write(content(1)).await.expect("bytes are taken");
    let failures = tokio::join!(
        async { small.complete().await.err() },
        async { s3.head(&old).await.err() },
        async { s3.read(&old, 0..1).await.err() },
        async { s3.delete(&old).await.err() },
        async { s3.list(Key::ROOT, None).await.err() },
        async { s3.sweep(Duration::ZERO).await.err() },
        async { s3.check().await.err() },
        async { s3.prepare(Duration::from_hours(24)).await.err() },
    );
    for failed in <[Option<Error>; 8]>::from(failures) {
        let failed = failed.expect("nobody is there");
        assert!(matches!(failed, Error::Unavailable { .. }) && failed.retry_may_help(), "{failed}");
        let words = failed.to_string();
        let expected = format!("{} cannot be reached (Connection refused", garage.endpoint());
        assert!(words.contains(&expected) && words.contains("S3_ENDPOINT"), "{words}");
    }

    garage.start_again();
    s3.check().await.expect("the store is back");
    assert_eq!(
        s3.list(Key::ROOT, None).await.expect("objects can be listed").len(),
        1,
        "nothing is half there"
    );
    put(&s3, &key, content(2 * part::SMALLEST + 1)).await;
    // The abort of the first upload may have come while nobody was there.
    s3.sweep(Duration::ZERO).await.expect("sweeping works");
    assert_eq!(unfinished(&s3).await, BTreeMap::new());
    until("all memory is given back", async || {
        s3.store.memory.available_permits() == LEAST_UPLOAD_MEMORY
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_status_does_not_make_an_object() {
    /// Answers to the request that completes an upload, which never reaches the store.
    const ANSWERS: [&str; 4] = [
        "<Error><Code>InternalError</Code><Message>Try again.</Message></Error>",
        "<Error><Code>SomethingElse</Code></Error>",
        "<CompleteMultipartUploadResult><ETag>\"0\"</ETag></CompleteMultipartUploadResult>",
        "",
    ];
    let garage = Garage::start();
    for answer in ANSWERS {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        let gate = Gate::answering(
            &garage.endpoint(),
            "POST /fiapx-test/videos",
            "?uploadId=",
            answer.clone(),
        )
        .await;
        let s3 = S3::connect(S3Settings { endpoint: gate.endpoint(), ..settings(&garage) })
            .expect("the settings are right");
        let key = new_key();
        let mut upload = s3.create(&key).await.expect("an upload begins");
        upload.write(content(part::SMALLEST + 1)).await.expect("bytes are taken");
        let failed = upload.complete().await.expect_err("nothing was completed");
        assert!(gate.held() > 0, "the answer was given");
        assert!(failed.retry_may_help(), "{answer}: {failed}");
        assert!(matches!(s3.head(&key).await, Err(Error::NotFound { .. })));
        until("the upload goes", async || unfinished(&s3).await.is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_is_told_apart() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let key = new_key();
    put(&s3, &key, content(1000)).await;
    let quota =
        |size: &str| garage.control(&["bucket", "set-quotas", "--max-size", size, garage.bucket()]);
    quota("1MB");
    for size in [2_000_000, 2 * part::SMALLEST] {
        let mut upload = s3.create(&new_key()).await.expect("an upload begins");
        let written = upload.write(content(size)).await;
        let failed = if let Err(failed) = written {
            failed
        } else {
            upload.complete().await.expect_err("there is no room")
        };
        assert!(matches!(failed, Error::Full) && failed.retry_may_help(), "{failed}");
    }
    until("nothing is left of them", async || unfinished(&s3).await.is_empty()).await;
    assert_eq!(s3.list(Key::ROOT, None).await.expect("objects can be listed").len(), 1);
    quota("none");
    put(&s3, &key, content(2_000_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_our_key_may_not_do_is_told() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let deny = |what: &str| {
        garage.control(&["bucket", "deny", what, garage.bucket(), "--key", garage.access_key()])
    };
    s3.check().await.expect("it may do everything");

    deny("--owner");
    let told = s3.prepare(Duration::from_hours(7 * 24)).await.expect("that is no error");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("videos/ after 7 days") && told[0].contains("AccessDenied"),
        "{told:?}"
    );
    s3.check().await.expect("it may do everything that is needed");

    deny("--write");
    let failed = s3.check().await.expect_err("it may not write").to_string();
    for words in ["refuses our key", "S3_ACCESS_KEY", "S3_BUCKET", "use the bucket `fiapx-test`"] {
        assert!(failed.contains(words), "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_parts_the_store_forgot_is_cut_short() {
    let garage = Garage::start();
    let s3 = connect(&garage);
    let mut upload = s3.create(&new_key()).await.expect("an upload begins");
    upload.write(content(part::SMALLEST + 1)).await.expect("bytes are taken");
    until("the first part is sent", async || {
        unfinished(&s3).await.values().any(|parts| parts.len() == 1)
    })
    .await;
    assert_eq!(s3.sweep(Duration::ZERO).await.expect("sweeping works"), 1);
    let failed = upload.complete().await.expect_err("nothing is left to complete");
    assert!(matches!(failed, Error::CutShort { .. }) && failed.retry_may_help(), "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_settings_are_named() {
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
        // Something that listens, but is no store.
        ("S3_ENDPOINT", S3Settings { endpoint: mute().await, ..right.clone() }),
    ];
    for (setting, settings) in table {
        let s3 = S3::connect(settings).expect("the settings can be used");
        let mut upload = s3.create(&key).await.expect("an upload begins");
        upload.write(content(1)).await.expect("bytes are taken");
        let failures = [
            s3.check().await.expect_err("the settings are wrong"),
            s3.read(&key, 0..1).await.expect_err("the settings are wrong"),
            upload.complete().await.expect_err("the settings are wrong"),
        ];
        for failed in failures {
            let words = failed.to_string();
            assert!(matches!(failed, Error::Unavailable { .. }), "{words}");
            assert!(words.contains(setting), "{setting} is wrong, but {words}");
            assert!(!words.contains(garage.secret_key()), "{words}");
        }
        // Answers to HEAD say no more than their status.
        let failed = s3.head(&key).await.expect_err("the settings are wrong");
        assert!(matches!(failed, Error::Unavailable { .. }), "the object is not missing: {failed}");
    }
    assert!(!format!("{:?}", settings(&garage)).contains(garage.secret_key()));
}

/// The address of a server that closes every connection.
async fn mute() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    format!("http://{address}")
}

#[tokio::test]
async fn settings_that_cannot_be_right_are_refused() {
    let right = S3Settings {
        endpoint: "http://store:3900".to_owned(),
        public_endpoint: Some("https://files.example.com/".to_owned()),
        region: "garage".to_owned(),
        bucket: "fiapx".to_owned(),
        access_key: "key".into(),
        secret_key: "secret".into(),
        path_style: true,
        upload_memory: USUAL_UPLOAD_MEMORY,
    };
    let s3 = S3::connect(right.clone()).expect("the settings are right");
    let key = new_key();
    let link = s3.link(&key, "film.zip", Duration::from_mins(1)).await.expect("a link can be made");
    assert!(link.starts_with(&format!("https://files.example.com/fiapx/{key}?")), "{link}");
    let hosts = S3::connect(S3Settings { path_style: false, ..right.clone() })
        .expect("the settings are right");
    let link =
        hosts.link(&key, "film.zip", Duration::from_mins(1)).await.expect("a link can be made");
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
        for (name, refused) in [("S3_ENDPOINT", endpoint), ("S3_PUBLIC_ENDPOINT", public)] {
            let refused = refused.expect_err("the setting is wrong");
            assert!(
                matches!(refused, Error::Setting { setting, .. } if setting == name)
                    && !refused.retry_may_help(),
                "{refused}"
            );
            assert!(
                refused.to_string().starts_with(name) && !refused.to_string().contains("hush"),
                "{refused}"
            );
        }
    }
    let little = S3::connect(S3Settings { upload_memory: LEAST_UPLOAD_MEMORY - 1, ..right });
    assert!(matches!(little, Err(Error::Setting { .. })));
}
