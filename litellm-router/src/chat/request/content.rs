//! Parts of a chat message as blocks of Anthropic's.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::wire::{File, Part};
use crate::error::Refusal;

/// What stands for a turn that says nothing, because Anthropic refuses an empty one.
pub const EMPTY: &str = "(empty)";

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Image {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "str::is_empty")]
        title: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    ToolUse {
        id: String,
        name: Cow<'a, str>,
        input: Cow<'a, RawValue>,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    /// One of Anthropic's own blocks, which the client sends back as it got it.
    #[serde(untagged)]
    Own(&'a RawValue),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source<'a> {
    Base64 {
        media_type: Cow<'a, str>,
        data: Cow<'a, str>,
    },
    Url {
        url: Cow<'a, str>,
    },
    Text {
        media_type: &'static str,
        data: String,
    },
    #[serde(untagged)]
    Own(&'a RawValue),
}

impl<'a> Block<'a> {
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text {
            text: text.into(),
            cache_control: None,
        }
    }

    /// Sets the mark that the prompt is to be cached up to here, where the block may have one.
    pub fn mark(&mut self, mark: Option<&'a RawValue>) {
        if mark.is_none() {
            return;
        }
        match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::Document { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => *cache_control = mark,
            Self::ToolUse { .. } | Self::Own(_) => {}
        }
    }
}

/// The blocks of a content, without those that say nothing: Anthropic refuses blank texts.
///
/// # Errors
/// 400 for a part that Anthropic has no block for. `place` names the message.
pub fn blocks<'a>(parts: &'a [Part<'a>], place: &str) -> Result<Vec<Block<'a>>, Refusal> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        let block =
            block(part).map_err(|reason| Refusal::new(400, format!("{place}: {reason}")))?;
        if let Some(mut block) = block {
            block.mark(part.cache_control);
            blocks.push(block);
        }
    }
    Ok(blocks)
}

fn block<'a>(part: &'a Part<'a>) -> Result<Option<Block<'a>>, String> {
    let said = |text: &'a str| (!text.trim().is_empty()).then(|| Block::text(text));
    match &*part.kind {
        "image_url" => {
            let url = part.image_url.as_ref().ok_or("an image without a url")?;
            from_url(&url.0).map(Some)
        }
        "file" => {
            let file = part.file.as_ref().ok_or("a file without its data")?;
            from_file(file).map(Some)
        }
        "image" | "document" => {
            let source = Source::Own(part.source.ok_or("a block without its source")?);
            Ok(Some(match &*part.kind {
                "image" => Block::Image {
                    source,
                    cache_control: None,
                },
                _ => document(source, ""),
            }))
        }
        "input_audio" => Err("audio cannot be sent to this model".into()),
        "refusal" => Ok(said(&part.refusal)),
        // Its own text is all that can be said of a part of an unknown type.
        _ => Ok(said(&part.text)),
    }
}

fn document<'a>(source: Source<'a>, title: &'a str) -> Block<'a> {
    Block::Document {
        source,
        title: title.into(),
        cache_control: None,
    }
}

fn from_url(url: &str) -> Result<Block<'_>, String> {
    if let Some((media_type, data)) = data_url(url) {
        return from_data(&media_type?, data, "");
    }
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(Block::Image {
            source: Source::Url { url: url.into() },
            cache_control: None,
        });
    }
    Err("an image's url begins with https:, http: or data:".into())
}

fn from_file<'a>(file: &'a File<'a>) -> Result<Block<'a>, String> {
    if file.file_data.is_empty() {
        return Err(
            "a file has to come with its data (file_data); one that was uploaded to another \
             service cannot be read from here"
                .into(),
        );
    }
    if let Some((media_type, data)) = data_url(&file.file_data) {
        return from_data(&media_type?, data, &file.filename);
    }
    let extension = file.filename.rsplit('.').next().unwrap_or_default();
    let is_pdf = file.file_data.starts_with("JVBERi") || extension.eq_ignore_ascii_case("pdf");
    let media_type = match (&*file.format, is_pdf) {
        ("", true) => "application/pdf",
        ("", false) => "text/plain",
        (format, _) => format,
    };
    from_data(media_type, &file.file_data, &file.filename)
}

/// The media type and the base64 text of a data URL, `None` for any other.
fn data_url(url: &str) -> Option<(Result<String, String>, &str)> {
    let rest = url.strip_prefix("data:")?;
    let (head, data) = rest.split_once(',').unwrap_or((rest, ""));
    let media_type = match head.strip_suffix(";base64") {
        Some(head) => Ok(head
            .split(';')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()),
        None => Err("a data: url has to be base64".to_owned()),
    };
    Some((media_type, data))
}

fn from_data<'a>(media_type: &str, data: &'a str, title: &'a str) -> Result<Block<'a>, String> {
    let base64 = |media_type: &str| Source::Base64 {
        media_type: media_type.to_owned().into(),
        data: data.into(),
    };
    if media_type == "application/pdf" {
        return Ok(document(base64(media_type), title));
    }
    if media_type.starts_with("image/") {
        // Anthropic knows JPEG by its real name only.
        let media_type = media_type.replace("image/jpg", "image/jpeg");
        return Ok(Block::Image {
            source: base64(&media_type),
            cache_control: None,
        });
    }
    let text = media_type.starts_with("text/") || media_type == "application/json";
    let decoded = STANDARD
        .decode(data)
        .ok()
        .filter(|_| text)
        .and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded {
        Some(data) => Ok(document(
            Source::Text {
                media_type: "text/plain",
                data,
            },
            title,
        )),
        None if text => Err("a file of text has to be UTF-8, in base64".into()),
        None => {
            let shown: String = media_type.chars().take(100).collect();
            Err(format!(
                "a file of type {shown} cannot be sent to this model; send its text"
            ))
        }
    }
}
