// Nothing that a model, a program or a provider writes runs, leads elsewhere unseen, or breaks the page.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, live, SESSION, say, withBrowser } from "./page.mjs";

const SCRIPT = `<img src=x onerror="pwned=1"><script>pwned=1</script><svg onload=pwned=1><iframe srcdoc="<script>parent.pwned=1</script>">`;

await withBrowser(async (browser) => {
  const context = await browser.newContext(DESKTOP);
  const page = await context.newPage();
  const elsewhere = [];
  const problems = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(BASE_URL) && !/^(data|blob):/.test(request.url())) elsewhere.push(request.url());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("dialog", (dialog) => problems.push(`a dialog: ${dialog.message()}`));
  page.on("console", (message) => {
    if (/Content Security Policy|TrustedHTML/i.test(message.text())) problems.push(message.text());
  });
  // A provider names its models.
  await page.route("**/demo/models", async (route) => {
    const answer = await route.fetch();
    const menu = await answer.json();
    menu.models.push({ id: `evil/${SCRIPT}`, name: `${SCRIPT}\u202etxt`, provider: SCRIPT, available: true });
    await route.fulfill({ response: answer, json: menu });
  });
  await page.goto(`${BASE_URL}/demo/${SESSION}`);
  await live(page);
  const still = async (what) => {
    assert.equal(await page.evaluate(() => window.pwned), undefined, `${what}: nothing ran`);
    assert.equal(await page.locator("iframe, object, embed, script:not([src]), main img, aside img").count(), 0, `${what}: no such element`);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 1280, `${what}: the page is as wide as before`);
  };
  await still("a model's name");

  // What somebody says, also as the session's name in the rail and the title.
  await say(page, `${SCRIPT} run \`echo one\``);
  await ended(page, 1);
  await page.getByTestId("rail").getByText("<img src=x").waitFor();
  await still("a message");

  // What a program prints: markup, escapes of terminals, lines without end.
  const prints = [
    `printf '%s' '<img src=x onerror=pwned=1><script>pwned=1</script>'`,
    `printf '\\033]8;;javascript:pwned=1\\007click\\033]8;;\\007 \\033[31mred\\033[0m \\033]0;title\\007\\033[2J'`,
    `head -c 60000 /dev/zero | tr '\\0' x`,
    `printf '![x](https://evil.example/?d=1) [y](javascript:pwned=1) <a href=//evil.example>z</a>'`,
  ];
  for (const [at, command] of prints.entries()) {
    await say(page, `run \`${command}\``);
    assert.equal(await ended(page, at + 2), "completed");
  }
  const cards = page.getByTestId("tool-card");
  for (const card of await cards.all()) {
    if ((await card.getAttribute("open")) === null) await card.locator("summary").click();
  }
  await page.locator(".terminal .c1").filter({ hasText: "red" }).waitFor();
  await still("a program's output");
  assert.equal(await page.evaluate(() => document.title.includes("title\u0007")), false);

  // A file's name, and what is in it.
  await say(page, `write \`${SCRIPT}\` to \`<img src=x onerror=pwned=1>.html\``);
  await ended(page, prints.length + 2);
  await page.getByTestId("tab-tools").click();
  await page.getByTestId("panel").getByText("<img src=x").first().waitFor();
  await cards.last().locator("summary").first().click();
  await still("a file's name");
  for (const tab of ["log", "tasks"]) {
    await page.getByTestId(`tab-${tab}`).click();
    await still(tab);
  }
  await page.getByTestId("tab-log").click();
  for (const row of await page.getByTestId("panel").locator("summary").all()) await row.click();
  await still("the log, opened");

  // A link leads where it says, to another tab, and tells nobody from where.
  for (const link of await page.locator("main a").all()) {
    const [href, rel, target] = await link.evaluate((one) => [one.href, one.rel, one.target]);
    assert.match(href, /^https?:/);
    assert.match(rel, /noopener noreferrer/);
    assert.equal(target, "_blank");
  }

  // What is kept in the browser may have been written by anybody.
  await page.evaluate((script) => {
    const put = (name, value) => localStorage.setItem(`agent-router/${name}`, typeof value === "string" ? value : JSON.stringify(value));
    put("sessions", [{ id: "javascript:pwned=1", title: script }, { id: "fine", title: script, at: 1e300 }, null]);
    for (const name of ["theme", "language", "panel-tab", "panel-width", "motion"]) put(name, [script]);
    put("rail-open", "{broken");
  }, SCRIPT);
  await page.reload();
  await live(page);
  await still("what is kept");
  assert.equal(await page.getByTestId("rail").locator('a[href^="javascript"]').count(), 0);
  assert.deepEqual(elsewhere, [], "nothing was asked of another origin");
  assert.deepEqual(problems, []);
});
