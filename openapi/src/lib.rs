//! The OpenAPI 3.1 document of the platform: one operation for each method of each row of the route
//! table, with the schemas of the types that cross the wire. Made here and nowhere else; what is checked
//! in is compared with it, and `tests/openapi.rs` holds a running server to it.

pub mod answers;
mod operation;
mod routes;

use agent_router::routes::table::TABLE;
use operation::{PROBLEM, path_of};
use protocol::ProblemKind;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

const ABOUT: &str = "\
Runs Claude Code for people: sessions, each with a sandbox of its own, and agents that are launched in them.

**Errors** are `application/problem+json` (RFC 9457). `detail` says what is wrong and what to do; `errors` names \
the members of the request that are at fault.

**Streams** are server-sent events or NDJSON. Each event has the `seq` of the log, gap-free from 1, which is its \
SSE `id`: a client that comes back repeats its request with `Last-Event-ID` and hears nothing twice. A turn ends \
with one event of type `status` and state `ended`. The schema of a stream's events stands beside its media type as \
`x-event`.

**Once**: a message with the same `id`, or `Idempotency-Key`, is the same message, however often it is sent.

**Every answer** has an `x-request-id`. Paths answer `HEAD` as well where they answer `GET`, if not said \
otherwise; another method gets 405 with `Allow`.

**Changes**: members and routes may be added at any time, and clients ignore what they do not know. What is to go is \
marked `deprecated` for at least two minor versions before.";

/// The document.
///
/// # Errors
/// A row of the table that nothing here describes.
pub fn document() -> Result<Value, String> {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    // Named by paths, so it is there in any case.
    schemas.subschema_for::<protocol::SessionId>();
    let problem = schemas.subschema_for::<answers::Problem>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    for row in TABLE {
        for method in row.methods {
            if *method == "HEAD" {
                continue;
            }
            let operation = routes::operation(row.kind, method, &mut schemas)
                .ok_or_else(|| format!("{method} {} is described nowhere", row.path))?;
            let path = paths.entry(path_of(row.path)).or_insert_with(|| json!({}));
            if let Some(members) = path.as_object_mut() {
                members.insert(method.to_lowercase(), operation.written(row, method));
            }
        }
    }
    let content = json!({ PROBLEM: { "schema": problem } });
    let mut responses = json!({
        "problem": { "description": "What is wrong, in words.", "content": content },
    });
    if let Some(members) = responses.as_object_mut() {
        for kind in ProblemKind::ALL {
            let status = kind.status().to_string();
            let described = json!({ "description": kind.title(), "content": content });
            members.entry(status).or_insert(described);
        }
    }
    Ok(json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Agent Router",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": routes::TAGS.map(|(name, text)| json!({ "name": name, "description": text })),
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": responses,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key with its scopes, the operator's token, or a share link's.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-agent-router",
                    "description": "A browser that has signed in at `/api/login`, from this site's own pages.",
                },
                "access": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "cf-access-jwt-assertion",
                    "description": "What Cloudflare Access says of somebody of the team.",
                },
                "sandbox": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A sandbox's own token, where its provider can't intercept its traffic.",
                },
            },
        },
    }))
}

/// The document as it is checked in.
///
/// # Errors
/// See [`document`].
pub fn text() -> Result<String, String> {
    let document = document()?;
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_router::routes::table::Need;

    /// Every `$ref` in the document.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str().filter(|_| name == "$ref") {
                        Some(reference) => found.push(reference),
                        None => references(member, found),
                    }
                }
            }
            Value::Array(all) => all.iter().for_each(|one| references(one, found)),
            _ => {}
        }
    }

    #[test]
    fn what_is_checked_in_is_that_of_the_table_and_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        // Not assert_eq, which would print both.
        assert!(
            kept == text().unwrap(),
            "write it anew: cargo xtask openapi"
        );
    }

    #[test]
    fn every_row_is_described_and_every_name_leads_somewhere() {
        let document = document().unwrap();
        for row in TABLE {
            for method in row.methods.iter().filter(|method| **method != "HEAD") {
                let path = document["paths"].get(path_of(row.path)).unwrap();
                let operation = &path[method.to_lowercase()];
                assert!(
                    !operation["summary"].as_str().unwrap().is_empty(),
                    "{}",
                    row.path
                );
                let open = operation["security"].as_array().unwrap().is_empty();
                let free = matches!(row.needs, Need::Nothing | Need::SetUp);
                assert_eq!(open, free, "{}", row.path);
            }
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        for reference in found {
            let place = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{reference}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let document = document().unwrap();
        let mut names = Vec::new();
        for path in document["paths"].as_object().unwrap().values() {
            for operation in path.as_object().unwrap().values() {
                names.push(operation["operationId"].as_str().unwrap().to_owned());
            }
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
