//! Deploying services: the conversation with the host that a plan needs.
//!
//! Nothing that runs is touched before the host's own Quadlet generator made every unit and every image is there. Then units
//! are swapped, systemd reads them once, only what changed is started anew, and each service must be well. A service that is
//! not gets its old units and images back, without holding up the others.

mod finish;
mod prepare;
mod remote;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Port, Service};
use super::observe::{self, Observed, Question};
use super::plan::{self, Aim, Plan, Wanted};
use super::quadlet::{self, Target};
use super::seal;
use super::version::Version;
use crate::modules::{Context, Failure, Gate, Host, Outcome};
use crate::value::{Fields, Value, from_fields};
use remote::Remote;

/// What is asked for.
pub struct Request<'a> {
    /// The services with the values of their secrets (secret → value).
    pub services: Vec<(Service, BTreeMap<String, String>)>,
    /// What they are to be.
    pub aim: Aim,
    /// Whether registries are asked for newer content behind the same tags.
    pub newer: bool,
    /// The user that runs the containers.
    pub user: &'a str,
    /// The services that the host is to have, as far as that is known: others that mms deployed there are told of.
    pub declared: Option<Vec<String>>,
    /// The containers of a service that is not among `services`.
    pub elsewhere: &'a (dyn Fn(&str) -> Option<Vec<String>> + Send + Sync),
}

/// One service under way.
struct Job {
    wanted: Wanted,
    plan: Plan,
    /// What went wrong, for people; nothing more is done for the service then.
    failure: Option<String>,
    /// Whether its new units were put in place.
    swapped: bool,
    /// Whether containers were stopped to change their INI files.
    stopped: bool,
    /// INI files that were changed, with what was in them before.
    settings: Vec<(String, String)>,
    /// How its containers came up: name → seconds it was away, for those that ran before.
    downtime: BTreeMap<String, f64>,
}

impl Job {
    fn name(&self) -> &str {
        &self.wanted.service.name
    }

    fn active(&self) -> bool {
        self.failure.is_none() && !self.plan.is_empty()
    }
}

/// Brings services to their aim.
pub async fn run(cx: &Context<'_>, host: &dyn Host, request: Request<'_>) -> Result<Outcome, Failure> {
    let remote = Remote::new(host, cx.user, request.user);
    let seen = observe(&remote, &request).await?;
    if !cx.check {
        require(&seen, request.user)?;
    }
    let salt = seen.salt.clone().unwrap_or_else(seal::new_salt);
    let mut jobs = jobs(&request, &seen, &salt)?;
    let warnings = warnings(&request, &seen);
    let pull = request.newer && request.aim != Aim::Absent;
    if jobs.iter().all(|job| job.plan.is_empty()) {
        if !pull {
            return Ok(Outcome::Ok(result(&jobs, &seen, &warnings)));
        }
        if cx.check {
            return Ok(Outcome::Unknown("registries are asked for newer images only when it is applied".to_owned()));
        }
    }
    let summary = summary(&jobs, pull);
    let diff: Vec<_> = jobs.iter().flat_map(|job| job.plan.diff.clone()).collect();
    if host.change(&summary, &diff).await == Gate::CheckOnly {
        return Ok(Outcome::Changed(result(&jobs, &seen, &warnings)));
    }

    if request.aim != Aim::Absent {
        prepare::wake(&remote, &seen).await?;
        prepare::directories(&remote, &mut jobs).await?;
        prepare::rehearse(&remote, &mut jobs).await?;
        prepare::images(&remote, &mut jobs, &seen, pull).await?;
        prepare::namespaces(&remote, &mut jobs).await?;
        prepare::secrets(&remote, &mut jobs, &seen, &salt).await?;
        prepare::settings(&remote, &mut jobs).await?;
    }
    watch::swap(&remote, &mut jobs, request.aim).await?;
    watch::gate(&remote, &mut jobs, &seen).await?;
    finish::roll_back(&remote, &mut jobs, &seen).await?;
    finish::remember(&remote, &jobs, &seen, request.aim).await?;

    let changed = jobs.iter().any(|job| !job.plan.is_empty());
    let fields = result(&jobs, &seen, &warnings);
    match failure(&jobs, fields.clone()) {
        Some(failure) => Err(failure),
        None if changed => Ok(Outcome::Changed(fields)),
        None => Ok(Outcome::Ok(fields)),
    }
}

