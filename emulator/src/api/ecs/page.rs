//! Pages: `maxResults` and the opaque `nextToken`.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{Error, page_token};

/// The size of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(usize);

impl Size {
    /// `maxResults`: 1 to 100, 100 if it is absent (API reference, each List operation).
    pub(super) fn new(max_results: Option<i32>) -> Result<Self, Error> {
        match max_results.map(usize::try_from) {
            None => Ok(Self(100)),
            Some(Ok(size @ 1..=100)) => Ok(Self(size)),
            Some(_) => Err(Error::invalid_parameter("maxResults should be between 1 and 100")),
        }
    }

    /// How many to ask for: one more than fit, to know whether another page follows.
    pub(super) fn asked(self) -> u32 {
        u32::try_from(self.0 + 1).unwrap_or(u32::MAX)
    }

    /// Cuts `found` to a page; the token of the next page holds the last element of this one.
    pub(super) fn cut<T, P: Serialize>(
        self,
        found: &mut Vec<T>,
        scope: impl Display,
        position: impl Fn(&T) -> P,
    ) -> Option<String> {
        if found.len() <= self.0 {
            return None;
        }
        found.truncate(self.0);
        found.last().map(|last| page_token::seal(scope, &position(last)))
    }
}

/// Where a page begins.
///
/// # Errors
/// A token that [`Size::cut`] did not make for the same operation and filters.
pub(super) fn position<P: DeserializeOwned>(
    scope: impl Display,
    token: Option<&str>,
) -> Result<Option<P>, Error> {
    let Some(token) = token else { return Ok(None) };
    page_token::open(scope, token).map(Some).ok_or_else(|| Error::invalid_parameter("Invalid token."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_only_for_its_own_operation_and_filters() {
        let mut found = vec!["a", "b", "c"];
        let next = Size::new(Some(2)).unwrap().cut(&mut found, "ListClusters", |name| name.to_string());
        assert_eq!(found, ["a", "b"]);
        let at = |scope, token| position::<String>(scope, token).map_err(|error| error.to_string());
        assert_eq!(at("ListClusters", next.as_deref()), Ok(Some("b".to_owned())));
        for (scope, token) in
            [("ListTasks", next.as_deref()), ("ListClusters", Some("x")), ("ListClusters", Some(""))]
        {
            assert_eq!(at(scope, token), Err("InvalidParameterException: Invalid token.".to_owned()));
        }
        assert_eq!(at("ListClusters", None), Ok(None));
    }

    #[test]
    fn the_last_page_has_no_token() {
        let mut found = vec![1, 2];
        assert_eq!(Size::new(Some(2)).unwrap().cut(&mut found, "x", |n| *n), None);
        assert_eq!(found, [1, 2]);
    }
}
