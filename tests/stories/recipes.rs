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
async fn invalid_recipes_are_rejected_with_member_and_reason() {
    let service = Embedded.start().await;
    let user = service.user().await;
    let document = user.get("/openapi.json").await.1;
    let listed = &document["components"]["schemas"]["RecipeErrorCode"]["enum"];
    let large = format!("{{\"select\":{{\"every\":1}},\"from\":{}1}}", " ".repeat(1 << 16));
    let long = format!(r#"{{"select":{{"every":"{}"}}}}"#, "1\\n".repeat(1000));
    for (recipe, field, code, reason) in [
        ("every second", "recipe", "RECIPE_NOT_JSON", "expected value at line 1"),
        ("[]", "recipe", "RECIPE_NOT_AN_OBJECT", "`[]` is not an object"),
        (r#"{"select":{}}"#, "select", "RECIPE_SELECTION_MISSING", "one of the members `every`"),
        (r#"{"select":null}"#, "select", "RECIPE_NOT_AN_OBJECT", "`null` is not an object"),
        (r#"{"select":{"every":0}}"#, "select.every", "RECIPE_INTERVAL_INVALID", "`0` is not a"),
        (&long, "select.every", "RECIPE_INTERVAL_INVALID", r"`1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n1\n"),
        (r#"{"select":{"at":["soon"]}}"#, "select.at[0]", "RECIPE_TIME_INVALID", "`soon` is not"),
        (r#"{"frames":3}"#, "frames", "RECIPE_UNKNOWN_MEMBER", "this member is unknown"),
        (
            r#"{"image":{"format":"png","quality":85}}"#,
            "image.quality",
            "RECIPE_QUALITY_LOSSLESS",
            "png is lossless",
        ),
        (r#"{"from":5,"to":"0:05"}"#, "to", "RECIPE_PART_EMPTY", "it must be later than `from`"),
        (&large, "recipe", "RECIPE_TOO_LARGE", "it is larger than 65536 bytes"),
    ] {
        let form = Form::new().text("recipe", recipe.to_owned()).part("file", file("a.mp4"));
        let (status, problem) = upload(&user, form).await;
        let error = &problem["errors"][0];
        assert_eq!(
            (status, &problem["code"], &error["field"], &error["code"]),
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                &json!("INVALID_FIELDS"),
                &json!(field),
                &json!(code)
            ),
            "{problem}"
        );
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(reason) && message.len() < 200, "{message}");
        assert!(listed.as_array().is_some_and(|codes| codes.contains(&error["code"])), "{listed}");
    }
    let form = Form::new().part("file", file("a.mp4")).text("recipe", "{}");
    let (status, problem) = upload(&user, form).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(problem["errors"][0]["code"], "RECIPE_MISPLACED", "{problem}");
    assert_eq!(user.get("/videos").await.1, json!([]));
}
