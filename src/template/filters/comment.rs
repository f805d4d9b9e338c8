//! The `comment` filter.

use super::{Filter, all};
use crate::template::call::Call;
use crate::template::marker::{Eval, Stop};
use crate::value::Value;

pub const FILTERS: &[Filter] = &[all("comment", comment)];

/// More lines than this above or below a text are a slip, and too many would not fit into memory.
const MOST: usize = 1 << 16;

fn comment(call: &mut Call<'_>) -> Eval<Value> {
    let style = call.text("style")?.unwrap_or_else(|| "plain".to_owned());
    let (beginning, decoration, end) = match style.as_str() {
        "plain" => ("", "# ", ""),
        "erlang" => ("", "% ", ""),
        "c" => ("", "// ", ""),
        "cblock" => ("/*", " * ", " */"),
        "xml" => ("<!--", " - ", "-->"),
        other => {
            let known = ["plain", "erlang", "c", "cblock", "xml"];
            let error = crate::diagnostic::Diagnostic::error(format!("`{other}` is not a style of comments"));
            return Err(Stop::Error(
                error.did_you_mean(other, known).hint(format!("there are: {}", known.join(", "))).into(),
            ));
        }
    };
    let decoration = call.text("decoration")?.unwrap_or_else(|| decoration.to_owned());
    let trimmed = decoration.trim_end().to_owned();
    let newline = call.text("newline")?.unwrap_or_else(|| "\n".to_owned());
    let beginning = call.text("beginning")?.unwrap_or_else(|| beginning.to_owned());
    let prefix = call.text("prefix")?.unwrap_or_else(|| trimmed.clone());
    let prefix_count = call.count("prefix_count")?.unwrap_or(1);
    let postfix = call.text("postfix")?.unwrap_or_else(|| trimmed.clone());
    let postfix_count = call.count("postfix_count")?.unwrap_or(1);
    if prefix_count.max(postfix_count) > MOST {
        return Err(Stop::error(format!("`comment` puts no more than {MOST} lines before or after a text")));
    }
    let end = call.text("end")?.unwrap_or_else(|| end.to_owned());
    let text = call.input_text()?;

    let mut out = String::new();
    if !beginning.is_empty() {
        out.push_str(&format!("{beginning}{newline}"));
    }
    if prefix == newline {
        out.push_str(&newline.repeat(prefix_count));
    } else if !prefix.is_empty() {
        out.push_str(&format!("{prefix}{newline}").repeat(prefix_count));
    }
    let body = format!("{decoration}{}", text.replace(&newline, &format!("{newline}{decoration}")));
    // A line that is only decoration has no space at its end.
    out.push_str(&body.replace(&format!("{decoration}{newline}"), &format!("{trimmed}{newline}")));
    out.push_str(&format!("{newline}{postfix}").repeat(postfix_count));
    if !end.is_empty() {
        out.push_str(&format!("{newline}{end}"));
    }
    Ok(Value::from(out))
}
