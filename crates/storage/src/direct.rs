//! Uploads whose parts clients send to the store themselves, without passing this service.
//!
//! The service begins the upload and signs a request for each part, which fixes the part's number
//! and length. When the client has sent all of them, the service compares the parts in the store
//! with what it has signed, and the result is the checkpoint of a complete resumable upload.

use std::time::Duration;

use async_trait::async_trait;

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::key::Key;

/// Request with which a client sends a part.
pub struct PartRequest {
    /// Number of the part, counted from 1.
    pub number: u32,
    /// Size of the part in bytes: the only `Content-Length` that the store accepts.
    pub size: u64,
    /// Signed URL for `PUT`.
    pub url: String,
}

/// Part that the store has received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// Number of the part, counted from 1.
    pub number: u32,
    /// Size in bytes.
    pub size: u64,
    /// Tag of its bytes.
    pub tag: String,
}

/// Reason why the parts of an upload are not those of its video. The text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongParts {
    /// The client states another number of tags.
    #[error("The upload has {expected} parts, and {stated} ETags are stated.")]
    Count {
        /// Number of parts.
        expected: usize,
        /// Number of tags.
        stated: usize,
    },
    /// A part is not in the store.
    #[error("Part {number} is not stored. Send it.")]
    Missing {
        /// Number of the part.
        number: u32,
    },
    /// A part has another size.
    #[error("Part {number} has {size} bytes in place of {expected}. Send it again.")]
    Size {
        /// Number of the part.
        number: u32,
        /// Size in the store, in bytes.
        size: u64,
        /// Size that was signed, in bytes.
        expected: u64,
    },
    /// The client states another tag than the part has.
    #[error("The ETag of part {number} is another one. State that of the last response to it.")]
    Tag {
        /// Number of the part.
        number: u32,
    },
}

impl WrongParts {
    /// Number of the part, if it is one.
    #[must_use]
    pub const fn number(&self) -> Option<u32> {
        match self {
            Self::Count { .. } => None,
            Self::Missing { number } | Self::Size { number, .. } | Self::Tag { number } => {
                Some(*number)
            }
        }
    }

    /// Stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Count { .. } => "ETAGS_COUNT",
            Self::Missing { .. } => "PART_MISSING",
            Self::Size { .. } => "PART_SIZE_WRONG",
            Self::Tag { .. } => "ETAG_WRONG",
        }
    }
}

/// Store to which clients send uploads themselves.
#[async_trait]
pub trait DirectUploads: Send + Sync {
    /// Begin an upload of `size` bytes, at least one. It is [assembled](crate::Storage::assemble),
    /// [discarded](crate::Storage::discard) and [swept](crate::Storage::sweep) like a resumable
    /// one.
    async fn begin_direct(&self, key: &Key, size: u64) -> Result<Checkpoint, Error>;

    /// Sign the requests for the parts of an upload, in the order of the parts. They are valid for
    /// a limited time, of at most seven days, and without effect once the upload is assembled or
    /// discarded.
    async fn part_requests(
        &self,
        key: &Key,
        upload: &Checkpoint,
        valid_for: Duration,
    ) -> Result<Vec<PartRequest>, Error>;

    /// Parts of an upload that the store has received.
    ///
    /// # Errors
    /// [`Error::Interrupted`]: the upload does not exist anymore.
    async fn stored_parts(&self, key: &Key, upload: &Checkpoint) -> Result<Vec<StoredPart>, Error>;
}

impl Checkpoint {
    /// Size in bytes of the parts but the last, if clients send them to the store themselves.
    #[must_use]
    pub const fn direct_part_size(&self) -> Option<u64> {
        self.part_size
    }

    /// Sizes in bytes of the parts that clients send to the store themselves, by their numbers.
    pub(crate) fn direct_parts(&self) -> impl Iterator<Item = (u32, u64)> {
        let part_size = self.part_size.unwrap_or(self.size).max(1);
        let (size, count) = (self.size, self.size.div_ceil(part_size));
        (1..).zip((0..count).map(move |index| part_size.min(size - index * part_size)))
    }

    /// Checkpoint after all parts, if the store has received them with these tags. Tags are
    /// compared without their quotation marks, which some clients remove.
    ///
    /// # Errors
    /// The parts are not those of the upload.
    pub fn with_parts(&self, stored: &[StoredPart], stated: &[String]) -> Result<Self, WrongParts> {
        let expected = self.direct_parts().count();
        if stated.len() != expected {
            return Err(WrongParts::Count { expected, stated: stated.len() });
        }
        let mut tags = Vec::with_capacity(expected);
        for ((number, expected), stated) in self.direct_parts().zip(stated) {
            let part = stored.iter().find(|part| part.number == number);
            let StoredPart { size, tag, .. } = part.ok_or(WrongParts::Missing { number })?;
            if *size != expected {
                return Err(WrongParts::Size { number, size: *size, expected });
            }
            if tag.trim_matches('"') != stated.trim_matches('"') {
                return Err(WrongParts::Tag { number });
            }
            tags.push(tag.clone());
        }
        Ok(Self { offset: self.size, tags, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(size: u64) -> Checkpoint {
        Checkpoint { size, part_size: Some(10), ..Checkpoint::default() }
    }

    fn part(number: u32, size: u64) -> StoredPart {
        StoredPart { number, size, tag: format!("\"tag{number}\"") }
    }

    #[test]
    fn parts_add_up_to_the_video() {
        for (size, expected) in
            [(1, vec![1]), (9, vec![9]), (10, vec![10]), (11, vec![10, 1]), (30, vec![10; 3])]
        {
            let parts: Vec<_> = upload(size).direct_parts().collect();
            assert!(parts.iter().map(|(_, size)| size).eq(&expected), "{size}");
            assert!(parts.iter().map(|(number, _)| *number).eq(1..=expected.len() as u32));
        }
    }

    #[test]
    fn exactly_the_signed_parts_are_complete() {
        let all = [part(2, 10), part(1, 10), part(3, 5)];
        let with = |stored: &[StoredPart], tags: &[&str]| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            upload(25).with_parts(stored, &tags)
        };
        let tags = ["\"tag1\"", "tag2", "\"tag3\""];
        let complete = with(&all, &tags).expect("all parts are stored");
        assert!(complete.is_complete());
        assert_eq!(complete.tags, ["\"tag1\"", "\"tag2\"", "\"tag3\""]);
        for count in [0, 2] {
            let wrong = WrongParts::Count { expected: 3, stated: count };
            assert_eq!(with(&all, &tags[..count]), Err(wrong));
        }
        let more = [&tags[..], &["tag4"]].concat();
        assert_eq!(with(&all, &more), Err(WrongParts::Count { expected: 3, stated: 4 }));
        assert_eq!(with(&all[..2], &tags), Err(WrongParts::Missing { number: 3 }));
        assert_eq!(with(&all[1..], &tags), Err(WrongParts::Missing { number: 2 }));
        let large = [part(1, 10), part(2, 10), part(3, 6)];
        let wrong = WrongParts::Size { number: 3, size: 6, expected: 5 };
        assert_eq!(with(&large, &tags), Err(wrong));
        let swapped = ["tag2", "tag1", "tag3"];
        assert_eq!(with(&all, &swapped), Err(WrongParts::Tag { number: 1 }));
        assert_eq!(with(&all, &["tag1", "tag2", ""]), Err(WrongParts::Tag { number: 3 }));
    }
}
