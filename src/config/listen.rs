//! `[listen]`

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::{Table, Value};
use super::secrets;
use crate::tls::TlsIdentity;

/// `[listen]`
#[derive(Debug)]
pub struct ListenSettings {
    /// Where to listen.
    pub address: SocketAddr,
    /// How to prove who we are, if TLS ends here.
    pub tls: Option<TlsIdentity>,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a request's head may take.
    pub header_timeout: Duration,
}

pub(super) fn read_listen(table: &Table<'_>, header_timeout: Duration) -> Option<ListenSettings> {
    table.not_yet(&["admin"]);
    let address = table.require("address", "address = \"0.0.0.0:8080\"");
    let address =
        address.and_then(|address| address.parsed("write address and port, as in \"0.0.0.0:8080\""));
    let tls = table.get("tls").map(|tls| read_tls(&tls));
    let proxies = table
        .get("trusted_proxies")
        .map(|list| list.any_items().iter().map(network).collect::<Option<Vec<_>>>());
    Some(ListenSettings {
        address: address?,
        tls: tls.map_or(Some(None), |tls| tls.map(Some))?,
        trusted_proxies: proxies.unwrap_or_else(|| Some(Vec::new()))?,
        header_timeout,
    })
}

fn network(value: &Value<'_>) -> Option<IpNet> {
    let text = value.text()?;
    let address = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    let network = text.parse::<IpNet>().ok().or_else(address);
    if network.is_none() {
        value.problem(
            format!("`{text}` is no network"),
            "write an address with its prefix length, as in \"10.0.0.0/8\"",
        );
    }
    network
}

fn read_tls(value: &Value<'_>) -> Option<TlsIdentity> {
    let table = value.table("tls")?;
    let certificate = table.require("certificate_file", "certificate_file = \"tls/cert.pem\"");
    let certificate = certificate.and_then(|file| secrets::file(&file));
    let key =
        table.require("key_file", "key_file = \"tls/key.pem\"").and_then(|file| secrets::private_file(&file));
    table.finish();
    let identity = TlsIdentity::from_pem(&certificate?, &key?);
    let fix = "name a PEM file with the certificate and its chain, and one with its private key";
    identity.map_err(|error| value.problem(error.to_string(), fix)).ok()
}