/// Waits until containers that were just started are well: the gate of a deploy, for others who start services. `root` says
/// that `host` works as root. Gives those that are not well, and why, with their last words.
pub async fn settle(
    host: &dyn Host,
    root: bool,
    user: &str,
    containers: BTreeMap<String, &super::model::Container>,
) -> Result<Vec<(String, String)>, Failure> {
    let remote = Remote::new(host, root.then_some("root"), user);
    let patience = containers
        .iter()
        .map(|(name, container)| (name.clone(), (container.health.is_some(), container.start_timeout().0)));
    let mut failed = watch::settle(&remote, patience.collect()).await?;
    for (name, why) in &mut failed {
        let uid = remote.probe("id -u".to_owned()).await?.stdout_text().trim().parse().unwrap_or_default();
        why.push_str(&watch::last_words(&remote, name, uid).await);
    }
    Ok(failed)
}

async fn observe(remote: &Remote<'_>, request: &Request<'_>) -> Result<Observed, Failure> {
    let services = request.services.iter().map(|(service, _)| service);
    let question = Question {
        services: services
            .clone()
            .flat_map(|each| each.containers.keys())
            .map(|name| format!("{name}.service"))
            .collect(),
        files: services.clone().flat_map(|each| each.ini.iter().map(|file| file.path.clone())).collect(),
        directories: services
            .flat_map(|each| each.directories.iter().map(|directory| directory.path.clone()))
            .collect(),
    };
    match remote.probe(observe::script(&question)).await {
        Ok(answer) if answer.ok() => {
            let seen = observe::parse(&answer.stdout);
            // Without systemd's answer everything would look as if it did not run, and be started anew; without Podman's, as if it
            // ran what it shall. Where there is no service yet, Podman may still have to be set up.
            if seen.silent.contains("systemd") {
                return Err(Failure::new(format!("the service manager of `{}` does not answer", remote.user))
                    .hint(format!("`systemctl --user --machine={}@ status` on the host says more", remote.user)));
            }
            if seen.silent.contains("podman") && !seen.states.is_empty() {
                return Err(Failure::new(format!(
                    "Podman of `{}` does not say which containers there are",
                    remote.user
                ))
                .hint("`podman ps --all` on the host, as that user, says why"));
            }
            Ok(seen)
        }
        Ok(answer) => Err(Failure::of_answer(format!("cannot look at the services of `{}`", remote.user), &answer)),
        // A user that does not exist cannot be become; that is only wrong when it is not an earlier task's work.
        Err(failure) => match remote.user_exists().await {
            Ok(false) => Ok(Observed::default()),
            _ => Err(failure),
        },
    }
}

fn require(seen: &Observed, user: &str) -> Result<(), Failure> {
    if !seen.user_exists {
        return Err(Failure::missing(format!("the user `{user}` that runs the containers does not exist"))
            .hint("the role `base_system` makes it (playbook `setup-base.yml`)"));
    }
    if seen.podman.is_none() {
        return Err(Failure::missing("Podman is not installed").hint("the role `podman` installs it"));
    }
    Ok(())
}

fn jobs(request: &Request<'_>, seen: &Observed, salt: &str) -> Result<Vec<Job>, Failure> {
    let batch: BTreeMap<&str, Vec<String>> = request
        .services
        .iter()
        .map(|(service, _)| (service.name.as_str(), service.containers.keys().cloned().collect()))
        .collect();
    check_batch(request)?;
    let order = plan::order(&request.services.iter().map(|(service, _)| service.clone()).collect::<Vec<_>>());
    let ours = plan::files_of(request.services.iter().map(|(service, _)| service), seen);
    let mut jobs = vec![];
    for (service, values) in order.into_iter().filter_map(|at| request.services.get(at)) {
        let name = |secret: &str| seal::secret_name(salt, secret, values.get(secret).map_or("", String::as_str));
        let target = Target {
            podman: seen.podman.unwrap_or(Version::NEWEST),
            secret: &name,
            service: &|other| batch.get(other).cloned().or_else(|| (request.elsewhere)(other)),
        };
        let wrong = |message: String| Failure::new(format!("service `{}`: {message}", service.name));
        let units = match request.aim {
            // Names are enough to remove them, and a service whose definition no longer fits can still be removed.
            Aim::Absent => service.containers.keys().map(|name| (format!("{name}.container"), String::new())).collect(),
            _ => quadlet::units(service, &target).map_err(wrong)?,
        };
        let secrets = values.iter().map(|(secret, value)| (name(secret), value.clone())).collect();
        let wanted = Wanted { service: service.clone(), units, secrets };
        let plan = plan::plan(&wanted, seen, request.aim).map_err(wrong)?;
        if let Some(why) = plan::port_held(&plan, service, seen, &ours) {
            return Err(wrong(why).hint("change the port of one; if their files agree already, deploy both at once"));
        }
        jobs.push(Job {
            wanted,
            plan,
            failure: None,
            swapped: false,
            stopped: false,
            settings: vec![],
            downtime: BTreeMap::new(),
        });
    }
    Ok(jobs)
}

