//! Filter patterns: which events FilterLogEvents shows. Pure.
//!
//! ```text
//! ERROR "timed out" -DEBUG           terms: all of the plain ones, none of the excluded
//! ?ERROR ?WARN                       any of them
//! %5[0-9]{2}%                        a regular expression
//! { $.status >= 500 && $.user = a* } a condition on a message that is JSON
//! [ip, ..., status = 5*, bytes]      conditions on a message's space-delimited fields
//! ```
//!
//! Source: CloudWatch Logs user guide, "Filter pattern syntax". Anything else is refused by name: no pattern is
//! ever read as one that matches everything.

mod comparison;
mod fields;
mod json;
mod scanner;
mod terms;

use regex::Regex;

use scanner::Scanner;

/// Why a pattern is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("Invalid character(s) in term '{0}'")]
    Character(char),
    #[error("Invalid filter pattern: expected {expected} at character {at}")]
    Expected { expected: &'static str, at: usize },
    #[error("Invalid regular expression in filter pattern: %{0}%")]
    Regex(String),
    #[error("Invalid filter pattern: more than 2 regular expressions")]
    TooManyRegexes,
}

/// A parsed filter pattern.
#[derive(Debug)]
pub(super) struct Pattern(Kind);

#[derive(Debug)]
enum Kind {
    Everything,
    Terms(terms::Terms),
    Regex(Regex),
    Json(json::Condition),
    Fields(fields::Fields),
}

