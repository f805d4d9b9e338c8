//! `get_url`: a file from HTTP, HTTPS or FTP, downloaded by the target itself.
//!
//! The content goes to a hidden file in the destination's directory and is compared there; nothing is replaced unless it differs and
//! has the checksum that was asked for.

use futures::future::BoxFuture;

use super::http::{self, Body, Request, Response, http_options};
use crate::connection::Frame;
use crate::modules::support::attrs::{Attrs, New, file_options};
use crate::modules::support::write::Write;
use crate::modules::support::{Ask, FileState, path, result};
use crate::modules::{ActionModule, Args, Context, Default, Failure, Gate, Host, Opt, Outcome, Spec, Type};
use crate::sh;
use crate::value::{Fields, Value};

/// The SHA-1 of nothing: what Ansible reports for the content in check mode, where it makes a HEAD request.
const EMPTY_SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/// The arguments of `get_url`.
pub static SPEC: Spec = Spec {
    name: "get_url",
    fqcn: &["ansible.builtin.get_url", "ansible.legacy.get_url"],
    summary: "Downloads a file to the target.",
    options: http_options!(file_options![
        Opt::new("url", Type::Str, "The URL.").required(),
        Opt::new("dest", Type::Path, "The file or the directory to put it in.").required(),
        Opt::new("checksum", Type::Str, "`algorithm:digest`, or `algorithm:URL` of a file of checksums.")
            .default(Default::Str("")),
        Opt::new("backup", Type::Bool, "Whether what was there is kept beside it.").default(Default::Bool(false)),
        Opt::new("timeout", Type::Int, "Seconds without progress after which it is given up.")
            .default(Default::Int(10)),
        http::HEADERS,
        Opt::new("tmp_dest", Type::Path, "The directory for the file while it is downloaded."),
        Opt::new("url_username", Type::Str, "A user for the server.").aliases(&["username"]),
        Opt::new("url_password", Type::Str, "The user's password.").aliases(&["password"]).no_log(),
    ]),
    differs: "Needs curl on the target; wget does for downloads without credentials and headers.",
    ..Spec::NONE
};

/// `get_url`.
pub struct GetUrl;

impl ActionModule for GetUrl {
    fn run<'a>(
        &'a self,
        cx: &'a Context<'a>,
        args: &'a Args,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(async move { Task { cx, args, host, attrs: Attrs::of(args) }.run().await })
    }
}

struct Task<'a> {
    cx: &'a Context<'a>,
    args: &'a Args,
    host: &'a dyn Host,
    attrs: Attrs,
}

