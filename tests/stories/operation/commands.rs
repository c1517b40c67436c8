//! The commands around the service.

use reqwest::Method;
use serde_json::Value;
use tokio::task::block_in_place;

use crate::cluster::free_address;
use crate::harness::{Run, fiapx, listing, run, scratch, single_line};
use crate::process::Process;
use crate::service::{Service, answer};

/// The command has to succeed without a complaint; gives what it prints.
fn printed(run: Run) -> String {
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    String::from_utf8(run.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_brought_up_to_date_twice() {
    let directory = scratch();
    let migrate = || run(fiapx().args(["migrate", "--data-dir"]).arg(directory.path()));
    let said = printed(migrate());
    assert_eq!(said, "the database is up to date\n");
    assert!(listing(directory.path()).contains(&"fiapx.db".to_owned()));
    assert_eq!(printed(migrate()), said);
    // Also while the service runs, whose rows stay.
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    assert_eq!(printed(migrate()), said);
    let (status, account) = user.get("/auth/me").await;
    assert!(status.is_success() && account["email"] == user.email.as_str(), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_document_is_that_of_the_service() {
    let printed: Value = serde_json::from_str(&printed(run(fiapx().arg("openapi")))).expect("JSON");
    let service = Service::start().await;
    let (status, served) = answer(service.request(Method::GET, "/openapi.json")).await;
    assert!(status.is_success());
    assert_eq!(printed, served);
    assert!(
        printed["openapi"].as_str().is_some_and(|version| version.starts_with("3.")),
        "{}",
        printed["openapi"]
    );
}

#[test]
fn a_check_says_whether_all_parts_answer() {
    let directory = scratch();
    let data = directory.path().join("data");
    let with = |command: &str| run(fiapx().args([command, "--data-dir"]).arg(&data));
    printed(with("migrate"));
    assert!(printed(with("check")).contains("all parts are ok"));
    let process = Process::start(&data, &[]);
    assert!(printed(with("check")).contains("all parts are ok"), "also while the service runs");
    process.kill();

    let files = data.join("files/unfinished");
    std::fs::remove_dir(&files).expect("it is empty");
    std::fs::write(&files, "in the way").expect("there is room");
    let failed = with("check");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    let line = single_line(&failed).expect("one line says what is wrong");
    assert!(line.contains("files"), "{line}");
}

#[test]
fn the_printed_defaults_are_a_configuration() {
    let directory = scratch();
    let config = directory.path().join("fiapx.toml");
    std::fs::write(&config, printed(run(fiapx().args(["check", "--defaults"]))))
        .expect("there is room");
    for command in ["migrate", "check"] {
        let data = directory.path().join("data");
        printed(run(fiapx().args([command, "--config"]).arg(&config).arg("--data-dir").arg(data)));
    }
}

#[test]
fn a_program_says_what_it_is_made_of() {
    for flag in ["--version", "-V"] {
        let said = printed(run(fiapx().arg(flag)));
        assert!(
            said.starts_with(concat!("fiapx ", env!("CARGO_PKG_VERSION"), " (commit ")),
            "{said}"
        );
        for library in ["libavformat", "libavcodec", "libavutil", "libswscale"] {
            let mut words =
                said.split([' ', ',', '\n']).skip_while(|word| *word != library).skip(1);
            let version = words.next().unwrap_or_else(|| panic!("{library} should be in {said}"));
            assert!(
                version.split('.').count() == 3
                    && version.split('.').all(|part| part.parse::<u32>().is_ok()),
                "{said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_can_be_asked_whether_it_is_ready() {
    let directory = scratch();
    let (own, figures) = (free_address(), free_address());
    let data = directory.path().join("data");
    let ask = |environment: &[(&str, &str)]| {
        block_in_place(|| {
            run(fiapx().args(["check", "--ready"]).env_clear().envs(environment.iter().copied()))
        })
    };
    let (host, port) = own.split_once(':').expect("it has a port");
    let (at_api, at_figures) =
        ([("API_HOST", host), ("API_PORT", port)], [("METRICS_LISTEN", figures.as_str())]);
    let everywhere = [("API_HOST", "0.0.0.0"), ("API_PORT", port)];
    let process = Process::role(&["serve", "--listen", &own], &data, &at_figures);
    for environment in [&at_api[..], &everywhere, &at_figures] {
        assert_eq!(printed(ask(environment)), "ready\n", "{environment:?}");
    }
    std::fs::rename(data.join("files"), data.join("elsewhere")).expect("it can be moved");
    let lacking = ask(&at_figures);
    assert_eq!(lacking.code, Some(1), "{lacking:?}");
    let line = single_line(&lacking).expect("one line");
    assert!(line.contains(&figures) && line.ends_with("cannot reach: storage"), "{line}");
    process.kill();
    let gone = ask(&at_api);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(
        single_line(&gone)
            .is_ok_and(|line| line.contains(&format!("the process at {own} does not respond"))),
        "{gone:?}"
    );
}
