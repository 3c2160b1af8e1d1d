//! The reader's page of the API: HTML and a style of its own, made from the OpenAPI document. No script,
//! nothing from elsewhere, so that it holds under a policy that allows neither.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use tokio::process::Command;

use crate::process::output;
use crate::{root, say};

const STYLE: &str = include_str!("docs.css");

/// The document as it is checked in.
pub const DOCUMENT: &str = "openapi/openapi.json";

/// Writes the document anew. What makes it is a program of its own: it knows the Worker, which nothing
/// else here needs to compile.
///
/// # Errors
/// Where a route is not described, or the file can't be written.
pub async fn write() -> Result<()> {
    let mut program = Command::new("cargo");
    program
        .args(["run", "--quiet", "--package", "openapi"])
        .current_dir(root());
    let text = output(&mut program).await?;
    tokio::fs::write(root().join(DOCUMENT), text + "\n").await?;
    say(DOCUMENT);
    Ok(())
}

/// Puts the document and its page to the files of the UI, where the Worker finds them.
///
/// # Errors
/// Where the document can't be read, or they can't be written.
pub async fn into(assets: &Path) -> Result<()> {
    let text = tokio::fs::read_to_string(root().join(DOCUMENT)).await;
    let text = text.context(DOCUMENT)?;
    let document: Value = serde_json::from_str(&text).context(DOCUMENT)?;
    let mut hasher = DefaultHasher::new();
    STYLE.hash(&mut hasher);
    // What it is named by its content may be kept for good.
    let style = format!("assets/docs-{:016x}.css", hasher.finish());
    for folder in ["api", "assets"] {
        tokio::fs::create_dir_all(assets.join(folder)).await?;
    }
    tokio::fs::write(assets.join(&style), STYLE).await?;
    tokio::fs::write(assets.join("api/openapi.json"), document.to_string()).await?;
    tokio::fs::write(assets.join("api/docs.html"), page(&document, &style)).await?;
    Ok(())
}

/// The page.
pub fn page(document: &Value, style: &str) -> String {
    let mut out = String::new();
    let info = member(document, "info");
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: the API</title>\n<link rel=\"stylesheet\" href=\"/{style}\">\n</head>\n<body>\n\
         <header><h1>{title} <small>API {version}</small></h1>\
         <p><a href=\"/api/openapi.json\">openapi.json</a> is the same for programs.</p></header>\n",
        title = escaped(text(info, "title")),
        version = escaped(text(info, "version")),
    );
    let groups = groups(document);
    out += "<nav aria-label=\"Routes\">\n";
    for (name, _, operations) in &groups {
        let _ = writeln!(
            out,
            "<h2><a href=\"#{0}\">{0}</a></h2>\n<ul>",
            escaped(name)
        );
        for (method, path, operation) in operations {
            let _ = writeln!(
                out,
                "<li><a href=\"#{}\"><b class=\"{method}\">{method}</b> {}</a></li>",
                escaped(text(operation, "operationId")),
                breakable(path)
            );
        }
        out += "</ul>\n";
    }
    out += "<h2><a href=\"#schemas\">schemas</a></h2>\n</nav>\n<main>\n";
    let _ = writeln!(
        out,
        "<section>{}</section>",
        prose(text(info, "description"))
    );
    out += "<section><h2 id=\"who\">Who asks</h2><dl>";
    for (name, scheme) in members(document.pointer("/components/securitySchemes")) {
        let _ = write!(
            out,
            "<dt><code>{}</code></dt><dd>{}</dd>",
            escaped(name),
            inline(text(scheme, "description"))
        );
    }
    out += "</dl></section>\n";
    for (name, about, operations) in &groups {
        let _ = writeln!(
            out,
            "<section><h2 id=\"{0}\">{0}</h2>{1}",
            escaped(name),
            prose(about)
        );
        for (method, path, one) in operations {
            operation(&mut out, method, path, one);
        }
        out += "</section>\n";
    }
    out += "<section><h2 id=\"schemas\">schemas</h2>\n";
    for (name, schema) in members(document.pointer("/components/schemas")) {
        let _ = writeln!(
            out,
            "<article id=\"schema-{0}\"><h3>{0}</h3>{1}{2}</article>",
            escaped(name),
            prose(text(schema, "description")),
            shape(schema)
        );
    }
    out += "</section>\n</main>\n</body>\n</html>\n";
    out
}

