//! A route in words and schemas, and how OpenAPI writes it.

use access::{Right, Scopes};
use agent_router::routes::table::{Need, Row};
use protocol::ProblemKind;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

pub const JSON: &str = "application/json";
pub const SSE: &str = "text/event-stream";
pub const NDJSON: &str = "application/x-ndjson";
pub const PROBLEM: &str = "application/problem+json";

/// What a route does with one method.
#[derive(Default)]
pub struct Operation {
    tag: &'static str,
    summary: &'static str,
    text: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
    fails: Vec<ProblemKind>,
    frames: Option<Value>,
}

impl Operation {
    pub fn new(tag: &'static str, summary: &'static str) -> Self {
        Self {
            tag,
            summary,
            ..Self::default()
        }
    }

    pub fn text(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }

    fn parameter(mut self, place: &str, name: &str, schema: Value, text: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": place, "required": false, "schema": schema, "description": text,
        }));
        self
    }

    pub fn query(self, name: &str, schema: Value, text: &str) -> Self {
        self.parameter("query", name, schema, text)
    }

    pub fn header(self, name: &str, schema: Value, text: &str) -> Self {
        self.parameter("header", name, schema, text)
    }

    /// `Last-Event-ID`, with which a stream goes on.
    pub fn goes_on(self) -> Self {
        let seq = json!({ "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_i64 });
        self.header(
            "Last-Event-ID",
            seq,
            "The id of the last event that the client has: the stream goes on after it.",
        )
    }

    pub fn takes<T: JsonSchema>(self, schemas: &mut SchemaGenerator) -> Self {
        let schema = schemas.subschema_for::<T>().to_value();
        self.takes_content(&[JSON], &schema, true)
    }

    pub fn may_take<T: JsonSchema>(self, schemas: &mut SchemaGenerator) -> Self {
        let schema = schemas.subschema_for::<T>().to_value();
        self.takes_content(&[JSON], &schema, false)
    }

    pub fn takes_content(mut self, kinds: &[&str], schema: &Value, required: bool) -> Self {
        let content: Map<String, Value> = kinds
            .iter()
            .map(|kind| ((*kind).to_owned(), json!({ "schema": schema })))
            .collect();
        self.body = Some(json!({ "required": required, "content": content }));
        self
    }

    /// An answer as JSON.
    pub fn gives<T: JsonSchema>(
        self,
        schemas: &mut SchemaGenerator,
        status: u16,
        text: &str,
    ) -> Self {
        let schema = schemas.subschema_for::<T>().to_value();
        self.gives_content(status, JSON, &schema, text)
    }

    /// A stream of events, each of which is a `T` as JSON: a line of NDJSON, the data of an SSE event.
    pub fn streams<T: JsonSchema>(
        mut self,
        schemas: &mut SchemaGenerator,
        kinds: &[&str],
        text: &str,
    ) -> Self {
        let schema = schemas.subschema_for::<T>().to_value();
        for kind in kinds {
            let told = json!({ "type": "string", "contentMediaType": kind, "x-event": schema });
            self = self.gives_content(200, kind, &told, text);
        }
        self
    }

    pub fn gives_content(mut self, status: u16, kind: &str, schema: &Value, text: &str) -> Self {
        let answer = self
            .answers
            .entry(status.to_string())
            .or_insert_with(|| json!({ "description": text, "content": {} }));
        if let Some(content) = answer.get_mut("content").and_then(Value::as_object_mut) {
            content.insert(kind.to_owned(), json!({ "schema": schema }));
        }
        self
    }

    /// An answer without a body.
    pub fn done(mut self, status: u16, text: &str) -> Self {
        self.answers
            .insert(status.to_string(), json!({ "description": text }));
        self
    }

    /// The text frames of a WebSocket, each a `T` as JSON.
    pub fn frames<T: JsonSchema>(mut self, schemas: &mut SchemaGenerator) -> Self {
        self.frames = Some(schemas.subschema_for::<T>().to_value());
        self
    }

    /// What can be wrong, besides what can be on any route.
    pub fn fails(mut self, kinds: &[ProblemKind]) -> Self {
        self.fails.extend(kinds);
        self
    }

    /// As OpenAPI writes it, for a row of the table.
    pub fn written(&self, row: &Row, method: &str) -> Value {
        let mut parameters = path_parameters(row.path);
        parameters.extend(self.parameters.iter().cloned());
        let (who, security) = security(row.needs);
        let mut fails = self.fails.clone();
        match row.needs {
            Need::Nothing | Need::SetUp => {}
            Need::Session { .. } => fails.extend([
                ProblemKind::Unauthenticated,
                ProblemKind::Forbidden,
                ProblemKind::NotFound,
            ]),
            _ => fails.extend([ProblemKind::Unauthenticated, ProblemKind::Forbidden]),
        }
        let mut answers = self.answers.clone();
        for kind in fails {
            let status = kind.status().to_string();
            answers
                .entry(status.clone())
                .or_insert_with(|| json!({ "$ref": format!("#/components/responses/{status}") }));
        }
        answers.insert(
            "default".to_owned(),
            json!({ "$ref": "#/components/responses/problem" }),
        );
        let description = match self.text {
            "" => who.to_owned(),
            text => format!("{text}\n\n{who}"),
        };
        let mut written = json!({
            "operationId": operation_id(row.path, method),
            "tags": [self.tag],
            "summary": self.summary,
            "description": description,
            "security": security,
            "parameters": parameters,
            "responses": answers,
        });
        if let (Some(frames), Some(members)) = (&self.frames, written.as_object_mut()) {
            members.insert("x-frame".to_owned(), frames.clone());
        }
        if let (Some(body), Some(members)) = (&self.body, written.as_object_mut()) {
            members.insert("requestBody".to_owned(), body.clone());
        }
        written
    }
}

/// Who may, in words and as OpenAPI has it.
fn security(needs: Need) -> (&'static str, Value) {
    let of = |scopes: &[&str]| {
        json!([
            { "token": scopes },
            { "cookie": scopes },
            { "access": [] },
        ])
    };
    match needs {
        Need::Nothing => ("For everybody.", json!([])),
        Need::SetUp => (
            "For everybody, in a deployment that can tell people apart, or on its own machine.",
            json!([]),
        ),
        Need::Somebody => ("For whoever has an account or a share link.", of(&[])),
        Need::Session { right, launches } => match (right, launches) {
            (Right::Read, false) => (
                "For the session's owner with the scope `read`, the operator, and whoever has one of its links.",
                of(&["read"]),
            ),
            (Right::Write, false) => (
                "For the session's owner with the scope `write`, the operator, and whoever has one of its links to write.",
                of(&["write"]),
            ),
            (Right::Shell, _) => (
                "For the session's owner with the scope `write`, and the operator. No share link is enough.",
                of(&["write"]),
            ),
            (Right::Manage, _) => (
                "For the session's owner with the scope `admin`, and the operator.",
                of(&["admin"]),
            ),
            (Right::Read, true) => (
                "For the session's owner with the scope `read`, the operator, and whoever has one of its links. \
                 A session that is new begins with it, where the caller has the scope `launch`.",
                of(&["read"]),
            ),
            (Right::Write, true) => (
                "For the session's owner with the scope `write`, the operator, and whoever has one of its links to \
                 write. A session that is new begins with it, where the caller has the scope `launch`.",
                of(&["write"]),
            ),
        },
        Need::Scope(scopes) if scopes == Scopes::LAUNCH => {
            ("For accounts, with the scope `launch`.", of(&["launch"]))
        }
        Need::Scope(_) => ("For accounts, with the scope `read`.", of(&["read"])),
        Need::Launch => (
            "For accounts, with the scope `launch`; or with a key for a provider of models as `api_key`, \
             where the deployment takes such.",
            of(&["launch"]),
        ),
        Need::Account => (
            "For accounts, with the scope `admin`; others than one's own for the operator.",
            of(&["admin"]),
        ),
        Need::Operator => ("For the operator.", of(&["operator"])),
        Need::Sandbox => (
            "For the session's own sandbox, with the token that it was given.",
            json!([{ "sandbox": [] }]),
        ),
    }
}

/// The name of a parameter in a path, and whether it may hold slashes.
fn names(path: &str) -> impl Iterator<Item = (&str, bool)> {
    path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(
            name.strip_suffix('*')
                .map_or((name, false), |name| (name, true)),
        )
    })
}