impl Task<'_> {
    async fn run(&self) -> Result<Outcome, Failure> {
        let url = self.args.text("url");
        let mut fields = Fields::new();
        for (name, value) in [
            ("checksum_dest", Value::from(())),
            ("checksum_src", Value::from(())),
            ("dest", self.args.text("dest").into()),
            ("elapsed", 0.into()),
            ("url", http::mask(url).into()),
        ] {
            fields.insert(name.into(), value);
        }
        let checksum = self.checksum(&fields).await?;
        let dest = self.look(self.args.text("dest"), checksum.as_ref()).await?;
        let in_directory = dest.is_dir();
        fields.insert("dest".into(), dest.path.as_str().into());
        let mut request = Request::new(self.args, url, if self.cx.check { "HEAD" } else { "GET" });
        let mut force = self.args.bool("force");
        if !in_directory && dest.stat.is_some() {
            if let Some(checksum) = checksum.as_ref().filter(|_| !force) {
                if dest.sum.as_deref() == Some(&checksum.digest) {
                    return self.attributes_alone(dest, fields).await;
                }
                force = true;
            }
            request.since = dest.stat.as_ref().filter(|_| !force).map(|stat| stat.mtime);
        }
        let directory = if in_directory { dest.path.clone() } else { path::parent(&dest.path).to_owned() };
        if !in_directory && dest.lstat.is_none() && !dest.parent {
            return Err(missing_directory(&directory, fields));
        }
        if !self.cx.check {
            let tool = checksum.as_ref().map_or("sha1sum", |checksum| checksum.command);
            let mut sums = vec!["sha1sum".to_owned(), "md5sum".to_owned()];
            if !sums.iter().any(|sum| sum == tool) {
                sums.push(tool.to_owned());
            }
            let dir = self.args.str("tmp_dest").map_or_else(|| sh::quote(&directory), path::word);
            request.into = Body::File { dir, sums };
        }
        let response = self.fetch(&request).await?;
        let download = Download { host: self.host, file: response.file.clone() };
        let outcome = self.settle(&request, response, checksum, dest, in_directory, fields).await;
        download.remove().await?;
        outcome
    }

    /// What is to be done with a response.
    async fn settle(
        &self,
        request: &Request,
        response: Response,
        checksum: Option<Checksum>,
        mut dest: FileState,
        in_directory: bool,
        mut fields: Fields,
    ) -> Result<Outcome, Failure> {
        fields.insert("elapsed".into(), response.elapsed.into());
        if response.status == 304 {
            fields.shift_remove("checksum_dest");
            fields.shift_remove("checksum_src");
            fields.insert("msg".into(), response.message().into());
            fields.insert("status_code".into(), 304.into());
            result::add_path_info(&mut fields, &dest);
            return Ok(Outcome::Ok(fields));
        }
        if response.status != 200 {
            fields.shift_remove("checksum_dest");
            fields.shift_remove("checksum_src");
            result::add_path_info(&mut fields, &dest);
            let mut failure = Failure::new("Request failed");
            if response.status < 0 {
                failure.msg = response.message();
            } else {
                fields.insert("status_code".into(), response.status.into());
                fields.insert("response".into(), response.message().into());
            }
            failure.fields = fields;
            return Err(failure);
        }
        if in_directory {
            let named = response.parameter("content-disposition", "filename");
            let name = named.as_deref().map(path::basename).filter(|name| !name.is_empty());
            let from_url = path::basename(http::path_of(&response.url));
            let name = name.unwrap_or(if from_url.is_empty() { "index.html" } else { from_url });
            dest = self.look(&path::join(&dest.path, name), None).await?;
            fields.insert("dest".into(), dest.path.as_str().into());
        } else if checksum.is_some() {
            // The checksum so far is by the algorithm that was asked for.
            dest = self.look(&dest.path, None).await?;
        }
        let sum = |command: &str| response.sums.iter().find(|(name, _)| name == command).map(|(_, sum)| sum.clone());
        let new = sum("sha1sum").unwrap_or_else(|| EMPTY_SHA1.to_owned());
        fields.insert("src".into(), response.file.as_str().into());
        fields.insert("checksum_src".into(), new.as_str().into());
        fields.insert("checksum_dest".into(), Value::from(dest.sum.clone()));
        fields.insert("msg".into(), response.message().into());
        let attrs = self.attrs.plan(&dest, dest.stat.as_ref(), New::file(dest.umask))?;
        let differs = dest.sum.as_deref() != Some(&new);
        let what = if dest.lstat.is_some() { "replace" } else { "create" };
        let mut summary = vec![format!("{what} {} from {}", dest.path, http::mask(&request.url))];
        if self.cx.check {
            fields.shift_remove("src");
            result::add_path_info(&mut fields, &dest);
            if !differs {
                return Ok(Outcome::Ok(fields));
            }
            self.host.change(&summary, &[]).await;
            return Ok(Outcome::Changed(fields));
        }
        if let Some(checksum) = &checksum
            && let Some(found) = sum(checksum.command)
            && found != checksum.digest
        {
            result::add_path_info(&mut fields, &dest);
            fields.shift_remove("msg");
            let mut failure = Failure::new(format!(
                "The checksum for {} did not match {}; it was {found}.",
                response.file, checksum.digest
            ));
            failure.fields = fields;
            return Err(failure.hint("nothing was replaced; check the checksum against the publisher's"));
        }
        fields.insert("status_code".into(), response.status.into());
        fields.insert("md5sum".into(), Value::from(sum("md5sum")));
        if !differs {
            return self.set_attributes(&dest, &attrs, fields).await;
        }
        summary.extend(attrs.summary.iter().cloned());
        if self.host.change(&summary, &[]).await == Gate::CheckOnly {
            return Ok(Outcome::Changed(fields));
        }
        let write = Write {
            backup: self.args.bool("backup"),
            unsafe_writes: self.args.bool("unsafe_writes"),
            ..Write::new(&dest, &attrs)
        };
        let script = write.script(&format!("mv -f -- {} \"$t\"", sh::quote(&response.file)))?;
        let answer = self.host.run(Frame::new(script)).await?;
        let change = crate::modules::Change { result: fields, ..crate::modules::Change::default() };
        Ok(Outcome::Changed(result::finish(&change, &[answer])?))
    }

    async fn look(&self, path: &str, checksum: Option<&Checksum>) -> Result<FileState, Failure> {
        let ask = Ask { sum: Some(checksum.map_or("sha1sum", |checksum| checksum.command)), ..Ask::new(path) };
        let probe = self.attrs.ask(ask).probe();
        let answer = self.host.probe(Frame { stdin: probe.stdin, ..Frame::new(probe.script) }).await?;
        FileState::parse(&answer)
    }

    async fn fetch(&self, request: &Request) -> Result<Response, Failure> {
        let answer = self.host.probe(request.frame(self.args)).await?;
        Response::read(request, &answer)
    }

    /// The content is as wanted; its attributes may not be.
    async fn attributes_alone(&self, dest: FileState, mut fields: Fields) -> Result<Outcome, Failure> {
        let attrs = self.attrs.plan(&dest, dest.stat.as_ref(), New::file(dest.umask))?;
        let text =
            if attrs.is_empty() { "file already exists" } else { "file already exists but file attributes changed" };
        fields.insert("msg".into(), text.into());
        self.set_attributes(&dest, &attrs, fields).await
    }

    async fn set_attributes(
        &self,
        dest: &FileState,
        attrs: &crate::modules::support::attrs::Plan,
        mut fields: Fields,
    ) -> Result<Outcome, Failure> {
        if attrs.is_empty() {
            result::add_path_info(&mut fields, dest);
            return Ok(Outcome::Ok(fields));
        }
        let diff = result::attribute_diff(&dest.path, &attrs.before, &attrs.after);
        if self.host.change(&attrs.summary, &[diff]).await == Gate::CheckOnly {
            result::add_path_info(&mut fields, dest);
            return Ok(Outcome::Changed(fields));
        }
        let place = sh::quote(&dest.path);
        let script = format!("{}{}", attrs.script(&place), attrs.script_last(&place));
        let answer = self.host.run(Frame::new(script)).await?;
        result::check(&answer)?;
        let now = self.look(&dest.path, None).await?;
        result::add_path_info(&mut fields, &now);
        Ok(Outcome::Changed(fields))
    }

    /// The checksum that the content must have; fetched if it is at a URL.
    async fn checksum(&self, fields: &Fields) -> Result<Option<Checksum>, Failure> {
        let text = self.args.text("checksum");
        if text.is_empty() {
            return Ok(None);
        }
        let fail = |msg: String| {
            let mut failure = Failure::new(msg);
            failure.fields = fields.clone();
            failure
        };
        let (algorithm, wanted) = text
            .split_once(':')
            .ok_or_else(|| fail("The checksum parameter has to be in format <algorithm>:<checksum>".into()))?;
        let command = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]
            .into_iter()
            .zip(["md5sum", "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum"])
            .find_map(|(name, command)| (name == algorithm).then_some(command))
            .ok_or_else(|| {
                // Ansible finds out when it has the file, and tells nothing else of it.
                Failure::new(format!("Could not hash file with algorithm '{algorithm}'."))
                    .hint("known algorithms are md5, sha1, sha224, sha256, sha384 and sha512")
            })?;
        let mut wanted = wanted.to_owned();
        if ["http://", "https://", "ftp://", "file://"].iter().any(|scheme| wanted.starts_with(scheme)) {
            let request = Request::new(self.args, &wanted, "GET");
            let response = self.fetch(&request).await?;
            if !response.is_success() {
                return Err(fail(format!(
                    "cannot fetch the checksums at {}: {}",
                    http::mask(&wanted),
                    response.message()
                )));
            }
            let url_path = http::path_of(self.args.text("url"));
            let name = Some(path::basename(url_path)).filter(|name| !name.is_empty()).unwrap_or("index.html");
            let found = digest_of(&String::from_utf8_lossy(&response.body), name);
            wanted = found.ok_or_else(|| {
                Failure::new(format!("Unable to find a checksum for file '{name}' in '{}'", http::mask(&wanted)))
            })?;
        }
        let digest: String =
            wanted.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect::<String>().to_lowercase();
        if digest.is_empty() || !digest.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(fail("The checksum format is invalid".into()));
        }
        Ok(Some(Checksum { command, digest }))
    }
}