type Operation<'a> = (String, &'a str, &'a Value);

/// The operations by their tags, in the document's order.
fn groups(document: &Value) -> Vec<(&str, &str, Vec<Operation<'_>>)> {
    let tags = document.get("tags").and_then(Value::as_array);
    let mut groups = Vec::new();
    for tag in tags.into_iter().flatten() {
        let name = text(tag, "name");
        let mut operations = Vec::new();
        for (path, methods) in members(document.get("paths")) {
            for (method, operation) in members(Some(methods)) {
                if operation.pointer("/tags/0").and_then(Value::as_str) == Some(name) {
                    operations.push((method.to_uppercase(), path.as_str(), operation));
                }
            }
        }
        groups.push((name, text(tag, "description"), operations));
    }
    groups
}

fn operation(out: &mut String, method: &str, path: &str, one: &Value) {
    let _ = writeln!(
        out,
        "<article id=\"{}\"><h3>{}</h3><p class=\"route\"><b class=\"{method}\">{method}</b> <code>{}</code></p>{}",
        escaped(text(one, "operationId")),
        escaped(text(one, "summary")),
        breakable(path),
        prose(text(one, "description"))
    );
    let scopes = one.pointer("/security/0/token/0").and_then(Value::as_str);
    if let Some(scope) = scopes {
        let _ = writeln!(out, "<p>Scope: <code>{}</code></p>", escaped(scope));
    }
    let parameters = one.get("parameters").and_then(Value::as_array);
    if let Some(parameters) = parameters.filter(|all| !all.is_empty()) {
        out.push_str("<h4>Parameters</h4><dl>");
        for parameter in parameters {
            let _ = write!(
                out,
                "<dt><code>{}</code> <small>{}, {}</small></dt><dd>{}</dd>",
                escaped(text(parameter, "name")),
                escaped(text(parameter, "in")),
                kind(member(parameter, "schema")),
                inline(text(parameter, "description"))
            );
        }
        out.push_str("</dl>");
    }
    if let Some(body) = one.get("requestBody") {
        out.push_str("<h4>Body</h4>");
        out.push_str(&contents(body));
    }
    out.push_str("<h4>Answers</h4><dl>");
    for (status, answer) in members(one.get("responses")) {
        let described = match answer.get("$ref") {
            Some(_) if status == "default" => "Any other problem.".to_owned(),
            Some(_) => "A <a href=\"#schema-Problem\">Problem</a>.".to_owned(),
            None => inline(text(answer, "description")),
        };
        let _ = write!(
            out,
            "<dt><code>{}</code></dt><dd>{described}{}</dd>",
            escaped(status),
            contents(answer)
        );
    }
    out.push_str("</dl></article>\n");
}

/// The media types of a body, each with its schema.
fn contents(body: &Value) -> String {
    let mut out = String::new();
    for (media, content) in members(body.get("content")) {
        let schema = member(content, "schema");
        let described = match schema.get("x-event") {
            Some(event) => format!("a stream, each event: {}", kind(event)),
            None => kind(schema),
        };
        let _ = write!(out, "<p><code>{}</code> {described}</p>", escaped(media));
    }
    out
}

/// A schema in a few words, with a link to where it stands in full.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = escaped(reference.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return joined(values.iter().map(value), " | ");
    }
    if let Some(one) = schema.get("const") {
        return value(one);
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(all) = schema.get(several).and_then(Value::as_array) {
            return joined(all.iter().map(kind), " | ");
        }
    }
    match schema.get("type") {
        Some(Value::Array(types)) => {
            let one = |name: &Value| match name.as_str() {
                Some("array") => list(schema),
                name => escaped(name.unwrap_or_default()),
            };
            joined(types.iter().map(one), " | ")
        }
        Some(Value::String(name)) if name == "array" => list(schema),
        Some(Value::String(name)) if name == "object" => match schema.get("additionalProperties") {
            Some(each @ Value::Object(_)) => format!("by name: {}", kind(each)),
            _ => "object".to_owned(),
        },
        Some(Value::String(name)) => escaped(name) + &bounds(schema),
        _ => "anything".to_owned(),
    }
}

