//! A recipe travels unchanged from the acceptance of a job to its archive.

use app::settings::Isolation;
use database::accept::{Accepted, Video};
use frames::Options;
use jobs::{JobId, Recipe, VideoFormat};
use rstest::rstest;
use serde_json::json;
use storage::Key;

use crate::harness::archive::Archive;
use crate::harness::clips::{SHORT, clip_bytes, fixture};
use crate::harness::extraction::{every, extract, image};
use crate::harness::parts::Parts::{self, Embedded, Servers};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_determines_the_archive(
    #[values(Embedded, Servers)] parts: Parts,
    #[values(Isolation::Cell, Isolation::None)] isolation: Isolation,
) {
    let service = parts.with(|settings| settings.worker.isolation = isolation).await;
    let user = service.user().await;
    let form = json!({ "format": "webp", "quality": 50, "max_width": 100 });
    let recipe = json!({ "select": { "every": "1/2" }, "image": form });
    let options = Options {
        recipe: Recipe { select: every(1, 2).recipe.select, ..image(&form).recipe },
        ..Options::default()
    };
    assert_eq!(json!(options.recipe), recipe);

    // The API accepts no recipe yet, so the video is stored and accepted without it.
    let (id, owner, format) =
        (JobId::generate(), user.id.parse().expect("a user's id"), VideoFormat::Mp4);
    let (key, clip) = (Key::input(owner, id, format), clip_bytes(SHORT));
    let size_bytes = clip.len() as u64;
    let mut upload = service.storage().create(&key).await.expect("the store responds");
    upload.write(clip.into()).await.expect("the store responds");
    assert_eq!(upload.complete().await.expect("the store responds"), size_bytes);
    let video = Video {
        id,
        filename: "praia.mp4".to_owned(),
        format,
        path: key.to_string(),
        size_bytes,
        recipe: options.recipe.clone(),
    };
    let begun = service.database().begin_upload(owner, video.id, &video.path).await;
    begun.expect("the upload is recorded");
    let accepted = service.database().accept(owner, &[video], None, None).await;
    assert!(matches!(accepted, Ok(Accepted::New(_))), "{accepted:?}");

    let job = id.to_string();
    let view = user.wait_until_done(&job).await;
    assert_eq!((&view["recipe"], &view["frame_count"]), (&recipe, &json!(12)), "{view}");
    let bytes = user.archive(&job).await;
    assert!(bytes == extract(&fixture(SHORT), &options).expect("the clip is valid"));
    let archive = Archive::read(bytes).expect("the archive is complete");
    assert_eq!(archive.manifest["recipe"], recipe);
    assert_eq!(archive.frames.len(), 12);
}
