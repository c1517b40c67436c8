//! Access to direct uploads: by their owner, by programs with the scope `videos:write`, and by the
//! operations that are for them.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::super::{create as create_tus, patch, problem, request as tus_request, send};
use super::{complete, completed, create, request, send_parts};
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::Servers;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_belongs_to_its_user() {
    let service = Servers.start().await;
    let (owner, other) = (service.user().await, service.user().await);
    let video = clip_bytes(ONE_FRAME);
    let upload = create(&owner, video.len()).await;
    let tags = send_parts(&owner, &upload, &video).await;
    let reader = owner.create_key(&["videos:read", "webhooks"]).await;
    let writer = owner.create_key(&["videos:write"]).await;
    let others = other.create_key(&["videos:read", "videos:write", "webhooks"]).await;
    for user in [&other, &other.with_key(&others)] {
        let (status, problem) = complete(user, &upload, &tags).await;
        assert_eq!((status.as_u16(), &problem["code"]), (403, &json!("NOT_YOUR_UPLOAD")));
    }
    let reader = owner.with_key(&reader);
    for (status, problem) in
        [complete(&reader, &upload, &tags).await, request(&reader, 10, json!({})).await]
    {
        assert_eq!((status.as_u16(), &problem["code"]), (403, &json!("KEY_SCOPE_MISSING")));
    }
    let unknown = json!({ "id": "0190a000-0000-7000-8000-0000000000aa" });
    for user in [&owner, &other] {
        let (status, problem) = complete(user, &unknown, &tags).await;
        assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("UPLOAD_NOT_FOUND")));
        let malformed = complete(user, &json!({ "id": "no-id" }), &tags).await;
        assert_eq!(malformed.0, StatusCode::BAD_REQUEST);
    }
    let program = owner.with_key(&writer);
    let job = completed(&program, &upload, &tags).await;
    owner.wait_until_done(&job).await;
    let (status, problem) = complete(&other, &upload, &tags).await;
    assert_eq!((status.as_u16(), &problem["code"]), (403, &json!("NOT_YOUR_UPLOAD")));
    assert_eq!(request(&program, 10, json!({})).await.0, StatusCode::CREATED);
}

/// The two kinds of uploads are not mixed, so no bytes of one replace those of the other.
#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_upload_has_its_operations() {
    let service = Servers.start().await;
    let user = service.user().await;
    let video = clip_bytes(ONE_FRAME);
    let upload = create(&user, video.len()).await;
    let path = format!("/uploads/{}", upload["id"].as_str().expect("an id"));
    let appended = send(patch(&user, &path, 0, &video)).await;
    assert_eq!(problem(appended).await, (409, "UPLOAD_DIRECT".to_owned()));
    let state = send(tus_request(&user, Method::HEAD, &path)).await;
    assert_eq!(state.status(), StatusCode::CONFLICT);
    let tags = send_parts(&user, &upload, &video).await;
    let job = completed(&user, &upload, &tags).await;
    user.wait_until_done(&job).await;

    let path = create_tus(&user, 1000).await;
    let id = path.rsplit('/').next().expect("an id");
    let (status, body) = complete(&user, &json!({ "id": id }), &tags).await;
    assert_eq!((status.as_u16(), &body["code"]), (409, &json!("UPLOAD_NOT_DIRECT")));
    let ended = send(tus_request(&user, Method::DELETE, &path)).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
}
