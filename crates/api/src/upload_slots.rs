//! Simultaneous uploads of each user.

use std::collections::HashMap;
use std::sync::Arc;

use jobs::UserId;
use parking_lot::Mutex;

/// Uploads in progress in this process, by user.
#[derive(Debug, Default)]
pub struct UploadSlots(Mutex<HashMap<UserId, UploadTotals>>);

/// Totals of uploads in progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UploadTotals {
    /// Number of uploads.
    pub count: u32,
    /// Size of all uploads in bytes, as far as it is known before.
    pub bytes: u128,
}

/// Upload in progress. It counts until it is dropped.
#[derive(Debug)]
pub struct UploadSlot {
    slots: Arc<UploadSlots>,
    user: UserId,
    bytes: u64,
    /// Totals of the user's uploads that started before and were in progress at that time.
    pub earlier: UploadTotals,
}

impl UploadSlot {
    /// Count another upload of a user, of this size in bytes; `None` if `max` are in progress.
    pub fn acquire(slots: &Arc<UploadSlots>, user: UserId, bytes: u64, max: u32) -> Option<Self> {
        let mut totals = slots.0.lock();
        let entry = totals.entry(user).or_default();
        let earlier = *entry;
        (earlier.count < max).then(|| {
            let bytes_in_all = earlier.bytes + u128::from(bytes);
            *entry = UploadTotals { count: earlier.count + 1, bytes: bytes_in_all };
            Self { slots: Arc::clone(slots), user, bytes, earlier }
        })
    }
}

impl Drop for UploadSlot {
    fn drop(&mut self) {
        let mut totals = self.slots.0.lock();
        if let Some(total) = totals.get_mut(&self.user) {
            total.count -= 1;
            total.bytes -= u128::from(self.bytes);
            if total.count == 0 {
                totals.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_in_progress_count_for_those_that_follow() {
        let (slots, user) = (Arc::default(), UserId::generate());
        let acquire = |bytes| UploadSlot::acquire(&slots, user, bytes, 2);
        let first = acquire(5).expect("nothing is in progress");
        assert_eq!(first.earlier, UploadTotals::default());
        let second = acquire(7).expect("one is in progress");
        assert_eq!(second.earlier, UploadTotals { count: 1, bytes: 5 });
        assert!(acquire(0).is_none());
        drop(first);
        let third = acquire(1).expect("one is in progress");
        assert_eq!(third.earlier, UploadTotals { count: 1, bytes: 7 });
        drop((second, third));
        assert!(slots.0.lock().is_empty());
    }
}
