//! Network between the processes of the soak and their servers.

use servers::Proxy;

use super::incident::{Member, Server};
use crate::harness::parts::Namespaces;

/// Setting with the port of a server.
const fn setting(server: Server) -> &'static str {
    match server {
        Server::Postgres => "DATABASE_URL",
        Server::RabbitMq => "RABBITMQ_URL",
        Server::Garage => "S3_ENDPOINT",
        Server::Redis => "REDIS_URL",
        Server::Mail => "SMTP_PORT",
    }
}

/// A proxy between each process and each server.
pub(super) struct Network {
    links: Vec<Link>,
}

struct Link {
    member: Member,
    server: Server,
    proxy: Proxy,
    /// Value of the setting that leads through the proxy.
    value: String,
}

impl Network {
    pub(super) fn to(namespaces: &Namespaces) -> Self {
        let link = |member: Member, server: Server| {
            let direct = namespaces.setting(setting(server)).expect("it is set");
            let port = port(&direct);
            let proxy = Proxy::start(port.parse().expect("a port"));
            let value = direct.replace(port, &proxy.port().to_string());
            Link { member, server, proxy, value }
        };
        let links = Member::ALL
            .into_iter()
            .flat_map(|member| Server::ALL.map(|server| link(member, server)))
            .collect();
        Self { links }
    }

    /// Settings with which a process uses its proxies.
    pub(super) fn environment(&self, member: Member) -> Vec<(&str, &str)> {
        let links = self.links.iter().filter(|link| link.member == member);
        links.map(|link| (setting(link.server), link.value.as_str())).collect()
    }

    /// Links of one process, or of all, to a server.
    pub(super) fn links(
        &self,
        member: Option<Member>,
        server: Server,
    ) -> impl Iterator<Item = &Proxy> {
        self.links
            .iter()
            .filter(move |link| {
                link.server == server && member.is_none_or(|member| link.member == member)
            })
            .map(|link| &link.proxy)
    }
}

/// The port in a URL with an IP address, or the text itself if it is a port.
fn port(text: &str) -> &str {
    let after = text.rsplit(':').next().unwrap_or(text);
    after.split(|character: char| !character.is_ascii_digit()).next().unwrap_or(after)
}
