//! Sets `cfg` flags for the linked FFmpeg version, for the few differences between versions.

fn main() {
    for version in ["ffmpeg_6_1", "ffmpeg_7_0", "ffmpeg_8_0"] {
        println!("cargo::rustc-check-cfg=cfg({version})");
        // Set by the build script of ffmpeg-sys-next through its `links` key.
        if std::env::var(format!("DEP_FFMPEG_{}", version.to_uppercase()))
            .is_ok_and(|value| value == "true")
        {
            println!("cargo::rustc-cfg={version}");
        }
    }
}
