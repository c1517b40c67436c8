//! A worker on an S3 store reads a video by pieces and sends its archive by pieces, in bounded
//! memory and without a disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::block_in_place;

use crate::harness::checks::eventually;
use crate::harness::client::{fetch_json, form};
use crate::harness::clips::scratch;
use crate::harness::parts::Parts;
use crate::harness::process::Process;
use crate::harness::programs::{fiapx, output, run, tool};

/// A film of 1080p, of a few seconds so many times in a row.
fn film(directory: &Path, times: u32) -> PathBuf {
    let [once, long] = ["once.mp4", "long.mp4"].map(|name| directory.join(name));
    // Moving shapes under grain: motion for the decoder, and detail for the encoder.
    let picture = "testsrc2=size=1920x1080:rate=30:duration=4,noise=alls=6:allf=t";
    let encoding = [
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-crf",
        "28",
        "-g",
        "60",
    ];
    output(
        tool("ffmpeg")
            .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", picture])
            .args(encoding)
            .arg(&once),
    )
    .expect("a film");
    let repeat = ["-v", "error", "-nostdin", "-stream_loop", &(times - 1).to_string(), "-i"];
    output(tool("ffmpeg").args(repeat).arg(&once).args(["-c", "copy"]).arg(&long))
        .expect("a longer film");
    long
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_1080p_takes_little_memory_and_no_disk() {
    const SECONDS: u64 = 120;
    const MIB: u64 = 1 << 20;
    let (namespaces, data) =
        (Parts::Servers.namespaces().await.expect("they are servers"), scratch());
    let environment: Vec<(&str, &str)> =
        namespaces.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let migrated = run(fiapx()
        .arg("migrate")
        .arg("--data-dir")
        .arg(data.path())
        .envs(environment.iter().copied()));
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let [alone, notes] = ["worker", "notes"].map(|name| data.path().join(name));
    let api =
        Process::role(&["api", "--listen", "127.0.0.1:0"], &data.path().join("api"), &environment);
    let worker = Process::traced(&["worker"], &alone, &environment, &notes);

    let film = block_in_place(|| film(data.path(), SECONDS as u32 / 4));
    let user = api.user().await;
    let upload = user.request(reqwest::Method::POST, "/videos/upload");
    let (_, accepted) = fetch_json(
        upload.multipart(form(&[("film.mp4", std::fs::read(&film).expect("it is there"))])),
    )
    .await;
    let job = accepted["job_id"].as_str().expect("it is accepted").to_owned();
    let peak = AtomicU64::new(0);
    let view = eventually("the film is done", || async {
        peak.fetch_max(worker.memory(), Ordering::Relaxed);
        let view = user.get(&format!("/videos/{job}")).await.1;
        assert_ne!(view["status"], "FAILED", "{view}");
        (view["status"] == "DONE").then_some(view)
    })
    .await;
    assert_eq!(view["frame_count"], SECONDS, "{view}");
    let peak = peak.into_inner();
    let size = view["zip_size_bytes"].as_u64().expect("a size");
    assert!(size > 64 * MIB, "an archive of {size} bytes would fit into memory");
    println!(
        "the worker and its cell had {} MiB at most, for an archive of {} MiB",
        peak / MIB,
        size / MIB
    );
    assert!(peak < 350 * MIB, "{} MiB", peak / MIB);

    worker.signal("TERM");
    let (status, log) = block_in_place(|| worker.wait_for_exit());
    assert!(status.success(), "{status}: {log:?}");
    assert!(!alone.exists(), "it has made its data directory");
    let noted = std::fs::read_to_string(&notes).expect("it was watched");
    assert!(noted.lines().count() > 10, "nothing was noted");
    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "creat(", "mkdir", "rename", "truncate("];
    let written: Vec<&str> = noted
        .lines()
        .filter(|line| {
            writes.iter().any(|word| line.contains(word))
                && !line.contains("\"/dev/null\"")
                && !line.contains("\"/proc/")
        })
        .collect();
    assert_eq!(written, [""; 0]);
}
