//! `/openapi.json`: the table of routes as an OpenAPI 3.1 document.

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::problem::CONTENT_TYPE;
use super::routes::{Call, Kind, Parameter, Place, Protection, ROUTES, Route};
use super::schemas::schemas;

/// The media type of metrics.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.verb.name().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "BitfiTech node",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Amounts and prices are decimal strings. Errors are problem details \
                            (RFC 9457) with a code for programs.",
            "license": {"name": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(route: &Route) -> Value {
    let parameters: Vec<Value> = route.parameters.iter().map(parameter).collect();
    let mut operation = json!({
        "operationId": format!("{:?}", route.call),
        "summary": route.about,
        "parameters": parameters,
        "responses": responses(route),
    });
    if let Some(schema) = route.body {
        operation["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": reference(schema)}},
        });
    }
    if route.protection == Protection::Token {
        // The second way is to have none: a node on loopback asks for no token by default.
        operation["security"] = json!([{"token": []}, {}]);
    }
    operation
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Pair => json!({
            "type": "string", "pattern": "^[A-Za-z0-9]+/[A-Za-z0-9]+$", "maxLength": 64,
        }),
        Kind::Count { default, max } => json!({
            "type": "integer", "minimum": 1, "maximum": max, "default": default,
        }),
        Kind::Number => json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
        Kind::Id => json!({"type": "string", "pattern": "^[0-9a-fA-F]{8,64}$"}),
        Kind::Order => {
            let number = r"(\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9]))?";
            json!({"type": "string", "pattern": format!("^[0-9a-fA-F]{{8,64}}{number}$")})
        }
        Kind::Choice(words) => json!({"type": "string", "enum": words, "default": words[0]}),
        Kind::Name => json!({"type": "string", "pattern": "^[!-~]{1,128}$"}),
        Kind::File => json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}),
    };
    json!({
        "name": parameter.name,
        "in": match parameter.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        },
        "required": parameter.place == Place::Path,
        "description": parameter.about,
        "schema": schema,
    })
}

fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    let (status, good) = success(route);
    responses.insert(status.to_owned(), good);
    if matches!(route.call, Call::Health | Call::Ready) {
        let schema = route.answer.unwrap_or_default();
        responses.insert(
            "503".to_owned(),
            answer("It is not", "application/json", schema),
        );
    }
    for status in errors(route) {
        let entry = responses.entry(status.as_u16().to_string());
        let about = status.canonical_reason().unwrap_or_default();
        entry.or_insert_with(|| answer(about, CONTENT_TYPE, "Problem"));
    }
    Value::Object(responses)
}

fn answer(about: &str, media_type: &str, schema: &str) -> Value {
    json!({
        "description": about,
        "content": {media_type: {"schema": reference(schema)}},
    })
}

fn success(route: &Route) -> (&'static str, Value) {
    match (route.call, route.answer) {
        (Call::Place, Some(schema)) => {
            let mut written = answer("The order is on disk", "application/json", schema);
            written["headers"] = json!({"Location": {"schema": {"type": "string"}}});
            ("201", written)
        }
        (_, Some(schema)) => ("200", answer("The answer", "application/json", schema)),
        (Call::Stream, None) => ("101", json!({"description": "The stream begins"})),
        (Call::Metrics, None) => {
            let text = json!({"schema": {"type": "string"}});
            (
                "200",
                json!({"description": "Metrics", "content": {OPENMETRICS: text}}),
            )
        }
        (_, None) => ("200", json!({"description": "A part of the page"})),
    }
}

/// The statuses of the problems that a route may have.
fn errors(route: &Route) -> Vec<StatusCode> {
    let mut errors = vec![
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::METHOD_NOT_ALLOWED,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if route.protection == Protection::Token {
        errors.push(StatusCode::UNAUTHORIZED);
        errors.push(StatusCode::SERVICE_UNAVAILABLE);
        errors.push(StatusCode::GATEWAY_TIMEOUT);
    }
    if !route.parameters.is_empty() || matches!(route.call, Call::Metrics | Call::Page) {
        errors.push(StatusCode::NOT_FOUND);
        errors.push(StatusCode::CONFLICT);
    }
    if route.body.is_some() {
        errors.push(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if route.body.is_some() || route.call == Call::Clock {
        errors.push(StatusCode::UNPROCESSABLE_ENTITY);
    }
    if route.call == Call::Stream {
        errors.push(StatusCode::UPGRADE_REQUIRED);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name of a schema that is mentioned.
    fn mentioned(value: &Value, names: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(name)) = fields.get("$ref") {
                    names.push(name.clone());
                }
                fields.values().for_each(|value| mentioned(value, names));
            }
            Value::Array(items) => items.iter().for_each(|value| mentioned(value, names)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_that_is_mentioned_is_there_and_every_operation_has_its_own_name() {
        let document = document();
        let mut names = Vec::new();
        mentioned(&document, &mut names);
        assert!(names.len() > 50, "schemas are mentioned");
        for name in names {
            let pointer = name.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{name}");
        }
        let paths = document["paths"].as_object().expect("paths").values();
        let operations = paths.flat_map(|path| path.as_object().expect("operations").values());
        let mut ids: Vec<&str> = operations
            .filter_map(|it| it["operationId"].as_str())
            .collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len() + 1, count, "the page has two paths");
    }
}
