//! Role of a packet: what other packets need it, and where decoding can start.

/// Role of a packet among the packets around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    /// Whether decoding can start here with a new decoder.
    pub entry: Entry,
    pub key_frame: KeyFrame,
    /// Whether no other frame refers to this one.
    pub disposable: bool,
    /// Whether the packet yields a frame to display.
    pub displayed: bool,
    /// Reference slots that the packet uses, for codecs that name them in headers.
    pub slots: Option<ReferenceSlots>,
    /// Whether the decoder learns from the frames by how many of them it has to delay its output,
    /// because the stream does not state it. Frames that arrive before it has learned it are lost.
    pub learns_delay: bool,
    /// Position of the frame in presentation order that the coded data state, relative to the
    /// latest entry. `None` if unknown.
    pub order: Option<i64>,
    /// Whether all frames that the packet refers to are in the stream.
    pub references: References,
    pub film_grain: FilmGrain,
}

/// Reference slots of a decoder, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReferenceSlots {
    /// Slots whose frames the packet refers to.
    pub reads: u8,
    /// Slots that hold a frame of the packet afterwards.
    pub writes: u8,
}

/// Set of frames that are correct when decoding starts at a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// None for certain.
    None,
    /// All later frames in decoding order.
    Clean,
    /// All later frames in decoding order except those that precede this one in presentation order:
    /// these refer to earlier frames.
    Open,
}

/// Whether the decoder takes the frame of a packet for a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyFrame {
    Possible,
    Impossible,
}

/// Frames that a packet refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum References {
    /// Nothing is known about them.
    Unknown,
    /// At least one that the packet may refer to is missing in the stream.
    Lost,
}

/// Film grain that the decoder adds to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilmGrain {
    None,
    Added,
}

impl FilmGrain {
    pub(super) fn added_if(added: bool) -> Self {
        if added { Self::Added } else { Self::None }
    }
}

impl KeyFrame {
    pub(super) fn possible_if(possible: bool) -> Self {
        if possible { Self::Possible } else { Self::Impossible }
    }
}

impl Entry {
    pub(super) fn clean_if(clean: bool) -> Self {
        if clean { Self::Clean } else { Self::None }
    }
}

impl Role {
    /// Role of a packet that is not understood: a frame that others need. This is always correct,
    /// only slower.
    pub(crate) const UNKNOWN: Self = Self {
        entry: Entry::None,
        key_frame: KeyFrame::Possible,
        disposable: false,
        displayed: true,
        slots: None,
        learns_delay: false,
        order: None,
        references: References::Unknown,
        film_grain: FilmGrain::None,
    };

    /// Role of a frame that refers to no other.
    pub(super) const INTRA: Self = Self { entry: Entry::Clean, ..Self::UNKNOWN };
}
