//! Decision which selected frames are left out of the archive.

use jobs::manifest::SkipReason;
use jobs::recipe::Skip;

use crate::thumbprint::Thumbprint;

/// Decides about each selected frame, in order, whether it is left out.
pub(crate) struct LeftOut {
    skip: Skip,
    /// Latest frame in the archive.
    archived: Option<Thumbprint>,
    /// Latest frame that was not left out, if only the maximum number kept it from the archive.
    omitted: Option<Thumbprint>,
}

impl LeftOut {
    pub(crate) fn new(skip: Skip) -> Self {
        Self { skip, archived: None, omitted: None }
    }

    /// Start again behind the frames in the archive.
    pub(crate) fn restart(&mut self) {
        self.omitted = None;
    }

    /// Reason to leave out a frame; `None` to keep it.
    pub(crate) fn reason(&self, thumbprint: Option<&Thumbprint>) -> Option<SkipReason> {
        let thumbprint = thumbprint?;
        if self.skip.blank && thumbprint.is_blank() {
            return Some(SkipReason::Blank);
        }
        let latest = self.omitted.as_ref().or(self.archived.as_ref());
        let is_repeated = latest.is_some_and(|latest| thumbprint.repeats(latest));
        (self.skip.repeated && is_repeated).then_some(SkipReason::Repeated)
    }

    /// Record a frame that is in the archive.
    pub(crate) fn archived(&mut self, thumbprint: Option<&Thumbprint>) {
        self.archived = thumbprint.cloned();
    }

    /// Record a frame that only the maximum number keeps from the archive.
    pub(crate) fn omitted(&mut self, thumbprint: Option<&Thumbprint>) {
        self.omitted = thumbprint.cloned();
    }
}
