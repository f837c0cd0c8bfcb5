//! `/openapi.json`: the description of the API, made of the table of routes and the schemas of its bodies.
//!
//! Must never name what is not served: a test holds routes, schemas and `docs/openapi.json` together.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::route::{Answer, Asked, Reply, Route};
use super::routes::ROUTES;
use super::{Port, local};
use crate::api::BoxFuture;

/// The bodies, by name.
const SCHEMAS: &str = include_str!("schemas.json");

pub(super) fn page(_: Arc<Port>, _: Asked) -> BoxFuture<Reply> {
    Box::pin(async { Reply::json(StatusCode::OK, &document()) })
}

/// The whole description.
fn document() -> Value {
    let schemas: Value = serde_json::from_str(SCHEMAS).expect("the file is JSON, as a test holds");
    let mut paths: Map<String, Value> = Map::new();
    ROUTES.iter().for_each(|route| add(&mut paths, route));
    local::ROUTES.iter().for_each(|route| add(&mut paths, route));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Milena's HTTP port",
            "version": "1",
            "description": "Health, metrics, and what tests may do to the broker. /v1/brokers is what milena cluster serves. See docs/HTTP.md.",
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn add<D>(paths: &mut Map<String, Value>, route: &Route<D>) {
    let path = paths.entry(route.path).or_insert_with(|| json!({}));
    path[route.method.as_str().to_lowercase()] = operation(route);
}

fn operation<D>(route: &Route<D>) -> Value {
    let mut operation = json!({ "operationId": route.name, "summary": route.summary });
    let parameters: Vec<Value> = variables(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = route.body {
        operation["requestBody"] =
            json!({ "content": { "application/json": { "schema": reference(schema) } } });
    }
    let answers: Map<String, Value> =
        route.answers.iter().map(|answer| (answer.status.to_string(), described(answer))).collect();
    operation["responses"] = answers.into();
    operation
}

fn described(answer: &Answer) -> Value {
    let content = match answer.schema {
        Some(schema) => json!({ "application/json": { "schema": reference(schema) } }),
        None => json!({ "text/plain": { "schema": { "type": "string" } } }),
    };
    json!({ "description": answer.what, "content": content })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// The names in braces of a path.
fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn routes_and_schemas_agree() {
        let schemas: Map<String, Value> = serde_json::from_str(SCHEMAS).expect("an object");
        fn schemas_of<D>(routes: &[Route<D>]) -> impl Iterator<Item = &'static str> {
            routes.iter().flat_map(|route| {
                route.body.into_iter().chain(route.answers.iter().filter_map(|answer| answer.schema))
            })
        }
        let mut named: BTreeSet<String> =
            schemas_of(ROUTES).chain(schemas_of(local::ROUTES)).map(str::to_owned).collect();
        // Those that schemas name themselves.
        let text = serde_json::to_string(&schemas).expect("JSON");
        named.extend(
            text.split("#/components/schemas/")
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap_or_default().to_owned()),
        );
        let known: BTreeSet<String> = schemas.keys().cloned().collect();
        assert_eq!(named, known);
        let names: Vec<_> = ROUTES.iter().map(|route| route.name).collect();
        let names: Vec<_> = names.into_iter().chain(local::ROUTES.iter().map(|route| route.name)).collect();
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "each operation has its own name");
    }

    #[test]
    fn the_document_is_the_one_in_docs() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let text = format!("{:#}\n", document());
        if std::env::var_os("MILENA_REWRITE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == text, "docs/openapi.json is out of date: run this test with MILENA_REWRITE=1");
    }
}
