// A terminal: somebody opens one, types, comes back, and leaves it by the keyboard; on a phone as well. It runs
// under the page's policy.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { BASE_URL, DESKTOP, live, open, PHONE, SESSION, withBrowser } from "./page.mjs";

const { source } = createRequire(import.meta.url)("axe-core");
const SHOTS = process.env.SCREENSHOTS;

await withBrowser(async (browser) => {
  const shot = async (page, name) => {
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}.png` });
  };
  const parts = (page) => ({
    screen: page.getByTestId("terminal-screen"),
    state: page.getByTestId("terminal-state"),
    is: (state) => page.locator(`[data-testid="terminal"][data-state="${state}"]`).waitFor(),
    rows: page.locator(".xterm-rows"),
  });
  const well = async (page, where) => {
    const found = [];
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const { violations } = await page.evaluate(() => axe.run(document));
      for (const { id, nodes } of violations) found.push(...nodes.map(({ target, failureSummary }) => `${where}, ${colorScheme}: ${id} at ${target}: ${failureSummary}`));
      await shot(page, `terminal-${where.replaceAll(" ", "-")}-${colorScheme}`);
    }
    assert.equal(found.join("\n"), "");
  };

  const { page, nothingWrong } = await open(browser, DESKTOP);
  await page.evaluate(source);
  const { state, is, rows } = parts(page);
  const sockets = [];
  page.on("websocket", (socket) => sockets.push(socket.url()));

  // Nothing is opened before somebody says so.
  await page.getByTestId("tab-terminal").click();
  await page.getByTestId("terminal-begin").waitFor();
  await well(page, "none");
  assert.deepEqual(sockets.filter((url) => url.includes("/terminals/")), []);
  await page.getByTestId("terminal-open").click();
  await is("live");
  // Whoever has opened it can type at once.
  await page.keyboard.type("echo hello-$((6*7))\n");
  await rows.filter({ hasText: "hello-42" }).waitFor();
  // Colours of all kinds are styles, and the policy lets no style in that stands in markup.
  await page.keyboard.type(String.raw`printf '\033[31mred \033[38;5;208m256 \033[38;2;1;200;100mtrue\033[48;2;90;0;90mback\033[0m \033]8;;javascript:pwned=1\007link\033]8;;\007 \033]0;title\007<img src=x onerror=pwned=1>\n'` + "\n");
  await rows.getByText("true", { exact: true }).last().waitFor();
  const shade = await rows.getByText("true", { exact: true }).last().evaluate((element) => getComputedStyle(element).color);
  assert.equal(shade, "rgb(1, 200, 100)");
  await rows.getByText("link").last().click({ force: true });
  assert.equal(await page.evaluate(() => window.pwned), undefined, "nothing of it ran");
  await well(page, "live");

  // The size is the place's, and follows it.
  const width = async () => {
    await page.keyboard.type("clear; echo cols-$(tput cols)-\n");
    const told = rows.getByText(/cols-\d+-/).last();
    await told.waitFor();
    return Number((await told.innerText()).match(/cols-(\d+)-/)[1]);
  };
  const before = await width();
  await page.setViewportSize({ width: 1800, height: 900 });
  await page.getByTestId("panel-edge").focus();
  for (let step = 0; step < 8; step += 1) await page.keyboard.press("ArrowLeft");
  await page.locator(".xterm-helper-textarea").focus();
  let after = before;
  for (let tries = 0; tries < 20 && after <= before; tries += 1) after = await width();
  assert.ok(after > before, `${before} columns, then ${after}`);

  // Who comes back sees what was, without another shell.
  await page.keyboard.type("clear; echo kept-$((20+3))\n");
  await rows.filter({ hasText: "kept-23" }).waitFor();
  await page.reload();
  await live(page);
  await page.evaluate(source);
  await is("live");
  await rows.filter({ hasText: "kept-23" }).waitFor();
  await page.getByTestId("tab-files").click();
  await page.getByTestId("tab-terminal").click();
  await is("live");
  await rows.filter({ hasText: "kept-23" }).waitFor();

  // By the keyboard in, and out again: Tab is the shell's, F6 leaves.
  await page.locator(".xterm-helper-textarea").focus();
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains("xterm-helper-textarea")));
  await page.keyboard.press("F6");
  await page.locator("#tab-terminal:focus").waitFor();

  // What somebody selects is copied, and what is copied is pasted.
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: BASE_URL });
  await page.getByTestId("terminal-copy").click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /kept-23/);
  await page.evaluate(() => navigator.clipboard.writeText("echo pasted-$((40+4))"));
  await page.getByTestId("terminal-paste").click();
  await rows.filter({ hasText: "echo pasted-" }).waitFor();
  await page.keyboard.press("Enter");
  await rows.filter({ hasText: "pasted-44" }).waitFor();

  // For who listens, each line is text.
  await page.getByTestId("terminal-reader").check();
  await page.locator(".xterm-accessibility").filter({ hasText: "pasted-44" }).waitFor({ state: "attached" });
  await well(page, "read aloud");
  await page.getByTestId("terminal-reader").uncheck();

  // Another page of it, on a phone, sees the same; it has keys that a phone has not.
  const other = await open(browser, PHONE);
  const phone = parts(other.page);
  await other.page.evaluate(source);
  await other.page.getByTestId("panel-toggle").tap();
  await other.page.getByTestId("tab-terminal").tap();
  await phone.is("live");
  await phone.rows.filter({ hasText: "pasted-44" }).waitFor();
  await phone.screen.tap();
  await other.page.keyboard.type("sleep 1000\n");
  await rows.filter({ hasText: "sleep 1000" }).waitFor();
  await other.page.getByTestId("terminal-control").tap();
  await other.page.keyboard.type("c");
  await rows.filter({ hasText: "^C" }).waitFor();
  assert.equal(await other.page.getByTestId("terminal-control").getAttribute("aria-pressed"), "false");
  await well(other.page, "phone");
  assert.ok((await other.page.evaluate(() => document.documentElement.scrollWidth)) <= 390, "it is as wide as the phone");
  other.nothingWrong();
  await other.page.close();

  // A second one; it ends, and says so; another takes its place.
  await page.getByTestId("terminal-another").click();
  await is("live");
  assert.equal(await page.getByTestId("terminal-name").count(), 2);
  await page.keyboard.type("exit 3\n");
  await is("ended");
  await state.filter({ hasText: "exit code 3" }).waitFor();
  await page.getByTestId("terminal-again").click();
  await is("live");
  await page.getByTestId("terminal-close").last().click();
  while ((await page.getByTestId("terminal-name").count()) > 1) await page.waitForTimeout(50);
  await page.getByTestId("terminal-close").click();
  await page.getByTestId("terminal-begin").waitFor();
  const left = await (await fetch(`${BASE_URL}/api/sessions/${SESSION}/terminals`)).json();
  assert.deepEqual(left.terminals, []);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  nothingWrong();
});
