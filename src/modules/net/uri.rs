//! `uri`: one HTTP request made by the target.

mod body;

use futures::future::BoxFuture;

use super::http::{self, Follow, Request, Response, http_options};
use crate::connection::Frame;
use crate::modules::commands::output;
use crate::modules::support::attrs::{Attrs, New, file_options};
use crate::modules::support::write::Write;
use crate::modules::support::{Ask, FileState, path, result};
use crate::modules::{ActionModule, Args, Context, Default, Failure, Gate, Host, Opt, Outcome, Rule, Spec, Type};
use crate::value::{Fields, Value, from_json};

/// The arguments of `uri`.
pub static SPEC: Spec = Spec {
    name: "uri",
    fqcn: &["ansible.builtin.uri", "ansible.legacy.uri"],
    summary: "Makes an HTTP request from the target.",
    options: http_options!(file_options![
        Opt::new("url", Type::Str, "The URL.").required(),
        Opt::new("method", Type::Str, "The method.").default(Default::Str("GET")),
        Opt::new("body", Type::Raw, "The body."),
        Opt::new("body_format", Type::Str, "How a body that is a structure is written.")
            .default(Default::Str("raw"))
            .choices(&["form-urlencoded", "json", "raw", "form-multipart"]),
        Opt::new("src", Type::Path, "A file that is the body."),
        Opt::new("remote_src", Type::Bool, "Whether that file is on the target.").default(Default::Bool(false)),
        Opt::new("dest", Type::Path, "Where the content is put."),
        http::HEADERS,
        Opt::new("status_code", Type::List, "The statuses that are a success."),
        Opt::new("return_content", Type::Bool, "Whether the result has the content.").default(Default::Bool(false)),
        Opt::new("follow_redirects", Type::Str, "Which redirects are followed.")
            .default(Default::Str("safe"))
            .choices(&["all", "no", "none", "safe", "urllib2", "yes"]),
        Opt::new("creates", Type::Path, "A path; when it exists, no request is made."),
        Opt::new("removes", Type::Path, "A path; when it does not exist, no request is made."),
        Opt::new("timeout", Type::Int, "Seconds without progress after which it is given up.")
            .default(Default::Int(30)),
        Opt::new("unix_socket", Type::Path, "A Unix socket of the target to connect to."),
        Opt::new("ca_path", Type::Path, "Certificates (PEM) on the target to trust."),
        Opt::new("url_username", Type::Str, "A user for the server.").aliases(&["user"]),
        Opt::new("url_password", Type::Str, "The user's password.").aliases(&["password"]).no_log(),
    ]),
    rules: &[Rule::Exclusive(&["body", "src"])],
    differs: "Needs curl on the target; wget does for plain GET requests.",
    ..Spec::NONE
};

/// `uri`.
pub struct Uri;

impl ActionModule for Uri {
    fn run<'a>(
        &'a self,
        cx: &'a Context<'a>,
        args: &'a Args,
        host: &'a dyn Host,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(run(cx, args, host))
    }
}

