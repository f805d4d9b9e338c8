//! The body of a `uri` task: text, JSON, or a form.

use base64::Engine as _;
use minijinja::value::ValueKind;

use crate::modules::{Args, Context, Failure};
use crate::value::{Value, to_json};

/// A body as it is sent.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The bytes; none when there is no body.
    pub bytes: Option<Vec<u8>>,
    /// The Content-Type that goes with it.
    pub content_type: Option<String>,
    /// Whether that replaces one that the task gives.
    pub replaces: bool,
}

/// Writes the body in the format that the arguments name.
pub(super) fn write(cx: &Context<'_>, args: &Args) -> Result<Written, Failure> {
    let body = args.get("body").filter(|body| !body.is_none() && !body.is_undefined());
    let text = |body: &Value| body.as_str().map(str::to_owned);
    let plain = |bytes: Option<String>, kind: &str| Written {
        bytes: bytes.map(String::into_bytes),
        content_type: Some(kind.to_owned()),
        replaces: false,
    };
    match args.text("body_format") {
        "json" => {
            let json = body
                .map_or_else(|| "null".to_owned(), |body| text(body).unwrap_or_else(|| python_json(&to_json(body))));
            Ok(plain(Some(json), "application/json"))
        }
        "form-urlencoded" => {
            let form = body.map(|body| text(body).map_or_else(|| form(body), Ok)).transpose()?;
            Ok(plain(form, "application/x-www-form-urlencoded"))
        }
        "form-multipart" => multipart(cx, body),
        _ => Ok(Written {
            bytes: body.map(|body| text(body).unwrap_or_else(|| python_json(&to_json(body))).into_bytes()),
            ..Written::default()
        }),
    }
}

/// JSON as Python's `json.dumps` writes it: with spaces after `,` and `:`, and nothing but ASCII.
fn python_json(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", python_json(&key.as_str().into()), python_json(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        serde_json::Value::String(_) => {
            let mut text = String::new();
            for c in json.to_string().chars() {
                if c.is_ascii() {
                    text.push(c);
                } else {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        text.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
            text
        }
        other => other.to_string(),
    }
}

/// A mapping, or a list of pairs, as a form. A list is several values of one name; null is left out.
fn form(body: &Value) -> Result<String, Failure> {
    let wrong =
        || Failure::new("failed to parse body as form_urlencoded: cannot form-urlencode body, expect list or dict");
    let mut pairs = vec![];
    for item in body.try_iter().map_err(|_| wrong())? {
        let (key, values) = match body.kind() {
            ValueKind::Map => {
                let values = body.get_item(&item).map_err(|_| wrong())?;
                (item, values)
            }
            _ => (item.get_item_by_index(0).map_err(|_| wrong())?, item.get_item_by_index(1).map_err(|_| wrong())?),
        };
        let values: Vec<Value> = match values.kind() {
            ValueKind::Seq | ValueKind::Map => values.try_iter().map_err(|_| wrong())?.collect(),
            _ => vec![values],
        };
        for value in values.iter().filter(|value| !value.is_none()) {
            pairs.push(format!("{}={}", encode(&python_text(&key)), encode(&python_text(value))));
        }
    }
    Ok(pairs.join("&"))
}

/// A scalar as Python's `str` writes it.
fn python_text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool if value.is_true() => "True".to_owned(),
        ValueKind::Bool => "False".to_owned(),
        _ => value.to_string(),
    }
}

/// A text as `urllib.parse.quote_plus` writes it.
fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A mapping as multipart/form-data. Files are those of the workstation, as in Ansible.
fn multipart(cx: &Context<'_>, body: Option<&Value>) -> Result<Written, Failure> {
    let wrong = |why: &str| Failure::new(format!("failed to parse body as form-multipart: {why}"));
    let body = body.filter(|body| body.kind() == ValueKind::Map).ok_or_else(|| wrong("Mapping is required"))?;
    let mut names: Vec<String> =
        body.try_iter().map_err(|_| wrong("Mapping is required"))?.map(|key| key.to_string()).collect();
    names.sort();
    let mut parts: Vec<Vec<u8>> = vec![];
    for name in &names {
        let value = body.get_attr(name).map_err(|_| wrong("Mapping is required"))?;
        let text = |key: &str| {
            value.get_attr(key).ok().filter(|item| !item.is_undefined() && !item.is_none()).map(|item| item.to_string())
        };
        let (filename, content, mime) = match value.kind() {
            ValueKind::String => (None, value.as_str().map(str::to_owned), "text/plain".to_owned()),
            ValueKind::Map => {
                let mime = text("mime_type").unwrap_or_else(|| "application/octet-stream".to_owned());
                (text("filename"), text("content"), mime)
            }
            _ => return Err(wrong("value must be a string, or mapping")),
        };
        let mut part = vec![];
        let data = match (&content, &filename) {
            (Some(content), _) => content.clone().into_bytes(),
            (None, Some(file)) => {
                let local = cx.workstation.find_file("files", file)?;
                let data = cx.workstation.read_file(&local, true)?;
                part.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n");
                let encoded = base64::engine::general_purpose::STANDARD.encode(data);
                let lines: Vec<&str> =
                    encoded.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
                lines.join("\r\n").into_bytes()
            }
            (None, None) => return Err(wrong("at least one of filename or content must be provided")),
        };
        part.extend(
            format!("Content-Type: {mime}\r\nContent-Disposition: form-data; name=\"{}\"", escape(name)).bytes(),
        );
        if let Some(file) = &filename {
            let base = file.rsplit('/').next().unwrap_or_default();
            part.extend(format!("; filename=\"{}\"", escape(base)).bytes());
        }
        part.extend_from_slice(b"\r\n\r\n");
        part.extend(data);
        parts.push(part);
    }
    let boundary = format!("===============mms{:032x}==", rand::random::<u128>());
    let mut bytes = vec![];
    for part in &parts {
        bytes.extend(format!("--{boundary}\r\n").bytes());
        bytes.extend(part);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend(format!("--{boundary}--\r\n").bytes());
    let content_type = format!("multipart/form-data; boundary=\"{boundary}\"");
    Ok(Written { bytes: Some(bytes), content_type: Some(content_type), replaces: true })
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\r', '\n'], " ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::value::from_json;
    use serde_json::json;

    #[test]
    fn writes_json_as_python_does() {
        assert_eq!(
            python_json(&json!({"a": [1, 2.5, null, true], "ä\"": "x\n"})),
            r#"{"a": [1, 2.5, null, true], "\u00e4\"": "x\n"}"#
        );
    }

    #[test]
    fn writes_forms_as_python_does() {
        let body = from_json(&json!({"name": "a b", "list": [1, "x&y"], "no": null, "yes": true}));
        assert_eq!(form(&body).unwrap(), "name=a+b&list=1&list=x%26y&yes=True");
        let pairs = from_json(&json!([["a", "1"], ["a", ["2", "3"]]]));
        assert_eq!(form(&pairs).unwrap(), "a=1&a=2&a=3");
    }
}
