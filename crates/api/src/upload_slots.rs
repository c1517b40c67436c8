//! Simultaneous uploads of each user.

use std::collections::HashMap;
use std::sync::Arc;

use jobs::UserId;
use parking_lot::Mutex;

/// Number of uploads in progress in this process, by user.
#[derive(Debug, Default)]
pub struct UploadSlots(Mutex<HashMap<UserId, u32>>);

/// Upload in progress. It counts until it is dropped.
#[derive(Debug)]
pub struct UploadSlot {
    slots: Arc<UploadSlots>,
    user: UserId,
}

impl UploadSlot {
    /// Count another upload of a user; `None` if `max` are in progress.
    pub fn acquire(slots: &Arc<UploadSlots>, user: UserId, max: u32) -> Option<Self> {
        let mut counts = slots.0.lock();
        let count = counts.entry(user).or_default();
        (*count < max).then(|| {
            *count += 1;
            Self { slots: Arc::clone(slots), user }
        })
    }
}

impl Drop for UploadSlot {
    fn drop(&mut self) {
        let mut counts = self.slots.0.lock();
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_count_until_they_end() {
        let (slots, user) = (Arc::default(), UserId::generate());
        let acquire = |user| UploadSlot::acquire(&slots, user, 2);
        let (first, second) = (acquire(user), acquire(user));
        assert!(first.is_some() && second.is_some() && acquire(user).is_none());
        assert!(acquire(UserId::generate()).is_some());
        drop(first);
        let third = acquire(user);
        assert!(third.is_some() && acquire(user).is_none());
        drop((second, third));
        assert!(slots.0.lock().is_empty());
    }
}
