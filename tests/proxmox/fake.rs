//! An API of Proxmox VE as far as mms uses it, over real TLS. It refuses what the real one refuses: parameters that its schema does not
//! have, names of the wrong shape, bodies where none belong, tokens without the privilege.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub const TOKEN: &str = "mms@pve!migrate";
pub const SECRET: &str = "canary-6f1c-4e0b-9a55-d0c0ffee0001";

/// A guest and what is on its disks.
#[derive(Debug, Clone, Default)]
pub struct Guest {
    pub kind: &'static str,
    pub node: &'static str,
    pub status: &'static str,
    pub disk: String,
    pub snapshots: Vec<(String, String, String)>,
    /// `backup`, …
    pub lock: Option<&'static str>,
    /// Its storage cannot.
    pub no_snapshots: bool,
}

#[derive(Default)]
pub struct State {
    pub guests: BTreeMap<u32, Guest>,
    /// What the token may do, everywhere.
    pub privileges: BTreeSet<&'static str>,
    /// Answers that come before anything else: status, body.
    pub first: VecDeque<(u16, String)>,
    /// So many tasks end with this.
    pub bad_ends: VecDeque<String>,
    /// How often a task is looked at before it has ended.
    pub polls: u32,
    /// So many connections are cut after the request was read, once `upid` was asked for.
    pub cut: u32,
    pub requests: Vec<String>,
    tasks: BTreeMap<String, Task>,
}

struct Task {
    node: String,
    polls: u32,
    end: String,
    /// Guest, what it does to it.
    work: Option<(u32, Work)>,
}

enum Work {
    Make { name: String, description: String },
    Rollback { name: String, start: bool },
    Remove { name: String },
}

pub struct Fake {
    pub port: u16,
    pub state: Arc<Mutex<State>>,
    /// SHA-256 of the certificate, without colons, in small letters.
    pub fingerprint: String,
    /// The authority that signed it, in PEM form.
    pub authority: String,
}

/// The error of the API: status and message.
type Refusal = (u16, String);

impl Fake {
    /// An API that is called by these names.
    pub async fn start(names: &[&str]) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "PVE Cluster Manager CA");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let fingerprint = Sha256::digest(leaf.der()).iter().map(|byte| format!("{byte:02x}")).collect();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(leaf.der().to_vec())],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            privileges: ["VM.Audit", "VM.Snapshot", "VM.Snapshot.Rollback"].into(),
            polls: 2,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &state).await;
                    }
                });
            }
        });
        Self { port, state, fingerprint, authority: authority.as_ref().pem() }
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    pub fn guest(&self, vmid: u32) -> Guest {
        self.state.lock().unwrap().guests[&vmid].clone()
    }
}

