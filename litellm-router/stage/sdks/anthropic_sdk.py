"""Anthropic's Python SDK against the router at argv[1]. Prints the name of each case that holds."""

import asyncio
import sys

import anthropic

URL = sys.argv[1]
# A provider's own key: the router sends it on.
KEY = "sk-the-callers-own"
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=30)


def ask(model, messages=HELLO, **more):
    return client.messages.create(model=model, max_tokens=100, messages=messages, **more)


def text():
    message = ask("text", system="Be kind.")
    assert (message.type, message.role, message.model) == ("message", "assistant", "text"), message
    assert message.id.startswith("msg_"), message
    assert [(block.type, block.text) for block in message.content] == [("text", "Hello there")]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3), message.usage


def streaming():
    events = [event.type for event in ask("stream", stream=True)]
    assert events[0] == "message_start" and events[-1] == "message_stop", events
    assert events.count("content_block_start") == events.count("content_block_stop") == 1, events
    assert events.count("content_block_delta") == 3, events


def streaming_helper():
    with client.messages.stream(model="stream", max_tokens=100, messages=HELLO) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert pieces == ["Hel", "lo ", "there"], pieces
    assert message.content[0].text == "Hello there"
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 3), message


def asynchronous():
    async def run():
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0) as own:
            async with own.messages.stream(model="stream", max_tokens=9, messages=HELLO) as stream:
                return "".join([piece async for piece in stream.text_stream])

    assert asyncio.run(run()) == "Hello there"


def tools():
    """Two calls at once, their arguments in pieces, and their results sent back."""
    messages = [{"role": "user", "content": "the weather in Paris and in Rome?"}]
    with client.messages.stream(
        model="tools", max_tokens=100, messages=messages, tools=[WEATHER]
    ) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use", message
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Paris"}, {"city": "Rome"}], calls
    assert len({call.id for call in calls}) == 2
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"21 degrees in {call.input['city']}"}
        for call in calls
    ]
    messages += [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": results},
    ]
    answer = ask("tools", messages, tools=[WEATHER])
    assert answer.content[0].text == "Warm.", answer


def images():
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is this?"}]
    answer = ask("image", [{"role": "user", "content": content}])
    assert answer.content[0].text == "A pixel."


def errors():
    wanted = {
        "refuses-400": (anthropic.BadRequestError, 400, "invalid_request_error"),
        "refuses-401": (anthropic.AuthenticationError, 401, "authentication_error"),
        "refuses-403": (anthropic.PermissionDeniedError, 403, "permission_error"),
        "refuses-404": (anthropic.NotFoundError, 404, "not_found_error"),
        "refuses-429": (anthropic.RateLimitError, 429, "rate_limit_error"),
        "refuses-500": (anthropic.InternalServerError, 500, "api_error"),
        "nobody-knows-it": (anthropic.NotFoundError, 404, "not_found_error"),
    }
    for model, (kind, status, name) in wanted.items():
        for stream in (False, True):
            try:
                ask(model, stream=stream)
            except anthropic.APIStatusError as error:
                assert type(error) is kind, (model, stream, error)
                assert error.status_code == status, (model, error.status_code)
                assert error.body["type"] == "error", error.body
                assert error.body["error"]["type"] == name, (model, error.body)
            else:
                raise AssertionError(f"{model} refused nothing")


def bad_requests():
    for body in ({"messages": "hello"}, {"messages": HELLO, "max_tokens": -1}):
        try:
            client.messages.create(**{"model": "text", "max_tokens": 9, **body})
        except anthropic.BadRequestError as error:
            assert error.body["error"]["type"] == "invalid_request_error", error.body
        else:
            raise AssertionError(f"{body} was accepted")


def error_within_a_stream():
    pieces = []
    try:
        with client.messages.stream(model="breaks", max_tokens=9, messages=HELLO) as stream:
            pieces.extend(stream.text_stream)
    except anthropic.APIStatusError as error:
        assert error.body["type"] == "error", error.body
    else:
        raise AssertionError("half an answer passed for a whole one")
    assert pieces == ["half"], pieces


def retries():
    """The SDK tries again by itself what the router tells it may pass."""
    patient = client.with_options(max_retries=2)
    message = patient.messages.create(model="busy-once", max_tokens=9, messages=HELLO)
    assert message.content[0].text == "Hello there"


def counting():
    assert client.messages.count_tokens(model="text", messages=HELLO).input_tokens > 0


def models():
    listed = client.models.list(limit=1000)
    assert "local/demo" in [model.id for model in listed], listed


def a_provider_of_the_same_dialect():
    with client.messages.stream(model="claude", max_tokens=9, messages=HELLO) as stream:
        assert stream.get_final_text() == "Bonjour"


def demo():
    message = ask("local/demo")
    assert message.content[0].type == "text" and message.content[0].text, message
    with client.messages.stream(model="local/demo", max_tokens=100, messages=HELLO) as stream:
        assert stream.get_final_text() == message.content[0].text


def cancellation():
    """Leaves in the middle of an answer and tells so; the test looks whether the provider heard it."""
    with client.messages.stream(model="endless", max_tokens=9, messages=HELLO) as stream:
        assert next(iter(stream.text_stream)) == "and on"
    print("left", flush=True)
    assert sys.stdin.readline() == "heard\n"


for case in (
    text,
    streaming,
    streaming_helper,
    asynchronous,
    tools,
    images,
    errors,
    bad_requests,
    error_within_a_stream,
    retries,
    counting,
    models,
    a_provider_of_the_same_dialect,
    demo,
    cancellation,
):
    case()
    print(case.__name__, flush=True)
