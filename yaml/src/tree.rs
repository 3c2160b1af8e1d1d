//! A document as a tree. What has an anchor stands in it once, however often it is repeated.

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Error, Place};

/// How deep a document may be.
const DEEPEST: usize = 64;
/// The most nodes that a document may have, and the most bytes of text, with all that is repeated.
const MOST_NODES: usize = 250_000;
const MOST_BYTES: usize = 16 * 1024 * 1024;

pub(super) struct Node<'y> {
    pub place: Place,
    pub content: Content<'y>,
    size: Size,
}

pub(super) enum Content<'y> {
    Scalar(Scalar<'y>),
    List(Vec<Rc<Node<'y>>>),
    Map(Vec<(Key<'y>, Rc<Node<'y>>)>),
}

pub(super) struct Scalar<'y> {
    pub text: Cow<'y, str>,
    /// Neither quoted nor said to be a text, so that it may be something else.
    pub plain: bool,
}

#[derive(Clone)]
pub(super) struct Key<'y> {
    pub text: Cow<'y, str>,
    pub place: Place,
}

/// How large a node is with all that is in it.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    bytes: usize,
    height: usize,
}

/// A list or mapping that has not ended.
struct Open<'y> {
    place: Place,
    anchor: usize,
    size: Size,
    items: Items<'y>,
}

enum Items<'y> {
    List(Vec<Rc<Node<'y>>>),
    Map {
        entries: Vec<(Key<'y>, Rc<Node<'y>>)>,
        /// The values of merge keys.
        merged: Vec<Rc<Node<'y>>>,
        /// A key that waits for its value; `None` for a merge key.
        key: Option<Option<Key<'y>>>,
    },
}

#[derive(Default)]
struct Builder<'y> {
    open: Vec<Open<'y>>,
    /// By their numbers, which the parser gives one after the other.
    anchors: Vec<Option<Rc<Node<'y>>>>,
    root: Option<Rc<Node<'y>>>,
    documents: usize,
}

/// The only document of a text; a null without a place to speak of where there is none.
pub(super) fn parse(yaml: &str) -> Result<Rc<Node<'_>>, Error> {
    let mut builder = Builder::default();
    for next in Parser::new_from_str(yaml) {
        let (event, span) = next.map_err(|error| not_yaml(&error))?;
        builder.take(event, &span)?;
    }
    Ok(builder.root.unwrap_or_else(|| {
        let place = Place { line: 1, column: 1 };
        Rc::new(scalar("".into(), true, place))
    }))
}

fn not_yaml(error: &ScanError) -> Error {
    let mark = error.marker();
    let place = Place {
        line: mark.line(),
        column: mark.col() + 1,
    };
    Error::new(error.info(), place)
}

impl<'y> Builder<'y> {
    fn take(&mut self, event: Event<'y>, span: &Span) -> Result<(), Error> {
        let place = Place {
            line: span.start.line(),
            column: span.start.col() + 1,
        };
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Error::new("a second document begins here", place));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let scalars = ["str", "null", "bool", "int", "float"];
                fits(tag.as_deref(), &scalars, place)?;
                let plain = match tag.as_deref() {
                    None => style == ScalarStyle::Plain,
                    Some(tag) => !is_text(tag),
                };
                self.place(Rc::new(scalar(text, plain, place)), anchor)?;
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(anchor).cloned().flatten().ok_or_else(|| {
                    Error::new("this repeats something that it is a part of", place)
                })?;
                self.place_at(node, 0, place)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                fits(tag.as_deref(), &["seq"], place)?;
                self.begin(place, anchor, Items::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                fits(tag.as_deref(), &["map"], place)?;
                let items = Items::Map {
                    entries: Vec::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.begin(place, anchor, items)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let (node, anchor) = open.close()?;
                    self.place(Rc::new(node), anchor)?;
                }
            }
            // What does not hold data, and what the options of the parser leave out.
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, place: Place, anchor: usize, items: Items<'y>) -> Result<(), Error> {
        if self.open.len() >= DEEPEST {
            return Err(too_deep(place));
        }
        self.open.push(Open {
            place,
            anchor,
            size: Size {
                nodes: 1,
                bytes: 0,
                height: 1,
            },
            items,
        });
        Ok(())
    }

    fn place(&mut self, node: Rc<Node<'y>>, anchor: usize) -> Result<(), Error> {
        let place = node.place;
        self.place_at(node, anchor, place)
    }

    /// Puts a node where the document is.
    fn place_at(&mut self, node: Rc<Node<'y>>, anchor: usize, place: Place) -> Result<(), Error> {
        if anchor != 0 {
            if self.anchors.len() <= anchor {
                self.anchors.resize(anchor + 1, None);
            }
            if let Some(known) = self.anchors.get_mut(anchor) {
                *known = Some(Rc::clone(&node));
            }
        }
        if self.open.len() + node.size.height > DEEPEST {
            return Err(too_deep(place));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.grow(node.size, place)?;
        match &mut open.items {
            Items::List(list) => list.push(node),
            Items::Map {
                entries,
                merged,
                key,
            } => match key.take() {
                None => *key = Some(key_of(&node, place)?),
                Some(Some(key)) => entries.push((key, node)),
                Some(None) => merged.push(node),
            },
        }
        Ok(())
    }
}

