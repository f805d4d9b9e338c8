//! A network that breaks: everything between mms and a machine goes through here, and after so many bytes, counted over all connections
//! and both directions, either every connection is cut or nothing comes through any longer.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    /// Bytes that came through since the last [`Proxy::heal`].
    passed: u64,
    /// How many may; no bound when there is none.
    bound: Option<u64>,
    /// Past the bound, swallow instead of cutting.
    silent: bool,
    open: Vec<TcpStream>,
}

impl State {
    fn broken(&self) -> bool {
        self.bound.is_some_and(|bound| self.passed >= bound)
    }

    fn cut(&mut self) {
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

pub struct Proxy {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// Leads to the SSH port of an address.
    pub fn to(address: &str) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let (shared, address) = (Arc::clone(&state), format!("{address}:22"));
        std::thread::spawn(move || {
            for near in server.incoming() {
                let near = near.unwrap();
                let mut state = shared.lock().unwrap();
                if state.broken() && !state.silent {
                    continue;
                }
                let Ok(far) = TcpStream::connect(&address) else { continue };
                for stream in [&near, &far] {
                    stream.set_nodelay(true).unwrap();
                    state.open.push(stream.try_clone().unwrap());
                }
                pass(near.try_clone().unwrap(), far.try_clone().unwrap(), Arc::clone(&shared));
                pass(far, near, Arc::clone(&shared));
            }
        });
        Self { port, state }
    }

    /// Breaks after so many bytes from now.
    pub fn break_after(&self, bytes: u64, silent: bool) {
        let mut state = self.state.lock().unwrap();
        (state.passed, state.bound, state.silent) = (0, Some(bytes), silent);
    }

    /// Everything comes through again; what was open is not. Gives how many bytes had come through.
    pub fn heal(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.cut();
        let passed = state.passed;
        (state.passed, state.bound) = (0, None);
        passed
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: Arc<Mutex<State>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 {
                break;
            }
            let mut state = shared.lock().unwrap();
            let left = state.bound.map_or(u64::MAX, |bound| bound.saturating_sub(state.passed));
            let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
            state.passed += count as u64;
            let (broken, silent) = (state.broken(), state.silent);
            drop(state);
            if count > 0 && to.write_all(&buffer[..count]).is_err() {
                break;
            }
            if broken && !silent {
                shared.lock().unwrap().cut();
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
