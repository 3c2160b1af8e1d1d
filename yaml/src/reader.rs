//! Types from a tree, by serde.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::Error;
use super::scalar::{self, Integer};
use super::tree::{Content, Key, Node, Scalar};

/// The way from the root to a node.
pub(super) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub(super) fn write(&self, to: &mut String) {
        let (Self::Key(parent, _) | Self::Index(parent, _)) = self else {
            return;
        };
        parent.write(to);
        if !to.is_empty() {
            to.push('.');
        }
        match self {
            Self::Key(_, key) => to.push_str(key),
            Self::Index(_, index) => {
                let _ = write!(to, "{index}");
            }
            Self::Root => {}
        }
    }
}

/// Reads one node.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    node: &'a Node<'a>,
    path: &'a Path<'a>,
    /// The paths of keys that nobody asked for.
    unknown: &'a RefCell<Vec<String>>,
}

impl<'a> Reader<'a> {
    pub fn new(node: &'a Node<'a>, path: &'a Path<'a>, unknown: &'a RefCell<Vec<String>>) -> Self {
        Self {
            node,
            path,
            unknown,
        }
    }

    fn scalar(&self) -> Option<&'a Scalar<'a>> {
        match &self.node.content {
            Content::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// A scalar's text without the blanks that a quoted or long one may have around it.
    fn trimmed(&self) -> &'a str {
        self.scalar().map_or("", |scalar| {
            scalar.text.trim_matches([' ', '\t', '\r', '\n'])
        })
    }

    fn is_null(&self) -> bool {
        self.scalar()
            .is_some_and(|scalar| scalar.plain && scalar::is_null(&scalar.text))
    }

    /// What the node is, for an error. Texts may be secrets.
    fn unexpected(&self) -> Unexpected<'static> {
        const TEXT: Unexpected = Unexpected::Other("a text");
        match &self.node.content {
            Content::List(_) => Unexpected::Seq,
            Content::Map(_) => Unexpected::Map,
            Content::Scalar(_) if self.is_null() => Unexpected::Unit,
            Content::Scalar(scalar) if scalar.plain => {
                let text = self.trimmed();
                match (scalar::boolean(text), scalar::integer(text)) {
                    (Some(truth), _) => Unexpected::Bool(truth),
                    (_, Some(Integer::Positive(number))) => Unexpected::Unsigned(number),
                    (_, Some(Integer::Negative(number))) => Unexpected::Signed(number),
                    _ => scalar::float(text).map_or(TEXT, Unexpected::Float),
                }
            }
            Content::Scalar(_) => TEXT,
        }
    }

    fn wrong(&self, expected: &dyn serde::de::Expected) -> Error {
        Error::invalid_type(self.unexpected(), expected).or_at(self.node.place)
    }

    fn visit_integer<'de, V: Visitor<'de>>(
        self,
        integer: Integer,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match integer {
            Integer::Positive(number) => visitor.visit_u64(number),
            Integer::Negative(number) => visitor.visit_i64(number),
        }
        .map_err(|error: Error| error.or_at(self.node.place))
    }

    fn visit_list<'de, V: Visitor<'de>>(
        self,
        items: &[Rc<Node<'_>>],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let items = Items {
            reader: self,
            items,
            next: 0,
        };
        visitor
            .visit_seq(items)
            .map_err(|error| error.or_at(self.node.place))
    }

    fn visit_map<'de, V: Visitor<'de>>(
        self,
        entries: &[(Key<'_>, Rc<Node<'_>>)],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let entries = Entries {
            reader: self,
            entries,
            value: None,
        };
        let known = entries.entries;
        visitor
            .visit_map(entries)
            .map_err(|error| self.wrong_map(error, known))
    }

    /// What is wrong with a mapping; where it lacks a key, the one that is like it is named.
    #[cold]
    #[inline(never)]
    fn wrong_map(self, mut error: Error, entries: &[(Key<'_>, Rc<Node<'_>>)]) -> Error {
        if let Some(name) = error.lacks.take()
            && let Some((key, _)) = entries.iter().find(|(key, _)| is_like(&key.text, name))
        {
            error.what = format!("{name} is missing; {} stands here instead", key.text);
            error = error.or_at(key.place);
        }
        error.or_at(self.node.place)
    }

