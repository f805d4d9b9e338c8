//! `--tags` and `--skip-tags`, with the special tags `always`, `never`, `tagged`, `untagged` and `all`.

/// Which tasks are selected by their tags.
#[derive(Debug, Clone, Default)]
pub struct TagFilter {
    /// `--tags`; empty means `all`.
    pub only: Vec<String>,
    /// `--skip-tags`.
    pub skip: Vec<String>,
}

impl TagFilter {
    /// Whether a task with these tags is to be run.
    pub fn selects(&self, tags: &[String]) -> bool {
        let has = |tag: &str| tags.iter().any(|own| own == tag);
        let tagged = tags.iter().any(|tag| tag != "untagged");
        let matches = |wanted: &[String]| {
            wanted.iter().any(|tag| match tag.as_str() {
                "tagged" => tagged,
                "untagged" => !tagged,
                tag => has(tag),
            })
        };
        let all = self.only.is_empty() || self.only.iter().any(|tag| tag == "all");
        let selected = if has("always") {
            true
        } else if all {
            !has("never") || matches(&self.only)
        } else {
            matches(&self.only) && (!has("never") || self.only.iter().any(|tag| has(tag)))
        };
        let skip_all = self.skip.iter().any(|tag| tag == "all");
        let skipped =
            if skip_all { !has("always") || self.skip.iter().any(|tag| tag == "always") } else { matches(&self.skip) };
        selected && !skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(only: &str, skip: &str, tags: &str) -> bool {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        TagFilter { only: words(only), skip: words(skip) }.selects(&words(tags))
    }

    #[test]
    fn special_tags_mean_what_they_mean_in_ansible() {
        assert!(
            selects("", "", "") && selects("", "", "a") && !selects("", "", "never") && !selects("", "", "a never")
        );
        assert!(selects("a", "", "a never") && selects("never", "", "never") && !selects("b", "", "a"));
        assert!(selects("b", "", "always") && !selects("b", "always", "always"));
        assert!(selects("tagged", "", "a") && !selects("tagged", "", "") && selects("untagged", "", ""));
        assert!(!selects("", "a", "a b") && !selects("all", "tagged", "a") && selects("all", "tagged", ""));
        assert!(!selects("a", "b", "a b"));
        assert!(!selects("", "all", "a") && selects("", "all", "always"));
    }
}
