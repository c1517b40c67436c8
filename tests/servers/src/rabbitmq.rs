//! RabbitMQ, the broker.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;
use std::time::Duration;

use parking_lot::Mutex;

use crate::directory::Directory;
use crate::port;
use crate::process::{Process, Program};
use crate::server::{Server, control_methods};

/// Directory of the programs in Debian. Those in /usr/sbin require root or the user rabbitmq; these
/// run as any user.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

const PACKAGE: &str = "rabbitmq-server";

/// Number of virtual hosts that one command creates: each command starts an Erlang machine, which
/// takes longer than the creation.
const BATCH_SIZE: usize = 8;

/// A virtual host.
#[derive(Debug, Clone)]
pub struct VirtualHost {
    /// Name.
    pub name: String,
    /// URL to connect to.
    pub url: String,
}

#[derive(Debug, Default)]
struct VirtualHosts {
    created: usize,
    /// Names that are not in use yet.
    unused: Vec<String>,
}

/// A RabbitMQ server of one node.
#[derive(Debug)]
pub struct RabbitMq {
    /// Erlang's port mapper, by which rabbitmqctl finds the server. The server would start one for
    /// the whole machine and not stop it. Declared first, so that it ends before its directory
    /// is removed.
    _port_mapper: Process,
    server: Server,
    environment: Vec<(&'static str, String)>,
    virtual_hosts: Mutex<VirtualHosts>,
}

impl RabbitMq {
    /// Start a server for one test.
    ///
    /// # Panics
    /// The server does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::on(Server::new("rabbitmq"))
    }

    /// Start a server with a disk of this size in MiB for one test.
    ///
    /// # Panics
    /// The server does not start, or this process may not mount.
    #[must_use]
    pub fn on_disk(mib: usize) -> Self {
        Self::on(Server::on_disk("rabbitmq", mib))
    }

    fn on(server: Server) -> Self {
        let port_mapper_port = port::free();
        write_configuration(&server.directory, server.port);
        let environment = environment(&server.directory, port_mapper_port);
        let epmd = Program::new("/usr/bin/epmd", PACKAGE).environment(environment.clone());
        let mut port_mapper = epmd.start("KILL", &server.directory.path().join("epmd.log"));
        port_mapper.wait_until(|| port::accepts_connections(port_mapper_port));
        let virtual_hosts = Mutex::default();
        let mut rabbitmq = Self { _port_mapper: port_mapper, server, environment, virtual_hosts };
        rabbitmq.start_again();
        rabbitmq
    }

    /// The server that all tests of this process share. Each test should
    /// [create a virtual host](Self::create_virtual_host).
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<RabbitMq> = LazyLock::new(RabbitMq::start);
        &SHARED
    }

    /// URL of the default virtual host.
    #[must_use]
    pub fn url(&self) -> String {
        self.virtual_host_url("%2f")
    }

    /// Create an empty virtual host.
    ///
    /// # Panics
    /// The server is not running.
    #[must_use]
    pub fn create_virtual_host(&self) -> VirtualHost {
        let mut hosts = self.virtual_hosts.lock();
        if hosts.unused.is_empty() {
            let numbers = hosts.created..hosts.created + BATCH_SIZE;
            let names: Vec<String> = numbers.map(|number| format!("test-{number}")).collect();
            self.define(&names);
            hosts.created += BATCH_SIZE;
            hosts.unused = names;
        }
        let name = hosts.unused.pop().expect("the batch is not empty");
        let url = self.virtual_host_url(&name);
        VirtualHost { name, url }
    }

    /// Create virtual hosts for the default user (RabbitMQ, "Definitions").
    fn define(&self, names: &[String]) {
        let (mut hosts, mut permissions) = (Vec::new(), Vec::new());
        for name in names {
            hosts.push(format!(r#"{{"name": "{name}"}}"#));
            permissions.push(format!(
                r#"{{"user": "guest", "vhost": "{name}", "configure": ".*", "write": ".*",
                "read": ".*"}}"#
            ));
        }
        let file = self.server.directory.join("definitions.json");
        let definitions = format!(
            r#"{{"vhosts": [{}], "permissions": [{}]}}"#,
            hosts.join(", "),
            permissions.join(", ")
        );
        fs::write(&file, definitions).expect("the directory is writable");
        self.control(&["import_definitions", &file]);
    }

    /// Run rabbitmqctl and return its output.
    ///
    /// # Panics
    /// The command fails.
    pub fn control(&self, arguments: &[&str]) -> String {
        self.program("rabbitmqctl")
            .arguments(["--quiet"])
            .arguments(arguments.iter().copied())
            .output()
    }

    control_methods!();

    /// Start it after a [stop](Self::stop) or [kill](Self::kill), with the same data and port.
    ///
    /// # Panics
    /// The server is running, or it does not start.
    pub fn start_again(&mut self) {
        let (program, port) = (self.program("rabbitmq-server"), self.server.port);
        self.server.start(&program, "KILL", || answers(port));
        // The server accepts connections a moment before it accepts commands.
        self.control(&["await_startup"]);
    }

    /// Delete all data, including the virtual hosts, after a [stop](Self::stop) or
    /// [kill](Self::kill), as if the disk had failed.
    ///
    /// # Panics
    /// The server is running.
    pub fn delete_data(&mut self) {
        self.server.assert_stopped();
        let data = self.server.directory.join("data");
        fs::remove_dir_all(data).expect("the directory is writable");
    }

    fn virtual_host_url(&self, virtual_host: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{virtual_host}", self.server.port)
    }

    fn program(&self, name: &str) -> Program {
        Program::new(format!("{PROGRAMS}/{name}"), PACKAGE).environment(self.environment.clone())
    }
}

