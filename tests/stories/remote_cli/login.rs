//! Logging in and out.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::command::Terminal;
use crate::harness::client::{PASSWORD, User, fetch_json};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::programs::{ProgramOutput, fiapx_path, run, tool};
use crate::harness::second_factor::App;
use crate::harness::service::Service;

/// Ids of the keys of a user.
async fn keys(user: &User<'_>) -> Vec<String> {
    let (status, keys) = user.get("/keys").await;
    assert_eq!(status, StatusCode::OK, "{keys}");
    let keys = keys.as_array().expect("a list").iter();
    keys.map(|key| key["id"].as_str().expect("an id").to_owned()).collect()
}

/// The stored keys.
fn stored(terminal: &Terminal) -> Value {
    let text = std::fs::read(terminal.credentials()).expect("the keys are stored");
    serde_json::from_slice(&text).expect("they are JSON")
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_login_stores_a_key_until_the_logout(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let terminal = Terminal::at(service.base());
    let run = terminal.run(&["list"]);
    assert_eq!(run.code, Some(4));
    assert!(run.stderr.contains("run `fiapx remote login`"), "{run:?}");

    let run = terminal.run_with_input(&["login"], &[&user.email, PASSWORD]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "no prompt without a terminal");
    let printed = run.lines().concat();
    assert!(printed.starts_with(&format!("logged in at {}", service.base())), "{printed}");
    let mode = terminal.credentials().metadata().expect("it exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = keys(&user).await;
    let own = &stored(&terminal)["services"][service.base()];
    assert_eq!(first, [own["id"].as_str().expect("an id")]);
    let (_, listed) = user.get("/keys").await;
    assert_eq!(listed[0]["scopes"], json!(["videos:read", "videos:write"]));
    let name = listed[0]["name"].as_str().expect("a name");
    assert!(name.starts_with("fiapx remote on "), "{name}");
    let (_, sessions) = user.get("/auth/sessions").await;
    assert_eq!(sessions.as_array().map(Vec::len), Some(1), "only that of the user is left");

    assert_eq!(terminal.json(&["list"]), [Value::Null; 0]);
    let elsewhere = "http://127.0.0.1:9";
    let run = terminal.run(&["list", "--server", elsewhere]);
    assert_eq!(run.code, Some(4), "the key is not sent to another service");
    assert!(run.stderr.contains(elsewhere), "{run:?}");

    let email = ["login", "--json", "--email", &user.email];
    let run = terminal.run_with_input(&email, &[PASSWORD]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let second = keys(&user).await;
    assert!(second.len() == 1 && second != first, "the first key is replaced: {second:?}");
    let run = terminal.run(&["logout"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(keys(&user).await, [""; 0]);
    assert_eq!(stored(&terminal), json!({ "services": {} }));
    assert_eq!(terminal.run(&["logout"]).code, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_uses_the_service_of_the_last_one() {
    let service = Service::start().await;
    let user = service.user().await;
    let terminal = Terminal::at("");
    let named = ["login", "--server", service.base()];
    let run = terminal.run_with_input(&named, &[&user.email, PASSWORD]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(terminal.json(&["list"]), [Value::Null; 0]);
    let run = terminal.run_with_input(&["login"], &[&user.email, "wrong"]);
    assert_eq!(run.code, Some(4));
    let expected = "fiapx: The e-mail address or the password is wrong. (WRONG_CREDENTIALS)\n";
    assert_eq!(run.stderr, expected);
    assert_eq!(terminal.json(&["list"]), [Value::Null; 0], "the earlier key still works");
    let run = terminal.run_with_input(&["login"], &[&user.email]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("standard input ended"), "{run:?}");

    // A key that was deleted elsewhere is forgotten.
    let [id] = &keys(&user).await[..] else { panic!("one key") };
    assert_eq!(user.delete(&format!("/keys/{id}")).await.0, StatusCode::NO_CONTENT);
    let run = terminal.run(&["list"]);
    assert_eq!(run.code, Some(4));
    assert!(run.stderr.ends_with("or set FIAPX_API_KEY. (KEY_INVALID)\n"), "{run:?}");
    assert_eq!(terminal.run(&["logout"]).code, Some(0));
}

/// Each code can be used once, and a login needs one, the key another.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_asked_for_twice() {
    let service = Service::start().await;
    service.clock.pause();
    let user = service.user().await;
    let password = json!({ "password": PASSWORD });
    let (_, secret) =
        fetch_json(user.request(Method::POST, "/auth/second-factor").json(&password)).await;
    let app = App::new(secret["secret"].as_str().expect("a secret"), &service.clock);
    let code = json!({ "code": app.code() });
    let confirmed = user.request(Method::POST, "/auth/second-factor/confirm").json(&code);
    assert!(fetch_json(confirmed).await.0.is_success());

    let step = Duration::from_secs(30);
    service.advance(step);
    let first = app.code();
    service.advance(step);
    let terminal = Terminal::at(service.base());
    let once = [user.email.as_str(), PASSWORD, &first, &first];
    let run = terminal.run_with_input(&["login"], &once);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("code: SECOND_FACTOR_WRONG"), "{run:?}");

    let first = app.code();
    service.advance(step);
    let next = [user.email.as_str(), PASSWORD, &first, &app.code()];
    let run = terminal.run_with_input(&["login"], &next);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(terminal.json(&["list"]), [Value::Null; 0]);
}

/// Program in Python that runs a command at a terminal of its own. Its arguments are a list of
/// pairs of a prompt and an answer, as JSON, and the command. It prints what the terminal shows,
/// the exit status, and whether the terminal shows input afterwards.
const AT_A_TERMINAL: &str = r"
import json, os, pty, sys, termios
answers, command = json.loads(sys.argv[1]), sys.argv[2:]
main, other = pty.openpty()
child = os.fork()
if child == 0:
    os.login_tty(other)
    os.execv(command[0], command)
shown = b''
def read():
    global shown
    try:
        piece = os.read(main, 4096)
    except OSError:
        piece = b''
    shown += piece
    return piece
for prompt, answer in answers:
    while prompt.encode() not in shown:
        if not read():
            sys.exit('no ' + prompt + ' in ' + repr(shown))
    echoes = bool(termios.tcgetattr(other)[3] & termios.ECHO)
    shown = shown.replace(prompt.encode(), ('[%s]' % echoes).encode(), 1)
    os.write(main, answer.encode())
_, status = os.waitpid(child, 0)
echoes = bool(termios.tcgetattr(other)[3] & termios.ECHO)
os.close(other)
while read():
    pass
print(json.dumps({'shown': shown.decode(), 'code': os.waitstatus_to_exitcode(status),
                  'echoes': echoes}))
";

/// Run a login at a terminal.
fn at_a_terminal(terminal: &Terminal, answers: &Value) -> Value {
    let mut command = tool("python3");
    command.args(["-c", AT_A_TERMINAL, &answers.to_string()]).arg(fiapx_path());
    command.args(["remote", "login"]);
    terminal.prepare(&mut command);
    parse(&run(&mut command))
}

fn parse(run: &ProgramOutput) -> Value {
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_slice(&run.stdout).expect("the output is JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_does_not_show_the_password() {
    let service = Service::start().await;
    let user = service.user().await;
    let terminal = Terminal::at(service.base());
    let email = format!("{}\n", user.email);
    let answers = json!([["E-mail address", email], ["Password: ", format!("{PASSWORD}\n")]]);
    let result = at_a_terminal(&terminal, &answers);
    let shown = result["shown"].as_str().expect("a text");
    assert_eq!((&result["code"], &result["echoes"]), (&json!(0), &json!(true)), "{shown}");
    assert!(shown.contains(&user.email) && shown.contains("logged in at"), "{shown}");
    assert!(!shown.contains(PASSWORD) && shown.contains("[False]"), "{shown}");

    // Ctrl-C while the password is asked for.
    let answers = json!([["E-mail address", email], ["Password: ", "\u{3}"]]);
    let result = at_a_terminal(&terminal, &answers);
    assert_eq!((&result["code"], &result["echoes"]), (&json!(130), &json!(true)), "{result}");
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let terminal = Terminal::at("http://localhost:9");
    let file = terminal.credentials();
    std::fs::create_dir_all(file.parent().expect("a directory")).expect("it can be created");
    std::fs::write(&file, "no JSON").expect("it can be written");
    let run = terminal.run(&["list"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("delete it and log in"), "{run:?}");
    let mut homeless = Command::new(fiapx_path());
    homeless.args(["remote", "list"]);
    for name in ["HOME", "XDG_CONFIG_HOME", "FIAPX_URL", "FIAPX_API_KEY"] {
        homeless.env_remove(name);
    }
    let run = self::run(&mut homeless);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("set HOME or XDG_CONFIG_HOME"), "{run:?}");
}
