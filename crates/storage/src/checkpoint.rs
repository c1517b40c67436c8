//! State of a resumable upload.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::key::Key;

/// Bytes of a resumable upload that are stored durably, and where.
///
/// The caller keeps the latest one, as [JSON](Self::to_json), and resumes the upload from it. What
/// a writer has stored after it does not count, and is overwritten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Name of the upload in the store, if it gives it one.
    pub(crate) id: String,
    /// Size of the complete object in bytes.
    pub(crate) size: u64,
    /// Number of bytes stored.
    pub(crate) offset: u64,
    /// Tags of the complete parts, in their order. A store that has parts assembles exactly these,
    /// so a delayed writer cannot replace any of them unnoticed.
    pub(crate) tags: Vec<String>,
    /// Fence of the object with the bytes after the complete parts, if there are any.
    pub(crate) tail: Option<i64>,
    /// Fence of the object that `tail` or a part has replaced. It is deleted when the upload is
    /// resumed, because until then the earlier checkpoint may be the latest one.
    pub(crate) replaced_tail: Option<i64>,
    /// Size in bytes of the parts but the last, if clients send them to the store themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) part_size: Option<u64>,
}

impl Checkpoint {
    /// Number of bytes stored.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether all bytes are stored.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.offset == self.size
    }

    /// The checkpoint as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_value(self).unwrap_or_default().to_string()
    }

    /// Read the checkpoint of the upload of `key` from JSON.
    ///
    /// # Errors
    /// [`Error::Interrupted`]: the text is not a checkpoint.
    pub fn from_json(key: &Key, json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(|_| Error::Interrupted { key: key.clone() })
    }
}

#[cfg(test)]
mod tests {
    use jobs::{JobId, UserId, VideoFormat};

    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let key = Key::input(UserId::generate(), JobId::generate(), VideoFormat::Mp4);
        let checkpoint = Checkpoint {
            id: "an id".to_owned(),
            size: u64::MAX,
            offset: 3,
            tags: vec!["\"tag\"".to_owned()],
            tail: Some(2),
            replaced_tail: None,
            part_size: Some(5),
        };
        let read = Checkpoint::from_json(&key, &checkpoint.to_json()).expect("it is valid");
        assert_eq!(read, checkpoint);
        let error = Checkpoint::from_json(&key, "{}").expect_err("members are missing");
        assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    }
}
