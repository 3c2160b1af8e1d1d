// What can be done in a conversation besides talking: commands, editing and sending again, the queue, the
// mode, searching, jumping, taking it along, being called, and deleting it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { BASE_URL, DESKTOP, ended, live, SESSION, say, withBrowser } from "./page.mjs";

const downloaded = async (page, action) => {
  const [download] = await Promise.all([page.waitForEvent("download"), action()]);
  return { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") };
};

await withBrowser(async (browser) => {
  const context = await browser.newContext({ ...DESKTOP, permissions: ["notifications"] });
  // What the page tells the system is noted instead.
  await context.addInitScript(() => {
    window.told = [];
    const Real = window.Notification;
    window.Notification = class {
      static permission = Real.permission;
      static requestPermission = async () => "granted";
      constructor(title, { body }) {
        window.told.push(`${title}: ${body}`);
      }
      close() {}
    };
    Object.defineProperty(document, "hidden", { get: () => window.away === true });
  });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.goto(`${BASE_URL}/demo/${SESSION}`);
  await live(page);
  const composer = page.getByTestId("composer");
  const keys = page.keyboard;

  // Commands: by the arrow keys, by Tab, and away with Escape.
  await composer.fill("/co");
  const commands = page.getByTestId("commands").getByRole("option");
  await commands.first().waitFor();
  assert.deepEqual(await commands.locator("strong").allInnerTexts(), ["/compact", "/context", "/code-review"]);
  await keys.press("ArrowDown");
  assert.equal(await commands.nth(1).getAttribute("aria-selected"), "true");
  assert.equal(await composer.getAttribute("aria-activedescendant"), await commands.nth(1).getAttribute("id"));
  await keys.press("Enter");
  assert.equal(await composer.inputValue(), "/context ");
  await composer.fill("/");
  await commands.first().waitFor();
  await keys.press("Escape");
  await commands.first().waitFor({ state: "detached" });
  assert.equal(await composer.inputValue(), "/");

  // A file of the workspace is named by a part of its name.
  const put = { headers: { "content-type": "application/octet-stream" }, data: "named" };
  assert.ok((await page.request.put(`${BASE_URL}/api/files/${SESSION}/named.txt`, put)).ok());
  await composer.fill("look at @nam");
  await commands.filter({ hasText: "@named.txt" }).waitFor();
  await keys.press("Tab");
  assert.equal(await composer.inputValue(), "look at @named.txt ");
  await composer.fill("");

  // A message is sent again, and another one comes back to be edited.
  await say(page, "run `echo first words`");
  assert.equal(await ended(page, 1), "completed");
  const turn = page.getByTestId("turn").first();
  await turn.hover();
  await turn.getByTestId("retry").click();
  assert.equal(await ended(page, 2), "completed");
  assert.equal(await page.getByTestId("message-user").nth(1).innerText(), "run `echo first words`");
  await turn.getByTestId("edit").click();
  assert.equal(await composer.inputValue(), "run `echo first words`");
  await composer.fill("run `echo other words`");
  await keys.press("Enter");
  await ended(page, 3);
  await page.getByTestId("spent").filter({ hasText: /tokens in/ }).waitFor();

  // What was said before comes back by the arrow keys: what was said twice in a row once.
  await keys.press("ArrowUp");
  assert.equal(await composer.inputValue(), "run `echo other words`");
  await keys.press("ArrowUp");
  assert.equal(await composer.inputValue(), "run `echo first words`");
  await keys.press("ArrowUp");
  assert.equal(await composer.inputValue(), "run `echo first words`");
  await keys.press("ArrowDown");
  assert.equal(await composer.inputValue(), "run `echo other words`");
  await keys.press("ArrowDown");
  assert.equal(await composer.inputValue(), "");
  await keys.press("ArrowUp");
  await composer.pressSequentially(" changed");
  await keys.press("ArrowUp");
  assert.equal(await composer.inputValue(), "run `echo other words` changed", "what is changed stays");
  await composer.fill("");

  // What waits can be edited; the mode changes in the middle of a turn.
  await say(page, "stream 600 words every 20 ms");
  await page.getByTestId("stop").waitFor();
  await say(page, "list the files");
  await page.getByTestId("queue-edit").click();
  await page.getByTestId("queue-item").waitFor({ state: "detached" });
  assert.equal(await composer.inputValue(), "list the files");
  await composer.fill("");
  await page.getByTestId("mode-menu").selectOption("plan");
  await page.reload();
  await live(page);
  await page.getByTestId("composer").waitFor();
  await page.waitForFunction(() => document.querySelector('[data-testid="mode-menu"]').value === "plan");
  await page.getByTestId("mode-menu").selectOption("acceptEdits");
  await page.getByTestId("stop").click();
  await page.locator('[data-testid="turn-end"][data-outcome="interrupted"]').last().waitFor();

  // Search: in what was said and in what is folded.
  await page.keyboard.press("Control+Shift+f");
  const find = page.getByTestId("find");
  await find.getByRole("searchbox").fill("FIRST words");
  await page.getByTestId("find-count").filter({ hasText: /of/ }).waitFor();
  const places = Number((await page.getByTestId("find-count").innerText()).split(" ").at(-1));
  assert.ok(places >= 4, `found in messages, calls and answers: ${places}`);
  const marked = () => page.evaluate(() => [...(CSS.highlights.get("found") ?? [])].map(String));
  for (let step = 0; step < places; step += 1) {
    await page.waitForFunction(() => CSS.highlights.get("found")?.size > 0);
    assert.ok((await marked()).every((one) => one.toLowerCase() === "first words"));
    await keys.press("Shift+Enter");
  }
  await find.getByRole("searchbox").fill("words that nobody said");
  await page.getByTestId("find-count").filter({ hasText: "Nothing found" }).waitFor();
  await keys.press("Escape");
  await find.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "composer");

  // Along the turns.
  const ticks = page.getByTestId("timeline").getByRole("button");
  assert.equal(await ticks.count(), await page.getByTestId("turn").count());
  await ticks.first().click();
  const top = () => page.locator("main.scroller").evaluate((one) => one.scrollTop);
  assert.ok((await top()) < 60, "the first turn is at the top");
  await page.waitForFunction(() => document.querySelector(".tick[aria-current=true]")?.getAttribute("aria-label").startsWith("Turn 1"));
  await keys.press("Alt+ArrowDown");
  await page.waitForFunction(() => document.querySelector(".tick[aria-current=true]")?.getAttribute("aria-label").startsWith("Turn 2"));

  // Below, something new is said; it does not move what is read, and a button leads there.
  await ticks.first().click();
  await composer.fill("run `echo news`");
  const before = await top();
  await page.evaluate(() => document.querySelector("main.scroller").scrollTo(0, 0));
  await keys.press("Enter");
  await page.getByRole("button", { name: "New messages" }).waitFor();
  assert.ok(Math.abs((await top()) - before) < 60, "the page stays where it is read");
  await page.getByRole("button", { name: "New messages" }).click();
  await page.waitForFunction(() => {
    const one = document.querySelector("main.scroller");
    return one.scrollHeight - one.scrollTop - one.clientHeight < 48;
  });
  // One was taken out of the queue.
  const done = 6;
  assert.equal(await ended(page, done), "completed");

  // Nobody is called who did not ask; who did is, when the page is not seen, and the title counts.
  assert.deepEqual(await page.evaluate(() => window.told), []);
  await page.getByTestId("menu").click();
  await page.getByTestId("settings").click();
  await page.getByTestId("notify").check();
  await keys.press("Escape");
  await page.evaluate(() => {
    window.away = true;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await say(page, "run `echo unseen`");
  await ended(page, done + 1);
  await page.waitForFunction(() => document.title.startsWith("(1) "));
  await page.waitForFunction(() => window.told.length === 1);
  assert.match((await page.evaluate(() => window.told))[0], /Completed.*echo unseen/);
  await page.evaluate(() => {
    window.away = false;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.waitForFunction(() => !document.title.startsWith("("));

  // Another tab has the same draft.
  const other = await context.newPage();
  await other.goto(page.url());
  await live(other);
  await composer.fill("half a thought");
  await other.waitForFunction(() => document.querySelector('[data-testid="composer"]').value === "half a thought");
  await other.close();
  await composer.fill("");

  // It can be taken along.
  const menu = async (entry) => {
    await page.getByTestId("menu").click();
    await page.getByTestId(entry).click();
  };
  const markdown = await downloaded(page, () => menu("export-markdown"));
  assert.ok(markdown.name.endsWith(".md") && markdown.text.includes("first words"), markdown.name);
  const json = await downloaded(page, () => menu("export-json"));
  assert.ok(json.name.endsWith(".json") && typeof JSON.parse(json.text) === "object", json.name);
  await page.getByTestId("tab-log").click();
  const log = await downloaded(page, () => page.getByRole("button", { name: "Download the whole log" }).click());
  const seqs = log.text.trim().split("\n").map((line) => JSON.parse(line).seq);
  assert.deepEqual(seqs, seqs.map((_, at) => at + 1), "the whole log");

  // Deleted, it is gone from the list and from the server.
  await menu("delete");
  await page.getByTestId("delete-dialog").getByRole("button", { name: "Cancel" }).click();
  await page.getByTestId("delete-dialog").waitFor({ state: "detached" });
  await menu("delete");
  await page.getByTestId("delete-sure").click();
  await page.waitForURL((url) => url.pathname !== `/demo/${SESSION}` && url.pathname !== "/demo");
  await live(page);
  assert.equal(await page.getByTestId("rail").getByRole("link", { name: /first words/ }).count(), 0);
  const answer = await fetch(`${BASE_URL}/api/sessions/${SESSION}/export?format=json`);
  assert.equal(answer.status, 404);
  assert.deepEqual(problems, []);
});