fn write_configuration(directory: &Directory, port: u16) {
    // Erlang requires that the shared secret of nodes and clients is in a file that only its owner
    // can read.
    let cookie = directory.join(".erlang.cookie");
    fs::write(&cookie, "only-for-tests").expect("the directory is writable");
    fs::set_permissions(&cookie, Permissions::from_mode(0o400)).expect("the file is writable");
    let configuration = format!("listeners.tcp.1 = 127.0.0.1:{port}\n");
    fs::write(directory.join("rabbitmq.conf"), configuration).expect("the directory is writable");
    fs::write(directory.join("plugins"), "[].\n").expect("the directory is writable");
}

fn environment(directory: &Directory, port_mapper_port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("HOME", directory.path().display().to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_EPMD_PORT", port_mapper_port.to_string()),
        ("RABBITMQ_NODENAME", "rabbit@localhost".to_owned()),
        ("RABBITMQ_DIST_PORT", port::free().to_string()),
        // Any port: 0 to 0.
        ("RABBITMQ_CTL_DIST_PORT_MIN", "0".to_owned()),
        ("RABBITMQ_CTL_DIST_PORT_MAX", "0".to_owned()),
        ("RABBITMQ_CONF_ENV_FILE", directory.join("rabbitmq-env.conf")),
        ("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("plugins")),
        ("RABBITMQ_MNESIA_BASE", directory.join("data")),
        ("RABBITMQ_LOG_BASE", directory.join("logs")),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
        ),
        // The start script then executes the server instead of waiting for it, so that signals
        // reach the server.
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
    ]
}

/// Whether the server starts a conversation (AMQP 0-9-1, section 2.2.4). The port opens a little
/// earlier.
fn answers(port: u16) -> bool {
    let mut frame_type = [0; 1];
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"AMQP\0\0\x09\x01")?;
            stream.read_exact(&mut frame_type)
        })
        .is_ok_and(|()| frame_type == [1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_and_starts_again() {
        let mut rabbitmq = RabbitMq::start();
        let port = rabbitmq.server.port;
        let virtual_host = rabbitmq.create_virtual_host();
        rabbitmq.stop();
        assert!(!answers(port));
        rabbitmq.start_again();
        rabbitmq.kill();
        assert!(!answers(port));
        rabbitmq.start_again();
        let listed = rabbitmq.control(&["list_vhosts", "name"]);
        assert!(listed.lines().any(|line| line == virtual_host.name));
        let directory = rabbitmq.server.directory.path().to_owned();
        drop(rabbitmq);
        assert!(!directory.exists());
    }
}
