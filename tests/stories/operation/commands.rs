//! Commands other than `fiapx serve`.

use reqwest::Method;
use serde_json::Value;
use tokio::task::block_in_place;

use crate::harness::checks::eventually;
use crate::harness::client::fetch_json;
use crate::harness::clips::{file_names, scratch};
use crate::harness::process::{Process, free_address};
use crate::harness::programs::{ProgramOutput, error_line, fiapx, run};
use crate::harness::service::Service;

/// Check that a command succeeds without a message; return its standard output.
fn printed(run: ProgramOutput) -> String {
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    String::from_utf8(run.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_changes_nothing() {
    let directory = scratch();
    let migrate = || run(fiapx().args(["migrate", "--data-dir"]).arg(directory.path()));
    let output = printed(migrate());
    assert_eq!(output, "the database is up to date\n");
    assert!(file_names(directory.path()).contains(&"fiapx.db".to_owned()));
    assert_eq!(printed(migrate()), output);
    // The same while the service runs, whose rows are kept.
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    assert_eq!(printed(migrate()), output);
    let (status, account) = user.get("/auth/me").await;
    assert!(status.is_success() && account["email"] == user.email.as_str(), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_prints_the_document_of_the_service() {
    let printed: Value = serde_json::from_str(&printed(run(fiapx().arg("openapi")))).expect("JSON");
    let service = Service::start().await;
    let (status, served) = fetch_json(service.request(Method::GET, "/openapi.json")).await;
    assert!(status.is_success());
    assert_eq!(printed, served);
    assert!(
        printed["openapi"].as_str().is_some_and(|version| version.starts_with("3.")),
        "{}",
        printed["openapi"]
    );
}

#[test]
fn check_reports_whether_all_parts_work() {
    let directory = scratch();
    let data = directory.path().join("data");
    let with = |command: &str| run(fiapx().args([command, "--data-dir"]).arg(&data));
    printed(with("migrate"));
    let report = printed(with("check"));
    assert!(report.starts_with("libav: ") && report.contains("all parts are ok"), "{report}");
    let process = Process::start(&data, &[]);
    assert!(printed(with("check")).contains("all parts are ok"), "while the service runs");
    process.kill();

    let files = data.join("files/unfinished");
    std::fs::remove_dir(&files).expect("it is empty");
    std::fs::write(&files, "in the way").expect("it can be written");
    let failed = with("check");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    let line = error_line(&failed).expect("one line");
    assert!(line.contains("files"), "{line}");
}

#[test]
fn the_printed_defaults_are_a_valid_configuration() {
    let directory = scratch();
    let config = directory.path().join("fiapx.toml");
    std::fs::write(&config, printed(run(fiapx().args(["check", "--defaults"]))))
        .expect("it can be written");
    for command in ["migrate", "check"] {
        let data = directory.path().join("data");
        printed(run(fiapx().args([command, "--config"]).arg(&config).arg("--data-dir").arg(data)));
    }
}

#[test]
fn version_names_the_commit_and_the_libraries() {
    for flag in ["--version", "-V"] {
        let output = printed(run(fiapx().arg(flag)));
        assert!(
            output.starts_with(concat!("fiapx ", env!("CARGO_PKG_VERSION"), " (commit ")),
            "{output}"
        );
        let is_static = output.contains(", static, built on 20");
        assert!(is_static || output.contains(" of the system\n"), "{output}");
        for library in ["libavformat", "libavcodec", "libavutil", "libswscale"] {
            let mut arguments =
                output.split([' ', ',', '\n']).skip_while(|word| *word != library).skip(1);
            let version = arguments.next().unwrap_or_else(|| panic!("no {library} in {output}"));
            assert!(
                version.split('.').count() == 3
                    && version.split('.').all(|part| part.parse::<u32>().is_ok()),
                "{output}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_ready_queries_a_running_process() {
    let directory = scratch();
    let (own, metrics) = (free_address(), free_address());
    let data = directory.path().join("data");
    let ask = |environment: &[(&str, &str)]| {
        block_in_place(|| {
            run(fiapx().args(["check", "--ready"]).env_clear().envs(environment.iter().copied()))
        })
    };
    let (host, port) = own.split_once(':').expect("it has a port");
    let (at_api, at_metrics) =
        ([("API_HOST", host), ("API_PORT", port)], [("METRICS_LISTEN", metrics.as_str())]);
    let everywhere = [("API_HOST", "0.0.0.0"), ("API_PORT", port)];
    let process = Process::role(&["serve", "--listen", &own], &data, &at_metrics);
    for environment in [&at_api[..], &everywhere, &at_metrics] {
        assert_eq!(printed(ask(environment)), "ready\n", "{environment:?}");
    }
    std::fs::rename(data.join("files"), data.join("elsewhere")).expect("it can be moved");
    let lacking = eventually("the process is not ready", || async {
        Some(ask(&at_metrics)).filter(|asked| asked.code != Some(0))
    })
    .await;
    assert_eq!(lacking.code, Some(1), "{lacking:?}");
    let line = error_line(&lacking).expect("one line");
    assert!(line.contains(&metrics) && line.ends_with("cannot reach: storage"), "{line}");
    process.kill();
    let gone = ask(&at_api);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(
        error_line(&gone)
            .is_ok_and(|line| line.contains(&format!("the process at {own} does not respond"))),
        "{gone:?}"
    );
}