async fn run(cx: &Context<'_>, args: &Args, host: &dyn Host) -> Result<Outcome, Failure> {
    if cx.check {
        let msg = "This action (uri) does not support check mode.";
        return Ok(Outcome::Skipped(Fields::from_iter([("msg".to_owned(), msg.into())])));
    }
    let statuses = statuses(args)?;
    let mut request = request(cx, args)?;
    if let Some(stdout) = guarded(args, host).await? {
        let mut fields = Fields::new();
        output::set_text(&mut fields, "stdout", &stdout);
        return Ok(Outcome::Ok(fields));
    }
    let attrs = Attrs::of(args);
    let mut dest = match args.str("dest") {
        Some(path) => Some(look(host, &attrs, path).await?),
        None => None,
    };
    if let Some(dest) = dest.as_ref().filter(|dest| dest.is_file()) {
        request.since = dest.stat.as_ref().map(|stat| stat.mtime);
    }
    let summary = vec![format!("{} {}", request.method, http::mask(&request.url))];
    if host.change(&summary, &[]).await == Gate::CheckOnly {
        return Ok(Outcome::Changed(Fields::new()));
    }
    let answer = host.run(request.frame(args)).await?;
    let response = Response::read(&request, &answer)?;
    let expected = statuses.contains(&response.status);
    let mut fields = fields(&request, &response);
    let content = content(args, &response, expected, &mut fields);
    let mut changed = false;
    if let Some(state) = &dest
        && state.is_dir()
        && response.status > 0
    {
        let named = response.parameter("content-disposition", "filename");
        let from_url = path::basename(http::path_of(&response.url).trim_end_matches('/')).to_owned();
        let name = named.as_deref().map(path::basename).map_or(from_url, str::to_owned);
        let name = if name.is_empty() { "index.html" } else { &name };
        dest = Some(look(host, &attrs, &path::join(&state.path, name)).await?);
    }
    if let Some(dest) = dest.filter(|_| response.status > 0) {
        fields.insert("path".into(), dest.path.as_str().into());
        if expected && response.status != 304 {
            changed = true;
            let plan = attrs.plan(&dest, dest.stat.as_ref(), New::file(dest.umask))?;
            let write = Write { unsafe_writes: args.bool("unsafe_writes"), ..Write::new(&dest, &plan) };
            let script = write.script("cat >\"$t\"")?;
            let answer = host.run(Frame { stdin: Some(response.body.clone()), ..Frame::new(script) }).await?;
            let change = crate::modules::Change { result: fields, ..crate::modules::Change::default() };
            fields = result::finish(&change, &[answer])?;
        } else {
            result::add_path_info(&mut fields, &dest);
        }
    }
    if let Some(content) = content {
        fields.insert("content".into(), content.into());
    }
    if expected {
        fields.insert("changed".into(), changed.into());
        return Ok(if changed { Outcome::Changed(fields) } else { Outcome::Ok(fields) });
    }
    let wanted: Vec<String> = statuses.iter().map(ToString::to_string).collect();
    let mut failure = Failure::new(format!(
        "Status code was {} and not [{}]: {}",
        response.status,
        wanted.join(", "),
        response.message()
    ));
    fields.insert("changed".into(), changed.into());
    fields.shift_remove("msg");
    failure.fields = fields;
    Err(failure)
}

