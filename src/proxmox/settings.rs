//! How the API is reached: variables with the names that the modules of community.proxmox have for the same things, and its environment
//! variables behind them.

use std::path::PathBuf;

use secrecy::SecretString;

use super::tls::{Fingerprint, Trust};
use crate::env_vars::{self, EnvVar};
use crate::error::{Error, Result};
use crate::secret::Redactor;
use crate::value::{Value, unknown_inside};

const PORT: u16 = 8006;

/// Where the API is, who asks, and whom to trust.
#[derive(Debug)]
pub(super) struct Settings {
    /// Name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// `user@realm!token`.
    pub token: String,
    pub secret: SecretString,
    pub trust: Trust,
    pub vmid: Option<u32>,
    pub node: Option<String>,
}

/// Looks a variable up.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Result<Option<Value>>;

impl Settings {
    /// `None` when there is no host.
    pub(super) fn read(
        variable: Lookup<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
        redactor: &Redactor,
    ) -> Result<Option<Self>> {
        let read = |name: &str| text(variable, name);
        let or = |name: &str, env: EnvVar| Ok::<_, Error>(read(name)?.or_else(|| environment(env.name)));
        // First of all, so that no error below can show it.
        let secret = or("proxmox_api_token_secret", env_vars::PROXMOX_TOKEN_SECRET)?;
        if let Some(secret) = &secret {
            redactor.add(secret);
        }
        let Some(host) = or("proxmox_api_host", env_vars::PROXMOX_HOST)? else { return Ok(None) };
        let port = or("proxmox_api_port", env_vars::PROXMOX_PORT)?;
        let (host, port) = address(&host, port.as_deref())?;
        let user = or("proxmox_api_user", env_vars::PROXMOX_USER)?;
        let id = or("proxmox_api_token_id", env_vars::PROXMOX_TOKEN_ID)?;
        let token = token(user.as_deref(), id.as_deref())?;
        let Some(secret) = secret else {
            let error = Error::user("`proxmox_api_token_secret` is missing");
            return Err(error.hint(
                "keep it in the vault; passwords are not used: a token can be given fewer rights, and taken away",
            ));
        };
        if secret.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Error::user(
                "`proxmox_api_token_secret` is not the secret of a token: there is white space in it",
            ));
        }
        let fingerprint = or("proxmox_fingerprint", env_vars::PROXMOX_FINGERPRINT)?;
        let ca = or("proxmox_ca_path", env_vars::PROXMOX_CA_PATH)?;
        let validate = or("proxmox_validate_certs", env_vars::PROXMOX_VALIDATE_CERTS)?;
        let trust = match (fingerprint, ca) {
            (Some(_), Some(_)) => {
                return Err(Error::user("`proxmox_fingerprint` and `proxmox_ca_path` exclude each other"));
            }
            (Some(text), None) => Trust::Leaf(text.parse::<Fingerprint>().map_err(Error::user)?),
            (None, Some(path)) => Trust::Authority(home(&path)),
            (None, None) if boolean(validate.as_deref(), "proxmox_validate_certs")? => Trust::System,
            (None, None) => Trust::Anybody,
        };
        let vmid = match read("proxmox_vmid")? {
            None => None,
            Some(text) => match text.parse::<u32>() {
                Ok(vmid) if (100..=999_999_999).contains(&vmid) => Some(vmid),
                _ => {
                    return Err(Error::user(format!("`proxmox_vmid` is `{text}`, which is not the number of a guest")));
                }
            },
        };
        let node = read("proxmox_node")?;
        Ok(Some(Self { host, port, token, secret: secret.into(), trust, vmid, node }))
    }
}

/// A variable as text; nothing when it is empty.
fn text(variable: Lookup<'_>, name: &str) -> Result<Option<String>> {
    let Some(value) = variable(name)?.filter(|value| !value.is_none() && !value.is_undefined()) else {
        return Ok(None);
    };
    if let Some(why) = unknown_inside(&value) {
        return Err(Error::user(format!("`{name}` is not known yet: {why}")));
    }
    Ok(Some(value.to_string().trim().to_owned()).filter(|text| !text.is_empty()))
}

