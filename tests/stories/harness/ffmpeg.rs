//! Reference results of the commands ffmpeg and ffprobe.

use std::path::Path;

use serde_json::Value;

use super::programs::{output, tool};

/// Standard output of the ffmpeg command for a clip; `arguments` follow the input.
pub fn ffmpeg(clip: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    ffmpeg_from(&[], clip, arguments)
}

/// The same with options of the input. It decodes on one thread: with more, libav's frames of
/// interlaced MPEG-4 differ from run to run.
pub fn ffmpeg_from(
    input_options: &[&str],
    clip: &Path,
    arguments: &[&str],
) -> Result<Vec<u8>, String> {
    let mut command = tool("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-threads", "1"]).args(input_options);
    output(command.arg("-i").arg(clip).args(arguments).arg("-"))
}

/// Raw frames that the ffmpeg command selects at a rate, one after another, in the pixel format
/// that it would write to a PNG. If it selects none, the first frame.
pub fn reference_frames(clip: &Path, rate: &str, layout: &str) -> Result<Vec<u8>, String> {
    let selected = filtered_frames(clip, &format!("fps={rate}"), layout)?;
    if selected.is_empty() {
        ffmpeg(clip, &[["-frames:v", "1"].as_slice(), &raw(layout)].concat())
    } else {
        Ok(selected)
    }
}

/// Raw frames behind filters, one after another.
pub fn filtered_frames(clip: &Path, filters: &str, layout: &str) -> Result<Vec<u8>, String> {
    ffmpeg(clip, &[["-vf", filters].as_slice(), &raw(layout)].concat())
}

fn raw(layout: &str) -> [&str; 6] {
    ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", layout]
}

/// Time in seconds and SHA-256 of each frame that the ffmpeg command outputs in a pixel format.
pub fn frame_hashes(
    input_options: &[&str],
    clip: &Path,
    filters: &str,
    layout: &str,
) -> Result<Vec<(f64, String)>, String> {
    let format =
        ["-an", "-sn", "-dn", "-f", "framehash", "-hash", "sha256", "-enc_time_base", "-1"];
    let raw = ["-vf", filters, "-fps_mode", "passthrough", "-pix_fmt", layout];
    let lines = ffmpeg_from(input_options, clip, &[raw.as_slice(), &format].concat())?;
    let lines = String::from_utf8(lines).map_err(|error| error.to_string())?;
    let base = lines.lines().find_map(|line| line.strip_prefix("#tb 0: "));
    let number = |text: &str| text.trim().parse::<f64>().map_err(|error| error.to_string());
    let (num, den) = base.and_then(|base| base.split_once('/')).ok_or("no time base")?;
    let unit = number(num)? / number(den)?;
    let frame = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [_, _, time, _, _, hash] = fields[..] else { return Err("no frame".to_owned()) };
        Ok((number(time)? * unit, hash.trim().to_owned()))
    };
    lines.lines().filter(|line| !line.starts_with('#')).map(frame).collect()
}

/// Output of ffprobe for a clip, as JSON.
pub fn ffprobe(clip: &Path, arguments: &[&str]) -> Result<Value, String> {
    let json =
        output(tool("ffprobe").args(["-v", "error", "-of", "json"]).args(arguments).arg(clip))?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}