/// The checksum that a file must have.
struct Checksum {
    /// The command that computes it.
    command: &'static str,
    /// Lower-case hex.
    digest: String,
}

/// A downloaded file on the target that is to be removed if it has not been moved away.
struct Download<'a> {
    host: &'a dyn Host,
    file: String,
}

impl Download<'_> {
    async fn remove(&self) -> Result<(), Failure> {
        if !self.file.is_empty() {
            self.host.probe(Frame::new(format!("rm -f -- {}\n", sh::quote(&self.file)))).await?;
        }
        Ok(())
    }
}

fn missing_directory(directory: &str, fields: Fields) -> Failure {
    let mut failure = Failure::missing(format!("Destination {directory} does not exist"));
    failure.fields = fields;
    failure
}

/// The digest of a file in a list of checksums: lines of `sha256sum`, BSD lines, or one digest alone.
fn digest_of(text: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    if let [line] = lines[..]
        && line.split_whitespace().count() == 1
    {
        return Some(line.trim().to_owned());
    }
    lines.iter().find_map(|line| {
        if let Some((file, digest)) = line.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) {
            let digest = digest.trim_start().strip_prefix('=')?.trim();
            return (file == name).then(|| digest.to_owned());
        }
        let (digest, file) = line.split_once(char::is_whitespace)?;
        let file = file.trim_start().trim_start_matches('*').trim_start_matches(['.', '/']);
        (file == name).then(|| digest.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::digest_of;

    #[test]
    fn finds_a_digest_in_any_list() {
        let found = |text| digest_of(text, "foo.tar");
        assert_eq!(found("abc\n").as_deref(), Some("abc"));
        assert_eq!(found("aaa  bar.tar\nbbb *foo.tar\n").as_deref(), Some("bbb"));
        assert_eq!(found("aaa  ./foo.tar\n").as_deref(), Some("aaa"));
        assert_eq!(found("SHA256 (bar.tar) = aaa\nSHA256 (foo.tar) = bbb\n").as_deref(), Some("bbb"));
        assert_eq!(found("aaa  bar.tar\nccc  baz\n"), None);
    }
}
