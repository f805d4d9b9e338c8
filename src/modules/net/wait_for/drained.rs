//! Counting the connections to a port by the kernel's own table.

use std::net::IpAddr;

use crate::connection::Frame;
use crate::modules::{Args, Failure, Host};
use crate::sh;

/// The states that count unless others are named.
const ACTIVE: [&str; 6] = ["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "SYN_RECV", "SYN_SENT", "TIME_WAIT"];

/// How many connections to the port are in a state that counts.
pub(super) async fn count(args: &Args, host: &dyn Host, port: Option<i64>) -> Result<usize, Failure> {
    let named = args.strings("active_connection_states");
    let named: Vec<&str> = if named.is_empty() { ACTIVE.to_vec() } else { named.iter().map(String::as_str).collect() };
    let mut states = vec![];
    for name in named {
        // Numbers of include/net/tcp_states.h.
        let number = match name {
            "ESTABLISHED" => "01",
            "SYN_SENT" => "02",
            "SYN_RECV" => "03",
            "FIN_WAIT1" => "04",
            "FIN_WAIT2" => "05",
            "TIME_WAIT" => "06",
            _ => {
                let msg = format!("unknown active_connection_state ({name}) defined");
                return Err(Failure::new(msg).field("elapsed", 0));
            }
        };
        states.push(number);
    }
    let mut script = String::new();
    let excluded = args.strings("exclude_hosts");
    for (key, name) in
        std::iter::once(("local", args.text("host"))).chain(excluded.iter().map(|name| ("exclude", name.as_str())))
    {
        if name.parse::<IpAddr>().is_ok() {
            script.push_str(&format!("echo {key} {name}\n"));
        } else {
            let name = sh::quote(name);
            script.push_str(&format!("getent ahosts {name} | while read -r a _; do echo {key} \"$a\"; done\n"));
        }
    }
    script.push_str("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null\n:\n");
    let answer = host.probe(Frame::new(script)).await?;
    Ok(active(&answer.stdout_text(), port.unwrap_or(0), &states))
}

/// Counts in the lines `local ADDRESS`, `exclude ADDRESS` and those of `/proc/net/tcp`.
fn active(text: &str, port: i64, states: &[&str]) -> usize {
    let (mut local, mut excluded) = (vec![], vec![]);
    let mut count = 0;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["local", address] => local.extend(address.parse::<IpAddr>().ok()),
            ["exclude", address] => excluded.extend(address.parse::<IpAddr>().ok()),
            [_, here, there, state, ..] if states.contains(&state) => {
                let (Some((here, number)), Some((there, _))) = (address(here), address(there)) else { continue };
                let listens = local.iter().any(|ip| ip.is_unspecified() || canonical(*ip) == here);
                if i64::from(number) == port && listens && !excluded.iter().any(|ip| canonical(*ip) == there) {
                    count += 1;
                }
            }
            _ => {}
        }
    }
    count
}

/// An address of `/proc/net/tcp`: words of four bytes in the machine's order (every target is little-endian), and the port.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (hex, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = vec![];
    for at in (0..hex.len()).step_by(8) {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_le_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some((canonical(ip), port))
}

/// An IPv4 address that is written as IPv6 is the IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st\n   \
        0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n   \
        1: 0100007F:1F90 0200007F:C350 01 00000000:00000000\n   \
        2: 0100007F:0050 0200007F:C350 01 00000000:00000000\n   \
        3: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000300007F:C350 06 0\n";

    #[test]
    fn counts_connections_and_no_listeners() {
        let states = ["01", "06"];
        assert_eq!(active(&format!("local 127.0.0.1\n{TABLE}"), 8080, &states), 2);
        assert_eq!(active(&format!("local 0.0.0.0\n{TABLE}"), 8080, &["01"]), 1);
        assert_eq!(active(&format!("local 10.0.0.1\n{TABLE}"), 8080, &states), 0);
        assert_eq!(active(&format!("local 127.0.0.1\nexclude 127.0.0.3\n{TABLE}"), 8080, &states), 1);
    }
}
