//! Access to uploads: by their owner, and by programs with the scope `videos:write`.

use reqwest::{Method, StatusCode};
use rstest::rstest;

use super::{create, offset, patch, problem, request, send};
use crate::harness::client::User;
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Statuses of all operations on an upload.
async fn statuses(user: &User<'_>, path: &str) -> [u16; 3] {
    let requests = [
        request(user, Method::HEAD, path),
        patch(user, path, 0, b"bytes"),
        request(user, Method::DELETE, path),
    ];
    let mut statuses = [0; 3];
    for (status, request) in statuses.iter_mut().zip(requests) {
        *status = send(request).await.status().as_u16();
    }
    statuses
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_belongs_to_its_user(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (owner, other) = (service.user().await, service.user().await);
    let path = create(&owner, 1000).await;
    let reader = owner.create_key(&["videos:read", "webhooks"]).await;
    let writer = owner.create_key(&["videos:write"]).await;
    let others = other.create_key(&["videos:read", "videos:write", "webhooks"]).await;
    let mut anonymous = owner.account().at(&service);
    anonymous.access = "invalid".to_owned();
    for (user, expected) in [
        (&other, [403; 3]),
        (&other.with_key(&others), [403; 3]),
        (&owner.with_key(&reader), [403; 3]),
        (&anonymous, [401; 3]),
    ] {
        assert_eq!(statuses(user, &path).await, expected);
    }
    let denied = send(patch(&other, &path, 0, b"bytes")).await;
    assert_eq!(problem(denied).await, (403, "NOT_YOUR_UPLOAD".to_owned()));
    let unknown = "/uploads/0190a000-0000-7000-8000-0000000000aa";
    for user in [&owner, &other] {
        assert_eq!(statuses(user, unknown).await, [404; 3]);
        assert_eq!(statuses(user, "/uploads/no-id").await, [400; 3]);
    }
    assert_eq!(offset(&owner, &path).await, 0);
    let program = owner.with_key(&writer);
    assert_eq!(statuses(&program, &path).await, [200, 204, 204]);
    let path = create(&program, 1000).await;
    assert_eq!(offset(&owner, &path).await, 0, "it is the user's");
    let created = send(super::creation(&owner.with_key(&reader), 1000)).await;
    assert_eq!(created.status(), StatusCode::FORBIDDEN);
}
