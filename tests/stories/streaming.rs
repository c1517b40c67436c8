//! A worker on an S3 store reads a video in ranges and uploads its archive in parts, with limited
//! memory and without a disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::block_in_place;

use crate::harness::checks::eventually;
use crate::harness::client::{fetch_json, form, job_id};
use crate::harness::clips::scratch;
use crate::harness::parts::Parts;
use crate::harness::process::Process;
use crate::harness::programs::{fiapx, output, run, tool};

/// Make a video of 1080p that repeats four seconds a number of times.
fn make_video(directory: &Path, times: u32) -> PathBuf {
    let [once, long] = ["once.mp4", "long.mp4"].map(|name| directory.join(name));
    // Moving shapes and noise: motion for the decoder, and detail for the encoder.
    let source = "testsrc2=size=1920x1080:rate=30:duration=4,noise=alls=6:allf=t";
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
            .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", source])
            .args(encoding)
            .arg(&once),
    )
    .expect("ffmpeg makes the video");
    let repeat = ["-v", "error", "-nostdin", "-stream_loop", &(times - 1).to_string(), "-i"];
    output(tool("ffmpeg").args(repeat).arg(&once).args(["-c", "copy"]).arg(&long))
        .expect("ffmpeg repeats the video");
    long
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_uses_little_memory_and_no_disk_for_1080p() {
    const SECONDS: u64 = 120;
    const MIB: u64 = 1 << 20;
    let (namespaces, data) =
        (Parts::Servers.namespaces().await.expect("they are servers"), scratch());
    let environment = namespaces.variables();
    let migrated = run(fiapx()
        .arg("migrate")
        .arg("--data-dir")
        .arg(data.path())
        .envs(environment.iter().copied()));
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let [worker_data, trace] = ["worker", "trace"].map(|name| data.path().join(name));
    let api =
        Process::role(&["api", "--listen", "127.0.0.1:0"], &data.path().join("api"), &environment);
    let worker = Process::traced(&["worker"], &worker_data, &environment, &trace);

    let video = block_in_place(|| make_video(data.path(), SECONDS as u32 / 4));
    let user = api.user().await;
    let upload = user.request(reqwest::Method::POST, "/videos/upload");
    let (_, accepted) = fetch_json(
        upload.multipart(form(&[("video.mp4", std::fs::read(&video).expect("it can be read"))])),
    )
    .await;
    let job = job_id(&accepted);
    let peak = AtomicU64::new(0);
    let view = eventually("the job is done", || async {
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
        "peak memory of the worker and its cell: {} MiB, for an archive of {} MiB",
        peak / MIB,
        size / MIB
    );
    assert!(peak < 350 * MIB, "{} MiB", peak / MIB);

    block_in_place(|| worker.terminate());
    assert!(!worker_data.exists(), "it created its data directory");
    let trace = std::fs::read_to_string(&trace).expect("the trace can be read");
    assert!(trace.lines().count() > 10, "nothing was traced");
    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "creat(", "mkdir", "rename", "truncate("];
    let written: Vec<&str> = trace
        .lines()
        .filter(|line| {
            writes.iter().any(|word| line.contains(word))
                && !line.contains("\"/dev/null\"")
                && !line.contains("\"/proc/")
        })
        .collect();
    assert_eq!(written, [""; 0]);
}