async fn serve(mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>, state: &Mutex<State>) {
    let mut bytes = vec![];
    let (head, mut body) = loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes[end + 4..].to_vec());
        }
    };
    let length = header(&head, "content-length").map_or(0, |text| text.parse::<usize>().unwrap());
    while body.len() < length {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => body.extend_from_slice(&buffer[..count]),
        }
    }
    let answer = {
        let mut state = state.lock().unwrap();
        let line = head.lines().next().unwrap_or_default().to_owned();
        if state.cut > 0 && line.contains("/tasks/") {
            state.cut -= 1;
            return;
        }
        state.requests.push(format!("{line} {}", String::from_utf8_lossy(&body)));
        state.answer(&head, &body)
    };
    let (status, body) = match answer {
        Ok(data) => (200, json!({ "data": data }).to_string()),
        // Older versions say it only in the status line; odd ones have an empty body as well.
        Err((401, _)) => (401, String::new()),
        Err((status, message)) => (status, json!({ "data": null, "message": format!("{message}\n") }).to_string()),
    };
    let text = format!(
        "HTTP/1.1 {status} no good\r\ncontent-length: {}\r\ncontent-type: application/json\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// `format: pve-configid`.
fn is_configid(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

impl State {
    fn answer(&mut self, head: &str, body: &[u8]) -> Result<Json, Refusal> {
        if let Some((status, message)) = self.first.pop_front() {
            return Err((status, message));
        }
        let mut line = head.lines().next().unwrap_or_default().split(' ');
        let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(path) = path.strip_prefix("/api2/json") else { return Err((501, "no such path".to_owned())) };
        if header(head, "authorization") != Some(&format!("PVEAPIToken={TOKEN}={SECRET}")) {
            return Err((401, "Authentication failed!".to_owned()));
        }
        if header(head, "transfer-encoding").is_some() {
            return Err((501, "chunked transfer encoding not supported".to_owned()));
        }
        if method != "POST" && !body.is_empty() {
            return Err((501, format!("Unexpected content for method '{method}'")));
        }
        let mut parameters: BTreeMap<String, Json> = BTreeMap::new();
        if !body.is_empty() {
            if header(head, "content-type") != Some("application/json") {
                return Err((400, "unknown content type".to_owned()));
            }
            parameters = serde_json::from_slice(body).unwrap();
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            parameters.insert(name.to_owned(), json!(value));
        }
        let parts: Vec<String> = path.split('/').skip(1).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (method, &parts[..]) {
            ("GET", ["cluster", "resources"]) => {
                only(&parameters, &["type"])?;
                assert_eq!(parameters.get("type"), Some(&json!("vm")));
                Ok(self.resources())
            }
            ("GET", ["nodes", node, "tasks", upid, "status"]) => {
                only(&parameters, &[])?;
                self.poll(node, upid)
            }
            (_, ["nodes", node, kind @ ("qemu" | "lxc"), vmid, rest @ ..]) => {
                let vmid = vmid.parse().map_err(|_| (400, "Parameter verification failed.".to_owned()))?;
                self.of_guest(method, node, kind, vmid, rest, &parameters)
            }
            _ => Err((501, format!("Method '{method} {path}' not implemented"))),
        }
    }

    fn resources(&self) -> Json {
        let audit = self.privileges.contains("VM.Audit");
        let shown = self.guests.iter().filter(|_| audit).map(|(vmid, guest)| {
            json!({
                "id": format!("{}/{vmid}", guest.kind), "type": guest.kind, "vmid": vmid, "node": guest.node,
                "status": guest.status, "name": format!("guest-{vmid}"), "template": 0, "maxcpu": 2, "uptime": 5
            })
        });
        shown.collect()
    }

    fn of_guest(
        &mut self,
        method: &str,
        node: &str,
        kind: &str,
        vmid: u32,
        rest: &[&str],
        parameters: &BTreeMap<String, Json>,
    ) -> Result<Json, Refusal> {
        let may = |state: &Self, any: &[&'static str]| {
            if any.iter().any(|name| state.privileges.contains(name)) {
                return Ok(());
            }
            Err((403, format!("Permission check failed (/vms/{vmid}, {})", any.join("|"))))
        };
        let found = self.guests.get(&vmid).filter(|guest| guest.node == node && guest.kind == kind);
        let missing = || (500, format!("Configuration file 'nodes/{node}/{kind}/{vmid}.conf' does not exist"));
        match (method, rest) {
            ("GET", ["snapshot"]) => {
                only(parameters, &[])?;
                may(self, &["VM.Audit"])?;
                let guest = found.ok_or_else(missing)?;
                let mut list: Vec<Json> = guest
                    .snapshots
                    .iter()
                    .enumerate()
                    .map(|(index, (name, description, _))| {
                        json!({ "name": name, "description": format!("{description}\n"), "snaptime": 1000 - index, "parent": "x" })
                    })
                    .collect();
                list.push(json!({ "name": "current", "description": "You are here!", "digest": "0", "running": 1 }));
                Ok(json!(list))
            }
            ("POST", ["snapshot"]) => {
                let known: &[&str] =
                    if kind == "qemu" { &["snapname", "description", "vmstate"] } else { &["snapname", "description"] };
                only(parameters, known)?;
                may(self, &["VM.Snapshot"])?;
                let name = name(parameters.get("snapname"))?;
                let guest = found.ok_or_else(missing)?;
                if let Some(lock) = guest.lock {
                    return Err((500, format!("{} is locked ({lock})", if kind == "qemu" { "VM" } else { "CT" })));
                }
                let used = guest.snapshots.iter().any(|(other, ..)| *other == name);
                let end = match () {
                    () if guest.no_snapshots => Some("snapshot feature is not available".to_owned()),
                    () if used => Some(format!("snapshot name '{name}' already used")),
                    () => None,
                };
                let description = text(parameters.get("description"))?;
                Ok(self.task(node, vmid, end, Work::Make { name, description }))
            }
            ("POST", ["snapshot", snapshot, "rollback"]) => {
                only(parameters, &["start"])?;
                may(self, &["VM.Snapshot", "VM.Snapshot.Rollback"])?;
                let start = match parameters.get("start") {
                    None => false,
                    Some(value) if *value == json!(1) || *value == json!(true) => true,
                    Some(value) if *value == json!(0) || *value == json!(false) => false,
                    Some(_) => return Err((400, "Parameter verification failed.".to_owned())),
                };
                let end = existing(found.ok_or_else(missing)?, snapshot);
                Ok(self.task(node, vmid, end, Work::Rollback { name: (*snapshot).to_owned(), start }))
            }
            ("DELETE", ["snapshot", snapshot]) => {
                only(parameters, &["force"])?;
                may(self, &["VM.Snapshot"])?;
                let end = existing(found.ok_or_else(missing)?, snapshot);
                Ok(self.task(node, vmid, end, Work::Remove { name: (*snapshot).to_owned() }))
            }
            _ => Err((501, format!("Method '{method}' not implemented for {rest:?}"))),
        }
    }

    fn task(&mut self, node: &str, vmid: u32, end: Option<String>, work: Work) -> Json {
        let bad = self.bad_ends.pop_front();
        let upid = format!("UPID:{node}:0003A1B2:{:08X}:5E0F9E57:work:{vmid}:{TOKEN}:", self.tasks.len());
        let end = end.or(bad).unwrap_or_else(|| "OK".to_owned());
        let done = end == "OK" || end.starts_with("WARNINGS: ");
        let work = done.then_some((vmid, work));
        self.tasks.insert(upid.clone(), Task { node: node.to_owned(), polls: self.polls, end, work });
        json!(upid)
    }

    fn poll(&mut self, node: &str, upid: &str) -> Result<Json, Refusal> {
        let task = self.tasks.get_mut(upid).filter(|task| task.node == node);
        let task = task.ok_or_else(|| (500, "no such task".to_owned()))?;
        let pid = 238_002;
        if task.polls > 0 {
            task.polls -= 1;
            return Ok(json!({ "status": "running", "upid": upid, "node": node, "pid": pid, "type": "work" }));
        }
        let end = task.end.clone();
        if let Some((vmid, work)) = task.work.take() {
            let guest = self.guests.get_mut(&vmid).unwrap();
            match work {
                Work::Make { name, description } => guest.snapshots.push((name, description, guest.disk.clone())),
                Work::Rollback { name, start } => {
                    let (.., disk) = guest.snapshots.iter().find(|(other, ..)| *other == name).unwrap();
                    guest.disk = disk.clone();
                    guest.status = if start { "running" } else { "stopped" };
                }
                Work::Remove { name } => guest.snapshots.retain(|(other, ..)| *other != name),
            }
        }
        Ok(json!({ "status": "stopped", "exitstatus": end, "upid": upid, "node": node, "pid": pid, "type": "work" }))
    }
}

/// The schema allows no others.
fn only(parameters: &BTreeMap<String, Json>, known: &[&str]) -> Result<(), Refusal> {
    match parameters.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err((400, format!("Parameter verification failed. {name}: property is not defined in schema"))),
        None => Ok(()),
    }
}

fn text(value: Option<&Json>) -> Result<String, Refusal> {
    match value {
        None => Ok(String::new()),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(_) => Err((400, "Parameter verification failed. type check ('string') failed".to_owned())),
    }
}

fn name(value: Option<&Json>) -> Result<String, Refusal> {
    let name = text(value)?;
    if is_configid(&name) && name.len() <= 40 && name != "current" {
        Ok(name)
    } else {
        Err((400, "Parameter verification failed. snapname: invalid format".to_owned()))
    }
}

fn existing(guest: &Guest, name: &str) -> Option<String> {
    let there = guest.snapshots.iter().any(|(other, ..)| other == name);
    (!there).then(|| format!("snapshot '{name}' does not exist"))
}

fn decode(part: &str) -> String {
    let mut bytes = vec![];
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
