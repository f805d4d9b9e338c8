//! `get_url` and `uri` against a server in this process, by every shell of this machine.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use super::{get_url, uri};
use crate::modules::commands::harness;
use crate::modules::{ActionModule, Failure, Outcome, Spec};
use crate::value::{from_fields, to_json};

/// A server that remembers what it was asked.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(vec![]));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let request = answer(stream.unwrap());
                seen.lock().unwrap().push(request);
            }
        });
        Self { url, requests }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream) -> String {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request).unwrap() > 0 {}
    let length =
        request.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request.push_str(&String::from_utf8_lossy(&body));
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, headers, body) = match path {
        "/json" => (
            "200 OK",
            "Content-Type: application/problem+json\r\nX-Two-Words: a\r\nX-Two-Words: b\r\n",
            "{\"a\": [1, null]}",
        ),
        "/old" => ("302 Found", "Location: /new.txt?x=1\r\nSet-Cookie: c=1; Path=/\r\n", ""),
        "/same" if request.contains("If-Modified-Since: ") => ("304 Not Modified", "", ""),
        "/secret" if !request.contains("Authorization: Basic bWU6aHVudGVyMg==") => {
            ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", "no")
        }
        "/sums" => {
            ("200 OK", "", "0000  other\n3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7  data.txt\n")
        }
        "/data.txt" => ("200 OK", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "data"),
        "/nothing" => ("404 Not There", "", "nope"),
        _ => ("200 OK", "Content-Type: text/plain; charset=utf-8\r\n", "hello"),
    };
    let head = request.starts_with("HEAD");
    let length = body.len();
    let body = if head || status.starts_with("304") { "" } else { body };
    write!(stream, "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .unwrap();
    request
}

fn act(
    shell: &[&str],
    spec: &Spec,
    module: &dyn ActionModule,
    args: Json,
    check: bool,
) -> Result<(bool, Json), Failure> {
    let outcome = harness::act(shell, module, &harness::args(spec, args), check)?;
    Ok(match outcome {
        Outcome::Ok(fields) => (false, to_json(&from_fields(&fields))),
        Outcome::Changed(fields) => (true, to_json(&from_fields(&fields))),
        other => panic!("{other:?}"),
    })
}

