//! `pattern` of a service model: a regular expression that the whole value must match.

use std::sync::OnceLock;

use regex::Regex;

/// A pattern, compiled at its first use.
#[derive(Debug)]
pub struct Pattern {
    /// As the model writes it, which is how AWS shows it.
    shown: &'static str,
    /// The same for Rust's regex: `\w` and `\d` spelled out in ASCII.
    source: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(crate) const fn new(shown: &'static str, source: &'static str) -> Self {
        Self { shown, source, compiled: OnceLock::new() }
    }

    /// The model's own text.
    pub fn shown(&self) -> &'static str {
        self.shown
    }

    /// Whether the whole of `value` matches. A test proves that every pattern of the models compiles.
    pub fn matches(&self, value: &str) -> bool {
        self.compiled().is_none_or(|regex| regex.is_match(value))
    }

    fn compiled(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| Regex::new(&format!(r"\A(?:{})\z", self.source)).ok()).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use crate::api::model;

    #[test]
    fn every_pattern_of_the_models_compiles() {
        for pattern in model::ecs::PATTERNS.iter().chain(model::logs::PATTERNS) {
            assert!(pattern.compiled().is_some(), "{pattern:?}");
        }
    }
}
