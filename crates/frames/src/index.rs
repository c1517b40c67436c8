//! Index of a video: where its key frames are, and which parts of the file a selection needs.

use jobs::video::Container;

use crate::av::{Demuxer, IndexEntry, Packet, Place, StreamInfo};
use crate::error::Error;
use crate::source::SharedSource;

/// Largest distance between two times of an index, in seconds. Times of packets that are further
/// from those before them are dropped.
const MAX_JUMP_S: f64 = 30.0 * 3600.0;

/// Key frame of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyFrame {
    /// Offset in the file, of the packet or of the cluster that contains it.
    pub position: u64,
    /// Timestamp in units of the time base, from the start of the video.
    pub time: i64,
    /// Number of packets of the video before this one, if each has an entry.
    pub number: usize,
    /// Time as the index states it, in units of the time base.
    stated_time: i64,
    /// Size of what precedes it, in bytes: of the packets if each has an entry, else of the file.
    preceding_bytes: u64,
}

/// Index of a video whose key frames can be found by seeking, as far as the index itself shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VideoIndex {
    container: Container,
    /// Start of the video in units of the time base.
    start: i64,
    /// At least two, in the order of the file.
    keys: Vec<KeyFrame>,
    /// Packets, if each has an entry.
    packets: Option<PacketTable>,
    /// Size of all that `preceding_bytes` counts.
    bytes: u64,
}

/// Properties of a video by which its index is interpreted.
#[derive(Debug, Clone, Copy)]
struct Timeline {
    container: Container,
    /// Start of the video in units of the time base.
    start: i64,
    /// Time base in seconds.
    unit: f64,
    /// Size of the file in bytes.
    file_bytes: u64,
}

/// Timestamps of all packets in decoding order, in units of the time base from the start of the
/// video.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PacketTable {
    times: Vec<i64>,
    /// Least timestamp of each packet and those after it.
    least_from: Vec<i64>,
}

/// Size of the header of a chunk in an AVI file, in bytes: its name and its size.
const CHUNK_HEADER: u64 = 8;

/// Whether nothing but the headers of lists is between these chunks of an AVI file. Each has an
/// offset and a size, and is padded to an even size (AVI RIFF file reference).
fn are_consecutive(chunks: &[(u64, u32)]) -> bool {
    /// Size of the header of a list, in bytes: `LIST`, its size and its type.
    const LIST_HEADER: u64 = 12;
    chunks.windows(2).all(|pair| {
        let [(position, size), (next, _)] = [pair[0], pair[1]];
        let end = position + CHUNK_HEADER + u64::from(size) + u64::from(size % 2);
        next == end || next == end + LIST_HEADER
    })
}

impl PacketTable {
    /// `None` unless the timestamps are unique, and those from each key frame on are later than
    /// all before it.
    fn new(times: Vec<i64>, keys: &[KeyFrame]) -> Option<Self> {
        let mut least_from = times.clone();
        for at in (1..times.len()).rev() {
            least_from[at - 1] = least_from[at - 1].min(least_from[at]);
        }
        let mut sorted = times.clone();
        sorted.sort_unstable();
        let are_unique = sorted.windows(2).all(|pair| pair[0] < pair[1]);
        // Then those before a key frame are the least ones.
        let follows = |key: &KeyFrame| sorted.get(key.number) == least_from.get(key.number);
        (are_unique && keys.iter().all(follows)).then_some(Self { times, least_from })
    }
}

impl VideoIndex {
    /// Load the index of a video of which nothing was read. `None` if there is none that can be
    /// used; some packets may have been read then.
    pub(crate) fn load(
        demuxer: &mut Demuxer,
        info: &StreamInfo,
        source: &SharedSource,
    ) -> Result<Option<Self>, Error> {
        let is_matroska = info.container == Container::Matroska;
        // Without cues, libav would read the whole file in search of them.
        if is_matroska && !source.has_cues()? {
            return Ok(None);
        }
        let Ok(first) = demuxer.read() else { return Ok(None) };
        let (place, time) = (demuxer.place(), first.presentation_time());
        // Only the first seek loads the index of a Matroska file.
        if is_matroska && !time.is_some_and(|time| demuxer.seek(time)) {
            return Ok(None);
        }
        let entries = demuxer.index();
        // The frames of an AVI file are counted, so one that the index lacks shifts all others.
        if info.container == Container::Avi && !are_consecutive(&demuxer.indexed_bytes()) {
            return Ok(None);
        }
        let offsets = match info.container {
            Container::Mov => source.composition_offsets(demuxer.track_id(), entries.len())?,
            _ => Some(vec![0; entries.len()]),
        };
        let timeline = Timeline {
            container: info.container,
            start: info.start,
            unit: info.source.time_base.as_f64(),
            file_bytes: info.source.size_bytes,
        };
        Ok(offsets.and_then(|offsets| Self::new(&entries, &offsets, place, timeline)))
    }