fn leftovers(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn uri_has_ansibles_fields() {
    let server = Server::start();
    for shell in harness::shells() {
        let uri = |args| act(shell, &uri::SPEC, &uri::Uri, args, false);
        let (changed, got) = uri(json!({"url": format!("{}/json", server.url)})).unwrap();
        assert!(!changed);
        assert_eq!(got["json"], json!({"a": [1, null]}));
        assert_eq!((&got["x_two_words"], &got["content_length"]), (&json!("a, b"), &json!("16")));
        assert_eq!(
            (&got["msg"], &got["status"], &got["redirected"]),
            (&json!("OK (16 bytes)"), &json!(200), &json!(false))
        );
        assert_eq!(got.get("content"), None);
        let (_, got) = uri(json!({"url": format!("{}/old", server.url), "return_content": true})).unwrap();
        assert_eq!(got["url"], format!("{}/new.txt?x=1", server.url));
        assert_eq!((&got["redirected"], &got["content"]), (&json!(true), &json!("hello")));
        assert_eq!((&got["cookies"], &got["cookies_string"]), (&json!({"c": "1"}), &json!("c=1")));
        let moved =
            json!({"url": format!("{}/old", server.url), "follow_redirects": "none", "status_code": [302, "200"]});
        let (_, got) = uri(moved).unwrap();
        assert_eq!((&got["status"], &got["msg"]), (&json!(302), &json!("HTTP Error 302: Found")));
        assert_eq!(got["location"], format!("{}/new.txt?x=1", server.url));
        let failure = uri(json!({"url": format!("{}/nothing", server.url), "return_content": true})).unwrap_err();
        assert_eq!(failure.msg, "Status code was 404 and not [200]: HTTP Error 404: Not There");
        assert_eq!(to_json(&failure.fields["content"]), "nope");
    }
}

#[test]
fn uri_sends_what_is_asked() {
    let server = Server::start();
    let shell = &["/bin/sh"];
    let send = |args| {
        act(shell, &uri::SPEC, &uri::Uri, args, false).unwrap();
        server.take().pop().unwrap()
    };
    let url = format!("{}/x", server.url);
    let post = send(
        json!({"url": url, "method": "post", "body_format": "json", "body": {"a": "it's \"ü\"\n"}, "headers": {"X-A": "b c"}}),
    );
    assert!(post.starts_with("POST /x HTTP/1.1\r\n"), "{post}");
    assert!(post.contains("Content-Type: application/json\r\n") && post.contains("X-A: b c\r\n"), "{post}");
    assert!(post.ends_with("\r\n\r\n{\"a\": \"it's \\\"\\u00fc\\\"\\n\"}"), "{post}");
    assert!(!post.contains("Accept: ") && post.contains("User-Agent: ansible-httpget\r\n"), "{post}");
    let put =
        send(json!({"url": url, "method": "PUT", "body_format": "form-urlencoded", "body": [["a", 1], ["b", "x y"]]}));
    assert!(put.starts_with("PUT ") && put.ends_with("a=1&b=x+y"), "{put}");
    let delete = send(json!({"url": url, "method": "DELETE"}));
    assert!(delete.starts_with("DELETE ") && !delete.contains("Content-"), "{delete}");
    let empty = send(json!({"url": url, "method": "POST"}));
    assert!(empty.contains("Content-Length: 0\r\n") && !empty.contains("Content-Type"), "{empty}");
    let form = json!({"url": url, "method": "POST", "body_format": "form-multipart", "body": {"t": "v", "f": {"content": "c", "filename": "d/e.txt", "mime_type": "text/css"}}});
    let form = send(form);
    let file =
        "Content-Type: text/css\r\nContent-Disposition: form-data; name=\"f\"; filename=\"e.txt\"\r\n\r\nc\r\n--";
    assert!(form.contains(file) && form.contains("name=\"t\"\r\n\r\nv\r\n"), "{form}");
}

#[test]
fn passwords_are_sent_when_asked_or_when_told_to() {
    let server = Server::start();
    let mut args = json!({"url": format!("{}/secret", server.url), "url_username": "me", "url_password": "hunter2"});
    act(&["/bin/sh"], &uri::SPEC, &uri::Uri, args.clone(), false).unwrap();
    assert_eq!(server.take().len(), 2, "the server is asked what it wants first");
    args["force_basic_auth"] = json!(true);
    act(&["/bin/sh"], &uri::SPEC, &uri::Uri, args, false).unwrap();
    assert_eq!(server.take().len(), 1);
}

#[test]
fn get_url_downloads_only_what_differs() {
    let server = Server::start();
    for shell in harness::shells() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data.txt");
        let url = format!("{}/data.txt", server.url);
        let get = |args, check| act(shell, &get_url::SPEC, &get_url::GetUrl, args, check);
        let into_dir = json!({"url": url, "dest": dir.path(), "mode": "0640"});
        let (changed, got) = get(into_dir.clone(), true).unwrap();
        assert!(changed && !file.exists());
        assert_eq!(got["dest"], json!(file));
        let (changed, got) = get(into_dir.clone(), false).unwrap();
        assert!(changed);
        assert_eq!((&got["mode"], &got["size"], &got["status_code"]), (&json!("0640"), &json!(4), &json!(200)));
        assert_eq!(got["md5sum"], "8d777f385d3dfec8815d20f7496026dc");
        let (changed, got) = get(into_dir, false).unwrap();
        assert!(!changed, "{got}");
        let (changed, got) = get(json!({"url": format!("{}/same", server.url), "dest": file}), false).unwrap();
        assert_eq!(
            (changed, &got["msg"], &got["status_code"]),
            (false, &json!("HTTP Error 304: Not Modified"), &json!(304))
        );
        let listed =
            json!({"url": url, "dest": file, "checksum": format!("sha256:{}/sums", server.url), "mode": "0600"});
        server.take();
        let (changed, got) = get(listed, false).unwrap();
        assert_eq!((changed, &got["msg"]), (true, &json!("file already exists but file attributes changed")));
        assert_eq!(server.take().len(), 1, "the list of checksums is enough");
        std::fs::write(&file, "mine").unwrap();
        let wrong = json!({"url": url, "dest": file, "checksum": "md5:0", "backup": true});
        let failure = get(wrong, false).unwrap_err();
        assert!(failure.msg.contains("did not match 0; it was 8d777f38"), "{}", failure.msg);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        let (_, got) = get(json!({"url": url, "dest": file, "force": true, "backup": true}), false).unwrap();
        assert_eq!(std::fs::read_to_string(got["backup_file"].as_str().unwrap()).unwrap(), "mine");
        assert_eq!(leftovers(dir.path()), Vec::<String>::new());
        let failure = get(json!({"url": url, "dest": dir.path().join("no/where")}), false).unwrap_err();
        assert!(failure.missing && failure.msg.ends_with("/no does not exist"), "{}", failure.msg);
    }
}