fn boolean(text: Option<&str>, name: &str) -> Result<bool> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("true" | "yes" | "on" | "y" | "t" | "1" | "1.0") => Ok(true),
        Some("false" | "no" | "off" | "n" | "f" | "0" | "0.0") => Ok(false),
        Some(other) => Err(Error::user(format!("`{name}` is `{other}`, which is neither true nor false"))),
    }
}

/// Host and port of `pve`, `pve:8006`, `https://pve:8006/`, `[2001:db8::1]:8006`, `2001:db8::1`.
fn address(host: &str, port: Option<&str>) -> Result<(String, u16)> {
    let wrong = || {
        let error = Error::user(format!("`{host}` is not the name or address of a Proxmox host"));
        error.hint("write for example `proxmox_api_host: pve.example.org`")
    };
    if host.starts_with("http://") {
        return Err(Error::user("`proxmox_api_host` asks for plain HTTP, which Proxmox does not speak")
            .hint("leave `http://` out"));
    }
    let bare = host.strip_prefix("https://").unwrap_or(host).trim_end_matches('/');
    let (name, inline) = match bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
        None if bare.matches(':').count() > 1 => (bare, None),
        None => match bare.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (bare, None),
        },
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(wrong());
    }
    let port = match inline.or(port) {
        None => PORT,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port != 0 => port,
            _ => return Err(Error::user(format!("`{text}` is not a port"))),
        },
    };
    Ok((name.to_owned(), port))
}

/// `user@realm!token`, of a user and the name of a token, or of one of them that has it all.
fn token(user: Option<&str>, id: Option<&str>) -> Result<String> {
    let whole = match (user, id) {
        (_, Some(id)) if id.contains('!') => id.to_owned(),
        (Some(user), Some(id)) if !user.contains('!') => format!("{user}!{id}"),
        (Some(user), Some(id)) if user.ends_with(&format!("!{id}")) => user.to_owned(),
        (Some(user), None) if user.contains('!') => user.to_owned(),
        (Some(_), Some(_)) => {
            return Err(Error::user("`proxmox_api_user` and `proxmox_api_token_id` name two different tokens"));
        }
        (Some(_), None) => return Err(Error::user("`proxmox_api_token_id` is missing")),
        (None, _) => return Err(Error::user("`proxmox_api_user` is missing").hint("write for example `mms@pve`")),
    };
    let parts = whole.split_once('!').and_then(|(user, id)| Some((user.split_once('@')?, id)));
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"!@=:/".contains(c));
    match parts {
        Some(((name, realm), id)) if plain(name) && plain(realm) && plain(id) => Ok(whole),
        _ => Err(Error::user(format!("`{whole}` is not a token of Proxmox"))
            .hint("it is written `user@realm!token`, for example `mms@pve!migrate`")),
    }
}

