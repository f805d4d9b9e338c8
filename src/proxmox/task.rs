//! What the API does in the background: a request is answered with the name of a task (UPID), which is watched until it ends.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;
use tokio::time::{Instant, sleep};

use super::http::{Method, escape};
use super::trouble::{lock_timed_out, of_task};
use super::{Guest, Progress, Proxmox};
use crate::error::{Error, ErrorKind, Result};

/// How often something is begun that a lock of somebody else keeps from happening.
const ATTEMPTS: u32 = 5;

/// How many questions in a row may stay without an answer while a task runs.
const MISSED: u32 = 10;

/// How a task ended.
enum End {
    Done,
    /// Its last words.
    Failed(String),
}

impl Proxmox {
    /// Has something done, and waits for the end of it.
    pub(super) async fn task(
        &self,
        guest: &Guest,
        what: &str,
        method: Method,
        path: &str,
        body: Option<&Json>,
        progress: Progress<'_>,
    ) -> Result<()> {
        let mut attempt = 1;
        loop {
            let held = match self.api.send(method, path, body).await {
                Ok(upid) => match self.wait(guest, what, &upid, progress).await? {
                    End::Done => return Ok(()),
                    End::Failed(why) if attempt < ATTEMPTS && lock_timed_out(&why) => why,
                    End::Failed(why) => return Err(of_task(Some(what), &why)),
                },
                Err(trouble) if attempt < ATTEMPTS && trouble.passes() => "a lock is held".to_owned(),
                Err(trouble) => return Err(trouble.explain(&self.api, Some(what))),
            };
            attempt += 1;
            progress(&format!("{what}: {held}; attempt {attempt} of {ATTEMPTS}"));
            sleep(self.pause * 4).await;
        }
    }

    async fn wait(&self, guest: &Guest, what: &str, upid: &Json, progress: Progress<'_>) -> Result<End> {
        #[derive(Deserialize)]
        struct Status {
            status: String,
            exitstatus: Option<String>,
        }
        let Some(upid) = upid.as_str().filter(|upid| upid.starts_with("UPID:")) else {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("Proxmox does not {what}: it does not name a task for it"),
            ));
        };
        // The task runs where its name says.
        let node = upid.split(':').nth(1).filter(|node| !node.is_empty()).unwrap_or(&guest.node);
        let path = format!("/nodes/{}/tasks/{}/status", escape(node), escape(upid));
        let start = Instant::now();
        let mut missed = 0;
        let mut pause = self.pause.min(Duration::from_millis(200));
        loop {
            match self.api.send(Method::Get, &path, None).await {
                Ok(status) => {
                    missed = 0;
                    let status: Status = serde_json::from_value(status).map_err(|error| {
                        Error::new(ErrorKind::Failed, format!("Proxmox does not say how its task stands: {error}"))
                    })?;
                    if status.status == "stopped" {
                        return Ok(end(status.exitstatus, what, progress));
                    }
                }
                Err(trouble) if missed < MISSED && trouble.may_be_asked_again() => missed += 1,
                Err(trouble) => {
                    return Err(trouble.explain(&self.api, None).hint(format!("the task goes on in Proxmox: {upid}")));
                }
            }
            if start.elapsed() >= self.limit {
                let message = format!("Proxmox did not {what} in {} s", self.limit.as_secs());
                return Err(Error::new(ErrorKind::Failed, message).hint(format!("the task goes on there: {upid}")));
            }
            progress(&format!("{what}: {} s", start.elapsed().as_secs()));
            sleep(pause).await;
            pause = (pause * 2).min(self.pause);
        }
    }
}

fn end(status: Option<String>, what: &str, progress: Progress<'_>) -> End {
    let status = status.unwrap_or_else(|| "it does not say how it ended".to_owned());
    if status == "OK" {
        return End::Done;
    }
    let warnings = status.strip_prefix("WARNINGS: ").is_some_and(|count| count.parse::<u32>().is_ok());
    if warnings {
        progress(&format!("{what}: done, with warnings in the log of the task"));
        return End::Done;
    }
    End::Failed(status)
}
