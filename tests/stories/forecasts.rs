//! Forecasts of jobs, and the limits that refuse a job before work starts.

use app::settings::Isolation;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::client::{User, fetch_json, job_id};
use crate::harness::clips::{WRONG, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Clip of 10.5 seconds.
const CLIP: &str = "good/ten_point_5.mp4";

async fn forecast(user: &User<'_>, job: &str, recipe: &Value) -> Value {
    let request = user.request(Method::GET, &format!("/videos/{job}/forecast"));
    let (status, forecast) = fetch_json(request.query(&[("recipe", recipe.to_string())])).await;
    assert_eq!(status, StatusCode::OK, "{forecast}");
    forecast
}

async fn create(user: &User<'_>, job: &str, recipe: &Value) -> (StatusCode, Value) {
    let request = user.request(Method::POST, &format!("/videos/{job}/jobs"));
    fetch_json(request.json(&json!({ "recipe": recipe }))).await
}

async fn upload(user: &User<'_>, recipe: &Value) -> (StatusCode, Value) {
    let file = Part::bytes(clip_bytes(CLIP)).file_name("a.mp4");
    let form = Form::new().text("recipe", recipe.to_string()).part("file", file);
    fetch_json(user.request(Method::POST, "/videos/upload").multipart(form)).await
}

/// Check that a recipe is refused with a member and a code.
fn expect_refusal((status, problem): (StatusCode, Value), member: &str, code: &str) {
    let error = &problem["errors"][0];
    let found = (status, error["field"].as_str(), error["code"].as_str());
    let expected = (StatusCode::UNPROCESSABLE_ENTITY, Some(member), Some(code));
    assert_eq!(found, expected, "{problem}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_forecast_predicts_the_job(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let first = user.upload_clip(CLIP).await;
    user.wait_until_done(&first).await;
    let (_, default) = user.get(&format!("/videos/{first}/forecast")).await;
    assert_eq!(default, forecast(&user, &first, &json!({})).await);
    for (recipe, is_exact, has_bytes) in [
        (json!({}), false, true),
        (json!({ "select": { "every": "1/3" }, "from": 2, "to": 7.5 }), false, true),
        (json!({ "select": { "every": 30 } }), false, true),
        (json!({ "select": { "count": 5 }, "image": { "max_width": 160 } }), true, true),
        (json!({ "select": { "at": [1, "0:02", 9] }, "max_frames": 2 }), true, true),
        (json!({ "select": { "count": 4 }, "image": { "format": "jpeg" } }), true, false),
        (json!({ "select": { "count": 40 }, "image": { "max_width": 16 } }), true, true),
        (json!({ "select": { "count": 40 }, "image": { "max_width": 1 } }), true, true),
        (json!({ "select": { "count": 1 }, "image": { "max_width": 32 } }), true, true),
        (json!({ "select": { "count": 30 }, "sheet": {} }), true, true),
        (
            json!({ "select": { "count": 30 }, "image": { "max_width": 16 },
                "sheet": { "columns": 10, "tile_width": 64 } }),
            true,
            true,
        ),
        (json!({ "select": { "at": [1, 2, 30] } }), false, true),
        (json!({ "select": { "at": [1, 2, 30] }, "to": 20 }), true, true),
        (json!({ "select": { "count": 3 }, "from": 4, "to": 60 }), false, true),
    ] {
        let expected = forecast(&user, &first, &recipe).await;
        let (status, accepted) = create(&user, &first, &recipe).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        let job = user.wait_until_done(&job_id(&accepted)).await;
        assert_eq!(expected["frames"], job["frame_count"], "{recipe}");
        assert_eq!(expected["frames_are_exact"], is_exact, "{recipe}");
        assert_eq!(expected["exceeds"], Value::Null, "{recipe}");
        let size = job["zip_size_bytes"].as_f64().expect("a size");
        let ratio = expected["bytes"].as_f64().map(|bytes| bytes / size);
        assert_eq!(ratio.is_some(), has_bytes, "{recipe}");
        assert!(ratio.is_none_or(|ratio| (0.4..2.5).contains(&ratio)), "{recipe}: {ratio:?}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn recipes_that_select_nothing_are_refused(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    // Whatever the video is, no listed time is in the part.
    let elsewhere = json!({ "select": { "at": [1, 2] }, "from": 5 });
    expect_refusal(upload(&user, &elsewhere).await, "select.at", "RECIPE_NOTHING_SELECTED");
    let first = user.upload_clip(CLIP).await;
    user.wait_until_done(&first).await;
    for (recipe, is_exact, member) in [
        (elsewhere, true, "select.at"),
        (json!({ "select": { "at": [11, 12] } }), false, "select.at"),
        (json!({ "select": { "at": [11, 12] }, "from": 10.9 }), false, "from"),
        (json!({ "select": { "count": 5 }, "from": 11, "to": 20 }), false, "from"),
        (json!({ "select": { "every": 1 }, "from": 60 }), false, "from"),
        (json!({ "select": { "sharpest": { "every": 1 } }, "from": 60 }), false, "from"),
    ] {
        let expected = forecast(&user, &first, &recipe).await;
        let found = (&expected["frames"], &expected["frames_are_exact"]);
        assert_eq!(found, (&json!(0), &json!(is_exact)), "{recipe}: {expected}");
        let refused = create(&user, &first, &recipe).await;
        expect_refusal(refused, member, "RECIPE_NOTHING_SELECTED");
    }
    assert_eq!(user.get("/videos").await.1.as_array().map(Vec::len), Some(1));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_skipped_count_for_the_limit(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.frames_per_job = 10).await;
    let user = service.user().await;
    let first = upload(&user, &json!({ "to": 5 })).await.1;
    let first = job_id(&first);
    user.wait_until_done(&first).await;
    let skip = json!({ "repeated": true });
    let many = json!({ "select": { "every": 0.5 }, "skip": skip });
    assert_eq!(forecast(&user, &first, &many).await["exceeds"], "frames");
    expect_refusal(create(&user, &first, &many).await, "select.every", "RECIPE_TOO_MANY_FRAMES");
    let (_, accepted) = upload(&user, &many).await;
    let failed = user.wait_for(&job_id(&accepted), &["FAILED"]).await;
    assert_eq!(failed["error_code"], "TOO_MANY_FRAMES", "{failed}");
    let (status, accepted) =
        create(&user, &first, &json!({ "select": { "count": 10 }, "skip": skip })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    user.wait_until_done(&job_id(&accepted)).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn unknown_videos_have_an_incomplete_forecast(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let failed = user.upload_clip(WRONG).await;
    user.wait_for(&failed, &["FAILED"]).await;
    let unknown =
        json!({ "frames": null, "frames_are_exact": false, "bytes": null, "exceeds": null });
    assert_eq!(forecast(&user, &failed, &json!({})).await, unknown);
    let counted = json!({ "frames": 7, "frames_are_exact": true, "bytes": null, "exceeds": null });
    assert_eq!(forecast(&user, &failed, &json!({ "select": { "count": 7 } })).await, counted);
    let path = format!("/videos/{failed}/forecast?recipe=%5B%5D");
    expect_refusal(user.get(&path).await, "recipe", "RECIPE_NOT_AN_OBJECT");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn too_many_frames_are_refused_before_the_video_is_decoded(
    #[values(Embedded, Servers)] parts: Parts,
    #[values(Isolation::Cell, Isolation::None)] isolation: Isolation,
) {
    let service = parts
        .with(|settings| {
            settings.limits.frames_per_job = 20;
            settings.worker.isolation = isolation;
        })
        .await;
    let user = service.user().await;
    let many = json!({ "select": { "count": 21 } });
    expect_refusal(upload(&user, &many).await, "select.count", "RECIPE_TOO_MANY_FRAMES");
    let listed = json!({ "select": { "at": (0..21).collect::<Vec<_>>() } });
    expect_refusal(upload(&user, &listed).await, "select.at", "RECIPE_TOO_MANY_FRAMES");
    assert_eq!((user.get("/videos").await.1, service.files().await.len()), (json!([]), 0));

    // The duration is known to the worker only.
    let often = json!({ "select": { "every": 0.5 } });
    let (status, accepted) = upload(&user, &often).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let failed = user.wait_for(&job_id(&accepted), &["FAILED"]).await;
    assert_eq!(failed["error_code"], "TOO_MANY_FRAMES", "{failed}");
    assert_eq!((&failed["retry_count"], &failed["progress"]["done"]), (&json!(0), &json!(0)));

    let (status, accepted) =
        upload(&user, &json!({ "select": { "every": 0.5 }, "max_frames": 20 })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let first = job_id(&accepted);
    let done = user.wait_until_done(&first).await;
    assert_eq!(done["frame_count"], 20, "{done}");
    assert_eq!(forecast(&user, &first, &often).await["exceeds"], "frames");
    expect_refusal(create(&user, &first, &often).await, "select.every", "RECIPE_TOO_MANY_FRAMES");
    let part = json!({ "select": { "every": 0.5 }, "to": 10 });
    assert_eq!(create(&user, &first, &part).await.0, StatusCode::ACCEPTED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_exceeds_the_storage_is_refused(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.stored_mb = 4).await;
    let user = service.user().await;
    let first = user.upload_clip(CLIP).await;
    user.wait_until_done(&first).await;
    let often = json!({ "select": { "every": "1/100" } });
    let expected = forecast(&user, &first, &often).await;
    assert_eq!(expected["exceeds"], "storage", "{expected}");
    expect_refusal(create(&user, &first, &often).await, "recipe", "RECIPE_STORAGE_EXCEEDED");
    assert_eq!(create(&user, &first, &json!({})).await.0, StatusCode::ACCEPTED);
}
