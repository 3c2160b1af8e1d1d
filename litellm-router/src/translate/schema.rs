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

impl Ordered {
    fn is_empty_object(&self) -> bool {
        matches!(self, Self::Object(entries) if entries.is_empty())
    }
}

/// A schema without what providers refuse: `$schema` and `$id` go, and an empty schema for additional
/// properties becomes `true`.
pub fn cleaned(schema: Option<&RawValue>) -> Ordered {
    let schema = schema.and_then(|raw| json::read(raw.get()).ok());
    let mut entries = match schema {
        Some(Ordered::Object(entries)) => entries,
        _ => Vec::new(),
    };
    entries.retain(|(key, _)| !matches!(key.as_str(), "$schema" | "$id"));
    let mut schema = Ordered::Object(entries);
    open_additional(&mut schema);
    schema
}

/// The schema of a tool's input: [`cleaned`], and an object that says that it is one and what
/// properties it has.
pub fn of_input(schema: Option<&RawValue>) -> Ordered {
    let mut schema = cleaned(schema);
    if let Ordered::Object(entries) = &mut schema {
        let has = |key: &str| entries.iter().any(|(name, _)| name == key);
        let (typed, listed) = (has("type"), has("properties"));
        if !typed {
            entries.insert(0, ("type".into(), Ordered::Scalar("object".into())));
        }
        if !listed {
            entries.push(("properties".into(), Ordered::Object(Vec::new())));
        }
    }
    schema
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

fn open_additional(schema: &mut Ordered) {
    match schema {
        Ordered::Object(entries) => {
            for (key, value) in entries {
                if key == "additionalProperties" && value.is_empty_object() {
                    *value = Ordered::Scalar(true.into());
                } else if key != "default" && key != "enum" && key != "const" {
                    open_additional(value);
                }
            }
        }
        Ordered::Array(items) => items.iter_mut().for_each(open_additional),
        Ordered::Scalar(_) => {}
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
