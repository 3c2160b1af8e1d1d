use super::headers::duration_seconds;
use super::*;

fn refusal(status: u16, body: &str, owner: KeyOwner) -> Refusal {
    from_provider("groq", status, body.as_bytes(), owner, vec![])
}

/// A refusal of a call that went with the router's key, from a message and a code.
fn refused(status: u16, message: &str, code: &str) -> Refusal {
    let body = json!({"error": {"message": message, "code": code}}).to_string();
    refusal(status, &body, KeyOwner::Router)
}

#[test]
fn e01_overload_stays_529() {
    let busy = refused(529, "busy", "");
    assert_eq!((busy.status, busy.kind), (529, "overloaded_error"));
    assert_eq!(busy.class(), ErrorClass::Overloaded);
    assert_eq!(busy.message, "groq: busy");
}

#[test]
fn e01_a_503_that_speaks_of_overload_is_one() {
    for (status, message) in [
        (503, "The server is overloaded or not ready yet."),
        (503, "Service temporarily over capacity"),
        (498, "Flex tier capacity exceeded"),
        (502, "We're experiencing high traffic right now!"),
        (
            500,
            "The engine is currently overloaded, please try again later",
        ),
    ] {
        let busy = refused(status, message, "");
        assert_eq!(
            (busy.status, busy.kind),
            (529, "overloaded_error"),
            "{message}"
        );
    }
    let down = refused(503, "no healthy upstream", "");
    assert_eq!(
        (down.status, down.class()),
        (503, ErrorClass::ServiceUnavailable)
    );
}

#[test]
fn e02_waiting_times_and_request_ids_are_kept() {
    let kept = kept_headers(&|name| match name {
        "retry-after" => Some("7".into()),
        "retry-after-ms" => Some("6900".into()),
        "x-should-retry" => Some("true".into()),
        "x-request-id" => Some("req_1".into()),
        _ => None,
    });
    let kept: Vec<(&str, &str)> = kept.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(
        kept,
        [
            ("retry-after", "7"),
            ("retry-after-ms", "6900"),
            ("x-should-retry", "true"),
            ("request-id", "req_1")
        ]
    );
}

#[test]
fn e02_a_used_up_limit_becomes_retry_after() {
    let kept = kept_headers(&|name| match name {
        "x-ratelimit-reset-requests" => Some("2m59.56s".into()),
        "x-ratelimit-remaining-requests" => Some("0".into()),
        "x-ratelimit-reset-tokens" => Some("1h".into()),
        "x-ratelimit-remaining-tokens" => Some("17".into()),
        _ => None,
    });
    assert_eq!(kept, [("retry-after".to_owned(), "180".to_owned())]);
    assert_eq!(duration_seconds("120ms"), Some(1));
    assert_eq!(duration_seconds("soon"), None);
}

#[test]
fn e02_a_wait_that_only_the_message_tells_becomes_retry_after() {
    let message = "Rate limit reached on tokens per minute (TPM): Limit 6000, Used 5000, \
                   Requested 2000. Please try again in 9.5s. Need more tokens?";
    let refused = refused(429, message, "rate_limit_exceeded");
    assert_eq!(refused.class(), ErrorClass::RateLimit);
    assert_eq!(
        refused.headers,
        [("retry-after".to_owned(), "10".to_owned())]
    );
}

