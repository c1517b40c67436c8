//! A video that takes its decoder over reaches nothing, and costs some attempts of one job.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{fiapx, output, run, scratch, single_line, tool};
use crate::letters::letters;
use crate::process::Process;
use crate::service::{User, bytes_of, eventually, stored};

/// A clip whose pictures are packets of their own.
const CLIP: &str = "good/mjpeg.avi";

/// That clip, with decoders told to do something at each of its packets; only builds for tests
/// listen.
pub fn told_to(word: &str) -> Vec<u8> {
    let mut clip = bytes_of(CLIP);
    let mut told = 0;
    let mut at =
        clip.windows(4).position(|bytes| bytes == b"movi").expect("an AVI file has a movi list")
            + 4;
    // Chunks: a name, a length, and bytes up to an even length (AVI RIFF file reference).
    while clip.get(at..at + 4).is_some_and(|name| name == b"00dc") {
        let length =
            u32::from_le_bytes(clip[at + 4..at + 8].try_into().expect("four bytes")) as usize;
        let end = at + 8 + length;
        let words = format!("fiapx-test:{word:<5}");
        clip[end - words.len()..end].copy_from_slice(words.as_bytes());
        at = end + length % 2;
        told += 1;
    }
    assert!(told > 10, "{told} packets were changed");
    clip
}

/// Upload a clip whose decoder is told to do something.
async fn send(user: &User<'_>, word: &str) -> String {
    let (_, accepted) = user.upload(&[(&format!("{word}.avi"), told_to(word))]).await;
    accepted["job_id"].as_str().unwrap_or_else(|| panic!("{accepted}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_that_crashes_spins_eats_or_writes_for_ever_costs_its_own_job() {
    let data = scratch();
    let environment = [
        ("WORKER_RETRY_SECONDS", "0,0,0"),
        ("WORKER_CONCURRENCY", "3"),
        ("WORKER_TIMEOUT_SECONDS", "4"),
        ("WORKER_MEMORY_MB", "600"),
        ("WORKER_MAX_ARCHIVE_MB", "100"),
        ("WORKER_REQUIRE_SANDBOX", "true"),
    ];
    let service = Process::start(data.path(), &environment);
    let user = service.user().await;
    let misbehaviours = [
        ("crash", "DECODER_CRASHED", 3),
        ("spins", "PROCESSING_TIMEOUT", 3),
        ("eats", "OUT_OF_MEMORY", 3),
        ("flood", "ARCHIVE_TOO_LARGE", 1),
    ];
    let (mut hostile, mut neighbours) = (Vec::new(), Vec::new());
    for (word, ..) in misbehaviours {
        hostile.push(send(&user, word).await);
        neighbours.push(user.send(CLIP).await);
    }
    for (job, (word, code, attempts)) in hostile.iter().zip(misbehaviours) {
        let view = user.until(job, &["FAILED"]).await;
        assert_eq!(
            (&view["error_code"], &view["retry_count"]),
            (&code.into(), &Value::from(attempts - 1)),
            "{word}: {view}"
        );
    }
    for job in &neighbours {
        let view = user.done(job).await;
        assert_eq!((&view["retry_count"], &view["complete"]), (&0.into(), &true.into()), "{view}");
    }
    let mails = || letters(data.path()).len();
    eventually("a mail for each job", || async {
        (mails() == hostile.len() + neighbours.len()).then_some(())
    })
    .await;
    // Nothing is left of the attempts: no process but the one that waits for the next, no file but
    // videos and the neighbours' archives.
    eventually("one cell is left", || async { (service.children().len() == 1).then_some(()) })
        .await;
    let files = stored(data.path());
    let archives = files.keys().filter(|path| !path.contains("/input.")).count();
    assert_eq!(
        (files.len(), archives),
        (hostile.len() + 2 * neighbours.len(), neighbours.len()),
        "{files:?}"
    );
    service.signal("TERM");
    let (status, log) = service.ended();
    assert!(status.success(), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_that_wants_out_is_refused_everything() {
    let data = scratch();
    // What nobody may find: in the environment, and in a file that the worker has open.
    let environment = [
        ("WORKER_REQUIRE_SANDBOX", "true"),
        ("JWT_SECRET", "a secret that no decoder sees, of many bytes"),
    ];
    let service = Process::start(data.path(), &environment);
    let user = service.user().await;
    let job = send(&user, "flees").await;
    user.until(&job, &["FAILED"]).await;
    service.signal("TERM");
    let (_, log) = service.ended();
    let failed = log.iter().find(|line| line["event"] == "the job failed").expect("it is logged");
    let nothing = "the video's codec (test) cannot be decoded: possible here [], on a thread of libav [], open besides [], variables 0";
    assert_eq!(failed["error"], nothing);
}

/// The proof above would be worth nothing if the tries could not succeed.
#[test]
fn without_a_cell_the_same_decoder_gets_out() {
    let directory = scratch();
    let video = directory.path().join("flees.avi");
    std::fs::write(&video, told_to("flees")).expect("there is room");
    let refused =
        run(fiapx().arg("extract").arg(&video).arg("-o").arg(directory.path().join("out.zip")));
    let line = single_line(&refused).expect("one line");
    for possible in ["open", "socket", "read another's memory", "new code", "variables"] {
        assert!(line.contains(possible), "{possible}: {line}");
    }
    assert!(!line.contains("here []") && !line.contains("libav []"), "{line}");
}

/// The command under a kernel that lacks these calls.
fn lacking(calls: &str, arguments: &[&str], data: &Path) -> Command {
    let mut strace = tool("strace");
    strace.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={calls}"),
        "-e",
        &format!("inject={calls}:error=ENOSYS"),
    ]);
    strace.arg(fiapx().get_program()).args(arguments).arg("--data-dir").arg(data);
    strace
}

#[test]
fn a_kernel_that_cannot_confine_is_named() {
    let data = scratch();
    for (calls, name) in [("landlock_create_ruleset", "Landlock"), ("seccomp", "seccomp")] {
        let checked = run(&mut lacking(calls, &["check"], data.path()));
        let line = single_line(&checked).expect("one line");
        assert!(
            line.contains("decoders: the kernel cannot confine") && line.contains(name),
            "{line}"
        );
        let mut serve = lacking(calls, &["serve", "--listen", "127.0.0.1:0"], data.path());
        let refused = run(serve.env("WORKER_REQUIRE_SANDBOX", "true"));
        let line = single_line(&refused).expect("one line");
        assert!(line.contains("WORKER_REQUIRE_SANDBOX") && line.contains(name), "{line}");
    }
    let check = output(
        fiapx()
            .args(["check", "--data-dir"])
            .arg(data.path())
            .env("WORKER_REQUIRE_SANDBOX", "true"),
    );
    assert!(
        String::from_utf8_lossy(&check.expect("this kernel can")).contains("decoders: ok")
    );
}
