//! The constraints of a service model, checked on a decoded request.
//!
//! The wording is that of AWS's own service framework: `2 validation errors detected: Value null at
//! 'logGroupName' failed to satisfy constraint: Member must not be null; Value '' at 'logEvents.1.member.message'
//! failed to satisfy constraint: Member must have length greater than or equal to 1`.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use super::{Enumeration, Pattern};

/// A structure that a request can carry.
pub trait Validate {
    /// Reports every constraint of the model that the value breaks.
    fn validate(&self, _found: &mut Violations) {}
}

/// So many are reported at most: a batch of 10,000 events may break 10,000 constraints.
const MOST: usize = 10;

/// The constraints that a request breaks, and where.
#[derive(Debug, Default)]
pub struct Violations {
    at: Vec<Segment>,
    messages: Vec<String>,
    /// Within a list or a map of scalars only the constraints are collected; the list reports them.
    constraints: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
enum Segment {
    Member(&'static str),
    /// Counted from 1.
    Element(usize),
}

impl Violations {
    /// The constraints that `request` breaks, in AWS's wording; `None` if it is valid.
    pub fn of(request: &impl Validate) -> Option<String> {
        let mut found = Self::default();
        request.validate(&mut found);
        let count = found.messages.len();
        let errors = if count == 1 { "error" } else { "errors" };
        (count > 0).then(|| format!("{count} validation {errors} detected: {}", found.messages.join("; ")))
    }

    /// A required member that has constraints of its own.
    pub fn required<T: Borrow<B>, B: ?Sized>(
        &mut self,
        name: &'static str,
        value: &Option<T>,
        check: fn(&B, &mut Self),
    ) {
        self.present(name, value);
        self.optional(name, value, check);
    }

    /// A required member.
    pub fn present<T>(&mut self, name: &'static str, value: &Option<T>) {
        if value.is_none() {
            self.at.push(Segment::Member(name));
            self.report(Some("null"), "Member must not be null");
            self.at.pop();
        }
    }

    /// An optional member that has constraints.
    pub fn optional<T: Borrow<B>, B: ?Sized>(
        &mut self,
        name: &'static str,
        value: &Option<T>,
        check: fn(&B, &mut Self),
    ) {
        if let Some(value) = value {
            self.at.push(Segment::Member(name));
            check(value.borrow(), self);
            self.at.pop();
        }
    }

    /// The structures of a list.
    pub fn each<T>(&mut self, list: &[T], check: fn(&T, &mut Self)) {
        for (at, element) in list.iter().enumerate() {
            if self.messages.len() >= MOST {
                return;
            }
            self.at.push(Segment::Element(at + 1));
            check(element, self);
            self.at.pop();
        }
    }

    /// The scalars of a list: reported for the list as a whole.
    pub fn members<T: Borrow<B> + Display, B: ?Sized>(&mut self, list: &[T], check: fn(&B, &mut Self)) {
        let broken = self.collect(list.iter().map(Borrow::borrow), check);
        if !broken.is_empty() {
            let shown = list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let constraint = format!("Member must satisfy constraint: [{}]", broken.join(", "));
            self.report(Some(&format!("'[{shown}]'")), &constraint);
        }
    }

    /// The keys of a map.
    pub fn keys<V>(&mut self, map: &BTreeMap<String, V>, check: fn(&str, &mut Self)) {
        let broken = self.collect(map.keys().map(String::as_str), check);
        if !broken.is_empty() {
            self.report(None, &format!("Map keys must satisfy constraint: [{}]", broken.join(", ")));
        }
    }

    /// The values of a map.
    pub fn values<V: Borrow<B>, B: ?Sized>(&mut self, map: &BTreeMap<String, V>, check: fn(&B, &mut Self)) {
        let broken = self.collect(map.values().map(Borrow::borrow), check);
        if !broken.is_empty() {
            self.report(None, &format!("Map value must satisfy constraint: [{}]", broken.join(", ")));
        }
    }

    /// Characters of a string.
    pub fn length(&mut self, value: &str, min: Option<usize>, max: Option<usize>) {
        let length = value.chars().count();
        self.limits(length, min, max, || Some(format!("'{value}'")), "length");
    }

    /// Elements of a list or map.
    pub fn size(&mut self, length: usize, min: Option<usize>, max: Option<usize>) {
        self.limits(length, min, max, || (length == 0).then(|| "'[]'".to_owned()), "length");
    }

    pub fn range(&mut self, value: i64, min: Option<i64>, max: Option<i64>) {
        self.limits(value, min, max, || Some(format!("'{value}'")), "value");
    }

    pub fn range_of_doubles(&mut self, value: f64, min: Option<f64>, max: Option<f64>) {
        self.limits(value, min, max, || Some(format!("'{value}'")), "value");
    }

    pub fn pattern(&mut self, value: &str, pattern: &Pattern) {
        if !pattern.matches(value) {
            let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.shown());
            self.report(Some(&format!("'{value}'")), &constraint);
        }
    }

    /// A value of an enumeration.
    pub fn value_set<E: Enumeration>(value: &E, found: &mut Self) {
        if !value.is_known() {
            let constraint = format!("Member must satisfy enum value set: [{}]", E::VALUES.join(", "));
            found.report(Some(&format!("'{value}'")), &constraint);
        }
    }

