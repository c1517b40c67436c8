//! TLS in front of a service, with a certificate of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::programs::{output, tool};

/// A proxy that ends TLS. It runs in the runtime of the test that starts it.
pub struct TlsProxy {
    url: String,
    certificate: PathBuf,
    /// Ends with the proxy.
    _tasks: JoinSet<()>,
}

impl TlsProxy {
    /// Proxy of the service at `http://address:port`, whose certificate is in the directory.
    pub async fn of(service: &str, directory: &Path) -> Self {
        let address = service.strip_prefix("http://").expect("an HTTP service").to_owned();
        let (certificate, acceptor) = certificate(directory);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (address, acceptor) = (address.clone(), acceptor.clone());
                connections.spawn(async move {
                    // A client that distrusts the certificate closes the connection.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let Ok(mut server) = TcpStream::connect(&address).await else { return };
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { url: format!("https://localhost:{port}"), certificate, _tasks: tasks }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// File with its certificate.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }
}

/// Make a certificate for `localhost`.
fn certificate(directory: &Path) -> (PathBuf, TlsAcceptor) {
    let [key_file, file] = ["key.pem", "certificate.pem"].map(|file| directory.join(file));
    let mut openssl = tool("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=test", "-addext"])
        .args(["subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key_file)
        .arg("-out")
        .arg(&file);
    output(&mut openssl).expect("a certificate is made");
    let key = PrivateKeyDer::from_pem_file(key_file).expect("a key");
    let certificate = CertificateDer::from_pem_file(&file).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key");
    (file, TlsAcceptor::from(Arc::new(config)))
}
