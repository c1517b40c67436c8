//! A video that compromises its decoder can access nothing outside of the cell, and costs only
//! attempts of its own job.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tokio::task::block_in_place;

use crate::harness::checks::{eventually, poll};
use crate::harness::client::{User, job_id};
use crate::harness::clips::{MJPEG, scratch, with_decoder_command};
use crate::harness::mails::read_mails;
use crate::harness::process::Process;
use crate::harness::programs::{error_line, fiapx, output, run, tool};
use crate::harness::service::stored;

/// Upload a clip with a command for its decoder.
async fn upload_with_command(user: &User<'_>, command: &str) -> String {
    let name = format!("{command}.avi");
    let (_, accepted) = user.upload(&[(&name, with_decoder_command(command))]).await;
    job_id(&accepted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misbehaving_decoder_fails_only_its_own_job() {
    let data = scratch();
    // The time limit suffices for the others while a busy machine runs all of them.
    let environment = [
        ("WORKER_RETRY_SECONDS", "0,0,0"),
        ("WORKER_CONCURRENCY", "3"),
        ("WORKER_TIMEOUT_SECONDS", "20"),
        ("WORKER_MEMORY_MB", "600"),
        ("WORKER_MAX_ARCHIVE_MB", "100"),
        ("WORKER_REQUIRE_SANDBOX", "true"),
    ];
    let service = Process::start(data.path(), &environment);
    let user = service.user().await;
    let commands = [
        ("crash", "DECODER_CRASHED", 3),
        ("spins", "PROCESSING_TIMEOUT", 3),
        ("eats", "OUT_OF_MEMORY", 3),
        ("flood", "ARCHIVE_TOO_LARGE", 1),
    ];
    let (mut hostile, mut neighbors) = (Vec::new(), Vec::new());
    for (command, ..) in commands {
        hostile.push(upload_with_command(&user, command).await);
        neighbors.push(user.upload_clip(MJPEG).await);
    }
    for (job, (command, code, attempts)) in hostile.iter().zip(commands) {
        let view = user.wait_for(job, &["FAILED"]).await;
        assert_eq!(
            (&view["error_code"], &view["retry_count"]),
            (&code.into(), &Value::from(attempts - 1)),
            "{command}: {view}"
        );
    }
    for job in &neighbors {
        let view = user.wait_until_done(job).await;
        assert_eq!((&view["retry_count"], &view["complete"]), (&0.into(), &true.into()), "{view}");
    }
    let mails = || read_mails(data.path()).len();
    eventually("a mail for each job", || async {
        (mails() == hostile.len() + neighbors.len()).then_some(())
    })
    .await;
    // The attempts leave nothing: the only process is the cell for the next attempt, and the only
    // files are the videos and the neighbors' archives.
    eventually("one cell is left", || async { (service.children().len() == 1).then_some(()) })
        .await;
    let files = stored(data.path());
    let archives = files.keys().filter(|path| !path.contains("/input.")).count();
    assert_eq!(
        (files.len(), archives),
        (hostile.len() + 2 * neighbors.len(), neighbors.len()),
        "{files:?}"
    );
    block_in_place(|| service.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_cannot_leave_its_cell() {
    let data = scratch();
    // The decoder must not find the secret: it is in the environment, and in a file that the worker
    // has open.
    let environment = [
        ("WORKER_REQUIRE_SANDBOX", "true"),
        ("JWT_SECRET", "a secret that no decoder sees, of many bytes"),
    ];
    let service = Process::start(data.path(), &environment);
    let user = service.user().await;
    let job = upload_with_command(&user, "flees").await;
    user.wait_for(&job, &["FAILED"]).await;
    service.signal("TERM");
    let (_, log) = service.wait_for_exit();
    let failed = log.iter().find(|line| line["event"] == "job failed").expect("it is logged");
    let nothing = "the video's codec (test) cannot be decoded: permitted on this \
                   thread [], on a thread of libav [], other open descriptors [], variables 0";
    assert_eq!(failed["error"], nothing);
}

/// Check that the decoder's attempts fail because of the cell and not for another reason.
#[test]
fn without_a_cell_the_same_decoder_succeeds() {
    let directory = scratch();
    let video = directory.path().join("flees.avi");
    std::fs::write(&video, with_decoder_command("flees")).expect("it can be written");
    let rejected =
        run(fiapx().arg("extract").arg(&video).arg("-o").arg(directory.path().join("out.zip")));
    let line = error_line(&rejected).expect("one line");
    for possible in ["open", "socket", "read another's memory", "new code", "variables"] {
        assert!(line.contains(possible), "{possible}: {line}");
    }
    assert!(!line.contains("this thread []") && !line.contains("libav []"), "{line}");
}

/// The command under a kernel without these system calls.
fn without_calls(calls: &str, arguments: &[&str], data: &Path) -> Command {
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
fn missing_kernel_features_are_reported() {
    let data = scratch();
    for (calls, name) in [("landlock_create_ruleset", "Landlock"), ("seccomp", "seccomp")] {
        let checked = run(&mut without_calls(calls, &["check"], data.path()));
        let line = error_line(&checked).expect("one line");
        assert!(
            line.contains("decoders: the kernel cannot confine") && line.contains(name),
            "{line}"
        );
        let mut serve = without_calls(calls, &["serve", "--listen", "127.0.0.1:0"], data.path());
        let rejected = run(serve.env("WORKER_REQUIRE_SANDBOX", "true"));
        let line = error_line(&rejected).expect("one line");
        assert!(line.contains("WORKER_REQUIRE_SANDBOX") && line.contains(name), "{line}");
    }
    let check = output(
        fiapx()
            .args(["check", "--data-dir"])
            .arg(data.path())
            .env("WORKER_REQUIRE_SANDBOX", "true"),
    );
    assert!(String::from_utf8_lossy(&check.expect("this kernel can")).contains("decoders: ok"));
}

/// As a user without rights, because the files of root's processes belong to root anyway.
#[test]
fn a_cell_ends_before_its_worker_and_cannot_be_read() {
    let data = scratch();
    std::fs::set_permissions(data.path(), Permissions::from_mode(0o777)).expect("it is possible");
    let mut command = tool("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(fiapx().get_program());
    let service = Process::of(command, &["serve", "--listen", "127.0.0.1:0"], data.path(), &[]);
    let owner = |process: u32| {
        let environment = std::fs::metadata(format!("/proc/{process}/environ"));
        environment.ok().map(|metadata| metadata.uid())
    };
    poll("the cell that waits for a task belongs to root", || {
        let cell = *service.children().first()?;
        let score = std::fs::read_to_string(format!("/proc/{cell}/oom_score_adj")).ok()?;
        (owner(cell) == Some(0) && score.trim() == "500").then_some(())
    });
    service.terminate();
}