impl<'y> Open<'y> {
    fn grow(&mut self, by: Size, place: Place) -> Result<(), Error> {
        let size = &mut self.size;
        size.nodes = size.nodes.saturating_add(by.nodes);
        size.bytes = size.bytes.saturating_add(by.bytes);
        size.height = size.height.max(by.height + 1);
        if size.nodes > MOST_NODES || size.bytes > MOST_BYTES {
            return Err(Error::new("the document grows too large here", place));
        }
        Ok(())
    }

    fn close(mut self) -> Result<(Node<'y>, usize), Error> {
        let items = std::mem::replace(&mut self.items, Items::List(Vec::new()));
        let content = match items {
            Items::List(list) => Content::List(list),
            Items::Map {
                entries, merged, ..
            } => Content::Map(self.whole_map(entries, &merged)?),
        };
        let node = Node {
            place: self.place,
            content,
            size: self.size,
        };
        Ok((node, self.anchor))
    }

    /// A mapping with what is merged into it: what stands in it comes before what is merged, and what
    /// is merged first before what is merged later.
    fn whole_map(
        &mut self,
        mut entries: Vec<(Key<'y>, Rc<Node<'y>>)>,
        merged: &[Rc<Node<'y>>],
    ) -> Result<Vec<(Key<'y>, Rc<Node<'y>>)>, Error> {
        let mut known = HashSet::new();
        for (key, _) in &entries {
            if !known.insert(&*key.text) {
                let what = format!("the key {} stands here a second time", key.text);
                return Err(Error::new(what, key.place));
            }
        }
        let mut added = Vec::new();
        for source in merged {
            let sources = match &source.content {
                Content::List(sources) => sources.as_slice(),
                _ => std::slice::from_ref(source),
            };
            for source in sources {
                let Content::Map(more) = &source.content else {
                    let what = "only a mapping can be merged, or a list of mappings";
                    return Err(Error::new(what, source.place));
                };
                for (key, node) in more {
                    if known.insert(&*key.text) {
                        self.grow(node.size, key.place)?;
                        added.push((key.clone(), Rc::clone(node)));
                    }
                }
            }
        }
        entries.append(&mut added);
        Ok(entries)
    }
}

fn scalar(text: Cow<'_, str>, plain: bool, place: Place) -> Node<'_> {
    Node {
        place,
        size: Size {
            nodes: 1,
            bytes: text.len(),
            height: 0,
        },
        content: Content::Scalar(Scalar { text, plain }),
    }
}

/// A key; `None` where it is a merge key.
fn key_of<'y>(node: &Node<'y>, place: Place) -> Result<Option<Key<'y>>, Error> {
    match &node.content {
        Content::Scalar(scalar) if scalar.plain && scalar.text == "<<" => Ok(None),
        Content::Scalar(scalar) => Ok(Some(Key {
            text: scalar.text.clone(),
            place,
        })),
        _ => Err(Error::new("a key must be a scalar", place)),
    }
}

/// A node may have any tag but one of YAML's own for another kind of node.
fn fits(tag: Option<&Tag>, kinds: &[&str], place: Place) -> Result<(), Error> {
    match tag.and_then(Tag::core_suffix) {
        Some(kind) if !kinds.contains(&kind) => {
            let what = format!("the tag !!{kind} is not for what follows it");
            Err(Error::new(what, place))
        }
        _ => Ok(()),
    }
}

/// Whether a tag says that a scalar is a text, whatever it looks like.
fn is_text(tag: &Tag) -> bool {
    tag.core_suffix() == Some("str")
        || matches!((tag.handle(), tag.suffix()), ("", "!") | ("!", ""))
}

fn too_deep(place: Place) -> Error {
    Error::new("the document is too deep here", place)
}
