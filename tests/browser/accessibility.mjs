// Every rule of axe-core holds: on the empty page, in a busy conversation and in the options, light and
// dark, on a desktop and on a phone.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { BASE_URL, DESKTOP, PHONE, ended, open, say, withBrowser } from "./page.mjs";

// As a script of the test's own: the page's policy lets no script in that is not the page's.
const { source } = createRequire(import.meta.url)("axe-core");

/** What axe-core finds, a line each, in both themes. */
async function violations(page, where) {
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const results = await page.evaluate(() => axe.run(document));
    for (const { id, help, nodes } of results.violations) {
      for (const { target, failureSummary } of nodes) {
        found.push(`${where}, ${colorScheme}: ${id} (${help}) at ${target}: ${failureSummary}`);
      }
    }
    const held = results.passes.map(({ id }) => id);
    // Over a dialog's backdrop axe-core says of no colour whether it is well.
    const dialog = await page.evaluate(() => document.querySelector("dialog[open]") !== null);
    assert.ok((dialog || held.includes("color-contrast")) && held.length > 15, `${where}: axe-core looked at the page`);
  }
  return found;
}

await withBrowser(async (browser) => {
  const pages = [];
  for (const [name, options] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    const { page } = await open(browser, options);
    await page.evaluate(source);
    pages.push([name, page]);
  }
  const found = [];
  const look = async (state) => {
    for (const [name, page] of pages) found.push(...(await violations(page, `${state}, ${name}`)));
  };
  const [[, desktop], [, phone]] = pages;

  await phone.getByTestId("empty").waitFor();
  await look("empty");

  // All that a conversation can hold: cards that are open, a failed tool, thinking, an error, a list,
  // a turn that runs, messages that wait.
  await say(desktop, "create a hello world app");
  await ended(desktop, 1);
  await say(desktop, "run `echo no; false`");
  await ended(desktop, 2);
  await say(desktop, "think about the sea");
  await ended(desktop, 3);
  await desktop.getByTestId("model-menu").selectOption("scripted/401");
  await say(desktop, "hello");
  assert.equal(await ended(desktop, 4), "failed");
  await desktop.getByTestId("model-menu").selectOption("local/demo");
  await say(desktop, "make a todo list for a birthday");
  await ended(desktop, 5);
  // What waits for somebody: a permission, and questions.
  const mode = async (name) => {
    await desktop.getByTestId("advanced-toggle").click();
    await desktop.getByTestId("advanced").getByRole("radio", { name }).check();
    await desktop.getByTestId("advanced-toggle").click();
  };
  await mode(/^Ask/);
  for (const [at, words, button] of [[6, "run `touch asked.txt`", "Allow"], [7, "please ask me a question", "Don't answer"]]) {
    await say(desktop, words);
    for (const [, page] of pages) await page.locator('[data-testid="request-card"][data-state="open"]').waitFor();
    await look(words);
    await desktop.getByRole("button", { name: button, exact: true }).click();
    await ended(desktop, at);
  }
  await mode(/^Work/);
  await say(desktop, "stream 3000 words every 50 ms");
  await say(desktop, "list the files");
  for (const [, page] of pages) {
    await page.getByTestId("queue-item").waitFor();
    await page.getByTestId("stop").waitFor();
    await page.getByTestId("message-assistant").filter({ hasText: /word5\b/ }).last().waitFor();
    const closed = page.locator("details:not([open]) > summary");
    while ((await closed.count()) > 0) await closed.first().click();
  }
  await look("busy");

  for (const [, page] of pages) {
    await page.getByTestId("advanced-toggle").click();
    await page.getByTestId("advanced").waitFor();
  }
  await look("options");
  for (const [, page] of pages) await page.getByTestId("advanced-toggle").click();

  // The parts beside the conversation, and what opens over it.
  for (const tab of ["files", "terminal", "tasks", "tools", "resources", "log"]) {
    for (const [name, page] of pages) {
      if (name === "phone" && tab === "files") await page.getByTestId("panel-toggle").tap();
      await page.getByTestId(`tab-${tab}`).click();
      await page.locator(`#tab-panel > :not(.skeleton)`).first().waitFor();
    }
    await look(`tab ${tab}`);
    if (tab !== "files") continue;
    for (const [, page] of pages) {
      await page.getByTestId("file").filter({ hasText: "hello.py" }).click();
      await page.getByTestId("file-view").locator(".hljs-string").first().waitFor();
    }
    await look("a file");
    for (const [, page] of pages) {
      await page.getByTestId("files-back").click();
      await page.getByTestId("files-changes").check();
      await page.getByTestId("file-diff").first().waitFor();
    }
    await look("changes");
    for (const [, page] of pages) {
      await page.getByTestId("files-git").check();
      await page.getByTestId("git").waitFor();
    }
    await look("the repository");
    for (const [, page] of pages) {
      await page.getByTestId("files-tree").check();
      await page.getByTestId("file").filter({ hasText: "hello.py" }).click();
    }
    for (const [, page] of pages) await page.getByTestId("file-edit").click();
    await look("a file, edited");
  }
  await phone.getByTestId("panel-close").tap();
  await phone.getByTestId("rail-toggle").tap();
  await desktop.getByTestId("find-open").click();
  await desktop.getByTestId("find").getByRole("searchbox").fill("word1");
  await desktop.getByTestId("find-count").filter({ hasText: /of/ }).waitFor();
  await look("sessions, search");
  await phone.keyboard.press("Escape");
  for (const [, page] of pages) await page.getByTestId("menu").click();
  await look("menu");
  for (const [, page] of pages) await page.getByTestId("settings").click();
  for (const [, page] of pages) await page.getByTestId("settings-dialog").waitFor();
  await look("settings");
  for (const [, page] of pages) {
    await page.keyboard.press("Escape");
    await page.getByTestId("menu").click();
    await page.getByTestId("delete").click();
    await page.getByTestId("delete-dialog").waitFor();
  }
  await look("delete");
  for (const [, page] of pages) {
    await page.keyboard.press("Escape");
    await page.getByTestId("menu").click();
    await page.getByTestId("usage").click();
    await page.getByTestId("usage-total").waitFor();
    await page.getByText("As a table").click();
  }
  await look("usage");
  for (const [, page] of pages) {
    await page.keyboard.press("Escape");
    await page.getByTestId("menu").click();
    await page.getByTestId("automation").click();
    await page.getByTestId("add-schedule").click();
    await page.getByTestId("schedule-form").waitFor();
  }
  await look("schedules");
  for (const [, page] of pages) {
    await page.getByRole("radio", { name: "Webhooks" }).check();
    await page.getByTestId("add-webhook").click();
  }
  await look("webhooks");
  for (const [, page] of pages) {
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+k");
    await page.getByTestId("palette-option").first().waitFor();
  }
  await look("palette");
  for (const [, page] of pages) {
    await page.keyboard.press("Escape");
    await page.getByTestId("palette-dialog").waitFor({ state: "detached" });
    if ((await page.getByTestId("rail").count()) === 0) await page.getByTestId("rail-toggle").click();
    await page.getByTestId("choose-sessions").click();
    await page.getByTestId("bulk").waitFor();
  }
  await look("sessions to choose from");
  for (const [, page] of pages) {
    await page.getByTestId("launch").click();
    await page.getByTestId("launch-dialog").locator('[data-agent="github-code-review"]').click();
    await page.getByTestId("launch-it").waitFor();
  }
  await look("launch");
  for (const address of ["/agents", "/agents/github-code-review", "/agents?new&from=fullstack-team"]) {
    for (const [, page] of pages) {
      await page.goto(`${BASE_URL}${address}`);
      await page.evaluate(source);
      await page.getByTestId(address === "/agents" ? "agents-list" : "agent-state").waitFor();
      if (address.includes("new")) await page.getByRole("textbox", { name: "Id", exact: true }).fill("No!");
    }
    await look(address);
  }
  assert.equal(found.join("\n"), "");
});