    /// Index with these entries, of a video with this first packet. The timestamp of each packet
    /// is its time plus its offset, and a constant.
    fn new(
        entries: &[IndexEntry],
        offsets: &[i32],
        first: Place,
        timeline: Timeline,
    ) -> Option<Self> {
        let Timeline { container, start, unit, file_bytes } = timeline;
        let is_complete = match container {
            Container::Mov | Container::Avi => true,
            Container::Matroska => false,
            Container::Flv | Container::Asf => return None,
        };
        let is_followed = |pair: &[IndexEntry]| {
            let distance = pair[1].time.checked_sub(pair[0].time);
            distance.is_some_and(|distance| distance > 0 && (distance as f64) * unit < MAX_JUMP_S)
        };
        let is_hidden = |entry: &IndexEntry| entry.is_hidden;
        if entries.iter().any(is_hidden) || !entries.windows(2).all(is_followed) {
            return None;
        }
        let first_time = entries.first()?.time.checked_add((*offsets.first()?).into())?;
        let first_presentation = first.presentation?.checked_sub(start)?;
        let shift = first_presentation.checked_sub(first_time)?;
        let (mut keys, mut times, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (entry, offset) in entries.iter().zip(offsets) {
            let time = entry.time.checked_add(shift)?.checked_add((*offset).into())?;
            if entry.is_key {
                keys.push(KeyFrame {
                    position: entry.position,
                    time,
                    number: times.len(),
                    stated_time: entry.time,
                    preceding_bytes: if is_complete { bytes } else { entry.position },
                });
            }
            // Packets without data are not returned.
            if entry.size > 0 {
                times.push(time);
            }
            bytes += u64::from(entry.size);
        }
        let is_in_order = |pair: &[KeyFrame]| pair[0].position <= pair[1].position;
        if keys.len() < 2 || keys[0].number > 0 || !keys.windows(2).all(is_in_order) {
            return None;
        }
        let packets = if is_complete { Some(PacketTable::new(times, &keys)?) } else { None };
        let bytes = if is_complete { bytes } else { file_bytes };
        let index = Self { container, start, keys, packets, bytes };
        index.is_at(0, first).then_some(index)
    }

    /// Key frames in the order of the file.
    pub(crate) fn keys(&self) -> &[KeyFrame] {
        &self.keys
    }

    /// Number of all packets, if each has an entry.
    pub(crate) fn packet_count(&self) -> Option<usize> {
        Some(self.packets.as_ref()?.times.len())
    }

    /// Whether a packet may be the one of this number in decoding order.
    pub(crate) fn agrees(&self, number: usize, place: Place) -> bool {
        self.packets.as_ref().is_none_or(|packets| {
            let time = packets.times.get(number).map(|time| time.saturating_add(self.start));
            time.is_some() && time == place.presentation
        })
    }

    /// Whether no packet from this number on precedes a timestamp, as far as the index states it.
    pub(crate) fn none_precedes(&self, number: usize, time: i64) -> bool {
        self.packets.as_ref().is_some_and(|packets| {
            packets.least_from.get(number).is_none_or(|least| *least >= time)
        })
    }

    /// Whether a packet is that of a key frame.
    pub(crate) fn is_at(&self, key: usize, place: Place) -> bool {
        let Some(key) = self.keys.get(key) else { return false };
        let is_there = match self.container {
            Container::Mov => {
                place.decoding == Some(key.stated_time) && place.position == Some(key.position)
            }
            Container::Avi => {
                let position = key.position + CHUNK_HEADER;
                place.decoding == Some(key.stated_time) && place.position == Some(position)
            }
            _ => place.presentation == Some(key.stated_time),
        };
        is_there && self.agrees(key.number, place)
    }

    /// Whether it pays to read only the parts of the file behind some key frames, up to the next
    /// ones each, and the last part: whether they are its minority.
    pub(crate) fn is_minority(&self, is_wanted: impl Fn(usize) -> bool) -> bool {
        let last = self.keys.len() - 1;
        let wanted: u64 = (0..=last)
            .filter(|key| *key == last || is_wanted(*key))
            .map(|key| {
                let next = self.keys.get(key + 1).map_or(self.bytes, |next| next.preceding_bytes);
                next.saturating_sub(self.keys[key].preceding_bytes)
            })
            .sum();
        wanted < self.bytes / 2
    }

    /// Continue at a key frame, and return its packet; `None` if it is not there.
    ///
    /// libav derives times of presentation from those of the index in a way that depends on edit
    /// lists, and takes open entries only for later times (FFmpeg 5.1, libavformat/mov.c,
    /// `mov_seek_stream`). So times between the key frame and the next one are requested, and if
    /// one leads elsewhere, a time that is corrected by the distance.
    pub(crate) fn seek(&self, demuxer: &mut Demuxer, key: usize) -> Option<Packet> {
        const EIGHTHS: [i64; 3] = [4, 7, 0];
        let KeyFrame { time, stated_time, .. } = self.keys[key];
        let before = key.checked_sub(1).map_or(time, |before| self.keys[before].time);
        let next = self.keys.get(key + 1).map_or(time + (time - before), |next| next.time);
        for eighths in EIGHTHS {
            let mut request = self.start + time + (next - time) / 8 * eighths;
            for _ in 0..2 {
                if !demuxer.seek(request) {
                    return None;
                }
                let packet = demuxer.read().ok()?;
                let place = demuxer.place();
                if self.is_at(key, place) {
                    return Some(packet);
                }
                let reached = match self.container {
                    Container::Matroska => place.presentation,
                    _ => place.decoding,
                };
                request = request.checked_add(stated_time.checked_sub(reached?)?)?;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of ten packets of 100 bytes, of which every fifth is a key frame.
    fn entries() -> Vec<IndexEntry> {
        let entry = |n: i64| IndexEntry {
            position: 1000 + 100 * n as u64,
            time: n - 2,
            size: 100,
            is_key: n % 5 == 0,
            is_hidden: false,
        };
        (0..10).map(entry).collect()
    }

    /// Offsets of a stream whose frames are decoded in the order 0, 2, 1, 3, 4.
    const OFFSETS: [i32; 10] = [2, 3, 1, 2, 2, 2, 3, 1, 2, 2];

    fn index(container: Container, entries: &[IndexEntry], offsets: &[i32]) -> Option<VideoIndex> {
        let first = entries.first()?;
        let place = Place {
            position: Some(match container {
                Container::Avi => first.position + CHUNK_HEADER,
                _ => first.position,
            }),
            presentation: Some(match container {
                Container::Matroska => first.time,
                _ => first.time + i64::from(offsets[0]),
            }),
            decoding: Some(first.time),
        };
        let timeline = Timeline { container, start: 0, unit: 1.0, file_bytes: 5_000 };
        VideoIndex::new(entries, offsets, place, timeline)
    }

    fn mov(change: impl Fn(&mut Vec<IndexEntry>, &mut [i32])) -> Option<VideoIndex> {
        let (mut entries, mut offsets) = (entries(), OFFSETS);
        change(&mut entries, &mut offsets);
        index(Container::Mov, &entries, &offsets)
    }

    #[test]
    fn states_the_times_of_key_frames_and_packets() {
        let index = mov(|_, _| {}).expect("a usable index");
        let keys: Vec<_> = index.keys().iter().map(|key| (key.time, key.number)).collect();
        assert_eq!(keys, [(0, 0), (5, 5)]);
        assert_eq!(index.packet_count(), Some(10));
        let place = Place { presentation: Some(2), ..Place::default() };
        assert!(index.agrees(1, place) && !index.agrees(2, place) && !index.agrees(10, place));
        assert!(index.none_precedes(2, 1) && !index.none_precedes(2, 2));
        assert!(index.none_precedes(10, i64::MAX));
    }

    #[test]
    fn an_index_of_key_frames_states_no_other_times() {
        let entries: Vec<_> =
            entries().into_iter().step_by(5).map(|entry| IndexEntry { size: 0, ..entry }).collect();
        let index = index(Container::Matroska, &entries, &[0; 2]).expect("a usable index");
        assert_eq!(index.packet_count(), None);
        assert!(index.agrees(7, Place::default()) && !index.none_precedes(1, i64::MIN));
        assert!(!index.is_minority(|key| key == 0), "the second part has 3,500 of 5,000 bytes");
    }

    type Change = fn(&mut Vec<IndexEntry>, &mut [i32]);

    #[test]
    fn an_index_that_does_not_tell_where_frames_are_is_not_used() {
        let changes: [Change; 9] = [
            |entries, _| entries.clear(),
            |entries, _| entries.truncate(5),
            |entries, _| entries[0].is_key = false,
            |entries, _| entries[3].is_hidden = true,
            |entries, _| entries[3].time = entries[4].time,
            |entries, _| entries[9].time = 200_000,
            |entries, _| entries[5].position = 0,
            // Two frames at one time, and one of the second part that precedes the first part's.
            |_, offsets| offsets[3] += 1,
            |_, offsets| offsets[7] -= 3,
        ];
        for (n, change) in changes.into_iter().enumerate() {
            assert_eq!(mov(change), None, "change {n}");
        }
        for container in [Container::Flv, Container::Asf] {
            assert_eq!(index(container, &entries(), &OFFSETS), None);
        }
    }

    #[test]
    fn chunks_that_an_index_lacks_are_noticed() {
        let chunks = [(4, 100), (112, 7), (128, 0), (148, 10)];
        assert!(are_consecutive(&chunks));
        for lacking in 1..3 {
            let mut chunks = chunks.to_vec();
            chunks.remove(lacking);
            assert!(!are_consecutive(&chunks), "without chunk {lacking}");
        }
        assert!(!are_consecutive(&[(4, 100), (4, 100)]));
    }

    #[test]
    fn parts_pay_if_they_are_the_minority() {
        let mut entries = entries();
        for entry in &mut entries[..5] {
            entry.size = 200;
        }
        let index = index(Container::Avi, &entries, &[0; 10]).expect("a usable index");
        assert!(index.is_minority(|_| false), "500 of 1,500 bytes are always read");
        assert!(!index.is_minority(|key| key == 0));
    }
}
