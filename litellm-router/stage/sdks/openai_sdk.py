"""OpenAI's Python SDK against the router at argv[1]. Prints the name of each case that holds."""

import json
import sys

import openai

URL = sys.argv[1]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}

# A provider's own key: the router sends it on.
client = openai.OpenAI(
    base_url=f"{URL}/v1", api_key="sk-the-callers-own", max_retries=0, timeout=30
)


def ask(model, messages=HELLO, **more):
    return client.chat.completions.create(model=model, messages=messages, **more)


def said(stream):
    """The text of a stream, piece by piece."""
    chunks = [chunk for chunk in stream if chunk.choices]
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]


def text():
    answer = ask("text")
    assert answer.object == "chat.completion" and answer.model, answer
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 3), answer.usage


def streaming():
    assert said(ask("stream", stream=True)) == ["Hel", "lo ", "there"]


def usage_of_a_stream():
    chunks = list(ask("stream", stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 3, chunks[-1]


def tools():
    messages = [{"role": "user", "content": "the weather in Paris and in Rome?"}]
    with client.chat.completions.stream(model="tools", messages=messages, tools=[WEATHER]) as stream:
        completion = stream.get_final_completion()
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "tool_calls", completion
    given = [json.loads(call.function.arguments) for call in message.tool_calls]
    assert given == [{"city": "Paris"}, {"city": "Rome"}], given
    messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
    for call in message.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "21 degrees"})
    answer = ask("tools", messages, tools=[WEATHER])
    assert answer.choices[0].message.content == "Warm.", answer


def images():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    content = [image, {"type": "text", "text": "what is this?"}]
    answer = ask("image", [{"role": "user", "content": content}])
    assert answer.choices[0].message.content == "A pixel."


def a_provider_of_the_other_dialect():
    assert "".join(said(ask("claude", stream=True, max_tokens=9))) == "Bonjour"


def errors():
    wanted = {
        "refuses-400": (openai.BadRequestError, 400),
        "refuses-401": (openai.AuthenticationError, 401),
        "refuses-403": (openai.PermissionDeniedError, 403),
        "refuses-404": (openai.NotFoundError, 404),
        "refuses-429": (openai.RateLimitError, 429),
        "refuses-500": (openai.InternalServerError, 500),
        "nobody-knows-it": (openai.NotFoundError, 404),
    }
    for model, (kind, status) in wanted.items():
        for stream in (False, True):
            try:
                ask(model, stream=stream)
            except openai.APIStatusError as error:
                assert type(error) is kind, (model, stream, error)
                assert error.status_code == status, (model, error.status_code)
                assert error.body["message"], error.body
                assert error.request_id and error.request_id.startswith("req_"), error.request_id
            else:
                raise AssertionError(f"{model} refused nothing")


def error_within_a_stream():
    pieces = []
    try:
        for chunk in ask("breaks", stream=True):
            pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
    except openai.APIError:
        pass
    else:
        raise AssertionError("half an answer passed for a whole one")
    assert pieces == ["half"], pieces


def models():
    assert "local/demo" in [model.id for model in client.models.list()]


def demo():
    answer = ask("local/demo").choices[0].message.content
    assert answer and "".join(said(ask("local/demo", stream=True))) == answer


def cancellation():
    """Leaves in the middle of an answer and tells so; the test looks whether the provider heard it."""
    with ask("endless", stream=True) as stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
    print("left", flush=True)
    assert sys.stdin.readline() == "heard\n"


for case in (
    text,
    streaming,
    usage_of_a_stream,
    tools,
    images,
    a_provider_of_the_other_dialect,
    errors,
    error_within_a_stream,
    models,
    demo,
    cancellation,
):
    case()
    print(case.__name__, flush=True)