impl Pattern {
    pub(super) fn parse(pattern: &str) -> Result<Self, Invalid> {
        let mut scanner = Scanner::new(pattern);
        scanner.skip_space();
        let parsed = match scanner.peek() {
            None => return Ok(Self(Kind::Everything)),
            Some('{') => Kind::Json(json::parse(&mut scanner)?),
            Some('[') => Kind::Fields(fields::parse(&mut scanner)?),
            Some('%') => Kind::Regex(scanner.regex()?),
            Some(_) => Kind::Terms(terms::parse(&mut scanner)?),
        };
        scanner.skip_space();
        scanner.end()?;
        Ok(Self(parsed))
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Kind::Everything => true,
            Kind::Terms(terms) => terms.match_in(message),
            Kind::Regex(regex) => regex.is_match(message),
            Kind::Json(condition) => {
                serde_json::from_str(message).is_ok_and(|message| condition.holds(&message))
            }
            Kind::Fields(fields) => fields.match_in(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks a pattern against messages that match, and messages that do not.
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        for message in matching {
            assert!(parsed.matches(message), "{pattern} does not match {message}");
        }
        for message in others {
            assert!(!parsed.matches(message), "{pattern} matches {message}");
        }
    }

    #[test]
    fn terms_are_all_wanted_any_wanted_or_unwanted() {
        check("", &["", "anything"], &[]);
        check("  ", &["anything"], &[]);
        check("ERROR", &["[ERROR 400] BAD REQUEST"], &["[error 400]", ""]);
        check("ERROR ARGUMENTS", &["ERROR with ARGUMENTS", "ARGUMENTS then ERROR"], &["ERROR", "ARGUMENTS"]);
        check("?ERROR ?ARGUMENTS", &["an ERROR", "ARGUMENTS"], &["WARN"]);
        check("ERROR -ARGUMENTS", &["ERROR 400"], &["ERROR ARGUMENTS", "WARN"]);
        check("-ARGUMENTS", &["ERROR 400"], &["ERROR ARGUMENTS"]);
        check("?WARN ERROR", &["ERROR"], &["WARN"]);
        check(r#""INTERNAL SERVER ERROR""#, &["500 INTERNAL SERVER ERROR."], &["INTERNAL ERROR"]);
        check(r#"?"a b" ?"c\"d""#, &["a b", "c\"d"], &["a", "c d"]);
        check(r#"-"a:b" x"#, &["x"], &["x a:b"]);
    }

    #[test]
    fn a_regular_expression_stands_between_percent_signs() {
        check("%AUTHORIZED%", &["UNAUTHORIZED"], &["unauthorized"]);
        check("%^5[0-9]{2}$%", &["503"], &["5030", "404"]);
        check(r"%\d+\s?ms|never%", &["took 12 ms", "never"], &["12 s"]);
    }

    #[test]
    fn conditions_on_json_compare_strings_numbers_and_presence() {
        let trail = r#"{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","arrayKey":["value","another"],
            "objectList":[{"name":"a","id":1},{"name":"b","id":2.5}],"SomeObject":null,"cluster.name":"c","ok":true,
            "no":false,"bytes":1024,"text":"1024","detail-type":"d"}"#;
        for pattern in [
            r#"{ $.eventType = "UpdateTrail" }"#,
            "{$.eventType=UpdateTrail}",
            "{ $.eventType = *Trail }",
            r#"{ $.eventType = "Up*ail" }"#,
            "{ $.sourceIPAddress != 123.123.* }",
            "{ $.sourceIPAddress = 111.* }",
            r#"{ $.arrayKey[0] = "value" }"#,
            "{ $.objectList[1].id = 2.5 }",
            "{ $.objectList[1].id > 2 }",
            "{ $.objectList[0].id <= 1 }",
            "{ $.bytes = 1.024e3 }",
            "{ $.bytes = 10* }",
            "{ $.bytes >= -5 }",
            "{ $.text = 1024 }",
            "{ $.SomeObject IS NULL }",
            "{ $.SomeOtherObject NOT EXISTS }",
            "{ $.ok IS TRUE }",
            "{ $.no IS FALSE }",
            r#"{ $.eventType = "*" }"#,
            r#"{ $.objectList = "*" }"#,
            "{ $.['cluster.name'] = c }",
            r#"{ $.detail-type = "d" }"#,
            "{ $.eventType = %Trail$% }",
            "{ $.eventType != %^Trail% }",
            r#"{ ($.eventType = "x") || ($.bytes = 1024 && $.ok IS TRUE) }"#,
            r#"{ $.eventType = "UpdateTrail" || $.bytes = 1 && $.bytes = 2 }"#,
        ] {
            check(pattern, &[trail], &["not json"]);
        }
        for pattern in [
            "{ $.eventType = Trail }",
            "{ $.missing != a }",
            "{ $.missing IS NULL }",
            "{ $.SomeObject NOT EXISTS }",
            "{ $.arrayKey[2] = * }",
            "{ $.bytes > 1024 }",
            "{ $.eventType > 1 }",
            "{ ($.eventType = UpdateTrail || $.ok IS TRUE) && $.bytes = 2 }",
            "{ $.no IS TRUE }",
            "{ $.eventType = %^Trail% }",
        ] {
            check(pattern, &[], &[trail]);
        }
    }

    #[test]
    fn conditions_on_fields_stand_at_the_fields_place() {
        let line = r#"127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;
        for pattern in [
            "[ip, id, user, timestamp, request, status_code, bytes]",
            "[ip, id, user, timestamp, request =*.html*, status_code = 4*, bytes]",
            "[ip=%127\\.0\\.0\\.[0-9]%, id, user, timestamp, request, status_code, bytes > 1000]",
            "[ip, id, user, timestamp, request, status_code = 404 || status_code = 410, bytes]",
            "[..., request, status_code = 404, bytes]",
            "[ip = 127*, ...]",
            "[ip, ..., bytes >= 1534 && bytes < 2000]",
            r#"[ip, id, user = "frank", ..., bytes]"#,
            "[...]",
        ] {
            check(pattern, &[line], &[]);
        }
        for pattern in [
            "[ip, id, user, timestamp, request, status_code]",
            "[ip, id, user, timestamp, request, status_code, bytes, more]",
            "[ip, id, user != frank, timestamp, request, status_code, bytes]",
            "[..., bytes = 1*, last]",
            "[ip, id, user, timestamp, request, status_code = 404 && status_code = 410, bytes]",
            "[ip > 1, ...]",
        ] {
            check(pattern, &[], &[line]);
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_by_name() {
        let refused = |pattern: &str| Pattern::parse(pattern).map(|_| ()).unwrap_err().to_string();
        assert_eq!(refused("?Status: timeout"), "Invalid character(s) in term ':'");
        assert_eq!(refused("foo(bar)"), "Invalid character(s) in term '('");
        assert_eq!(refused("status=5*"), "Invalid character(s) in term '='");
        assert_eq!(refused("%a(b)%"), "Invalid character(s) in term '('");
        assert_eq!(refused("%[%"), "Invalid regular expression in filter pattern: %[%");
        assert_eq!(refused("\"open"), "Invalid filter pattern: expected a closing quote at character 6");
        assert_eq!(refused("{ $.a = }"), "Invalid filter pattern: expected a value at character 9");
        assert_eq!(refused("{ $.a ~ b }"), "Invalid filter pattern: expected a comparison at character 7");
        assert_eq!(refused("{ $.a = b"), "Invalid filter pattern: expected '}' at character 10");
        assert_eq!(refused("{ $.a = b } c"), "Invalid filter pattern: expected the end at character 13");
        assert_eq!(refused("{ $.a[*] = b }"), "Invalid filter pattern: expected an index at character 7");
        assert_eq!(refused("{ a = b }"), "Invalid filter pattern: expected '$' at character 3");
        assert_eq!(refused("{ $.a > b }"), "Invalid filter pattern: expected a number at character 9");
        assert_eq!(
            refused("[a, ..., b, ...]"),
            "Invalid filter pattern: expected a single '...' at character 13"
        );
        assert_eq!(
            refused("[a = 1 || b = 2]"),
            "Invalid filter pattern: expected the same field at character 11"
        );
        assert_eq!(
            refused("{ $.a = %x% && $.b = %y% && $.c = %z% }"),
            "Invalid filter pattern: more than 2 regular expressions"
        );
    }

    proptest! {
        #[test]
        fn no_pattern_and_no_message_panics(
            pattern in r#"(\{ \$\.[a-c.\[\]']{0,5} |\[|%|\?|-|"|)[ -~é]{0,20}[\}\]%"]?"#,
            message in "\\PC{0,40}",
        ) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&message);
            }
        }
    }
}
