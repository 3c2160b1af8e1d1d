// What a person sets in the options is what the session does, and the copied link opens it elsewhere.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, live, open, say, withBrowser } from "./page.mjs";

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, { ...DESKTOP, permissions: ["clipboard-read", "clipboard-write"] });
  const lastTool = () => page.getByTestId("tool-card").last().getAttribute("data-state");

  await say(page, "run `echo allowed`");
  assert.equal(await ended(page, 1), "completed");
  assert.equal(await lastTool(), "done");

  // A tool that is not allowed is asked for.
  const options = page.getByTestId("advanced");
  await page.getByTestId("advanced-toggle").click();
  await options.getByLabel("Bash", { exact: true }).uncheck();
  await options.getByRole("radio", { name: /^Ask/ }).check();
  await say(page, "run `touch refused`");
  await page.getByTestId("request-card").getByRole("button", { name: "Deny" }).click();
  await ended(page, 2);
  assert.equal(await lastTool(), "failed", "without Bash, the command is refused");

  // One rule of it is allowed again.
  await options.getByLabel("More tools or rules").fill("Bash(echo:*)");
  await say(page, "run `echo by a rule`");
  await ended(page, 3);
  assert.equal(await lastTool(), "done", "the rule allows it");

  // So many calls of the model, and no more.
  await options.getByRole("button", { name: "Back to the defaults" }).click();
  await options.getByRole("radio", { name: /^Work/ }).check();
  assert.ok(await options.getByLabel("Bash", { exact: true }).isChecked());
  await options.getByLabel("Most calls of the model").fill("1");
  await say(page, "create a hello world app");
  assert.equal(await ended(page, 4), "failed");
  assert.equal(await page.getByTestId("error-card").last().getAttribute("data-code"), "max_turns");

  // They are kept where the page is loaded again.
  await page.reload();
  await live(page);
  await page.getByTestId("advanced-toggle").click();
  assert.equal(await options.getByLabel("Most calls of the model").inputValue(), "1");
  await options.getByRole("button", { name: "Back to the defaults" }).click();

  // The link.
  await page.getByTestId("menu").click();
  await page.getByRole("button", { name: "Copy the link to this session" }).click();
  await page.getByTestId("notice").filter({ hasText: /copied/ }).waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(link.startsWith(BASE_URL), link);
  const other = await (await browser.newContext(DESKTOP)).newPage();
  await other.goto(link);
  await live(other);
  assert.equal(await ended(other, 4), "failed");
  const texts = (where) => where.getByTestId("message-user").allInnerTexts();
  assert.deepEqual(await texts(other), await texts(page), "the same session");
  await say(other, "run `echo from the other page`");
  assert.equal(await ended(page, 5), "completed", "both pages are in it");

  // How much the model thinks goes with the messages from then on, and is kept.
  const sent = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push(String(payload))));
  const effort = page.locator(".composer").getByTestId("effort");
  await effort.selectOption("high");
  await page.reload();
  await live(page);
  assert.equal(await effort.inputValue(), "high");
  await say(page, "run `echo with effort`");
  assert.equal(await ended(page, 6), "completed");
  const message = sent.map((frame) => JSON.parse(frame)).find(({ type }) => type === "user_message");
  assert.deepEqual(message.additionalArgs, ["--effort=high"]);
  nothingWrong();
});
