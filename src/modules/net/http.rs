//! HTTP requests made on the target, with its curl: configuration (URL, headers, passwords) goes over curl's stdin and the body
//! through a private file, so that nothing of it is ever an argument. Where there is no curl, wget does for plain downloads.

use base64::Engine as _;

use crate::connection::{Answer, Frame};
use crate::modules::{Args, Default, Failure, Opt, Type};
use crate::sh;

/// The options that `uri` and `get_url` share, after those of their own.
macro_rules! http_options {
    ($macro:ident! [$($option:expr),* $(,)?]) => {
        $macro![
            $($option,)*
            $crate::modules::net::http::FORCE,
            $crate::modules::net::http::FORCE_BASIC_AUTH,
            $crate::modules::net::http::HTTP_AGENT,
            $crate::modules::net::http::USE_PROXY,
            $crate::modules::net::http::VALIDATE_CERTS,
            $crate::modules::net::http::CLIENT_CERT,
            $crate::modules::net::http::CLIENT_KEY,
            $crate::modules::net::http::UNREDIRECTED_HEADERS,
            $crate::modules::net::http::DECOMPRESS,
            $crate::modules::net::http::CIPHERS,
            $crate::modules::net::http::USE_NETRC,
        ]
    };
}
pub(super) use http_options;

pub(super) const FORCE: Opt = Opt::new("force", Type::Bool, "Whether to fetch it even if the target's copy is as new.")
    .default(Default::Bool(false));
pub(super) const HTTP_AGENT: Opt =
    Opt::new("http_agent", Type::Str, "The User-Agent header.").default(Default::Str("ansible-httpget"));
pub(super) const USE_PROXY: Opt =
    Opt::new("use_proxy", Type::Bool, "Whether proxies of the target's environment are used.")
        .default(Default::Bool(true));
pub(super) const VALIDATE_CERTS: Opt =
    Opt::new("validate_certs", Type::Bool, "Whether the server's certificate is checked.").default(Default::Bool(true));
pub(super) const FORCE_BASIC_AUTH: Opt =
    Opt::new("force_basic_auth", Type::Bool, "Whether user and password are sent before the server asks for them.")
        .default(Default::Bool(false));
pub(super) const CLIENT_CERT: Opt = Opt::new("client_cert", Type::Path, "A client certificate (PEM) on the target.");
pub(super) const CLIENT_KEY: Opt = Opt::new("client_key", Type::Path, "The key of the client certificate.");
pub(super) const DECOMPRESS: Opt =
    Opt::new("decompress", Type::Bool, "Whether gzip content is decompressed.").default(Default::Bool(true));
pub(super) const CIPHERS: Opt = Opt::new("ciphers", Type::StrList, "TLS ciphers to use.");
pub(super) const USE_NETRC: Opt =
    Opt::new("use_netrc", Type::Bool, "Whether `~/.netrc` of the target is used.").default(Default::Bool(true));
pub(super) const UNREDIRECTED_HEADERS: Opt =
    Opt::new("unredirected_headers", Type::StrList, "Headers that a redirect does not get.")
        .default(Default::EmptyList);
pub(super) const HEADERS: Opt = Opt::new("headers", Type::Dict, "More headers.").default(Default::EmptyDict);

/// Which redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    /// All.
    All,
    /// None.
    None,
    /// Those of GET and HEAD.
    Safe,
}

/// What becomes of the response's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// It is in the answer.
    Answer,
    /// It is left in a new hidden file in this directory (a shell word); the answer has its path and these checksums.
    File {
        /// The directory.
        dir: String,
        /// Commands such as `sha1sum`.
        sums: Vec<String>,
    },
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// The URL.
    pub url: String,
    /// The method, upper-case.
    pub method: String,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// A file on the target (a shell word) that is the body.
    pub body_file: Option<String>,
    /// Seconds without progress after which it is given up.
    pub timeout: i64,
    /// Which redirects are followed.
    pub follow: Follow,
    /// Only if modified since (seconds since 1970).
    pub since: Option<f64>,
    /// A Unix socket to connect to.
    pub unix_socket: Option<String>,
    /// Certificates to trust, on the target.
    pub ca_path: Option<String>,
    /// What becomes of the response's body.
    pub into: Body,
}

impl Request {
    /// A request by the arguments that `uri` and `get_url` share.
    pub fn new(args: &Args, url: &str, method: &str) -> Self {
        let headers = args.dict("headers").into_iter().map(|(name, value)| (name, value.to_string())).collect();
        Self {
            url: url.to_owned(),
            method: method.to_owned(),
            headers,
            body: None,
            body_file: None,
            timeout: args.int("timeout").unwrap_or(10),
            follow: Follow::All,
            since: None,
            unix_socket: None,
            ca_path: None,
            into: Body::Answer,
        }
    }

