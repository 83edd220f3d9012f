//! The server's API, as the tools call it.

use std::pin::Pin;

use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::engine::serving::collections::CollectionView;
use crate::engine::serving::sources::SourceView;
use crate::error::{Error, Result};

/// A call of the API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// `GET`, `POST`, …
    pub(crate) method: Method,
    /// The path with its query, as it stands in a request.
    pub(crate) target: String,
    /// The body, where there is one.
    pub(crate) body: Option<Value>,
}

/// Collections, as the API lists them.
#[derive(Deserialize)]
pub(super) struct Collections {
    pub(super) collections: Vec<CollectionView>,
}

/// Sources of a collection, as the API lists them.
#[derive(Deserialize)]
pub(super) struct Sources {
    pub(super) sources: Vec<SourceView>,
}

/// What is answered in time.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Result<Value>> + Send + 'a>>;

/// Answers calls of the API, for one caller.
pub(crate) trait Api: Send + Sync {
    /// Makes a call. Dropped, it is cancelled.
    ///
    /// # Errors
    /// What the API refuses, with its code and remedy; that it cannot be reached.
    fn call(&self, call: Call) -> Answering<'_>;
}

impl Call {
    /// Reads what is at a path, given in parts.
    pub(crate) fn get(path: &[&str], query: &[(&str, &str)]) -> Call {
        Call::new(Method::GET, path, query, None)
    }

    /// Sends a body to a path.
    pub(crate) fn post(path: &[&str], body: Value) -> Call {
        Call::new(Method::POST, path, &[], Some(body))
    }

    /// Takes away what is at a path.
    pub(crate) fn delete(path: &[&str]) -> Call {
        Call::new(Method::DELETE, path, &[], None)
    }

    /// Puts a body at a path.
    pub(super) fn put(path: &[&str], body: Value) -> Call {
        Call::new(Method::PUT, path, &[], Some(body))
    }

    fn new(method: Method, path: &[&str], query: &[(&str, &str)], body: Option<Value>) -> Call {
        let mut url = Url::parse("http://server/").expect("an address");
        url.path_segments_mut()
            .expect("an http address has a path")
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let query = url.query().map(|query| format!("?{query}"));
        Call {
            method,
            target: format!("{}{}", url.path(), query.unwrap_or_default()),
            body,
        }
    }

    /// Makes the call and reads its answer.
    ///
    /// # Errors
    /// As [`Api::call`]; an answer that is not what was expected.
    pub(crate) async fn of<T: DeserializeOwned>(self, api: &dyn Api) -> Result<T> {
        let answer = api.call(self).await?;
        serde_json::from_value(answer)
            .map_err(|error| Error::Internal(format!("an answer of the API: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_stay_parts() {
        let check = |path: &[&str], query: &[(&str, &str)], expected: &str| {
            assert_eq!(Call::get(path, query).target, expected);
        };
        check(&["v1", "jobs"], &[], "/v1/jobs");
        check(&["v1", "a/b", "ü ?"], &[], "/v1/a%2Fb/%C3%BC%20%3F");
        check(&["v1"], &[("at", "/a b&c")], "/v1?at=%2Fa+b%26c");
    }
}