#[test]
fn e03_an_overflow_reads_like_anthropics() {
    for (provider, status, message, code, words) in [
        (
            "OpenAI",
            400,
            "This model's maximum context length is 131072 tokens. However, your messages resulted in 140,001 tokens. Please reduce the length of the messages.",
            "context_length_exceeded",
            "prompt is too long: 140001 tokens > 131072 maximum",
        ),
        (
            "OpenAI",
            400,
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 280000 tokens.",
            "context_length_exceeded",
            "prompt is too long: 280000 tokens > 272000 maximum",
        ),
        (
            "Groq",
            400,
            "Please reduce the length of the messages or completion.",
            "context_length_exceeded",
            "prompt is too long: Please reduce the length of the messages or completion.",
        ),
        (
            "OpenRouter",
            400,
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 140001 tokens (134001 of text input, 2000 of tool input, 4000 in the output). Please reduce the length of either one.",
            "",
            "prompt is too long: 140001 tokens > 131072 maximum",
        ),
        (
            "vLLM",
            400,
            "This model's maximum context length is 8192 tokens. However, your request has 9000 input tokens. Please reduce the length of the input messages.",
            "",
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
        (
            "vLLM",
            400,
            "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
            "",
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
        (
            "Ollama",
            400,
            "prompt too long; exceeded max context length by 4 tokens",
            "",
            "prompt is too long: prompt too long; exceeded max context length by 4 tokens",
        ),
        (
            "llama.cpp",
            400,
            "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
            "exceed_context_size_error",
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
        (
            "Cerebras",
            400,
            "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
            "context_length_exceeded",
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
        (
            "DeepSeek",
            400,
            "This model's maximum context length is 65536 tokens. However, you requested 70564 tokens (66516 in the messages, 4048 in the completion).",
            "invalid_request_error",
            "prompt is too long: 70564 tokens > 65536 maximum",
        ),
        (
            "Mistral",
            422,
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            "",
            "prompt is too long: 40000 tokens > 32768 maximum",
        ),
        (
            "Gemini",
            400,
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "",
            "prompt is too long: 1200000 tokens > 1048576 maximum",
        ),
        // Within a stream there is no status.
        (
            "any",
            502,
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
            "",
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
    ] {
        let refused = refused(status, message, code);
        assert_eq!(
            (refused.status, refused.kind, refused.class()),
            (
                400,
                "invalid_request_error",
                ErrorClass::ContextWindowExceeded
            ),
            "{provider}"
        );
        assert_eq!(refused.message, words, "{provider}");
    }
}

#[test]
fn e03_an_overflow_behind_openrouter_is_seen() {
    let raw = json!({"type": "error", "error": {"type": "invalid_request_error",
        "message": "prompt is too long: 210000 tokens > 200000 maximum"}});
    let body = json!({"error": {"code": 400, "message": "Provider returned error",
        "metadata": {"provider_name": "Anthropic", "raw": raw.to_string()}}});
    let refused = refusal(400, &body.to_string(), KeyOwner::Router);
    assert_eq!(
        refused.message,
        "prompt is too long: 210000 tokens > 200000 maximum"
    );
}

#[test]
fn e03_a_conversation_that_fits_without_its_answer_is_not_compacted() {
    let message = "This model's maximum context length is 131072 tokens. However, you requested \
                   140001 tokens (108001 in the messages, 32000 in the completion).";
    insta::assert_snapshot!(refused(400, message, "").message,
        @"input length and `max_tokens` exceed context limit: 108001 + 32000 > 131072, decrease input length or `max_tokens` and try again");
}

#[test]
fn r18_a_smaller_limit_is_found_in_the_providers_words() {
    for (message, asked, fitting) in [
        (
            "This model's maximum context length is 131072 tokens. However, you requested 140001 tokens (108001 in the messages, 32000 in the completion).",
            32_000,
            Some(131_072 - 108_001 - 64),
        ),
        (
            "This model's maximum context length is 16385 tokens. However, you requested 20000 tokens (9000 in the messages, 3000 in the functions, and 8000 in the completion).",
            8_000,
            Some(16_385 - 12_000 - 64),
        ),
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 150000 tokens (100000 of text input, 18000 of tool input, 32000 in the output).",
            32_000,
            Some(131_072 - 118_000 - 64),
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 32768 tokens and your request has 5000 input tokens (32000 > 32768 - 5000).",
            32_000,
            Some(32_768 - 5_000 - 64),
        ),
        // The parts are not told: what was asked for is known here.
        (
            "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
            4_000,
            Some(8_192 - 5_000 - 64),
        ),
        (
            "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided 32000.",
            32_000,
            Some(16_384),
        ),
        (
            "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the `context_window` for this model",
            32_000,
            Some(8_192),
        ),
        (
            "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
            32_000,
            Some(8_192),
        ),
        // Groq counts the answer's limit with the tokens of a minute.
        (
            "Request too large for model `x` on tokens per minute (TPM): Limit 8000, Requested 36000",
            32_000,
            Some(8_000 - 4_000 - 64),
        ),
        // The prompt alone is too long, and too little would be left.
        (
            "This model's maximum context length is 131072 tokens. However, you requested 172000 tokens (140000 in the messages, 32000 in the completion).",
            32_000,
            None,
        ),
        (
            "This model's maximum context length is 131072 tokens. However, you requested 163000 tokens (131000 in the messages, 32000 in the completion).",
            32_000,
            None,
        ),
        ("Please reduce the length of the messages.", 32_000, None),
        ("context length 99999999999999999999999", 32_000, None),
        ("", 0, None),
    ] {
        assert_eq!(retry_with_max_tokens(message, asked), fitting, "{message}");
    }
}

#[test]
fn r18_a_refusal_remembers_what_the_provider_said() {
    let message = "This model's maximum context length is 8192 tokens. However, you requested 9000 \
                   tokens (5000 in the messages, 4000 in the completion).";
    let refused = refused(400, message, "");
    assert_eq!(refused.with_fewer_tokens(4_000), Some(8_192 - 5_000 - 64));
    assert_eq!(Refusal::new(400, message).with_fewer_tokens(4_000), None);
}

#[test]
fn e04_groqs_413_is_a_rate_limit() {
    let message = "Rate limit on tokens per minute (TPM): Limit 8000, Used 5000, Requested 4100";
    let refused = refused(413, message, "rate_limit_exceeded");
    assert_eq!((refused.status, refused.kind), (429, "rate_limit_error"));
    assert_eq!(refused.class(), ErrorClass::RateLimit);
}

#[test]
fn e04_a_request_that_no_minute_can_hold_is_not_waited_for() {
    let message = "Request too large for model on tokens per minute (TPM): Limit 8000, Requested 41000, please reduce your message size and try again";
    for status in [413, 429] {
        let refused = refused(status, message, "rate_limit_exceeded");
        assert_eq!(
            (refused.status, refused.class()),
            (400, ErrorClass::RequestTooLarge)
        );
        assert!(!refused.class().may_pass() && refused.class().may_pass_elsewhere());
        assert!(
            refused.message.starts_with(
                "groq: this request alone is larger than the limit of tokens a minute (41000 > 8000)"
            ),
            "{}",
            refused.message
        );
        assert_eq!(
            refused.headers,
            [("x-should-retry".to_owned(), "false".to_owned())]
        );
    }
}

#[test]
fn e08_a_call_that_groq_could_not_read_is_worth_another_try() {
    let refused = refused(400, "Failed to call a function", "tool_use_failed");
    assert_eq!((refused.status, refused.kind), (500, "api_error"));
    assert_eq!(refused.class(), ErrorClass::FailedGeneration);
    assert!(refused.class().may_pass());
}

#[test]
fn e05_a_refused_router_key_is_not_the_callers_401() {
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-proj-****wxyz"}}"#;
    let refused = refusal(401, body, KeyOwner::Router);
    assert!(!refused.message.contains("wxyz"), "{}", refused.message);
    assert_eq!((refused.status, refused.kind), (502, "api_error"));
    assert_eq!(refused.class(), ErrorClass::Authentication);
    assert!(refused.message.contains("groq"), "{}", refused.message);
    assert_eq!(
        refused.headers,
        [("x-should-retry".to_owned(), "false".to_owned())]
    );
    let refused = refusal(401, body, KeyOwner::Caller);
    assert_eq!(
        (refused.status, refused.kind),
        (401, "authentication_error")
    );
}

#[test]
fn e05_an_empty_account_is_not_waited_for() {
    for (status, code) in [(402, ""), (429, "insufficient_quota")] {
        let refused = refused(status, "You exceeded your current quota", code);
        assert_eq!(
            (refused.status, refused.class()),
            (502, ErrorClass::PaymentRequired)
        );
        assert!(!refused.class().may_pass() && refused.class().may_pass_elsewhere());
    }
}

#[test]
fn e09_a_refused_topic_is_no_refused_key() {
    let body = json!({"error": {"code": 403, "message": "Your input was flagged",
        "metadata": {"reasons": ["violence"], "flagged_input": "…"}}});
    let refused = refusal(403, &body.to_string(), KeyOwner::Router);
    assert_eq!(
        (refused.status, refused.class()),
        (400, ErrorClass::ContentPolicyViolation)
    );
    let azure = refusal(
        400,
        r#"{"error":{"message":"filtered","code":"content_filter"}}"#,
        KeyOwner::Router,
    );
    assert_eq!(azure.class(), ErrorClass::ContentPolicyViolation);
}

#[test]
fn e10_the_class_is_the_providers_and_the_status_the_callers() {
    for (status, class) in [
        (400, ErrorClass::BadRequest),
        (404, ErrorClass::NotFound),
        (408, ErrorClass::Timeout),
        (413, ErrorClass::RequestTooLarge),
        (422, ErrorClass::BadRequest),
        (429, ErrorClass::RateLimit),
        (500, ErrorClass::InternalServer),
        (502, ErrorClass::BadGateway),
        (503, ErrorClass::ServiceUnavailable),
        (504, ErrorClass::Timeout),
    ] {
        assert_eq!(refused(status, "x", "").class(), class, "{status}");
    }
    assert_eq!(
        Refusal::new(502, "x")
            .with_class(ErrorClass::Connection)
            .class(),
        ErrorClass::Connection
    );
}

#[test]
fn e11_every_shape_of_error_body_gives_its_text() {
    for (body, text) in [
        (r#"{"error":{"message":"a"}}"#, "a"),
        (r#"{"error":"b"}"#, "b"),
        (r#"{"object":"error","message":"c"}"#, "c"),
        (r#"{"detail":"d"}"#, "d"),
        (r#"[{"error":{"message":"list"}}]"#, "list"),
        ("<html>e</html>", "<html>e</html>"),
        (r#"{"other":1}"#, r#"{"other":1}"#),
        (
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":"f"}}}"#,
            "Provider returned error: f",
        ),
        (
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"g\"}}"}}}"#,
            "Provider returned error: g",
        ),
    ] {
        assert_eq!(message_in(body.as_bytes()), text);
    }
}

#[test]
fn e11_an_error_without_a_status_has_the_one_of_its_name() {
    assert_eq!(status_in(&json!({"code": "429"})), 429);
    assert_eq!(status_in(&json!({"type": "overloaded_error"})), 529);
    assert_eq!(status_in(&json!({"code": "context_length_exceeded"})), 400);
    assert_eq!(status_in(&json!({"code": 7, "type": "odd"})), 502);
    assert_eq!(status_in(&json!("text")), 502);
}