    /// The script that makes the request, and the body for its stdin.
    pub fn frame(&self, args: &Args) -> Frame {
        let dir = match &self.into {
            Body::Answer => "\"${TMPDIR:-/tmp}\"".to_owned(),
            Body::File { dir, .. } => dir.clone(),
        };
        let mut script = format!(
            "umask 077; d=$(mktemp -d {dir}/.mms.XXXXXX) || exit 1\ntrap 'rm -rf -- \"$d\"' EXIT\n\
             : >\"$d/head\"; : >\"$d/out\"; : >\"$d/in\"\n"
        );
        if self.body.is_some() {
            script.push_str("cat >\"$d/in\"\n");
        }
        let data = match (&self.body, &self.body_file) {
            (_, Some(file)) => format!(" --data-binary @{file}"),
            (Some(_), None) => " --data-binary @\"$d/in\"".to_owned(),
            _ => String::new(),
        };
        // -q keeps ~/.curlrc out.
        script.push_str(&format!(
            "if command -v curl >/dev/null; then\n\
             curl -q -K -{data} -D \"$d/head\" -o \"$d/out\" >\"$d/report\" 2>\"$d/error\" <<'MMS_CONFIG'\n{}MMS_CONFIG\n\
             rc=$?; tool=curl\n",
            self.config(args)
        ));
        if self.is_plain(args) {
            script.push_str(&format!(
                "elif command -v wget >/dev/null; then\n\
                 wget -q -S -T {} -O \"$d/out\" -- {} 2>\"$d/head\"; rc=$?; tool=wget; : >\"$d/error\"; : >\"$d/report\"\n",
                self.timeout,
                sh::quote(&self.url)
            ));
        }
        script.push_str("else echo tool=none; exit 0; fi\n");
        script.push_str("printf 'tool=%s\\nrc=%s\\n' \"$tool\" \"$rc\"; cat \"$d/report\"\n");
        if let Body::File { sums, .. } = &self.into {
            for sum in sums {
                script.push_str(&format!("printf 'sum {sum}=%s\\n' \"$({sum} <\"$d/out\")\"\n"));
            }
            script.push_str("f=${d%/*}/.mms-download.${d##*.}; mv -- \"$d/out\" \"$f\" || exit 1; : >\"$d/out\"\nprintf 'file=%s\\n' \"$f\"\n");
        }
        script.push_str(
            "printf 'sizes=%s %s %s\\n' $(wc -c <\"$d/head\") $(wc -c <\"$d/error\") $(wc -c <\"$d/out\")\n\
             cat \"$d/head\" \"$d/error\" \"$d/out\"\n",
        );
        Frame { script, stdin: self.body.clone(), live: None, timeout: None }
    }

    /// Whether wget can do it: a GET without credentials, headers or conditions.
    fn is_plain(&self, args: &Args) -> bool {
        self.method == "GET"
            && self.headers.is_empty()
            && self.body.is_none()
            && self.body_file.is_none()
            && self.unix_socket.is_none()
            && self.ca_path.is_none()
            && args.str("url_username").is_none()
            && args.str("client_cert").is_none()
            && args.opt_bool("validate_certs") != Some(false)
            && args.opt_bool("use_proxy") != Some(false)
            && self.follow != Follow::None
    }

