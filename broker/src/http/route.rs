//! A route, what is asked of it, and its reply.
//!
//! Must never know a particular route.

use std::sync::Arc;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::BoxFuture;

/// One thing that can be asked for. What describes it is what the OpenAPI page says.
pub(crate) struct Route<D: 'static> {
    pub(super) method: Method,
    /// With `{name}` for a part that the handler gets.
    pub(super) path: &'static str,
    /// In the description, the name of the operation.
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    /// The schema of the body, if one is read.
    pub(super) body: Option<&'static str>,
    pub(super) answers: &'static [Answer],
    pub(super) handle: fn(Arc<D>, Asked) -> BoxFuture<Reply>,
}

/// A status that a route may answer with.
pub(crate) struct Answer {
    pub(super) status: u16,
    pub(super) what: &'static str,
    /// `None` for plain text.
    pub(super) schema: Option<&'static str>,
}

/// A request of a route.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The parts of the path that stand for something, in their order.
    pub(super) path: Vec<String>,
    pub(super) body: Bytes,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
    /// Methods that the path has, for who used another.
    pub(super) allowed: Option<String>,
}

impl Asked {
    /// The body as a value; what is wrong with it becomes the answer. An empty body is an empty object.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body)
            .map_err(|error| Reply::problem(StatusCode::BAD_REQUEST, &format!("the body: {error}")))
    }
}

impl Reply {
    fn new(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Self {
        Self { status, kind, body, allowed: None }
    }

    pub(super) fn text(kind: &'static str, body: String) -> Self {
        Self::new(StatusCode::OK, kind, body.into_bytes())
    }

    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec_pretty(value).expect("plain values have a JSON form");
        Self::new(status, "application/json", body)
    }

    pub(super) fn problem(status: StatusCode, what: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": what }))
    }
}

/// The route of a path, with what its variable parts are.
pub(super) fn find<'a, D>(
    routes: &'a [Route<D>],
    method: &Method,
    path: &str,
) -> Result<(&'a Route<D>, Vec<String>), Reply> {
    // HEAD is GET without the body.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let of_path: Vec<_> =
        routes.iter().filter_map(|route| Some((route, matched(route.path, path)?))).collect();
    if of_path.is_empty() {
        return Err(Reply::problem(
            StatusCode::NOT_FOUND,
            "there is no such path; GET /openapi.json lists them",
        ));
    }
    let allowed: Vec<&str> = of_path.iter().map(|(route, _)| route.method.as_str()).collect();
    let allowed = allowed.join(", ");
    let found = of_path.into_iter().find(|(route, _)| route.method == method);
    found.ok_or_else(|| {
        let refused = Reply::problem(StatusCode::METHOD_NOT_ALLOWED, &format!("this path has {allowed}"));
        Reply { allowed: Some(allowed), ..refused }
    })
}

fn matched(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut found = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(part), Some(text)) if part.starts_with('{') => {
                found.push(decoded(text).filter(|text| !text.is_empty())?);
            }
            (Some(part), Some(text)) if part == text => {}
            _ => return None,
        }
    }
}

/// Percent-encoding undone; `None` if it is not UTF-8 then, or cut.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_parts_of_a_path_are_given_decoded() {
        assert_eq!(matched("/v1/groups/{group}/x", "/v1/groups/a%2Fb/x"), Some(vec!["a/b".to_owned()]));
        assert_eq!(matched("/v1/groups/{group}", "/v1/groups/"), None);
        assert_eq!(matched("/v1/groups/{group}", "/v1/groups/a/b"), None);
        assert_eq!(matched("/v1/x/{y}", "/v1/x/%f"), None);
        assert_eq!(matched("/metrics", "/metrics"), Some(Vec::new()));
    }
}