/// Refuses services that cannot live together on one host.
fn check_batch(request: &Request<'_>) -> Result<(), Failure> {
    let containers = request.services.iter().flat_map(|(service, _)| {
        service.containers.iter().map(move |(name, container)| (service.name.as_str(), name, container))
    });
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut ports: Vec<(&str, &Port)> = vec![];
    for (service, name, container) in containers {
        if let Some(other) = names.insert(name, service).filter(|other| *other != service) {
            return Err(Failure::new(format!("the services `{other}` and `{service}` both have a container `{name}`")));
        }
        for port in &container.ports {
            let taken = ports.iter().find(|(other, earlier)| *other != service && port.collides(earlier));
            if let Some((other, _)) = taken {
                return Err(Failure::new(format!("the services `{other}` and `{service}` both publish port {port}")));
            }
            ports.push((service, port));
        }
    }
    let mut seen = BTreeSet::new();
    match request.services.iter().find(|(service, _)| !seen.insert(&service.name)) {
        Some((service, _)) => Err(Failure::new(format!("the service `{}` is listed twice", service.name))),
        None => Ok(()),
    }
}

fn summary(jobs: &[Job], pull: bool) -> Vec<String> {
    let one = jobs.len() == 1;
    let reasons = jobs.iter().flat_map(|job| {
        job.plan
            .reasons
            .iter()
            .map(move |reason| if one { reason.clone() } else { format!("{}: {reason}", job.name()) })
    });
    let newer = pull.then(|| "look for newer images".to_owned());
    reasons.chain(newer).collect()
}

/// Services that nobody asks for any longer but that are still there. A task for some services only is not the place to say so.
fn warnings(request: &Request<'_>, seen: &Observed) -> Vec<String> {
    let named = |name: &String| request.services.iter().any(|(service, _)| service.name == *name);
    let declared = request.declared.iter().filter(|declared| request.aim == Aim::Present && declared.iter().all(named));
    let ours = plan::files_of(request.services.iter().map(|(service, _)| service), seen);
    let left = declared.flat_map(|declared| plan::undeclared(seen, &ours, declared));
    left.map(|name| {
        format!("the service `{name}` is still deployed here; `mms.service` with `name: {name}` and `state: absent` removes it")
    })
    .collect()
}

/// The result's fields: per service what changed and why, whether it is well, and how long it was away.
fn result(jobs: &[Job], seen: &Observed, warnings: &[String]) -> Fields {
    let services = jobs.iter().map(|job| {
        let mut fields = Fields::new();
        fields.insert("changed".to_owned(), Value::from(!job.plan.is_empty()));
        fields.insert("failed".to_owned(), Value::from(job.failure.is_some()));
        fields.insert("reasons".to_owned(), job.plan.reasons.iter().map(Value::from).collect());
        let known = |name: &&String| seen.units.contains_key(&format!("{name}.container"));
        fields.insert("existed".to_owned(), Value::from(job.wanted.service.containers.keys().any(|name| known(&name))));
        let away = job.downtime.values().copied().fold(0.0, f64::max);
        fields.insert("downtime".to_owned(), Value::from((away * 10.0).round() / 10.0));
        if let Some(why) = &job.failure {
            fields.insert("msg".to_owned(), Value::from(why.as_str()));
        }
        (job.name().to_owned(), from_fields(&fields))
    });
    let services: Fields = services.collect();
    let mut fields = Fields::from([("services".to_owned(), from_fields(&services))]);
    if !warnings.is_empty() {
        fields.insert("warnings".to_owned(), warnings.iter().map(Value::from).collect());
    }
    fields
}

/// One failure that names every service that failed.
fn failure(jobs: &[Job], fields: Fields) -> Option<Failure> {
    let failed: Vec<_> = jobs.iter().filter_map(|job| Some((job.name(), job.failure.as_ref()?))).collect();
    let mut failure = match failed.as_slice() {
        [] => return None,
        [(name, why)] => Failure::new(format!("service `{name}`: {why}")),
        many => {
            let lines: Vec<_> = many.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
            Failure::new(format!("{} of {} services failed\n{}", many.len(), jobs.len(), lines.join("\n")))
        }
    };
    failure.fields = fields;
    Some(failure)
}

#[cfg(test)]
mod tests;