/// A path as OpenAPI has it.
pub fn path_of(path: &str) -> String {
    path.replace("*}", "}")
}

fn path_parameters(path: &str) -> Vec<Value> {
    let described = |name: &str| match name {
        "session" => (
            json!({ "$ref": "#/components/schemas/SessionId" }),
            "The session.",
        ),
        "request" => (
            json!({ "type": "string", "minLength": 1 }),
            "The `request_id` of what the agent asks.",
        ),
        "terminal" => (
            json!({ "$ref": "#/components/schemas/TerminalName" }),
            "The terminal.",
        ),
        "path" => (
            json!({ "type": "string", "minLength": 1 }),
            "A path from the workspace on, with its slashes; each byte of a name may be percent-encoded.",
        ),
        "id" if path.starts_with("/api/keys") => (
            json!({ "type": "string", "pattern": "^[0-9a-f]{16}$" }),
            "The key's id: 16 hexadecimal digits.",
        ),
        "id" => (
            json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,64}$" }),
            "The configuration's id.",
        ),
        _ => (
            json!({ "type": "string", "minLength": 1 }),
            "The file's name.",
        ),
    };
    let one = |(name, _): (&str, bool)| {
        let (schema, text) = described(name);
        json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": text })
    };
    names(path).map(one).collect()
}

/// A name that says method and path, as generators of clients want it.
fn operation_id(path: &str, method: &str) -> String {
    let mut id = method.to_lowercase();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let part = part.trim_matches(['{', '}', '*']).replace(['-', '.'], "_");
        id += &format!("_{part}");
    }
    if path.ends_with('/') {
        id += if path == "/" { "_root" } else { "_slash" };
    }
    id
}