    /// curl's configuration. It sends what Python's `urllib` sends.
    fn config(&self, args: &Args) -> String {
        let mut config = String::from("silent\nshow-error\nhttp1.1\ngloboff\n");
        // An option without a value is a flag.
        let mut put = |name: &str, value: Option<&str>| match value {
            Some(value) => config.push_str(&format!("{name} = {}\n", quote(value))),
            None => config.push_str(&format!("{name}\n")),
        };
        put("url", Some(&self.url));
        put("write-out", Some("code=%{http_code}\nurl=%{url_effective}\ntime=%{time_total}\n"));
        let has_body = self.body.is_some() || self.body_file.is_some();
        let posts = matches!(self.method.as_str(), "POST" | "PUT" | "PATCH");
        let given = |name: &str| self.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
        match self.method.as_str() {
            "GET" if !has_body => {}
            "POST" if has_body => {}
            "HEAD" => put("head", None),
            method => put("request", Some(method)),
        }
        if posts && !has_body {
            put("data", Some(""));
            if !given("content-type") {
                put("header", Some("Content-Type:"));
            }
        }
        for (name, value) in
            [("Accept", ""), ("Expect", ""), ("Connection", " close"), ("Accept-Encoding", " identity")]
        {
            if !given(name) {
                put("header", Some(&format!("{name}:{value}")));
            }
        }
        if args.bool("force") {
            put("header", Some("cache-control: no-cache"));
        } else if let Some(since) = self.since {
            put("header", Some(&format!("If-Modified-Since: {}", http_date(since))));
        }
        for (name, value) in &self.headers {
            // An empty value needs curl's own notation.
            put("header", Some(&if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") }));
        }
        if !given("user-agent") {
            put("user-agent", Some(args.str("http_agent").unwrap_or("ansible-httpget")));
        }
        let user = args.str("url_username").unwrap_or_default();
        let password = args.str("url_password").unwrap_or_default();
        if !user.is_empty() {
            if args.bool("force_basic_auth") {
                let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                put("header", Some(&format!("Authorization: Basic {credentials}")));
            } else {
                put("user", Some(&format!("{user}:{password}")));
                put("anyauth", None);
            }
        }
        put("connect-timeout", Some(&self.timeout.to_string()));
        put("speed-time", Some(&self.timeout.to_string()));
        put("speed-limit", Some("1"));
        put("cookie", Some(""));
        let safe = matches!(self.method.as_str(), "GET" | "HEAD");
        if self.follow == Follow::All || (self.follow == Follow::Safe && safe) {
            put("location", None);
            put("max-redirs", Some("10"));
        }
        for (name, option) in [("client_cert", "cert"), ("client_key", "key")] {
            if let Some(path) = args.str(name) {
                put(option, Some(path));
            }
        }
        if let Some(path) = &self.unix_socket {
            put("unix-socket", Some(path));
        }
        if let Some(path) = &self.ca_path {
            put("cacert", Some(path));
        }
        let ciphers = args.strings("ciphers");
        if !ciphers.is_empty() {
            put("ciphers", Some(&ciphers.join(":")));
        }
        for (name, usual, option, value) in [
            ("validate_certs", true, "insecure", None),
            ("use_proxy", true, "noproxy", Some("*")),
            ("decompress", false, "compressed", None),
            ("use_netrc", false, "netrc-optional", None),
        ] {
            if args.opt_bool(name).is_some_and(|given| given != usual)
                && (option != "netrc-optional" || user.is_empty())
            {
                put(option, value);
            }
        }
        config
    }
}

/// A value in curl's configuration.
fn quote(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// A time as HTTP writes it.
fn http_date(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation)] // Times of files are far below 2^53.
    let time = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A response, or why there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Response {
    /// The status; -1 when there is no response.
    pub status: i64,
    /// The words after the status.
    pub reason: String,
    /// The URL in the end.
    pub url: String,
    /// Headers with lower-case names.
    pub headers: Vec<(String, String)>,
    /// `name=value` of every cookie that was set on the way.
    pub cookies: Vec<(String, String)>,
    /// The body, if it was to be in the answer.
    pub body: Vec<u8>,
    /// The file that has the body, otherwise.
    pub file: String,
    /// Checksums of the body by command.
    pub sums: Vec<(String, String)>,
    /// Whole seconds it took.
    pub elapsed: i64,
    /// Why there is no response, in the words of Python's `urllib`.
    pub error: String,
}

impl Response {
    /// Reads the answer to a [`Request`].
    pub fn read(request: &Request, answer: &Answer) -> Result<Self, Failure> {
        let mut response = Self { status: -1, url: request.url.clone(), ..Self::default() };
        let mut rest: &[u8] = &answer.stdout;
        let (mut rc, mut tool, mut sizes) = (0, String::new(), vec![]);
        while sizes.is_empty() && !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let line = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
            rest = rest.get(end + 1..).unwrap_or_default();
            let Some((name, value)) = line.split_once('=') else { continue };
            match name {
                "tool" => tool = value.to_owned(),
                "rc" => rc = value.parse().unwrap_or(1),
                "code" => response.status = value.parse().ok().filter(|code| *code > 0).unwrap_or(-1),
                "url" => response.url = value.to_owned(),
                "time" => response.elapsed = value.split(['.', ',']).next().and_then(|s| s.parse().ok()).unwrap_or(0),
                "file" => response.file = value.to_owned(),
                "sizes" => sizes = value.split_whitespace().filter_map(|size| size.parse::<usize>().ok()).collect(),
                _ => {
                    if let Some(command) = name.strip_prefix("sum ") {
                        let sum = value.split_whitespace().next().unwrap_or_default();
                        response.sums.push((command.to_owned(), sum.to_owned()));
                    }
                }
            }
        }
        if tool == "none" {
            return Err(Failure::missing("there is no curl on the target")
                .hint("install curl there; wget does for plain downloads only"));
        }
        let [head, error, _] = sizes[..] else {
            return Err(Failure::of_answer(format!("the request failed: {}", answer.stderr_text().trim()), answer));
        };
        let (head, rest) = rest.split_at(head.min(rest.len()));
        let (error, body) = rest.split_at(error.min(rest.len()));
        response.body = body.to_vec();
        response.read_head(&String::from_utf8_lossy(head));
        if response.status < 0 && rc == 0 {
            // FTP and files have no status.
            (response.status, response.reason) = (200, "OK".to_owned());
        }
        // curl says 22 and 47 (too many redirects) beside a response.
        if response.status < 0 || (rc != 0 && !matches!(rc, 22 | 47) && tool == "curl") {
            response.status = -1;
            response.error = trouble(rc, String::from_utf8_lossy(error).trim());
        }
        Ok(response)
    }

    /// Reads header blocks: those of redirects come first, and count only for cookies.
    fn read_head(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            if line.starts_with("HTTP/") {
                let mut words = line.splitn(3, ' ').skip(1);
                let status = words.next().and_then(|status| status.parse().ok());
                self.status = status.unwrap_or(self.status);
                self.reason = words.next().unwrap_or_default().trim().to_owned();
                self.headers.clear();
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let (name, value) = (name.trim().to_lowercase(), value.trim().to_owned());
            if name == "set-cookie"
                && let Some((cookie, value)) = value.split(';').next().and_then(|pair| pair.split_once('='))
            {
                self.cookies.retain(|(other, _)| other != cookie.trim());
                self.cookies.push((cookie.trim().to_owned(), value.trim().to_owned()));
            }
            self.headers.push((name, value));
        }
    }

    /// The first header of a lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Whether Python's `urllib` takes it for a success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Ansible's `msg`.
    pub fn message(&self) -> String {
        if self.status < 0 {
            self.error.clone()
        } else if self.is_success() {
            format!("OK ({} bytes)", self.header("content-length").unwrap_or("unknown"))
        } else {
            format!("HTTP Error {}: {}", self.status, self.reason)
        }
    }

    /// A parameter of a header: `charset` of `content-type`, `filename` of `content-disposition`.
    pub fn parameter(&self, header: &str, name: &str) -> Option<String> {
        self.header(header)?.split(';').skip(1).find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
        })
    }
}

