//! RabbitMQ, which hands out messages.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::directory::Directory;
use crate::port;
use crate::process::{Process, Program};

/// Where Debian puts the programs. Those in /usr/sbin insist on root or a user called rabbitmq;
/// these run as anybody.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

const PACKAGE: &str = "rabbitmq-server";

/// Virtual hosts that are made at once: each command starts an Erlang machine of its own, which
/// takes longer than they do.
const STOCK: usize = 8;

/// The virtual hosts that were made.
#[derive(Debug, Default)]
struct Hosts {
    made: usize,
    /// Those that nobody uses yet.
    free: Vec<String>,
}

/// A RabbitMQ server of one node.
#[derive(Debug)]
pub struct RabbitMq {
    // Both end before their directory.
    process: Option<Process>,
    /// Erlang's register of nodes, by which the control program finds the server. The server would
    /// start one for the whole machine, and leave it behind.
    _names: Process,
    port: u16,
    environment: Vec<(&'static str, String)>,
    directory: Directory,
    virtual_hosts: Mutex<Hosts>,
}

impl RabbitMq {
    /// A server for one test.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start() -> Self {
        let directory = Directory::new("rabbitmq");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (port, names_port, node_port) = (port::free(), port::free(), port::free());

        // Erlang wants the shared secret of nodes and their clients in a file that only its owner
        // can read.
        let cookie = path(".erlang.cookie");
        fs::write(&cookie, "only-for-tests").expect("the directory can be written");
        fs::set_permissions(&cookie, Permissions::from_mode(0o400)).expect("the file is ours");
        fs::write(path("rabbitmq.conf"), format!("listeners.tcp.1 = 127.0.0.1:{port}\n"))
            .expect("the directory can be written");
        fs::write(path("plugins"), "[].\n").expect("the directory can be written");

        let environment = vec![
            ("HOME", directory.path().display().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", names_port.to_string()),
            ("RABBITMQ_NODENAME", "rabbit@localhost".to_owned()),
            ("RABBITMQ_DIST_PORT", node_port.to_string()),
            // Any port: 0 to 0.
            ("RABBITMQ_CTL_DIST_PORT_MIN", "0".to_owned()),
            ("RABBITMQ_CTL_DIST_PORT_MAX", "0".to_owned()),
            ("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_LOG_BASE", path("logs")),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
            // The start script then becomes the server instead of waiting for it, so that signals
            // reach the server.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ];
        let names = Program::new("/usr/bin/epmd", PACKAGE).environment(environment.clone());
        let mut names = names.start("KILL", &directory.path().join("epmd.log"));
        names.wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, names_port)).is_ok());
        let virtual_hosts = Mutex::default();
        let mut server =
            Self { process: None, _names: names, port, environment, directory, virtual_hosts };
        server.start_again();
        server
    }

    /// The server that all tests of this process share. Each should make a [virtual
    /// host](Self::create_virtual_host) of its own.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<RabbitMq> = LazyLock::new(RabbitMq::start);
        &SHARED
    }

    /// Where to connect to the default virtual host.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("%2f")
    }

    /// A new, empty virtual host: its name, and where to connect to it.
    ///
    /// # Panics
    /// The server does not run.
    #[must_use]
    pub fn create_virtual_host(&self) -> (String, String) {
        let mut hosts = self.virtual_hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.free.is_empty() {
            let names: Vec<String> =
                (hosts.made..hosts.made + STOCK).map(|number| format!("test-{number}")).collect();
            self.define(&names);
            hosts.made += STOCK;
            hosts.free = names;
        }
        let name = hosts.free.pop().expect("there is a stock");
        let url = self.url_of(&name);
        (name, url)
    }

    /// Make virtual hosts, for the user whom every new server has (RabbitMQ, "Definitions").
    fn define(&self, names: &[String]) {
        let (mut hosts, mut permissions) = (Vec::new(), Vec::new());
        for name in names {
            hosts.push(format!(r#"{{"name": "{name}"}}"#));
            permissions.push(format!(r#"{{"user": "guest", "vhost": "{name}", "configure": ".*", "write": ".*", "read": ".*"}}"#));
        }
        let file = self.directory.path().join("definitions.json");
        let definitions = format!(
            r#"{{"vhosts": [{}], "permissions": [{}]}}"#,
            hosts.join(", "),
            permissions.join(", ")
        );
        fs::write(&file, definitions).expect("the directory can be written");
        self.control(&["import_definitions", &file.display().to_string()]);
    }

    /// Run rabbitmqctl, and give what it wrote.
    ///
    /// # Panics
    /// It fails.
    pub fn control(&self, arguments: &[&str]) -> String {
        self.program("rabbitmqctl")
            .arguments(["--quiet"])
            .arguments(arguments.iter().copied())
            .output()
    }

    /// Stop it as an operator would.
    ///
    /// # Panics
    /// It does not run.
    pub fn stop(&mut self) {
        self.process.take().expect("the server runs").stop("TERM");
    }

    /// Kill it, so that it can do nothing more.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self) {
        self.process.take().expect("the server runs").stop("KILL");
    }

    /// Let it do nothing, as a machine that hangs; connections stay open.
    ///
    /// # Panics
    /// It does not run.
    pub fn pause(&self) {
        self.process.as_ref().expect("the server runs").signal("STOP");
    }

    /// Let it go on after a [pause](Self::pause).
    ///
    /// # Panics
    /// It does not run.
    pub fn resume(&self) {
        self.process.as_ref().expect("the server runs").signal("CONT");
    }

    /// Start it after a [stop](Self::stop) or [kill](Self::kill), with the same data and on the
    /// same port.
    ///
    /// # Panics
    /// It runs already, or does not start.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        let mut process =
            self.program("rabbitmq-server").start("KILL", &self.directory.path().join("log"));
        process.wait_until(|| answers(self.port));
        self.process = Some(process);
        // It takes connections a moment before it takes commands.
        self.control(&["await_startup"]);
    }

    /// Throw away all that it keeps after a [stop](Self::stop) or [kill](Self::kill), as a disk
    /// that breaks. Virtual hosts are gone, too.
    ///
    /// # Panics
    /// It runs.
    pub fn lose_data(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        fs::remove_dir_all(self.directory.path().join("data")).expect("the directory is ours");
    }

    fn url_of(&self, virtual_host: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{virtual_host}", self.port)
    }

    fn program(&self, name: &str) -> Program {
        Program::new(format!("{PROGRAMS}/{name}"), PACKAGE).environment(self.environment.clone())
    }
}

/// Whether it begins a conversation: AMQP 0-9-1, section 2.2.4. The port alone opens a little
/// earlier.
fn answers(port: u16) -> bool {
    let mut frame = [0; 1];
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"AMQP\0\0\x09\x01")?;
            stream.read_exact(&mut frame)
        })
        .is_ok_and(|()| frame == [1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_and_starts_again() {
        let mut server = RabbitMq::start();
        let (name, _) = server.create_virtual_host();
        server.stop();
        assert!(!answers(server.port));
        server.start_again();
        server.kill();
        assert!(!answers(server.port));
        server.start_again();
        assert!(server.control(&["list_vhosts", "name"]).lines().any(|line| line == name));
        let directory = server.directory.path().to_owned();
        drop(server);
        assert!(!directory.exists());
    }
}
