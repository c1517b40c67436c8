//! A recipe travels unchanged from the upload to the archive.

use app::settings::Isolation;
use frames::Options;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::client::{User, fetch_json};
use crate::harness::clips::{SHORT, clip_bytes, fixture};
use crate::harness::extraction::extract;
use crate::harness::parts::Parts::{self, Embedded, Servers};

fn file(name: &str) -> Part {
    Part::bytes(clip_bytes(SHORT)).file_name(name.to_owned())
}

async fn upload(user: &User<'_>, form: Form) -> (StatusCode, Value) {
    fetch_json(user.request(Method::POST, "/videos/upload").multipart(form)).await
}

/// Check that a job has a recipe, and the archive that the engine makes with it.
async fn expect_archive(user: &User<'_>, job: &Value, recipe: &Value) {
    let job = job["job_id"].as_str().expect("a job id");
    let view = user.wait_until_done(job).await;
    assert_eq!(&view["recipe"], recipe, "{view}");
    let recipe = serde_json::from_value(recipe.clone()).expect("a valid recipe");
    let options = Options { recipe, ..Options::default() };
    let expected = extract(&fixture(SHORT), &options).expect("the clip is valid");
    assert!(user.archive(job).await == expected, "another archive: {view}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_determines_the_archives_of_the_videos_that_follow_it(
    #[values(Embedded, Servers)] parts: Parts,
    #[values(Isolation::Cell, Isolation::None)] isolation: Isolation,
) {
    let service = parts.with(|settings| settings.worker.isolation = isolation).await;
    let user = service.user().await;
    let blob = Part::text(r#"{"select":{"at":[0.5,"0:02"]},"to":5,"max_frames":1}"#)
        .file_name("blob")
        .mime_str("application/json")
        .expect("a media type");
    let form = Form::new()
        .part("file", file("before.mp4"))
        .text("recipe", r#"{"select":{"every":0.5},"image":{"format":"webp","max_width":100}}"#)
        .part("file", file("half.mp4"))
        .part("recipe", blob)
        .part("file", file("at.mp4"));
    let (status, accepted) = upload(&user, form).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    for (number, recipe) in [
        json!({ "select": { "every": 1 }, "image": { "format": "png" } }),
        json!({
            "select": { "every": "1/2" }, "image": { "format": "webp", "max_width": 100 }
        }),
        json!({
            "select": { "at": [0.5, 2] }, "to": 5, "max_frames": 1, "image": { "format": "png" }
        }),
    ]
    .iter()
    .enumerate()
    {
        expect_archive(&user, &accepted["jobs"][number], recipe).await;
    }
    let job = accepted["jobs"][1]["job_id"].as_str().expect("a job id");
    for (query, media_type) in [("", "image/webp"), ("?width=64", "image/jpeg")] {
        let path = format!("/jobs/{job}/frames/1{query}");
        let response = user.request(Method::GET, &path).send().await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], media_type, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_recipes_are_rejected_with_a_reason() {
    let service = Embedded.start().await;
    let user = service.user().await;
    let large = format!("{{\"select\":{{\"every\":1}},\"from\":{}1}}", " ".repeat(1 << 16));
    for (recipe, reason) in [
        ("every second", "expected value at line 1"),
        (r#"{"select":{"every":0}}"#, "`0` is not a number of seconds above zero"),
        (r#"{"select":{"every":[]}}"#, "an interval is a number of seconds"),
        (r#"{"select":{"at":[]}}"#, "`at` must list at least one time"),
        (r#"{"select":{"at":["soon"]}}"#, "`soon` is not a time such as 5, 62.5"),
        (r#"{"select":{"sometimes":1}}"#, "unknown variant `sometimes`"),
        (r#"{"frames":3}"#, "unknown field `frames`"),
        (r#"{"image":{"format":"png","quality":85}}"#, "quality"),
        (r#"{"from":5,"to":"0:05"}"#, "`to` must be later than `from`"),
        (&large, "it is larger than 65536 bytes"),
    ] {
        let form = Form::new().text("recipe", recipe.to_owned()).part("file", file("a.mp4"));
        let (status, problem) = upload(&user, form).await;
        let error = &problem["errors"][0];
        assert_eq!(
            (status, &problem["code"], &error["field"], &error["code"]),
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                &json!("INVALID_FIELDS"),
                &json!("recipe"),
                &json!("RECIPE_INVALID")
            ),
            "{problem}"
        );
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(reason), "{message}");
    }
    assert_eq!(user.get("/videos").await.1, json!([]));
}
