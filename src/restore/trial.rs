//! Units for a trial: a service, or one container of it, run from copies of its data under other names, with no published port, no
//! device and nothing of the host but these copies. The host's own units are taken, so image, secrets and health check are the
//! real ones, and no secret is ever an argument.
//!
//! The units live in the runtime directory, where Quadlet looks too: a reboot leaves none of them.

use std::collections::BTreeMap;

/// What is different in a trial.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// Put in front of every name.
    pub prefix: String,
    /// The containers that take part.
    pub containers: Vec<String>,
    /// The network file (`x.network`); none means no network at all.
    pub network: Option<String>,
    /// Host paths that have copies: path → copy.
    pub copies: BTreeMap<String, String>,
    /// An empty directory below which other host paths get empty directories of their own.
    pub empty: String,
}

/// The unit of a container in a trial, and the empty directories it needs.
pub fn unit(text: &str, name: &str, trial: &Trial) -> (String, Vec<String>) {
    let mut out = String::new();
    let mut empty = vec![];
    let mut section = "";
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
            if section != "[Install]" {
                out.push_str(line);
                out.push('\n');
            }
            if section == "[Container]" {
                let network = trial.network.as_deref().unwrap_or("none");
                out.push_str(&format!("ContainerName={}{name}\nNetwork={network}\n", trial.prefix));
                if trial.network.is_some() {
                    out.push_str(&format!("PodmanArgs=--network-alias={name}\n"));
                }
            }
            if section == "[Service]" {
                out.push_str("Restart=no\n");
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let kept = match (section, key) {
            ("[Install]", _) => None,
            ("[Unit]", "Requires" | "After" | "Wants" | "BindsTo" | "PartOf") => siblings(value, trial),
            (
                "[Container]",
                "ContainerName" | "PublishPort" | "Network" | "NetworkAlias" | "AddDevice" | "AutoUpdate" | "IP",
            ) => None,
            ("[Container]", "PodmanArgs") if reaches_out(value) => None,
            ("[Container]", "Volume") => Some(volume(value, trial, &mut empty)),
            ("[Service]", "Restart" | "RestartSec") => None,
            _ => Some(value.to_owned()),
        };
        if let Some(value) = kept {
            out.push_str(&format!("{key}={value}\n"));
        }
    }
    (out, empty)
}

fn siblings(value: &str, trial: &Trial) -> Option<String> {
    let own =
        |unit: &&str| unit.strip_suffix(".service").is_some_and(|name| trial.containers.iter().any(|it| it == name));
    let units: Vec<String> =
        value.split_whitespace().filter(own).map(|unit| format!("{}{unit}", trial.prefix)).collect();
    (!units.is_empty()).then(|| units.join(" "))
}

/// Whether words for Podman would undo what a trial is.
fn reaches_out(value: &str) -> bool {
    let words = [
        "-p",
        "--publish",
        "-P",
        "--net",
        "--network",
        "--name",
        "-v",
        "--volume",
        "--mount",
        "--pod",
        "--device",
        "--privileged",
    ];
    value.split_whitespace().any(|word| {
        let word = word.trim_matches(['"', '\'']);
        words.iter().any(|own| word == *own || word.starts_with(&format!("{own}=")))
    })
}

/// A mount of copies, of an empty directory, or of a volume that goes with the container.
fn volume(value: &str, trial: &Trial, empty: &mut Vec<String>) -> String {
    let (source, rest) = value.split_once(':').unwrap_or(("", value));
    if !source.starts_with('/') {
        return rest.split(':').next().unwrap_or(rest).to_owned();
    }
    let copy = trial.copies.iter().find_map(|(path, copy)| {
        let rest = source.strip_prefix(path.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{copy}{rest}"))
    });
    let copy = copy.unwrap_or_else(|| {
        let path = format!("{}/{}", trial.empty, empty.len());
        empty.push(path.clone());
        path
    });
    format!("{copy}:{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_reaches_nothing_of_the_host() {
        let text = "# comment\n[Unit]\nDescription=x\nRequires=db.service other.service\nAfter=other.service\n\n[Container]\n\
                    Image=docker.io/x:1\nContainerName=web\nNetwork=mms.network\nPublishPort=127.0.0.1:80:80\nAddDevice=/dev/dri\n\
                    Volume=/c/web:/config:Z\nVolume=/c/web/sub:/sub\nVolume=/c/web2:/x\nVolume=/data:/data\nVolume=cache.volume:/cache:U\n\
                    Secret=s-1,type=env,target=S\nPodmanArgs=--publish 1:1\nPodmanArgs=--cpus 2\nNotify=healthy\n\n[Service]\nRestart=always\n\
                    RestartSec=5s\nTimeoutStartSec=90s\n\n[Install]\nWantedBy=default.target\n";
        let trial = Trial {
            prefix: "t-".into(),
            containers: vec!["web".into(), "db".into()],
            network: Some("t.network".into()),
            copies: BTreeMap::from([("/c/web".into(), "/s/0".into())]),
            empty: "/s/empty".into(),
        };
        let (unit, empty) = unit(text, "web", &trial);
        let expected = "[Unit]\nDescription=x\nRequires=t-db.service\n[Container]\nContainerName=t-web\nNetwork=t.network\n\
                        PodmanArgs=--network-alias=web\nImage=docker.io/x:1\nVolume=/s/0:/config:Z\nVolume=/s/0/sub:/sub\n\
                        Volume=/s/empty/0:/x\nVolume=/s/empty/1:/data\nVolume=/cache\nSecret=s-1,type=env,target=S\nPodmanArgs=--cpus 2\n\
                        Notify=healthy\n[Service]\nRestart=no\nTimeoutStartSec=90s\n";
        assert_eq!(unit, expected);
        assert_eq!(empty, ["/s/empty/0", "/s/empty/1"]);
    }
}
