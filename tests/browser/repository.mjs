// The person's own Git repository: what has changed in it, branches, commits, what is given up. From the keyboard,
// in each theme, on a phone, and with names and words that are hostile.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { DESKTOP, ended, live, open, PHONE, say, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;
const { source } = createRequire(import.meta.url)("axe-core");
const BEGIN =
  "run `git init -q -b main && git config user.name Ann && git config user.email ann@example.org && " +
  "git remote add origin https://ann:SECRETTOKEN@github.com/o/r.git && printf 'one\\ntwo\\n' > a.txt && git add . && " +
  "git commit -q -m '<img src=x onerror=pwned=1> First' && printf 'one\\n2\\n' > a.txt && echo new > new.txt && " +
  "mkdir -p deep && touch $'deep/\\u202egpj.exe' ./-n`";

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const git = page.getByTestId("git");
  const change = (name) => git.getByTestId("git-change").filter({ hasText: name });
  const notice = (words) => page.getByTestId("notice").filter({ hasText: words });
  const looks = async (name, of = page) => {
    await of.evaluate(source);
    for (const colorScheme of ["light", "dark"]) {
      await of.emulateMedia({ colorScheme });
      const { violations } = await of.evaluate(() => axe.run(document));
      assert.deepEqual(violations.map(({ id, nodes }) => `${name} ${colorScheme} ${id} ${nodes.map(({ target }) => target)}`), []);
      assert.ok(await of.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: nothing is cut off`);
      if (SHOTS) await of.screenshot({ path: `${SHOTS}/${name}-${colorScheme}.png` });
    }
    await of.emulateMedia({ colorScheme: "light" });
  };

  // Where there is none, it says what to do.
  await say(page, "run `true`");
  assert.equal(await ended(page, 1), "completed");
  await page.getByTestId("tab-files").click();
  await page.getByTestId("files-git").check();
  await git.getByText("git init").waitFor();
  await looks("git-none");

  // What the agent does is there without asking.
  await say(page, BEGIN);
  assert.equal(await ended(page, 2), "completed");
  await change("a.txt").waitFor();
  assert.equal(await git.getByTestId("git-branch").inputValue(), "main");
  assert.equal(await git.getByTestId("git-change").count(), 4);
  await git.getByTestId("git-commit").filter({ hasText: "<img src=x" }).waitFor();
  assert.equal(await git.getByText("\u202e").count(), 0, "no name turns around what is shown");
  assert.equal((await git.innerHTML()).includes("SECRET"), false);
  const web = git.getByTestId("git-web");
  assert.equal(await web.getAttribute("href"), "https://github.com/o/r");
  assert.equal(await web.getAttribute("rel"), "noopener noreferrer");
  await change("a.txt").locator(".git-name").click();
  await change("a.txt").locator(".diff .added").filter({ hasText: "2" }).waitFor();
  await change("new.txt").locator(".git-name").click();
  await change("new.txt").locator(".diff .added").filter({ hasText: "new" }).waitFor();
  await looks("git");

  // A branch of its own, by the keyboard.
  await git.getByTestId("git-new-branch").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement?.dataset.testid === "git-branch-name");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.activeElement?.dataset.testid === "git-new-branch");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement?.dataset.testid === "git-branch-name");
  await page.keyboard.type("a..b");
  await page.keyboard.press("Enter");
  await git.getByTestId("git-branch-wrong").waitFor();
  await git.getByTestId("git-branch-name").fill("fix/two");
  await page.keyboard.press("Enter");
  await notice("fix/two").waitFor();
  await page.waitForFunction(() => document.querySelector('[data-testid="git-branch"]').value === "fix/two");

  // A commit of what is chosen.
  await change("new.txt").getByRole("checkbox").uncheck();
  await change("gpj.exe").getByRole("checkbox").uncheck();
  const message = git.getByTestId("git-message");
  await message.fill("Two\n\nin a branch");
  await message.press("Control+Enter");
  await notice("Committed").waitFor();
  await git.getByTestId("git-commit").filter({ hasText: "Two" }).waitFor();
  await change("a.txt").waitFor({ state: "detached" });
  await change("new.txt").waitFor();
  assert.equal(await message.inputValue(), "");
  assert.equal(await git.getByTestId("git-request").getAttribute("href"), "https://github.com/o/r/compare/fix/two?expand=1");
  await looks("git-request");

  // What would be lost is not, and it is said why.
  await say(page, "run `echo three >> a.txt && git log --format=%s`");
  assert.equal(await ended(page, 3), "completed");
  await page.getByTestId("message-assistant").filter({ hasText: "Two" }).first().waitFor();
  await change("a.txt").waitFor();
  await git.getByTestId("git-branch").selectOption("main");
  await git.getByTestId("git-branch-wrong").filter({ hasText: "a.txt" }).waitFor();
  assert.equal(await git.getByTestId("git-branch").inputValue(), "fix/two");
  await looks("git-refused");
  await change("a.txt").getByTestId("git-discard").click();
  await change("a.txt").getByTestId("git-discard-sure").click();
  await change("a.txt").waitFor({ state: "detached" });
  await git.getByTestId("git-branch").selectOption("main");
  await page.waitForFunction(() => document.querySelector('[data-testid="git-branch"]').value === "main");
  await git.getByTestId("git-request").waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => window.pwned), undefined, "nothing of it ran");

  // Small.
  for (const [name, size] of [["phone", PHONE.viewport], ["smallest", { width: 320, height: 640 }]]) {
    const phone = await (await browser.newContext({ ...PHONE, viewport: size, locale: "de-DE" })).newPage();
    await phone.goto(page.url());
    await live(phone);
    await phone.getByTestId("panel-toggle").tap();
    await phone.getByTestId("tab-files").tap();
    await phone.getByTestId("files-git").check();
    await phone.getByTestId("git-change").first().waitFor();
    await phone.getByTestId("git-discard").first().tap();
    await phone.locator(".git-name").first().tap();
    await looks(`git-${name}`, phone);
    await phone.context().close();
  }
  nothingWrong(/the server responded with a status of (400|409)/);
});