/// What went wrong before there was a response, as Ansible says it.
fn trouble(rc: i32, error: &str) -> String {
    let said = error.split_once(") ").map_or(error, |(_, said)| said);
    let inner = match rc {
        6 => "[Errno -2] Name or service not known".to_owned(),
        7 if error.contains("refused") || error.contains("Couldn't connect") || error.contains("Could not connect") => {
            "[Errno 111] Connection refused".to_owned()
        }
        28 => "timed out".to_owned(),
        60 => format!("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {said}"),
        52 | 56 => return format!("Connection failure: {said}"),
        _ => said.to_owned(),
    };
    format!("Request failed: <urlopen error {inner}>")
}

/// A URL without user and password.
pub(super) fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    match host.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => format!("{scheme}://****:****@{host}{path}"),
        Some((_, host)) => format!("{scheme}://****@{host}{path}"),
        None => url.to_owned(),
    }
}

/// The path of a URL.
pub(super) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_headers_of_the_last_response_and_cookies_of_all() {
        let mut response = Response::default();
        response.read_head(
            "HTTP/1.1 302 Found\r\nLocation: /b\r\nSet-Cookie: a=1; Path=/\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html; \
             charset=\"utf-8\"\r\nX-Two: 1\r\nX-Two: 2\r\nSet-Cookie: b=2\r\n\r\n",
        );
        assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
        assert_eq!(response.header("location"), None);
        assert_eq!(response.parameter("content-type", "charset").as_deref(), Some("utf-8"));
        assert_eq!(response.cookies.len(), 2);
        assert_eq!(response.message(), "OK (unknown bytes)");
    }

    #[test]
    fn keeps_secrets_off_the_command_line() {
        let args = Args::new(
            [("url_username", "me"), ("url_password", "hunter2\"\\")]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        );
        let mut request = Request::new(&args, "https://example.org/$(id)", "POST");
        request.body = Some(b"token".to_vec());
        let frame = request.frame(&args);
        let (before, config) = frame.script.split_once("<<'MMS_CONFIG'\n").unwrap_or_default();
        assert!(!before.contains("hunter2") && !before.contains("example.org"));
        assert!(config.contains("user = \"me:hunter2\\\"\\\\\"\nanyauth\n"), "{config}");
        assert_eq!(frame.stdin.as_deref(), Some(&b"token"[..]));
    }

    #[test]
    fn takes_urls_apart() {
        assert_eq!(mask("https://u:p@h/x"), "https://****:****@h/x");
        assert_eq!(mask("https://h/x@y"), "https://h/x@y");
        assert_eq!(path_of("https://h/a/b.txt?x=/y"), "/a/b.txt");
        assert_eq!(path_of("https://h"), "");
    }

    #[test]
    fn says_what_went_wrong_as_python_does() {
        let said = trouble(7, "curl: (7) Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server");
        assert_eq!(said, "Request failed: <urlopen error [Errno 111] Connection refused>");
        assert_eq!(http_date(784_111_777.5), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
