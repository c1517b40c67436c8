//! A network on the other end of a cable, which can be pulled.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use servers::Proxy;

use super::parts::Namespaces;
use super::programs::{output, tool};

/// Address of this end of the cable.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Settings with the address and the port of a server.
const SERVERS: [&str; 4] = ["DATABASE_URL", "RABBITMQ_URL", "S3_ENDPOINT", "REDIS_URL"];

/// Network in which processes can be started. The servers of the other network are reached through
/// a cable.
pub struct RemoteNetwork {
    /// Process that keeps the network.
    keeper: Child,
    /// Name of this end of the cable.
    interface: &'static str,
    environment: Vec<(&'static str, String)>,
}

impl RemoteNetwork {
    /// Network with a cable to the servers with these namespaces. The process needs a network of
    /// its own, and can have one such network.
    pub fn with_servers(namespaces: &Namespaces) -> Self {
        let mut keeper = tool("unshare")
            .args(["--net", "sh", "-c", "echo; exec sleep infinity"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare can be started");
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().expect("its output is piped"))
            .read_line(&mut line)
            .expect("the network exists");
        let mut network = Self { keeper, interface: "here", environment: Vec::new() };
        let id = network.keeper.id().to_string();
        let here = network.interface;
        ip(&["link", "add", here, "type", "veth", "peer", "name", "there", "netns", &id]);
        ip(&["address", "add", &format!("{HERE}/30"), "dev", here]);
        network.restore();
        for setup in ["link set lo up", "link set there up", "address add 10.77.0.2/30 dev there"] {
            let mut command = network.command(Path::new("ip"));
            output(command.args(setup.split(' '))).expect("the other end can be set up");
        }
        let forwarded = |setting| {
            let direct = namespaces.setting(setting).expect("it is set");
            let (before, port, after) = parts(&direct);
            let proxy = Proxy::at(HERE, port);
            (setting, format!("{before}{HERE}:{}{after}", proxy.port()))
        };
        network.environment = SERVERS.map(forwarded).to_vec();
        network
    }

    /// Command that runs there.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = tool("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keeper.id())).arg(program);
        command
    }

    /// Settings with which a process there reaches the servers.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// Pull the cable: packets are lost, and no end learns of it.
    pub fn cut(&self) {
        ip(&["link", "set", self.interface, "down"]);
    }

    /// Plug it in again.
    pub fn restore(&self) {
        ip(&["link", "set", self.interface, "up"]);
    }
}

impl Drop for RemoteNetwork {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn ip(arguments: &[&str]) {
    output(tool("ip").args(arguments)).expect("the network can be changed");
}

/// A URL with a loopback address and a port: what is before and behind them, and the port.
fn parts(url: &str) -> (&str, u16, &str) {
    let (before, rest) = url.split_once("127.0.0.1:").expect("a loopback address");
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    let (port, after) = rest.split_at(digits);
    (before, port.parse().expect("a port"), after)
}
