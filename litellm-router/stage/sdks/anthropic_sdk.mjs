// Anthropic's TypeScript SDK against the router at argv[2]; argv[3] is the folder that it is
// installed in. Prints the name of each case that holds.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [url, folder] = process.argv.slice(2);
const { resolve } = createRequire(pathToFileURL(`${folder}/package.json`));
const { default: Anthropic } = await import(pathToFileURL(resolve("@anthropic-ai/sdk")).href);

// A provider's own key: the router sends it on.
const apiKey = "sk-the-callers-own";
const client = new Anthropic({ baseURL: url, apiKey, maxRetries: 0, timeout: 30_000 });
const hello = [{ role: "user", content: "hello" }];
const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const weather = {
  name: "get_weather",
  description: "The weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

const ask = (model, more = {}) =>
  client.messages.create({ model, max_tokens: 100, messages: hello, ...more });

const cases = {
  async text() {
    const message = await ask("text");
    assert.deepEqual([message.type, message.role, message.model], ["message", "assistant", "text"]);
    assert.equal(message.content[0].text, "Hello there");
    assert.equal(message.stop_reason, "end_turn");
    assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [7, 3]);
  },

  async streaming() {
    const kinds = [];
    for await (const event of await ask("stream", { stream: true })) kinds.push(event.type);
    assert.equal(kinds[0], "message_start");
    assert.equal(kinds.at(-1), "message_stop");
    assert.equal(kinds.filter((kind) => kind === "content_block_delta").length, 3);
  },

  async streaming_helper() {
    const stream = client.messages.stream({ model: "stream", max_tokens: 100, messages: hello });
    const pieces = [];
    stream.on("text", (piece) => pieces.push(piece));
    const message = await stream.finalMessage();
    assert.deepEqual(pieces, ["Hel", "lo ", "there"]);
    assert.equal(message.content[0].text, "Hello there");
    assert.equal(message.usage.output_tokens, 3);
  },

  async tools() {
    const messages = [{ role: "user", content: "the weather in Paris and in Rome?" }];
    const body = { model: "tools", max_tokens: 100, messages, tools: [weather] };
    const message = await client.messages.stream(body).finalMessage();
    assert.equal(message.stop_reason, "tool_use");
    const calls = message.content.filter((block) => block.type === "tool_use");
    assert.deepEqual(
      calls.map((call) => call.input),
      [{ city: "Paris" }, { city: "Rome" }],
    );
    messages.push({ role: "assistant", content: message.content });
    messages.push({
      role: "user",
      content: calls.map((call) => ({
        type: "tool_result",
        tool_use_id: call.id,
        content: `21 degrees in ${call.input.city}`,
      })),
    });
    const answer = await client.messages.create(body);
    assert.equal(answer.content[0].text, "Warm.");
  },

  async images() {
    const source = { type: "base64", media_type: "image/png", data: pixel };
    const content = [
      { type: "image", source },
      { type: "text", text: "what is this?" },
    ];
    const answer = await ask("image", { messages: [{ role: "user", content }] });
    assert.equal(answer.content[0].text, "A pixel.");
  },

  async errors() {
    const wanted = {
      "refuses-400": [Anthropic.BadRequestError, 400, "invalid_request_error"],
      "refuses-401": [Anthropic.AuthenticationError, 401, "authentication_error"],
      "refuses-403": [Anthropic.PermissionDeniedError, 403, "permission_error"],
      "refuses-404": [Anthropic.NotFoundError, 404, "not_found_error"],
      "refuses-429": [Anthropic.RateLimitError, 429, "rate_limit_error"],
      "refuses-500": [Anthropic.InternalServerError, 500, "api_error"],
      "nobody-knows-it": [Anthropic.NotFoundError, 404, "not_found_error"],
    };
    for (const [model, [kind, status, name]] of Object.entries(wanted)) {
      for (const stream of [false, true]) {
        await assert.rejects(ask(model, { stream }), (error) => {
          assert.equal(error.constructor, kind, `${model}: ${error}`);
          assert.equal(error.status, status);
          assert.equal(error.error.error.type, name);
          return true;
        });
      }
    }
  },

  async error_within_a_stream() {
    const pieces = [];
    const stream = client.messages.stream({ model: "breaks", max_tokens: 9, messages: hello });
    stream.on("text", (piece) => pieces.push(piece));
    await assert.rejects(stream.finalMessage(), Anthropic.APIError);
    assert.deepEqual(pieces, ["half"]);
  },

  async counting() {
    const count = await client.messages.countTokens({ model: "text", messages: hello });
    assert.ok(count.input_tokens > 0);
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list({ limit: 1000 })) ids.push(model.id);
    assert.ok(ids.includes("local/demo"), ids.join());
  },

  async a_provider_of_the_same_dialect() {
    const stream = client.messages.stream({ model: "claude", max_tokens: 9, messages: hello });
    assert.equal(await stream.finalText(), "Bonjour");
  },

  async demo() {
    const message = await ask("local/demo");
    assert.ok(message.content[0].text);
    const stream = client.messages.stream({ model: "local/demo", max_tokens: 9, messages: hello });
    assert.equal(await stream.finalText(), message.content[0].text);
  },

  // Leaves in the middle of an answer and tells so; the test looks whether the provider heard it.
  async cancellation() {
    const stream = await ask("endless", { stream: true });
    for await (const event of stream) if (event.type === "content_block_delta") break;
    console.log("left");
    for await (const line of createInterface(process.stdin)) {
      assert.equal(line, "heard");
      return;
    }
    assert.fail("nobody says that the provider heard it");
  },
};

for (const [name, holds] of Object.entries(cases)) {
  await holds();
  console.log(name);
}
process.exit();
