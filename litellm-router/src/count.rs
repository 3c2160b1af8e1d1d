//! A count of tokens for models whose tokenizer is not here.
//!
//! It is an estimate that errs to the high side: a client that compacts a little early loses less
//! than one whose request is refused. English and code run at 3.5 to 4 bytes a token; what is not
//! ASCII is counted a token a character, which suits Chinese and exceeds most else.

use crate::messages::{Block, MessagesRequest};

/// What Anthropic counts for an image of the largest size that it does not scale down.
const TOKENS_OF_AN_IMAGE: u64 = 1_600;
/// For roles, separators and the like, a message.
const TOKENS_OF_A_TURN: u64 = 4;

/// An estimate for a text.
pub fn of_text(text: &str) -> u64 {
    let ascii = how_many(text, |byte| byte.is_ascii());
    let characters = how_many(text, |byte| byte >= FIRST_OF_MANY);
    (ascii * 2).div_ceil(7) + characters
}

/// The least byte with which a character of several bytes begins in UTF-8.
const FIRST_OF_MANY: u8 = 0xC0;

/// How many bytes of a text are so. Counted in single bytes, many at once.
fn how_many(text: &str, is_so: impl Fn(u8) -> bool) -> u64 {
    let runs = text.as_bytes().chunks(usize::from(u8::MAX));
    let of_run = |run: &[u8]| {
        run.iter()
            .fold(0_u8, |count, byte| count + u8::from(is_so(*byte)))
    };
    runs.map(|run| u64::from(of_run(run))).sum()
}

/// An estimate for a whole request: system prompt, messages and tools.
pub fn of_request(request: &MessagesRequest) -> u64 {
    let system: u64 = request.system.iter().map(of_block).sum();
    let turns: u64 = request
        .messages
        .iter()
        .map(|turn| TOKENS_OF_A_TURN + turn.content.iter().map(of_block).sum::<u64>())
        .sum();
    let tools: u64 = request
        .tools
        .iter()
        .map(|tool| {
            let schema = tool.input_schema.map_or(0, |schema| of_text(schema.get()));
            TOKENS_OF_A_TURN + of_text(&tool.name) + of_text(&tool.description) + schema
        })
        .sum();
    system + turns + tools
}

/// An estimate for a body of which nothing is read.
pub fn of_body(body: &[u8]) -> u64 {
    const IMAGE: &[u8] = b";base64,";
    let (mut bytes, mut images, mut rest) = (0, 0, body);
    while let Some(at) = memchr::memmem::find(rest, IMAGE) {
        let image = rest.get(at..).unwrap_or_default();
        let end = memchr::memchr(b'"', image).unwrap_or(image.len());
        bytes += at;
        images += TOKENS_OF_AN_IMAGE;
        rest = image.get(end..).unwrap_or_default();
    }
    of_bytes(bytes + rest.len()) + images
}

/// An estimate for so many bytes of text.
pub fn of_bytes(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(2).div_ceil(7)
}

fn of_block(block: &Block) -> u64 {
    let own = of_text(&block.text)
        + of_text(&block.name)
        + block.input.map_or(0, |input| of_text(input.get()));
    let source = block
        .source
        .as_ref()
        .map_or(0, |source| match &*source.kind {
            "text" => of_text(&source.data),
            "content" => source.content.iter().map(of_block).sum(),
            _ => TOKENS_OF_AN_IMAGE,
        });
    own + source + block.content.iter().map(of_block).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c01_system_messages_and_tools_all_count() {
        let body = br#"{"model":"m","system":"You are terse.","tools":[{"name":"Bash",
            "description":"Runs a command","input_schema":{"type":"object"}}],
            "messages":[{"role":"user","content":[{"type":"text","text":"hello"},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]}"#;
        let count = of_request(&MessagesRequest::parse(body).unwrap());
        assert!((1_610..1_640).contains(&count), "{count}");
    }

    #[test]
    fn images_of_a_body_do_not_count_by_their_bytes() {
        assert_eq!(of_body(&[b'x'; 70]), 20);
        let image = format!(
            r#"{{"url":"data:image/png;base64,{}"}}"#,
            "A".repeat(100_000)
        );
        assert!((1_600..1_620).contains(&of_body(image.as_bytes())));
        let cut = of_body(b"data:image/png;base64,AAAA");
        assert!((1_600..1_620).contains(&cut));
    }

    #[test]
    fn c01_other_scripts_count_by_the_character() {
        assert_eq!(of_text(""), 0);
        assert_eq!(of_text("seven b"), 2);
        assert_eq!(of_text("你好"), 2);
    }
}
