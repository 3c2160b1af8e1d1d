//! A tool's input schema, made fit for providers that check it strictly.
//!
//! The order of keys is kept: a schema that changes its bytes from call to call would spoil the
//! provider's prompt cache, and the order of properties means something to a model.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json;

/// JSON whose objects keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Ordered {
    Object(Vec<(String, Ordered)>),
    Array(Vec<Ordered>),
    Scalar(Value),
}

/// A schema as it is sent on: its fields are the caller's own bytes, but for those that change.
#[derive(Debug)]
pub struct Schema<'a>(Vec<(String, Field<'a>)>);

#[derive(Debug)]
enum Field<'a> {
    Same(&'a RawValue),
    Changed(Ordered),
}

/// A schema without what providers refuse: `$schema` and `$id` go, and an empty schema for additional
/// properties becomes `true`.
pub fn cleaned(schema: Option<&RawValue>) -> Schema<'_> {
    let fields: Option<Fields> = schema.and_then(|raw| json::read(raw.get()).ok());
    let fields = fields.map(|fields| fields.0).unwrap_or_default();
    let kept = fields
        .into_iter()
        .filter(|(key, _)| !matches!(key.as_str(), "$schema" | "$id"));
    Schema(kept.map(|(key, raw)| field(key, raw)).collect())
}

/// The schema of a tool's input: [`cleaned`], and an object that says that it is one and what
/// properties it has.
pub fn of_input(schema: Option<&RawValue>) -> Schema<'_> {
    let mut schema = cleaned(schema);
    let has = |key: &str| schema.0.iter().any(|(name, _)| name == key);
    let (typed, listed) = (has("type"), has("properties"));
    if !typed {
        let object = Field::Changed(Ordered::Scalar("object".into()));
        schema.0.insert(0, ("type".into(), object));
    }
    if !listed {
        let none = Field::Changed(Ordered::Object(Vec::new()));
        schema.0.push(("properties".into(), none));
    }
    schema
}

fn field(key: String, raw: &RawValue) -> (String, Field<'_>) {
    // Reading a schema takes longer than all else that a request needs, so one is read only where
    // there is something to change.
    if !has_empty_object(raw.get()) {
        return (key, Field::Same(raw));
    }
    match json::read(raw.get()) {
        Ok(value) => {
            let changed = opened(&key, value);
            (key, Field::Changed(changed))
        }
        Err(_) => (key, Field::Same(raw)),
    }
}

/// Whether there may be an empty object in a JSON text.
fn has_empty_object(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'{', bytes).any(|at| {
        let mut rest = bytes.iter().skip(at + 1);
        rest.find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}')
    })
}

/// The fields of an object; none of what is no object.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Schema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, field) in &self.0 {
            match field {
                Field::Same(raw) => map.serialize_entry(key, raw)?,
                Field::Changed(value) => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

/// Whether a schema has what OpenAI's strict mode asks for: it is an object, and every object is
/// closed and requires all of its properties (<https://platform.openai.com/docs/guides/structured-outputs>).
pub fn is_strict(schema: &RawValue) -> bool {
    json::read(schema.get()).is_ok_and(|schema: Value| {
        schema.get("properties").is_some_and(Value::is_object) && is_closed(&schema)
    })
}

fn is_closed(schema: &Value) -> bool {
    let Value::Object(fields) = schema else {
        return match schema {
            Value::Array(items) => items.iter().all(is_closed),
            _ => true,
        };
    };
    let required: HashSet<&str> = fields
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let closed = match fields.get("properties") {
        Some(Value::Object(properties)) => {
            fields.get("additionalProperties") == Some(&Value::Bool(false))
                && properties
                    .keys()
                    .all(|name| required.contains(name.as_str()))
        }
        _ => fields.get("type") != Some(&Value::String("object".into())),
    };
    closed && fields.values().all(is_closed)
}

/// The value of a key of a schema, with `true` for each empty schema of additional properties.
fn opened(key: &str, value: Ordered) -> Ordered {
    match value {
        Ordered::Object(entries) if key == "additionalProperties" && entries.is_empty() => {
            Ordered::Scalar(true.into())
        }
        value if matches!(key, "default" | "enum" | "const") => value,
        Ordered::Object(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let value = opened(&key, value);
                (key, value)
            });
            Ordered::Object(entries.collect())
        }
        Ordered::Array(items) => {
            Ordered::Array(items.into_iter().map(|item| opened("", item)).collect())
        }
        scalar => scalar,
    }
}

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Self::Array(items) => items.serialize(serializer),
            Self::Scalar(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("any JSON")
            }
            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ordered, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Ordered::Array(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered::Object(entries))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(schema: &str) -> String {
        let raw = RawValue::from_string(schema.to_owned()).unwrap();
        serde_json::to_string(&of_input(Some(&raw))).unwrap()
    }

    #[test]
    fn r14_a_schema_loses_what_providers_refuse_and_keeps_its_order() {
        assert_eq!(
            input(
                r##"{"$schema":"x","type":"object","properties":{"z":{"type":"object","additionalProperties":{}},
                "$id":{"type":"string"},"a":{"$ref":"#/$defs/A"}},"required":["z"],"$defs":{"A":{"type":"integer"}}}"##
            ),
            r##"{"type":"object","properties":{"z":{"type":"object","additionalProperties":true},"$id":{"type":"string"},"a":{"$ref":"#/$defs/A"}},"required":["z"],"$defs":{"A":{"type":"integer"}}}"##
        );
        assert_eq!(input("{}"), r#"{"type":"object","properties":{}}"#);
        assert_eq!(input("7"), r#"{"type":"object","properties":{}}"#);
        // Where nothing changes, its bytes are the caller's.
        assert_eq!(
            input(
                r#"{"type":"object","properties":{ "a" : 1.0e2, "b":"{ }" },"default":{"additionalProperties":{}}}"#
            ),
            r#"{"type":"object","properties":{"a":100.0,"b":"{ }"},"default":{"additionalProperties":{}}}"#
        );
        assert_eq!(
            input(r#"{"type":"object","properties":{ "a" : 1.0e2 }}"#),
            r#"{"type":"object","properties":{ "a" : 1.0e2 }}"#
        );
    }

    #[test]
    fn r31_strict_is_a_schema_that_leaves_nothing_open() {
        let strict = |schema: &str| {
            let raw = RawValue::from_string(schema.to_owned()).unwrap();
            is_strict(&raw)
        };
        assert!(strict(
            r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"}}},
            "required":["a"],"additionalProperties":false}"#
        ));
        for open in [
            r#"{"type":"object","properties":{"a":{}},"required":["a"]}"#,
            r#"{"type":"object","properties":{"a":{}},"required":[],"additionalProperties":false}"#,
            r#"{"type":"object"}"#,
            r#"{"type":"array","items":{"type":"object"}}"#,
        ] {
            assert!(!strict(open), "{open}");
        }
    }
}
