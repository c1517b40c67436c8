//! Creation of resumable uploads.

use database::resumable_uploads::{NewUpload, ResumableUpload, Stored};
use jobs::{JobId, Recipe, UserId};
use storage::{DirectUploads, Key};

use crate::forecasts::check_recipe;
use crate::problem::Problem;
use crate::service::Service;
use crate::tus::Metadata;
use crate::upload_checks::{VideoName, check_size, empty_file};
use crate::upload_receiver::upload_ended;
use crate::upload_records::UploadRecords;
use crate::video_reservation::granted;

/// Check the size and the metadata of an upload, and describe it with a new id.
pub fn describe(
    service: &Service,
    user: UserId,
    size_bytes: u64,
    metadata: String,
) -> Result<NewUpload, Problem> {
    let Metadata { filename, recipe } = Metadata::parse(&metadata)?;
    let recipe = match recipe {
        Some(json) => Recipe::from_json(&json).map_err(|mistake| Problem::recipe(&mistake))?,
        None => Recipe::default(),
    };
    let size = ("Upload-Length", size_bytes);
    let new = describe_video(service, user, &filename.unwrap_or_default(), size, recipe)?;
    Ok(NewUpload { metadata, ..new })
}

/// Check a video, whose size in bytes the client has sent in a field, and describe its upload with
/// a new id and without metadata.
pub fn describe_video(
    service: &Service,
    user: UserId,
    filename: &str,
    (size_field, size_bytes): (&str, u64),
    recipe: Recipe,
) -> Result<NewUpload, Problem> {
    let VideoName { filename, format } = VideoName::parse("filename", filename)?;
    if size_bytes == 0 {
        return Err(empty_file(size_field, &filename));
    }
    check_size(service, &filename, size_bytes)?;
    check_recipe(service, &recipe)?;
    let id = JobId::generate();
    let key = Key::input(user, id, format).to_string();
    Ok(NewUpload { id, user, key, filename, recipe, metadata: String::new(), size_bytes })
}

/// Record an upload, reserve its bytes, and begin it in the store: as one that its client sends to
/// `direct`, or to this service.
pub async fn create(
    service: &Service,
    new: NewUpload,
    direct: Option<&dyn DirectUploads>,
) -> Result<ResumableUpload, Problem> {
    let (database, storage) = (service.database(), &service.parts.storage);
    {
        let _turn = service.upload_transactions.turn(new.user, 0).await;
        granted(service, database.begin_resumable_upload(&new).await?)?;
    }
    let key: Key = new.key.parse().map_err(|error| Problem::internal(&error))?;
    let begun = match direct {
        Some(direct) => direct.begin_direct(&key, new.size_bytes).await,
        None => storage.begin_resumable(&key, new.size_bytes).await,
    };
    let checkpoint = match begun {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            UploadRecords::of(service).delete_file(&key).await;
            return Err(error.into());
        }
    };
    let parts = checkpoint.to_json();
    let stored = Stored { received_bytes: 0, parts: &parts };
    {
        let _turn = service.upload_transactions.turn(new.user, 0).await;
        if !database.record_progress(new.id, 0, Some(stored), false).await? {
            return Err(upload_ended());
        }
    }
    database.resumable_upload(new.id).await?.ok_or_else(upload_ended)
}