fn list(schema: &Value) -> String {
    format!("list of {}", kind(member(schema, "items")))
}

/// What a number or text may be.
fn bounds(schema: &Value) -> String {
    let number = |name: &str| schema.get(name).map(Value::to_string);
    match (number("minimum"), number("maximum"), schema.get("pattern")) {
        (Some(least), Some(most), _) => format!(" {least} to {most}"),
        (_, _, Some(Value::String(pattern))) => format!(" <code>{}</code>", escaped(pattern)),
        _ => String::new(),
    }
}

fn value(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    format!("<code>{}</code>", escaped(&text))
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

/// A schema in full: its members, or its forms.
fn shape(schema: &Value) -> String {
    let mut out = String::new();
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = members(schema.get("properties"));
    if properties.clone().next().is_some() {
        out += "<dl>";
        for (name, property) in properties {
            let must = if required.contains(&name.as_str()) {
                ", always there"
            } else {
                ""
            };
            let _ = write!(
                out,
                "<dt><code>{}</code> <small>{}{must}</small></dt><dd>{}</dd>",
                escaped(name),
                kind(property),
                inline(text(property, "description"))
            );
        }
        out += "</dl>";
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        let Some(all) = schema.get(several).and_then(Value::as_array) else {
            continue;
        };
        out += "<ul class=\"forms\">";
        for one in all {
            let about = inline(text(one, "description"));
            let inner = match one.get("properties") {
                Some(_) => shape(one),
                None => kind(one),
            };
            let _ = write!(out, "<li>{about} {inner}</li>");
        }
        out += "</ul>";
    }
    match out.is_empty() {
        true => format!("<p>{}</p>", kind(schema)),
        false => out,
    }
}

/// Paragraphs.
fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|part| !part.trim().is_empty());
    joined(
        paragraphs.map(|part| format!("<p>{}</p>", inline(part))),
        "",
    )
}

/// A paragraph's words, with what stands between backticks as code and between ** stressed.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (place, part) in text.split('`').enumerate() {
        if place % 2 == 1 {
            let _ = write!(out, "<code>{}</code>", escaped(part));
            continue;
        }
        for (place, part) in part.split("**").enumerate() {
            let part = escaped(part);
            out += &match place % 2 {
                1 => format!("<b>{part}</b>"),
                _ => part,
            };
        }
    }
    out
}

/// A path that may be broken after each slash.
fn breakable(path: &str) -> String {
    escaped(path).replace('/', "/<wbr>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> + Clone {
    let members = value.and_then(Value::as_object);
    members.into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_and_every_schema_is_told() {
        let text = std::fs::read_to_string(root().join(DOCUMENT)).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let page = page(&document, "assets/docs-x.css");
        let mut told = 0;
        for (path, methods) in members(document.get("paths")) {
            for (_, operation) in members(Some(methods)) {
                let id = super::text(operation, "operationId");
                assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{path}");
                told += 1;
            }
        }
        assert!(told > 40, "{told}");
        for (name, _) in members(document.pointer("/components/schemas")) {
            assert_eq!(
                page.matches(&format!("id=\"schema-{name}\"")).count(),
                1,
                "{name}"
            );
        }
        // Each link leads to a place of the page.
        for link in page.split("href=\"#").skip(1) {
            let (place, _) = link.split_once('"').unwrap();
            assert!(page.contains(&format!("id=\"{place}\"")), "{place}");
        }
        assert!(!page.contains("<script") && !page.contains("style="));
        // Nothing is loaded from elsewhere (a text may well name a scheme).
        assert!(!page.contains("src=\"") && !page.contains("href=\"http"));
    }

    #[test]
    fn nothing_of_a_text_becomes_markup() {
        assert_eq!(
            inline("a <b> `c & <d>` **e**"),
            "a &lt;b&gt; <code>c &amp; &lt;d&gt;</code> <b>e</b>"
        );
    }
}
