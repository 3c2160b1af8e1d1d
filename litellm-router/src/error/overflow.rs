//! Requests that do not fit: into the model's context, under the limit of an answer, or under a
//! limit of tokens a minute. Providers say so in words alone; the tests hold the words of each.

/// An answer shorter than this is not worth a second attempt.
const LEAST_USEFUL: u64 = 256;
/// What is left free below the limit, because providers' own counts are not exact.
const MARGIN: u64 = 64;

/// What a message about a context that is too small says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow {
    maximum: Option<u64>,
    /// Prompt alone, or together with the room that was asked for the answer.
    requested: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
}

const MAXIMUM_AFTER: [&str; 14] = [
    "maximum context length is ",
    "maximum context length of ",
    "maximum context length: ",
    "maximum prompt length is ",
    "maximum model length of ",
    "context length of only ",
    "available context size (",
    "configured limit of ",
    "model token limit: ",
    "tokens allowed (",
    "must be <= ",
    "while limit is ",
    "context window of ",
    "tokens > ",
];
const MAXIMUM_BEFORE: [&str; 1] = [" maximum context length"];
const REQUESTED_AFTER: [&str; 14] = [
    "you requested about ",
    "you requested ",
    "messages resulted in ",
    "prompt resulted in ",
    "current length is ",
    "request contains ",
    "your request has ",
    "prompt (length ",
    "token count (",
    "prompt contains ",
    "prompt is too long: ",
    "given: ",
    "request (",
    "the first ",
];
const INPUT_BEFORE: [&str; 6] = [
    " in the messages",
    " in the functions",
    " of text input",
    " of tool input",
    " of image input",
    " input tokens",
];
const OUTPUT_BEFORE: [&str; 2] = [" in the completion", " in the output"];

impl Overflow {
    /// Reads the numbers out of a message.
    pub(super) fn of(message: &str) -> Self {
        let text = message.to_ascii_lowercase();
        let first_after = |words: &[&str]| words.iter().find_map(|word| after(&text, word));
        let sum_before = |words: &[&str]| {
            let numbers = words.iter().filter_map(|word| before(&text, word));
            numbers.reduce(u64::saturating_add)
        };
        let maximum = first_after(&MAXIMUM_AFTER).or_else(|| sum_before(&MAXIMUM_BEFORE));
        let too_large = after(&text, "is too large: ");
        Self {
            maximum,
            requested: first_after(&REQUESTED_AFTER),
            input: sum_before(&INPUT_BEFORE),
            output: sum_before(&OUTPUT_BEFORE).or(too_large),
        }
    }

    /// Anthropic's wording for it, by which Claude Code knows what to do: compact the conversation,
    /// or ask for a shorter answer where the conversation itself fits.
    pub(super) fn in_anthropics_words(self, message: &str) -> String {
        match self {
            Self {
                maximum: Some(maximum),
                input: Some(input),
                output: Some(output),
                ..
            } if input < maximum && input.saturating_add(output) > maximum => format!(
                "input length and `max_tokens` exceed context limit: {input} + {output} > \
                 {maximum}, decrease input length or `max_tokens` and try again"
            ),
            Self {
                maximum: Some(maximum),
                ..
            } => match self.requested.or(self.input) {
                Some(requested) if requested > maximum => {
                    format!("prompt is too long: {requested} tokens > {maximum} maximum")
                }
                _ => format!("prompt is too long: {message}"),
            },
            _ => format!("prompt is too long: {message}"),
        }
    }
}

/// Whether a provider says that a request is larger than the model's context.
pub(super) fn is_context_overflow(code: Option<&str>, message: &str) -> bool {
    if matches!(
        code,
        Some("context_length_exceeded" | "exceed_context_size_error" | "string_above_max_length")
    ) {
        return true;
    }
    let message = message.to_ascii_lowercase();
    [
        "maximum context",
        "maximum model length",
        "maximum prompt length",
        "context length",
        "context window",
        "context size",
        "prompt is too long",
        "prompt too long",
        "input is too long",
        "input tokens exceed",
        "input token count",
        "model token limit",
        "too many tokens",
        "reduce the length of the messages",
        "`inputs` tokens + `max_new_tokens` must be",
    ]
    .iter()
    .any(|wording| message.contains(wording))
}

/// A limit of tokens a minute that one request exceeds alone: what it needs and the limit.
///
/// Groq and OpenAI say "on tokens per minute (TPM): Limit 8000, Requested 41000"; where earlier
/// requests have used it up they say "Used" as well, and waiting helps if the request is smaller.
pub(super) fn never_fits_a_minute(message: &str) -> Option<(u64, u64)> {
    let text = message.to_ascii_lowercase();
    let limit = after(&text, "limit ").or_else(|| after(&text, "limit: "))?;
    let requested = after(&text, "requested ").or_else(|| after(&text, "requested: "))?;
    let by_minute = text.contains("per minute") || text.contains("per min") || text.contains("tpm");
    (by_minute && requested > limit).then_some((requested, limit))
}

/// The limit on the answer's tokens with which a refused request may fit: a provider that counts the
/// answer's limit with the prompt refuses what would fit with a smaller one.
///
/// `message` is what the provider said, `asked` the limit that was sent. `None` where the message
/// speaks of something else, where the prompt alone is too long, or where so little would be left
/// that no answer is to be expected.
pub fn retry_with_max_tokens(message: &str, asked: u64) -> Option<u64> {
    let text = message.to_ascii_lowercase();
    let cap = cap_of_an_answer(&text);
    let room = || {
        if let Some((requested, limit)) = never_fits_a_minute(message) {
            return limit.checked_sub(requested.checked_sub(asked)?);
        }
        let overflow = Overflow::of(message);
        let input = overflow
            .input
            .or_else(|| overflow.requested?.checked_sub(asked))?;
        overflow.maximum?.checked_sub(input)
    };
    let fitting = match cap {
        Some(cap) => cap,
        None => room()?.checked_sub(MARGIN)?,
    };
    (fitting >= LEAST_USEFUL && fitting < asked).then_some(fitting)
}

/// The most tokens of an answer, where that is what the provider complains of.
fn cap_of_an_answer(text: &str) -> Option<u64> {
    if !(text.contains("max_tokens") || text.contains("max_completion_tokens")) {
        return None;
    }
    let openai = text
        .contains("completion tokens")
        .then(|| after(text, "supports at most "))
        .flatten();
    let groq = || after(text, "must be less than or equal to `");
    let deepseek = || after(text, "valid range of max_tokens is [1, ");
    openai.or_else(groq).or_else(deepseek)
}

/// The number directly behind the first `words`; digits may be grouped by commas.
fn after(text: &str, words: &str) -> Option<u64> {
    text.match_indices(words).find_map(|(at, _)| {
        let rest = text.get(at + words.len()..)?;
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != ',')
            .unwrap_or(rest.len());
        number(rest.get(..end)?)
    })
}

/// The number directly before the first `words`; "tokens" may stand between.
fn before(text: &str, words: &str) -> Option<u64> {
    let (head, _) = text.split_once(words)?;
    let head = head.strip_suffix(" tokens").unwrap_or(head);
    let start = head
        .rfind(|c: char| !c.is_ascii_digit() && c != ',')
        .map_or(0, |at| {
            at + head
                .get(at..)
                .and_then(|s| s.chars().next())
                .map_or(1, char::len_utf8)
        });
    number(head.get(start..)?)
}

fn number(digits: &str) -> Option<u64> {
    digits.trim_matches(',').replace(',', "").parse().ok()
}
