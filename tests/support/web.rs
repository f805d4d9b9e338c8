//! A web server that keeps what it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

/// A request that was made: path with query, and body.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub path: String,
    pub body: String,
}

pub struct Listener {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Listener {
    /// At a free port of this address.
    pub fn at(address: &str) -> Self {
        let server = TcpListener::bind((address, 0)).unwrap();
        let address = server.local_addr().unwrap();
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let kept = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let (mut path, mut length, mut line) = (String::new(), 0, String::new());
                while stream.read_line(&mut line).is_ok_and(|count| count > 2) {
                    if path.is_empty() {
                        path = line.split(' ').nth(1).unwrap().to_owned();
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                kept.lock().unwrap().push(Told { path, body: String::from_utf8(body).unwrap() });
                // Whoever asked may not wait for the answer.
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.get_mut().write_all(answer);
            }
        });
        Self { address, told }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What came since the last time.
    pub fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}