    fn limits<N: PartialOrd + Display>(
        &mut self,
        value: N,
        min: Option<N>,
        max: Option<N>,
        shown: impl Fn() -> Option<String>,
        what: &str,
    ) {
        if let Some(min) = min.filter(|min| value < *min) {
            self.report(
                shown().as_deref(),
                &format!("Member must have {what} greater than or equal to {min}"),
            );
        }
        if let Some(max) = max.filter(|max| value > *max) {
            self.report(shown().as_deref(), &format!("Member must have {what} less than or equal to {max}"));
        }
    }

    /// The constraints that any of `values` breaks, each once.
    fn collect<'v, B: ?Sized + 'v>(
        &mut self,
        values: impl Iterator<Item = &'v B>,
        check: fn(&B, &mut Self),
    ) -> Vec<String> {
        let outer = self.constraints.replace(Vec::new());
        for value in values {
            if self.constraints.as_ref().is_some_and(|broken| broken.len() >= MOST) {
                break;
            }
            check(value, self);
        }
        std::mem::replace(&mut self.constraints, outer).unwrap_or_default()
    }

    fn report(&mut self, value: Option<&str>, constraint: &str) {
        if let Some(constraints) = &mut self.constraints {
            if constraints.len() < MOST && !constraints.iter().any(|known| known == constraint) {
                constraints.push(constraint.to_owned());
            }
            return;
        }
        if self.messages.len() >= MOST {
            return;
        }
        let mut text = String::from("Value ");
        if let Some(value) = value {
            text.push_str(value);
            text.push(' ');
        }
        text.push_str("at '");
        for (depth, segment) in self.at.iter().enumerate() {
            let dot = if depth == 0 { "" } else { "." };
            // Writing into a String cannot fail.
            let _ = match segment {
                Segment::Member(name) => write!(text, "{dot}{name}"),
                Segment::Element(number) => write!(text, "{dot}{number}.member"),
            };
        }
        text.push_str("' failed to satisfy constraint: ");
        text.push_str(constraint);
        self.messages.push(text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::model::{ecs, logs};

    fn violations<T: Validate + serde::de::DeserializeOwned>(request: serde_json::Value) -> Option<String> {
        Violations::of(&serde_json::from_value::<T>(request).unwrap())
    }

    #[test]
    fn each_kind_of_constraint_is_reported_in_the_wording_of_aws() {
        let null = "1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: Member must not be null";
        assert_eq!(violations::<logs::CreateLogGroupRequest>(json!({})).as_deref(), Some(null));

        let name = violations::<logs::CreateLogGroupRequest>(json!({"logGroupName": ""}));
        let both = r"2 validation errors detected: Value '' at 'logGroupName' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+";
        assert_eq!(name.as_deref(), Some(both));

        let limit = violations::<logs::DescribeLogGroupsRequest>(json!({"limit": 51}));
        let most = "1 validation error detected: Value '51' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50";
        assert_eq!(limit.as_deref(), Some(most));

        let tags =
            violations::<logs::CreateLogGroupRequest>(json!({"logGroupName": "g", "tags": {"a*": "1"}}));
        let keys = r"1 validation error detected: Value at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: ^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$]";
        assert_eq!(tags.as_deref(), Some(keys));

        let fields = violations::<ecs::DescribeClustersRequest>(json!({"include": ["TAGS", "MOON"]}));
        let set = "1 validation error detected: Value '[TAGS, MOON]' at 'include' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [ATTACHMENTS, CONFIGURATIONS, SETTINGS, STATISTICS, TAGS]]";
        assert_eq!(fields.as_deref(), Some(set));
    }

    #[test]
    fn elements_are_counted_from_one_and_at_most_ten_are_reported() {
        let events: Vec<_> = (0..100).map(|_| json!({"timestamp": -1, "message": "m"})).collect();
        let batch = json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events});
        let message = violations::<logs::PutLogEventsRequest>(batch).unwrap();
        let first = "10 validation errors detected: Value '-1' at 'logEvents.1.member.timestamp' failed to satisfy constraint: Member must have value greater than or equal to 0; Value '-1' at 'logEvents.2.member.timestamp'";
        assert!(message.starts_with(first), "{message}");
    }

    #[test]
    fn a_constraint_that_many_scalars_break_is_collected_once() {
        // Alternating, so that no two neighbours break the same constraint.
        let keys: Vec<String> =
            (0..10_000).map(|n| if n % 2 == 0 { "*".to_owned() } else { "k".repeat(200) }).collect();
        let mut found = Violations::default();
        let broken = found.collect(keys.iter().map(String::as_str), |key: &str, found| {
            found.length(key, None, Some(128));
            if key == "*" {
                found.report(None, "a letter");
            }
        });
        assert_eq!(broken, ["a letter", "Member must have length less than or equal to 128"]);
        // Constraints that differ for each value are collected up to the limit.
        let numbers: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
        let broken = found
            .collect(numbers.iter().map(String::as_str), |number: &str, found| found.report(None, number));
        assert_eq!(broken.len(), MOST);
    }

    #[test]
    fn a_valid_request_has_no_violations() {
        assert_eq!(violations::<logs::CreateLogGroupRequest>(json!({"logGroupName": "/a/b.c-d_e#1"})), None);
        assert_eq!(
            violations::<ecs::RunTaskRequest>(json!({"taskDefinition": "t", "launchType": "FARGATE"})),
            None
        );
    }
}