    fn visit_text<'de, V: Visitor<'de>>(
        self,
        scalar: &Scalar<'_>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor
            .visit_str(&scalar.text)
            .map_err(|error: Error| error.or_at(self.node.place))
    }
}

/// Calls the same method for all kinds of whole number.
macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match scalar::integer(self.trimmed()) {
                Some(integer) => self.visit_integer(integer, visitor),
                None => Err(self.wrong(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.content {
            Content::List(items) => self.visit_list(items, visitor),
            Content::Map(entries) => self.visit_map(entries, visitor),
            Content::Scalar(scalar) if !scalar.plain => visitor.visit_str(&scalar.text),
            Content::Scalar(scalar) => {
                let text = self.trimmed();
                if scalar::is_null(&scalar.text) {
                    visitor.visit_unit()
                } else if let Some(truth) = scalar::boolean(text) {
                    visitor.visit_bool(truth)
                } else if let Some(integer) = scalar::integer(text) {
                    self.visit_integer(integer, visitor)
                } else if let Some(number) = scalar::float(text) {
                    visitor.visit_f64(number)
                } else {
                    visitor.visit_str(&scalar.text)
                }
            }
        }
        .map_err(|error: Error| error.or_at(self.node.place))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match scalar::boolean(self.trimmed()) {
            Some(truth) => visitor.visit_bool(truth),
            None => Err(self.wrong(&visitor)),
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match scalar::float(self.trimmed()) {
            Some(number) => visitor.visit_f64(number),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scalar() {
            Some(scalar) if !self.is_null() => self.visit_text(scalar, visitor),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.content {
            Content::List(items) => self.visit_list(items, visitor),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.content {
            Content::Map(entries) => self.visit_map(entries, visitor),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    /// Of enums only those whose variants are words.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.scalar() {
            Some(scalar) if !self.is_null() => {
                let word: StrDeserializer<Error> = (&*scalar.text).into_deserializer();
                visitor
                    .visit_enum(word)
                    .map_err(|error| error.or_at(self.node.place))
            }
            _ => Err(self.wrong(&visitor)),
        }
    }

    /// Only the value of a key that a type does not have is ignored.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut path = String::new();
        self.path.write(&mut path);
        self.unknown.borrow_mut().push(path);
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    items: &'a [Rc<Node<'a>>],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.items.get(self.next) else {
            return Ok(None);
        };
        let path = Path::Index(self.reader.path, self.next);
        self.next += 1;
        read(seed, node, &path, self.reader.unknown).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    entries: &'a [(Key<'a>, Rc<Node<'a>>)],
    /// The entry whose key was read last.
    value: Option<&'a (Key<'a>, Rc<Node<'a>>)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((entry, rest)) = self.entries.split_first() else {
            return Ok(None);
        };
        self.entries = rest;
        self.value = Some(entry);
        let key: StrDeserializer<Error> = (&*entry.0.text).into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.or_at(entry.0.place))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some((key, node)) = self.value.take() else {
            return Err(Error::custom("a value was asked for before its key"));
        };
        let path = Path::Key(self.reader.path, &key.text);
        read(seed, node, &path, self.reader.unknown)
    }
}

/// What a type itself finds wrong with a value is wrong where the value stands.
fn read<'de, T: DeserializeSeed<'de>>(
    seed: T,
    node: &Node,
    path: &Path,
    unknown: &RefCell<Vec<String>>,
) -> Result<T::Value, Error> {
    seed.deserialize(Reader::new(node, path, unknown))
        .map_err(|error| error.or_at(node.place).or_in(path))
}

/// Whether two names are the same but for a letter or two at one place of them.
fn is_like(one: &str, other: &str) -> bool {
    let longer = one.len().max(other.len());
    let shorter = one.len().min(other.len());
    let begins = one.bytes().zip(other.bytes());
    let head = begins.take_while(|(a, b)| a == b).count();
    let ends = one.bytes().rev().zip(other.bytes().rev());
    let tail = ends.take_while(|(a, b)| a == b).count();
    one != other && longer - (head + tail).min(shorter) <= (longer / 2).min(2)
}
