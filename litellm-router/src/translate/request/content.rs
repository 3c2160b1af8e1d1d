//! Blocks of content as parts, and parts as the content of a message.

use std::borrow::Cow;

use super::Upstream;
use super::wire::{Content, File, ImageUrl, Part};
use crate::error::Refusal;
use crate::messages::{Block, Source};
use crate::providers::Files;

/// What stands for a result without content.
const NO_OUTPUT: &str = "(no output)";
/// What a file is called that has no title.
const FILE_NAME: &str = "document.pdf";

pub(super) fn text_part(text: Cow<'_, str>) -> Part<'_> {
    Part::Text {
        text,
        cache_control: None,
    }
}

/// Texts that are not empty, with an empty line between them.
pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Cow<'a, str>> {
    let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
    match texts.as_slice() {
        [] => None,
        [one] => Some(Cow::Borrowed(one)),
        many => Some(Cow::Owned(many.join("\n\n"))),
    }
}

/// Parts as content: plain text where that is enough, because not every server reads parts.
pub(super) fn of_parts(parts: Vec<Part>) -> Option<Content> {
    if parts.is_empty() {
        return None;
    }
    let is_plain = |part: &Part| {
        let marked = |mark: &Option<_>| mark.is_some();
        matches!(part, Part::Text { cache_control, .. } if !marked(cache_control))
    };
    if !parts.iter().all(is_plain) {
        return Some(Content::Parts(parts));
    }
    let mut texts: Vec<Cow<str>> = parts
        .into_iter()
        .filter_map(|part| match part {
            Part::Text { text, .. } => Some(text),
            Part::ImageUrl { .. } | Part::File { .. } => None,
        })
        .collect();
    let text = match texts.len() {
        1 => texts.pop().unwrap_or_default(),
        _ => texts.join("\n\n").into(),
    };
    Some(Content::Text(text))
}

/// The content of a tool message: text, with the mark for a cache where there is one. Images and
/// files cannot stand there, so they go into `parts`, which follow in the user message.
pub(super) fn of_result<'a>(
    result: &'a Block<'a>,
    upstream: Upstream,
    parts: &mut Vec<Part<'a>>,
) -> Result<Content<'a>, Refusal> {
    let mut texts: Vec<Cow<str>> = Vec::new();
    for block in &result.content {
        let what = match part(block, upstream)? {
            Some(Part::Text { text, .. }) => {
                texts.push(text);
                continue;
            }
            Some(part @ Part::ImageUrl { .. }) => ("image", "Image", part),
            Some(part @ Part::File { .. }) => ("file", "File", part),
            None => continue,
        };
        let (noun, title, part) = what;
        let article = if noun == "image" { "an" } else { "a" };
        texts.push(format!("({article} {noun}, shown in the next message)").into());
        let id = &result.tool_use_id;
        let note = format!("{title} from the result of tool call {id}:");
        parts.push(text_part(note.into()));
        parts.push(part);
    }
    let mut text = match texts.len() {
        0 => Cow::Borrowed(NO_OUTPUT),
        1 => texts.pop().unwrap_or_default(),
        _ => texts.join("\n\n").into(),
    };
    if result.is_error == Some(true) {
        text = format!("Error: {text}").into();
    }
    let inner = || result.content.iter().rev().find_map(|b| b.cache_control);
    let mark = result.cache_control.or_else(inner);
    Ok(match mark.filter(|_| upstream.takes_cache_marks()) {
        Some(mark) => Content::Parts(vec![Part::Text {
            text,
            cache_control: Some(mark),
        }]),
        None => Content::Text(text),
    })
}

/// One block as a part, `None` where it has nothing to say.
pub(super) fn part<'a>(
    block: &'a Block<'a>,
    upstream: Upstream,
) -> Result<Option<Part<'a>>, Refusal> {
    let text = |text: Cow<'a, str>| {
        (!text.is_empty()).then(|| Part::Text {
            text,
            cache_control: block.cache_control.filter(|_| upstream.takes_cache_marks()),
        })
    };
    Ok(match &*block.kind {
        "text" => text(Cow::Borrowed(&*block.text)),
        "image" if !upstream.vision => text("(an image, which this model cannot see)".into()),
        "image" => match block.source.as_ref().and_then(address) {
            Some(url) => Some(Part::ImageUrl {
                image_url: ImageUrl { url },
            }),
            None => text("(an image that only Anthropic has)".into()),
        },
        "document" => match block.source.as_ref() {
            None => None,
            Some(source) => match &*source.kind {
                "text" => text(Cow::Borrowed(&*source.data)),
                "content" => joined(source.content.iter().map(|inner| &*inner.text)).and_then(text),
                _ => Some(file(block, source, upstream.provider.files)?),
            },
        },
        "search_result" => {
            let url = block.source.as_ref().map_or("", |source| &*source.url);
            let texts = block.content.iter().map(|inner| &*inner.text);
            joined([&*block.title, url].into_iter().chain(texts)).and_then(text)
        }
        "tool_reference" => text(format!("The tool {} is ready.", block.tool_name).into()),
        // Its own text is all that can be said of a block of an unknown type.
        _ => text(Cow::Borrowed(&*block.text)),
    })
}

/// Where the bytes of an image or a file are.
fn address<'a>(source: &'a Source) -> Option<Cow<'a, str>> {
    match &*source.kind {
        "base64" => Some(Cow::Owned(format!(
            "data:{};base64,{}",
            source.media_type, source.data
        ))),
        "url" => Some(Cow::Borrowed(&*source.url)),
        _ => None,
    }
}

/// A PDF as a part of its own.
fn file<'a>(block: &'a Block, source: &'a Source, files: Files) -> Result<Part<'a>, Refusal> {
    let is_taken = match (files, &*source.kind) {
        (Files::Data | Files::DataOrAddress, "base64") => source.media_type == "application/pdf",
        (Files::DataOrAddress, "url") => true,
        _ => false,
    };
    let file_data = address(source).filter(|_| is_taken);
    let file_data = file_data.ok_or_else(|| {
        let what = if source.media_type.is_empty() {
            &source.kind
        } else {
            &source.media_type
        };
        Refusal::new(
            400,
            format!(
                "a document of type {what} cannot be sent to this model's provider; send its text"
            ),
        )
    })?;
    let filename = if block.title.is_empty() {
        Cow::Borrowed(FILE_NAME)
    } else {
        Cow::Borrowed(&*block.title)
    };
    Ok(Part::File {
        file: File {
            filename,
            file_data,
        },
    })
}