/// `~/` is the home of the person.
fn home(path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => etcetera::home_dir().map_or_else(|_| PathBuf::from(path), |home| home.join(rest)),
        None => PathBuf::from(path),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(variables: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Option<Settings>> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let environment: BTreeMap<_, _> = environment.iter().copied().collect();
        Settings::read(
            &|name| Ok(variables.get(name).map(|value| Value::from(*value))),
            &|name| environment.get(name).map(|value| (*value).to_owned()),
            &Redactor::default(),
        )
    }

    const WHOLE: [(&str, &str); 3] =
        [("proxmox_api_host", "pve"), ("proxmox_api_user", "mms@pve!x"), ("proxmox_api_token_secret", "s3cr3t-uuid")];

    fn with(more: &[(&str, &str)]) -> Result<Option<Settings>> {
        read(&WHOLE.iter().chain(more).copied().collect::<Vec<_>>(), &[])
    }

    #[test]
    fn addresses() {
        for (text, port, host, wanted) in [
            ("pve", None, "pve", 8006),
            ("pve.lan:443", None, "pve.lan", 443),
            ("https://pve.lan:443/", Some("1"), "pve.lan", 443),
            ("192.0.2.7", Some("8443"), "192.0.2.7", 8443),
            ("2001:db8::1", None, "2001:db8::1", 8006),
            ("[2001:db8::1]:443", None, "2001:db8::1", 443),
            ("[2001:db8::1]", None, "2001:db8::1", 8006),
        ] {
            assert_eq!(address(text, port).unwrap(), (host.to_owned(), wanted), "{text}");
        }
        for text in ["", "http://pve", "pve/path", "pve:0", "pve:x", "[::1]x", "a b", "user@pve"] {
            assert!(address(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn tokens() {
        let whole = "mms@pve!x";
        for (user, id) in
            [(Some("mms@pve"), Some("x")), (Some(whole), None), (Some(whole), Some("x")), (None, Some(whole))]
        {
            assert_eq!(token(user, id).unwrap(), whole, "{user:?} {id:?}");
        }
        for (user, id) in [
            (None, None),
            (Some("mms@pve"), None),
            (Some("mms"), Some("x")),
            (Some(whole), Some("y")),
            (Some("@pve"), Some("x")),
            (Some("mms@pve"), Some("")),
            (Some("mms@pve"), Some("x=1")),
        ] {
            assert!(token(user, id).is_err(), "{user:?} {id:?}");
        }
    }

    #[test]
    fn the_environment_stands_behind_the_variables() {
        assert!(read(&[], &[]).unwrap().is_none());
        let environment = [
            ("PROXMOX_HOST", "pve2:1"),
            ("PROXMOX_USER", "a@pam"),
            ("PROXMOX_TOKEN_ID", "t"),
            ("PROXMOX_TOKEN_SECRET", "abcdef"),
        ];
        let settings = read(&[("proxmox_api_user", "b@pam")], &environment).unwrap().unwrap();
        assert_eq!((settings.host.as_str(), settings.port, settings.token.as_str()), ("pve2", 1, "b@pam!t"));
    }

    #[test]
    fn trust() {
        let hex = "AB:cd".to_owned() + &":0f".repeat(30);
        let leaf = |settings: Settings| matches!(settings.trust, Trust::Leaf(_));
        assert!(leaf(with(&[("proxmox_fingerprint", &hex)]).unwrap().unwrap()));
        assert!(leaf(with(&[("proxmox_fingerprint", &hex.replace(':', ""))]).unwrap().unwrap()));
        assert!(leaf(with(&[("proxmox_fingerprint", &hex), ("proxmox_validate_certs", "no")]).unwrap().unwrap()));
        assert_eq!(with(&[]).unwrap().unwrap().trust, Trust::System);
        assert_eq!(with(&[("proxmox_validate_certs", "False")]).unwrap().unwrap().trust, Trust::Anybody);
        let authority = Trust::Authority(PathBuf::from("/etc/pve-root-ca.pem"));
        assert_eq!(with(&[("proxmox_ca_path", "/etc/pve-root-ca.pem")]).unwrap().unwrap().trust, authority);
        for wrong in [
            &[("proxmox_fingerprint", "AB:CD")][..],
            &[("proxmox_fingerprint", hex.as_str()), ("proxmox_ca_path", "/x")],
            &[("proxmox_validate_certs", "perhaps")],
            &[("proxmox_vmid", "99")],
            &[("proxmox_vmid", "media")],
        ] {
            assert!(with(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(with(&[("proxmox_vmid", "105")]).unwrap().unwrap().vmid, Some(105));
    }

    #[test]
    fn the_secret_is_in_no_error_and_no_debug_text() {
        let redactor = Redactor::default();
        let variables = BTreeMap::from([("proxmox_api_host", "pve"), ("proxmox_api_token_secret", "canary-1234 x")]);
        let variable = |name: &str| Ok(variables.get(name).map(|value| Value::from(*value)));
        let error = Settings::read(&variable, &|_| Some("mms@pve!x".to_owned()), &redactor).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        assert!(redactor.is_tainted("it was canary-1234 x"));
        assert!(!format!("{:?}", with(&[]).unwrap().unwrap()).contains("s3cr3t"));
    }
}
