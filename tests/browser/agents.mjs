// An agent is made: as a form and as YAML, which say the same; what is wrong is said where it is; it is tried,
// saved, changed, duplicated and deleted.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, PHONE, ended, live, open, say, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;
const id = `tester-${Date.now() % 100_000}`;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, { ...DESKTOP, viewport: { width: 1440, height: 900 } });
  // From the dialog in which agents are launched.
  await page.getByTestId("launch").click();
  await page.getByTestId("build-agent").click();
  await page.waitForURL(/\/agents\?new/);
  const yaml = page.getByTestId("yaml");
  const field = (label) => page.getByRole("textbox", { name: label, exact: true });
  await field("Name").fill("Tester");
  await field("Id").fill(id);
  await page.getByRole("checkbox", { name: "Read", exact: true }).check();
  await page.getByRole("checkbox", { name: "Bash", exact: true }).check();
  await page.getByRole("combobox", { name: "What it is told first" }).selectOption("instead");
  await field("Prompt").fill("You test.\nBe brief.");
  await page.getByTestId("add-member").click();
  const member = page.getByTestId("member");
  await member.getByRole("textbox", { name: "When it is called" }).fill("For reviews");
  assert.match(await yaml.inputValue(), new RegExp(`id: ${id}\nname: Tester\n`));
  assert.match(await yaml.inputValue(), /allowed_tools: \[Read, Bash\]/);
  assert.match(await yaml.inputValue(), /system_prompt: \|-?\n {2}You test\.\n {2}Be brief\.\n/);

  // Whether it works with others, and what its bounds come to, in words.
  await page.getByTestId("orchestrates").check();
  const effect = page.getByTestId("orchestration-effect");
  await effect.filter({ hasText: "any agent; up to 5 sessions; those launch nobody; with no bound" }).waitFor();
  await field("Agents it may launch").fill("code-assistant\nresearch-agent");
  await page.getByRole("spinbutton", { name: "Generations at most" }).fill("2");
  await page.getByRole("spinbutton", { name: "Cost at most, in US dollars" }).fill("1.5");
  await effect.filter({ hasText: "code-assistant or research-agent; up to 5 sessions; those may launch others, 2 generations in all; nothing further once all of them have cost $1.50" }).waitFor();
  assert.match(await yaml.inputValue(), /orchestration:\n {2}max_sessions: 5\n {2}max_depth: 2\n {2}agents: \[code-assistant, research-agent\]\n {2}max_cost_usd: 1\.5\n/);
  await page.getByRole("spinbutton", { name: "Generations at most" }).fill("9");
  await page.getByTestId("save-agent").click();
  await page.getByTestId("flaws").getByRole("button", { name: "orchestration.max_depth" }).click();
  const depth = page.getByRole("spinbutton", { name: "Generations at most" });
  assert.equal(await depth.getAttribute("aria-invalid"), "true");
  await depth.fill("2");

  // What the schema wants is said at the field, and by the list that leads there.
  await page.getByTestId("save-agent").click();
  const flaws = page.getByTestId("flaws");
  await flaws.filter({ hasText: "agents.helper.prompt" }).waitFor();
  assert.ok(await flaws.evaluate((element) => element === document.activeElement), "what is wrong has the focus");
  await flaws.getByRole("button", { name: "agents.helper.prompt" }).click();
  const prompt = member.getByRole("textbox", { name: "Its instructions" });
  await prompt.and(page.locator(":focus")).waitFor();
  assert.equal(await prompt.getAttribute("aria-invalid"), "true");
  await prompt.fill("You review.");
  await flaws.getByRole("list").waitFor({ state: "detached" });

  // What only the server knows, it says with the field's name.
  await field("Memory").fill("much");
  await page.getByTestId("save-agent").click();
  await flaws.filter({ hasText: "resource_limits.memory_limit" }).waitFor();
  assert.equal(await field("Memory").getAttribute("aria-invalid"), "true");
  await field("Memory").fill("1g");
  await flaws.getByRole("list").waitFor({ state: "detached" });

  // YAML, with a comment that stays whatever the form changes.
  await yaml.fill(`# ours\n${await yaml.inputValue()}max_turns: [`);
  await page.locator("#yaml-wrong").filter({ hasText: "Line" }).waitFor();
  await yaml.fill((await yaml.inputValue()).replace("max_turns: [", "version: 2.0.0 # the second"));
  await page.locator("#yaml-wrong").filter({ hasText: "Line" }).waitFor({ state: "detached" });
  assert.equal(await field("Version").inputValue(), "2.0.0");
  await page.getByRole("combobox", { name: "Model", exact: true }).fill("local/demo");
  assert.match(await yaml.inputValue(), /^# ours\n(?:.*\n)*version: 2\.0\.0 # the second\n(?:.*\n)*model: local\/demo\n/);
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/agent.png` });

  // It is tried as it stands; back again, nothing is lost.
  await page.getByTestId("try").click();
  await page.getByTestId("try-dialog").getByTestId("launch-it").click();
  await page.waitForURL(/\/demo\//);
  await live(page);
  await say(page, "run `echo tried`");
  assert.equal(await ended(page, 1), "completed");
  await page.goBack();
  await page.getByTestId("agent-state").filter({ hasText: "Not saved" }).waitFor();
  assert.match(await yaml.inputValue(), /^# ours/);

  await page.getByTestId("save-agent").click();
  await page.waitForURL(`**/agents/${id}`);
  await page.getByTestId("agents-list").getByRole("link", { name: id }).waitFor();
  await page.reload();
  await page.getByTestId("agent-state").filter({ hasText: "As it is saved" }).waitFor();
  assert.equal(await field("Prompt").inputValue(), "You test.\nBe brief.");
  assert.ok(await page.getByRole("checkbox", { name: "Bash", exact: true }).isChecked());

  // Changed and discarded, changed and saved, in another language and back.
  await field("Name").fill("Nobody");
  await page.getByTestId("discard").click();
  await page.getByTestId("agent-state").filter({ hasText: "As it is saved" }).waitFor();
  assert.equal(await field("Name").inputValue(), "Tester");
  await field("Name").fill("Tester the second");
  await page.getByTestId("settings").click();
  const settings = page.getByTestId("settings-dialog");
  await settings.getByRole("radio", { name: "Deutsch" }).click();
  await page.keyboard.press("Escape");
  await page.getByTestId("agent-state").filter({ hasText: "Nicht gespeichert" }).waitFor();
  assert.equal(await page.getByRole("textbox", { name: "Name", exact: true }).inputValue(), "Tester the second");
  await page.getByTestId("settings").click();
  await settings.getByRole("radio", { name: "English" }).click();
  await page.keyboard.press("Escape");
  await page.getByTestId("save-agent").click();
  await page.getByTestId("agent-state").filter({ hasText: "Saved" }).waitFor();

  // Another one like it, which no name of the first is in the way of; one of the deployment's can only be looked at.
  await page.getByTestId("duplicate").click();
  await page.getByTestId("agent-state").filter({ hasText: "Not saved" }).waitFor();
  assert.equal(await field("Id").inputValue(), `${id}-2`);
  await field("Id").fill(id);
  await page.getByTestId("save-agent").click();
  await flaws.getByRole("button", { name: "id", exact: true }).waitFor();
  await page.goto(`${BASE_URL}/agents/github-code-review`);
  await page.getByTestId("agent-state").filter({ hasText: "comes with this deployment" }).waitFor();
  assert.equal(await page.getByTestId("save-agent").count(), 0);
  assert.ok(await yaml.evaluate((element) => element.readOnly));

  // On a phone, with a server of tools whose secret is asked for.
  const small = await open(browser, PHONE);
  await small.page.goto(`${BASE_URL}/agents?new&from=github-code-review`);
  await small.page.getByTestId("server").waitFor();
  assert.ok(await small.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the page");
  await small.page.locator(".pane-choice").getByRole("radio", { name: "YAML" }).check();
  await small.page.getByTestId("yaml").waitFor();
  await small.page.getByTestId("try").tap();
  await small.page.getByTestId("try-dialog").getByText("GITHUB_TOKEN").waitFor();
  small.nothingWrong();

  await page.goto(`${BASE_URL}/agents/${id}`);
  await page.getByTestId("delete-agent").click();
  await page.getByTestId("delete-agent-sure").click();
  await page.waitForURL("**/agents");
  await page.getByTestId("agents-list").getByRole("link", { name: "code-assistant" }).waitFor();
  assert.equal(await page.getByTestId("agents-list").getByRole("link", { name: id }).count(), 0);
  // Refusals that were brought about here.
  nothingWrong(/status of (?:400|409)/);
});
