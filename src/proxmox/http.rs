//! One request of the API, over a connection of its own: there are few, and seconds apart.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::settings::Settings;
use super::tls::Connector;
use super::trouble::Trouble;
use crate::error::{Error, ErrorKind, Result};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(15);

/// How long an answer may take: a node that is asked through another one gets half a minute from it.
const ANSWER: Duration = Duration::from_secs(60);

/// More than the list of all guests of a large cluster.
const LARGEST: usize = 32 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Delete,
}

/// The API with the token.
#[derive(Debug)]
pub(super) struct Api {
    host: String,
    port: u16,
    token: String,
    secret: SecretString,
    tls: Connector,
}

impl Api {
    pub(super) fn new(settings: Settings) -> Result<Self> {
        let Settings { host, port, token, secret, trust, .. } = settings;
        Ok(Self { tls: Connector::new(&host, trust)?, host, port, token, secret })
    }

    /// `the Proxmox API at pve:8006`.
    pub(super) fn name(&self) -> String {
        format!("the Proxmox API at {}", self.authority())
    }

    /// `user@realm!token`.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Reads something.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let data = self.send(Method::Get, path, None).await.map_err(|trouble| trouble.explain(self, None))?;
        serde_json::from_value(data).map_err(|error| {
            Error::new(ErrorKind::Failed, format!("{} gives an answer to `{path}` that is none: {error}", self.name()))
        })
    }

    /// Sends a request, and gives what stands under `data` in the answer.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Json, Trouble> {
        let unreachable = |why: String| {
            let error = Error::new(ErrorKind::Unreachable, format!("{} cannot be reached: {why}", self.name()));
            Trouble::Unreachable(error.hint("look at `proxmox_api_host` and `proxmox_api_port`"))
        };
        let tcp = timeout(CONNECT, TcpStream::connect((self.host.as_str(), self.port))).await;
        let tcp = tcp.map_err(|_| unreachable(format!("no answer in {} s", CONNECT.as_secs())))?;
        let tcp = tcp.map_err(|error| unreachable(bare(&error)))?;
        let tls = timeout(CONNECT, self.tls.connect(tcp, &self.name())).await;
        let tls = tls.map_err(|_| unreachable(format!("no answer in {} s", CONNECT.as_secs())))?;
        let tls = tls.map_err(Trouble::Refused)?;
        let request = self.request(method, path, body)?;
        let lost = |why: String| {
            Trouble::Lost(Error::new(
                ErrorKind::Unreachable,
                format!("the connection to {} was lost: {why}", self.name()),
            ))
        };
        let exchange = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
            let driver = tokio::spawn(connection);
            let answer = sender.send_request(request).await;
            let answer = match answer {
                Ok(answer) => Ok(read(answer).await),
                Err(error) => Err(error),
            };
            drop(sender);
            driver.abort();
            answer
        };
        let answer = timeout(ANSWER, exchange).await;
        let answer = answer.map_err(|_| lost(format!("no answer in {} s", ANSWER.as_secs())))?;
        let answer = answer.map_err(|error| lost(error.to_string()))?.map_err(lost)?;
        answer.data()
    }

    fn request(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Request<Full<Bytes>>, Trouble> {
        let broken =
            |what: &str| Trouble::Refused(Error::internal(format!("a request to Proxmox cannot be made: {what}")));
        let authorization = format!("PVEAPIToken={}={}", self.token, self.secret.expose_secret());
        // The value is not shown, even if it is none.
        let mut authorization = HeaderValue::try_from(authorization).map_err(|_| broken("the token"))?;
        authorization.set_sensitive(true);
        let name = match method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        };
        let request = Request::builder()
            .method(name)
            .uri(format!("/api2/json{path}"))
            .header(HOST, self.authority())
            .header(AUTHORIZATION, authorization);
        let (request, body) = match body {
            Some(body) => (request.header(CONTENT_TYPE, "application/json"), body.to_string()),
            None => (request, String::new()),
        };
        request.body(Full::new(Bytes::from(body))).map_err(|_| broken("the path"))
    }
}

/// An answer.
struct Answer {
    status: u16,
    reason: String,
    body: Vec<u8>,
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answer, String> {
    let status = response.status();
    // The API says what went wrong in the status line; older versions only there.
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
    let reason = reason.or_else(|| status.canonical_reason().map(str::to_owned)).unwrap_or_default();
    let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| error.to_string())?;
    Ok(Answer { status: status.as_u16(), reason, body: body.to_bytes().to_vec() })
}

impl Answer {
    fn data(self) -> Result<Json, Trouble> {
        let body: Option<Json> = serde_json::from_slice(&self.body).ok();
        let of = |name: &str| body.as_ref().and_then(|body| body.get(name)).cloned();
        if (200..300).contains(&self.status) {
            return match body {
                Some(Json::Object(mut body)) => Ok(body.remove("data").unwrap_or_default()),
                _ => Err(Trouble::Answer { status: self.status, message: "the answer is not JSON".to_owned() }),
            };
        }
        let told = of("message").and_then(|message| message.as_str().map(str::to_owned));
        let mut message = told.unwrap_or(self.reason).trim().to_owned();
        if let Some(Json::Object(errors)) = of("errors") {
            for (name, why) in errors {
                let why = why.as_str().map_or_else(|| why.to_string(), str::to_owned);
                message.push_str(&format!(" {name}: {}", why.trim()));
            }
        }
        Err(Trouble::Answer { status: self.status, message })
    }
}

/// What the system says, without the number of the error.
fn bare(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or(&text).to_lowercase()
}

/// A part of a path, with everything but letters, digits, `-`, `.` and `_` escaped.
pub(super) fn escape(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths() {
        assert_eq!(escape("pve-1.lan"), "pve-1.lan");
        assert_eq!(escape("UPID:pve:1:x@pve!t:"), "UPID%3Apve%3A1%3Ax%40pve%21t%3A");
        assert_eq!(escape("a/../ü"), "a%2F..%2F%C3%BC");
    }
}
