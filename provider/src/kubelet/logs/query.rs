//! What a log request asks for: the query of `/containerLogs`, as the kubelet's `PodLogOptions` reads it.

use jiff::{SignedDuration, Timestamp};

/// A query parameter whose value is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::kubelet) enum Error {
    /// One value is wrong.
    #[error("invalid value {value:?} of {parameter}: must be {expected}")]
    Invalid {
        /// Which parameter.
        parameter: &'static str,
        /// The given value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Two parameters set where the log begins.
    #[error("at most one of `sinceTime` or `sinceSeconds` may be specified")]
    TwoSinces,
}

/// Which lines, in which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Continue with new lines until the container ends.
    pub(super) follow: bool,
    /// The attempt before the current one.
    pub(super) previous: bool,
    /// Each line begins with its time.
    pub(super) timestamps: bool,
    /// Only the last so many lines; all if absent.
    pub(super) tail: Option<u64>,
    /// Only lines at or after this time.
    pub(super) since: Option<Timestamp>,
    /// At most so many bytes; the last line may be cut.
    pub(super) limit_bytes: Option<u64>,
}

impl Query {
    /// Reads the decoded pairs of a query. Of a parameter given twice the first counts, one without a value
    /// counts as absent, an unknown one is ignored; `now` is what `sinceSeconds` counts back from.
    pub(super) fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Self, Error> {
        let get = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .filter(|v| !v.is_empty())
        };
        // `tail` is its name in kubelets before 1.4; its "all" means the same as absence.
        let tail = match get("tail") {
            Some("all") => None,
            Some(tail) => Some(tail),
            None => get("tailLines"),
        };
        if let Some(stream) = get("stream").filter(|stream| *stream != "All") {
            return Err(Error::Invalid {
                parameter: "stream",
                value: stream.to_owned(),
                expected: "All: a log stream holds stdout and stderr together",
            });
        }
        let seconds = number("sinceSeconds", get("sinceSeconds"), 1, "an integer greater than 0")?;
        let since = match (seconds, get("sinceTime")) {
            (Some(_), Some(_)) => return Err(Error::TwoSinces),
            (Some(seconds), None) => Some(
                // A time before the beginning of the calendar selects everything.
                i64::try_from(seconds)
                    .ok()
                    .and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok())
                    .unwrap_or(Timestamp::MIN),
            ),
            (None, Some(time)) => Some(time.parse().map_err(|_| Error::Invalid {
                parameter: "sinceTime",
                value: time.to_owned(),
                expected: "a time of RFC 3339",
            })?),
            (None, None) => None,
        };
        Ok(Self {
            follow: boolean("follow", get("follow"))?,
            previous: boolean("previous", get("previous"))?,
            timestamps: boolean("timestamps", get("timestamps"))?,
            tail: number("tailLines", tail, 0, "an integer not below 0")?,
            since,
            limit_bytes: number("limitBytes", get("limitBytes"), 1, "an integer greater than 0")?,
        })
    }
}

fn number(
    parameter: &'static str,
    value: Option<&str>,
    least: i64,
    expected: &'static str,
) -> Result<Option<u64>, Error> {
    value
        .map(|value| {
            // Signed, as in PodLogOptions: what does not fit there is not a number to the API server either.
            let number = value.parse::<i64>().ok().filter(|number| *number >= least);
            number.and_then(|number| u64::try_from(number).ok()).ok_or_else(|| Error::Invalid {
                parameter,
                value: value.to_owned(),
                expected,
            })
        })
        .transpose()
}

/// Go's `strconv.ParseBool`.
fn boolean(parameter: &'static str, value: Option<&str>) -> Result<bool, Error> {
    match value {
        None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
        Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
        Some(value) => Err(Error::Invalid { parameter, value: value.to_owned(), expected: "true or false" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, Error> {
        let pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Query::parse(&pairs, "2026-11-21T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn every_parameter_is_read_and_absence_means_everything() {
        let none = Query::default();
        let time = |text: &str| Some(text.parse().unwrap());
        for (query, expected) in [
            ("", none),
            ("container=web&insecureSkipTLSVerifyBackend=true&stream=All", none),
            (
                "follow=true&previous=1&timestamps=T",
                Query { follow: true, previous: true, timestamps: true, ..none },
            ),
            ("follow=false&previous=0&timestamps=F", none),
            ("follow=&tailLines=&sinceTime=", none),
            ("tailLines=0", Query { tail: Some(0), ..none }),
            ("tailLines=9223372036854775807", Query { tail: Some(9_223_372_036_854_775_807), ..none }),
            ("tailLines=7&tailLines=8", Query { tail: Some(7), ..none }),
            ("tail=all&tailLines=8", none),
            ("tail=3&tailLines=8", Query { tail: Some(3), ..none }),
            ("limitBytes=1", Query { limit_bytes: Some(1), ..none }),
            ("sinceSeconds=90", Query { since: time("2026-11-21T11:58:30Z"), ..none }),
            ("sinceSeconds=9223372036854775807", Query { since: Some(Timestamp::MIN), ..none }),
            (
                "sinceTime=2026-11-21T12:30:00.5+01:00",
                Query { since: time("2026-11-21T11:30:00.5Z"), ..none },
            ),
        ] {
            assert_eq!(parse(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn an_invalid_value_is_refused_by_name() {
        for (query, named) in [
            ("tailLines=-1", "tailLines"),
            ("tailLines=ten", "tailLines"),
            ("tailLines=9223372036854775808", "tailLines"),
            ("tail=none", "tailLines"),
            ("limitBytes=0", "limitBytes"),
            ("limitBytes=-5", "limitBytes"),
            ("sinceSeconds=0", "sinceSeconds"),
            ("sinceSeconds=1.5", "sinceSeconds"),
            ("sinceTime=yesterday", "sinceTime"),
            ("sinceTime=2026-11-21", "sinceTime"),
            ("follow=yes", "follow"),
            ("previous=2", "previous"),
            ("timestamps=tRUE", "timestamps"),
            ("stream=Stderr", "stream"),
        ] {
            match parse(query) {
                Err(Error::Invalid { parameter, .. }) => assert_eq!(parameter, named, "{query}"),
                other => panic!("{query}: {other:?}"),
            }
        }
        assert_eq!(parse("sinceSeconds=1&sinceTime=2026-11-21T12:00:00Z"), Err(Error::TwoSinces));
    }
}