/// The request that the arguments make.
fn request(cx: &Context<'_>, args: &Args) -> Result<Request, Failure> {
    let method = args.text("method").to_uppercase();
    if method.is_empty() || !method.chars().all(|c| c.is_ascii_uppercase()) {
        return Err(Failure::new("Parameter 'method' needs to be a single word in uppercase, like GET or POST."));
    }
    let mut request = Request::new(args, args.text("url"), &method);
    request.follow = match args.text("follow_redirects") {
        "all" | "yes" => Follow::All,
        "no" | "none" => Follow::None,
        // What Python's own handler does with other methods has no equivalent in curl that is as careful.
        _ => Follow::Safe,
    };
    request.unix_socket = args.str("unix_socket").map(str::to_owned);
    request.ca_path = args.str("ca_path").map(str::to_owned);
    if let Some(src) = args.str("src") {
        if args.bool("remote_src") {
            request.body_file = Some(path::word(src));
        } else {
            let local = cx.workstation.find_file("files", src)?;
            request.body = Some(cx.workstation.read_file(&local, true)?);
        }
        return Ok(request);
    }
    let written = body::write(cx, args)?;
    if let Some(kind) = written.content_type
        && (written.replaces || !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")))
    {
        request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        request.headers.push(("Content-Type".to_owned(), kind));
    }
    request.body = written.bytes;
    Ok(request)
}

/// The text for a request that is not to be made because of `creates` or `removes`.
async fn guarded(args: &Args, host: &dyn Host) -> Result<Option<String>, Failure> {
    for (name, wanted, text) in [("creates", true, "exists"), ("removes", false, "does not exist")] {
        let Some(file) = args.str(name) else { continue };
        let answer = host.probe(Frame::new(format!("[ -e {} ]\n", path::word(file)))).await?;
        if answer.ok() == wanted {
            return Ok(Some(format!("skipped, since '{file}' {text}")));
        }
    }
    Ok(None)
}

async fn look(host: &dyn Host, attrs: &Attrs, path: &str) -> Result<FileState, Failure> {
    let probe = attrs.ask(Ask::new(path).sha1()).probe();
    FileState::parse(&host.probe(Frame::new(probe.script)).await?)
}

/// The statuses that are a success: numbers, or text of them.
fn statuses(args: &Args) -> Result<Vec<i64>, Failure> {
    let given = args.list("status_code");
    if given.is_empty() {
        return Ok(vec![200]);
    }
    let mut statuses = vec![];
    for item in given {
        for text in item.to_string().split(',') {
            let status =
                text.trim().parse().map_err(|_| Failure::new(format!("`status_code` `{text}` is not a number")))?;
            statuses.push(status);
        }
    }
    Ok(statuses)
}

/// The result's fields but for content: headers with `_` for `-`, and what Ansible adds.
fn fields(request: &Request, response: &Response) -> Fields {
    let mut fields = Fields::new();
    let url = if response.is_success() { http::mask(&response.url) } else { http::mask(&request.url) };
    for (name, value) in &response.headers {
        let name = name.replace('-', "_");
        let joined = match fields.get(&name).filter(|_| response.is_success()) {
            Some(before) => format!("{before}, {value}"),
            None => value.clone(),
        };
        fields.insert(name, joined.into());
    }
    if let Some(location) = response.header("location") {
        fields.insert("location".into(), join_url(&http::mask(&request.url), location).into());
    }
    if response.is_success() {
        let cookies = response.cookies.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str())));
        fields.insert("cookies".into(), Value::from_pairs(cookies));
        let pairs: Vec<String> = response.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fields.insert("cookies_string".into(), pairs.join("; ").into());
    }
    fields.insert("redirected".into(), (url != http::mask(&request.url)).into());
    fields.insert("url".into(), url.into());
    fields.insert("status".into(), response.status.into());
    fields.insert("msg".into(), response.message().into());
    fields.insert("elapsed".into(), response.elapsed.into());
    fields
}

/// Sets `json` if the content is JSON; returns the text for `content` if it is wanted.
fn content(args: &Args, response: &Response, expected: bool, fields: &mut Fields) -> Option<String> {
    let kind = response.header("content-type").unwrap_or("application/octet-stream");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_lowercase();
    let kind = kind.rsplit_once('/').map_or("", |(_, sub)| sub);
    let json = matches!(kind.rsplit_once('+').map_or(kind, |(_, suffix)| suffix), "json" | "javascript");
    let wanted = args.bool("return_content");
    if !(json || wanted || !expected) {
        if !response.is_success() {
            // What Ansible has read of an answer that it expected but that is an error for its client.
            fields.insert("body".into(), String::from_utf8_lossy(&response.body).as_ref().into());
        }
        return None;
    }
    let latin = response
        .parameter("content-type", "charset")
        .is_some_and(|charset| matches!(charset.to_lowercase().as_str(), "iso-8859-1" | "latin-1" | "latin1"));
    let text = if latin {
        response.body.iter().map(|byte| char::from(*byte)).collect()
    } else {
        String::from_utf8_lossy(&response.body).into_owned()
    };
    if json && let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
        fields.insert("json".into(), from_json(&value));
    }
    wanted.then_some(text)
}

/// A location relative to a URL.
fn join_url(base: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let Some((scheme, rest)) = base.split_once("://") else { return location.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{host}{location}")
    } else {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let dir = path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or("/");
        format!("{scheme}://{host}{dir}{location}")
    }
}

#[cfg(test)]
mod tests {
    use super::join_url;

    #[test]
    fn joins_locations() {
        let base = "https://h:1/a/b?c=/d";
        assert_eq!(join_url(base, "/x"), "https://h:1/x");
        assert_eq!(join_url(base, "x"), "https://h:1/a/x");
        assert_eq!(join_url(base, "http://o/x"), "http://o/x");
        assert_eq!(join_url("https://h", "x"), "https://h/x");
    }
}
