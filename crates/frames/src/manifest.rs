//! Parts of the manifest that do not depend on the selected frames, and names of entries.

use jobs::manifest::{Engine, Source};

use crate::av::{self, StreamInfo};

/// This program and the libraries it uses.
pub(crate) fn engine() -> Engine {
    Engine {
        name: "fiapx".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        libraries: av::versions().map(|(name, version)| (name.to_owned(), version)).into(),
    }
}

/// Properties of a video file of `size_bytes`.
pub(crate) fn source(info: &StreamInfo, size_bytes: u64) -> Source {
    Source {
        size_bytes,
        container: info.container.name().to_owned(),
        codec: info.codec.clone(),
        duration_s: info.duration_us.map(|duration| duration as f64 / 1e6),
        width: info.width,
        height: info.height,
        frame_rate: info.frame_rate,
        time_base: info.time_base,
        rotation: info.orientation,
        sample_aspect_ratio: info.sample_aspect_ratio.filter(|aspect| aspect.num != aspect.den),
        pixel_format: info.pixel_format.clone(),
        color_space: info.color_space.to_owned(),
        color_range: info.color_range.to_owned(),
        color_primaries: info.color_primaries.to_owned(),
        color_transfer: info.color_transfer.to_owned(),
        interlaced: false,
    }
}

/// Name of a frame's entry: its number from 1, its presentation time, and the suffix of its format.
pub(crate) fn entry_name(number: u64, seconds: f64, suffix: &str) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let ms = (seconds.abs() * 1000.0).round() as u64;
    let (s, m, h) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    let (ms, s, m) = (ms % 1000, s % 60, m % 60);
    format!("frame_{number:05}_{sign}{h:02}h{m:02}m{s:02}.{ms:03}s.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_names_state_the_presentation_time() {
        assert_eq!(entry_name(1, 0.467, "png"), "frame_00001_00h00m00.467s.png");
        assert_eq!(entry_name(3_600, 3_599.466_7, "png"), "frame_03600_00h59m59.467s.png");
        assert_eq!(entry_name(86_400, 86_399.999_9, "png"), "frame_86400_24h00m00.000s.png");
    }
}
