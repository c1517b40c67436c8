//! Files of the deployment: each role gets its own secrets only, and the processes of a container
//! are limited.

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize;
use serde_yaml::Value;

use crate::harness::clips::scratch;
use crate::harness::programs::{root, run};

/// Names of the settings that are secrets, by the roles that get them.
fn secrets_of(role: &str) -> BTreeSet<&'static str> {
    let names: &[&str] = match role {
        "api" => &[
            "DATABASE_URL",
            "RABBITMQ_URL",
            "REDIS_URL",
            "S3_ACCESS_KEY",
            "S3_SECRET_KEY",
            "JWT_SECRET",
        ],
        "worker" => &["DATABASE_URL", "RABBITMQ_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY"],
        "notifier" => &["DATABASE_URL", "RABBITMQ_URL", "SMTP_PASSWORD"],
        "migrate" => &["DATABASE_URL"],
        _ => &[],
    };
    names.iter().copied().collect()
}

const ROLES: [&str; 4] = ["api", "worker", "notifier", "migrate"];

/// All secrets of all roles.
fn all_secrets() -> BTreeSet<&'static str> {
    ROLES.into_iter().flat_map(secrets_of).collect()
}

/// Documents of a YAML file, with merged maps.
fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(root().join(path)).expect("the file can be read");
    let documents = serde_yaml::Deserializer::from_str(&text);
    let document = |document| {
        let mut value = Value::deserialize(document).expect("valid YAML");
        value.apply_merge().expect("valid merges");
        value
    };
    documents.map(document).collect()
}

/// Names of the secrets in a list of names of variables, some of which name a file.
fn secrets_in<'a>(variables: impl Iterator<Item = &'a str>) -> BTreeSet<&'static str> {
    let all = all_secrets();
    let named = variables.map(|name| name.strip_suffix("_FILE").unwrap_or(name));
    named.filter_map(|name| all.get(name).copied()).collect()
}

#[test]
fn compose_gives_each_role_its_own_secrets() {
    let compose = &documents("compose.yml")[0];
    let mut volumes = BTreeSet::new();
    for role in ROLES {
        let service = &compose["services"][role];
        let environment = service["environment"].as_mapping().expect("variables");
        let names = environment.keys().filter_map(Value::as_str);
        assert_eq!(secrets_in(names), secrets_of(role), "{role}");
        // The files are in a volume of their own.
        let mounted = service["volumes"].as_sequence().expect("volumes");
        let mounted: Vec<_> = mounted.iter().filter_map(Value::as_str).collect();
        assert_eq!(mounted, [format!("secrets-{role}:/secrets:ro")], "{role}");
        assert!(volumes.insert(mounted[0].to_owned()), "{role}");
        assert!(service["pids_limit"].as_u64().is_some_and(|pids| pids <= 1024), "{role}");
    }
}

/// The file of settings holds all secrets. A variable that is empty in a container is not set.
#[test]
fn compose_on_existing_servers_hides_the_secrets_of_other_roles() {
    let compose = &documents("compose.external.yml")[0];
    for role in ROLES {
        let environment = compose["services"][role]["environment"].as_mapping();
        let hidden = environment.expect("variables").iter().filter_map(|(name, value)| {
            assert_eq!(value, "", "{role}: {name:?}");
            name.as_str()
        });
        let others: BTreeSet<_> = all_secrets().difference(&secrets_of(role)).copied().collect();
        assert_eq!(secrets_in(hidden), others, "{role}");
    }
}

/// The script that generates the secrets gives each role the files that it reads.
#[test]
fn each_role_gets_the_files_of_its_secrets() {
    let script = std::fs::read_to_string(root().join("docker/secrets/make.sh"));
    let script = script.expect("the script can be read");
    let compose = &documents("compose.yml")[0];
    for role in ROLES {
        let line = format!("give {role} ");
        let given = script.lines().find_map(|text| text.strip_prefix(&line));
        let given: BTreeSet<&str> = given.expect("the role is given files").split(' ').collect();
        let environment = compose["services"][role]["environment"].as_mapping();
        let files = environment.expect("variables").iter().filter_map(|(name, value)| {
            let is_file = name.as_str().is_some_and(|name| name.ends_with("_FILE"));
            value.as_str().filter(|_| is_file)?.strip_prefix("/secrets/")
        });
        assert_eq!(given, files.collect(), "{role}");
    }
}

#[test]
fn kubernetes_gives_each_role_its_own_secrets() {
    for role in ROLES {
        let path = match role {
            "migrate" => "docker/k8s/migrate/job.yaml".to_owned(),
            role => format!("docker/k8s/base/{role}.yaml"),
        };
        let pod = &documents(&path)[0]["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        // Only the ConfigMap is passed as a whole.
        let whole = container["envFrom"].as_sequence().expect("sources");
        assert!(whole.iter().all(|source| source.get("secretRef").is_none()), "{role}");
        let variables = container["env"].as_sequence().expect("variables");
        for variable in variables {
            assert_eq!(variable["name"], variable["valueFrom"]["secretKeyRef"]["key"], "{role}");
        }
        let names = variables.iter().filter_map(|variable| variable["name"].as_str());
        assert_eq!(secrets_in(names), secrets_of(role), "{role}");
    }
    let settings = &documents("docker/k8s/settings/settings.yaml")[0];
    let names = settings["data"].as_mapping().expect("settings").keys().filter_map(Value::as_str);
    assert_eq!(secrets_in(names), BTreeSet::new());
    let example = std::fs::read_to_string(root().join("docker/k8s/example/fiapx.env"));
    let example = example.expect("the example can be read");
    let names = example.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    assert_eq!(secrets_in(names), all_secrets());
}

/// The script that pins images, with digests that no registry has to resolve.
#[test]
fn all_images_can_be_pinned_by_digest() {
    let copy = scratch();
    let files = ["compose.yml", "docker/Dockerfile", "docker/garage/Dockerfile"];
    let kustomizations =
        ["docker/k8s/base/kustomization.yaml", "docker/k8s/migrate/kustomization.yaml"];
    for file in files.iter().chain(&kustomizations) {
        let to = copy.path().join(file);
        std::fs::create_dir_all(to.parent().expect("a directory")).expect("it can be created");
        std::fs::copy(root().join(file), to).expect("it can be copied");
    }
    let digest = format!("sha256:{}", "ab".repeat(32));
    let pin = |arguments: &[&str]| {
        let mut command = Command::new(root().join("docker/pin.sh"));
        command.args(arguments).env("ROOT", copy.path());
        run(command.env("DIGEST_OF", format!("printf {digest}\\n%.0s")))
    };
    assert_eq!(pin(&["--check"]).code, Some(1));
    let pinned = pin(&[]);
    assert_eq!(pinned.code, Some(0), "{}", pinned.stderr);
    // Pinned images are updated by the same command.
    for arguments in [&["--check"][..], &[], &["--check"]] {
        let checked = pin(arguments);
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    }
    let image = "registry.example.com:5000/fiapx:1.2";
    assert_eq!(pin(&["--kubernetes", image]).code, Some(0));
    for file in kustomizations {
        let text = std::fs::read_to_string(copy.path().join(file)).expect("it can be read");
        let expected = format!("newName: registry.example.com:5000/fiapx, digest: {digest}}}");
        assert!(text.contains(&expected), "{text}");
    }
}
