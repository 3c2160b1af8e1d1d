// The files of a session: the tree follows what the agent does, each kind is shown as what it is, and they
// are changed, uploaded and taken along. Names and contents are hostile.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { DESKTOP, ended, live, open, PHONE, say, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;
const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const panel = page.getByTestId("panel");
  const row = (name) => panel.getByTestId("file").filter({ hasText: name });
  const shot = async (name, of = page) => {
    if (SHOTS) await of.screenshot({ path: `${SHOTS}/${name}.png` });
  };
  const back = async () => {
    await page.getByTestId("files-back").click();
    await panel.getByTestId("file").first().waitFor();
  };

  // What the agent writes is there without asking, and its card leads to it.
  await page.getByTestId("tab-files").click();
  await say(page, "create a hello world app");
  assert.equal(await ended(page, 1), "completed");
  await row("hello.py").waitFor();
  await page.locator('[data-testid="tool-card"][data-tool="Write"] > summary').click();
  await page.getByRole("button", { name: "Open the file" }).click();
  const view = page.getByTestId("file-view");
  await view.getByText("Hello, world!").first().waitFor();
  await view.locator(".hljs-string").first().waitFor();
  await shot("file-code");

  // It is changed, and the agent finds it changed.
  await page.getByTestId("file-edit").click();
  await page.getByTestId("file-text").fill('print("changed by hand")\n');
  await page.keyboard.press("Control+s");
  await view.getByText("changed by hand").waitFor();
  await say(page, "run `cat hello.py`");
  assert.equal(await ended(page, 2), "completed");
  await page.getByTestId("message-assistant").filter({ hasText: "changed by hand" }).waitFor();

  // Where somebody was faster, nothing is lost unseen.
  await page.getByTestId("file-edit").click();
  await page.getByTestId("file-text").fill('print("mine")\n');
  await say(page, "run `echo 'print(\"theirs\")' > hello.py`");
  await ended(page, 3);
  await page.getByTestId("file-save").click();
  await page.getByText("The file was changed by somebody else meanwhile.").waitFor();
  await shot("file-conflict");
  await page.getByTestId("save-anyway").click();
  await view.locator(".lines").filter({ hasText: "mine" }).waitFor();

  // What is typed and not saved stays: in another tab of the panel, after a reload, and with Escape.
  const typed = page.getByTestId("file-text");
  await page.getByTestId("file-edit").click();
  await typed.fill("half typed");
  await page.getByTestId("tab-tasks").click();
  await page.getByTestId("tab-files").click();
  assert.equal(await typed.inputValue(), "half typed");
  await page.reload();
  await live(page);
  assert.equal(await typed.inputValue(), "half typed");
  const prevented = await typed.evaluate((field) => !field.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true, cancelable: true })));
  assert.ok(prevented, "it stops no turn");
  assert.equal(await typed.inputValue(), "half typed");
  await view.getByRole("button", { name: "Discard" }).click();
  await view.locator(".lines").filter({ hasText: "mine" }).waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByTestId("file-download").click()]);
  assert.equal(download.suggestedFilename(), "hello.py");
  assert.equal(await readFile(await download.path(), "utf8"), 'print("mine")\n');
  await back();

  // Uploaded, each kind is shown as what it is.
  const files = [
    ["notes.md", "text/markdown", "# Notes\n\n- **one** <script>pwned=1</script> ![x](https://evil.example/x.png)\n"],
    ["table.csv", "text/csv", 'name,count\n"a, b",1\n<img src=x onerror=pwned=1>,2\n'],
    ["page.html", "text/html", "<script>pwned=1</script><h1>Hi</h1>"],
    ["drawing.svg", "image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20" onload="pwned=1"><script>pwned=1</script><image href="https://evil.example/x.png"/></svg>'],
    ["pixel.png", "image/png", PIXEL],
    ["blob.bin", "application/octet-stream", Buffer.from([0, 1, 2, 255, 0])],
    ["book.ipynb", "application/json", JSON.stringify({ nbformat: 4, cells: [{ cell_type: "markdown", source: "# Cell <script>pwned=1</script>" }, { cell_type: "code", source: "1 + 1", outputs: [{ text: "2" }] }] })],
  ].map(([name, mimeType, content]) => ({ name, mimeType, buffer: Buffer.from(content) }));
  await page.getByTestId("upload").setInputFiles(files);
  await page.getByTestId("notice").filter({ hasText: "7 files are uploaded" }).waitFor();
  await row("pixel.png").waitFor();
  await shot("files");
  const shows = {
    "notes.md": view.getByRole("heading", { name: "Notes" }),
    "table.csv": view.getByRole("cell", { name: "a, b" }),
    "page.html": view.getByText("<h1>"),
    "drawing.svg": view.locator("img, code").first(),
    "pixel.png": view.locator("img"),
    "blob.bin": view.getByText("There is no preview"),
    "book.ipynb": view.getByRole("heading", { name: /Cell/ }),
  };
  for (const [name, shown] of Object.entries(shows)) {
    await row(name).click();
    await shown.waitFor();
    await shot(`file-${name}`);
    assert.equal(await page.locator("iframe, object, embed, aside script").count(), 0, name);
    await back();
  }
  assert.equal(await page.evaluate(() => window.pwned), undefined, "nothing of them ran");

  // What is there is replaced when somebody says so.
  await page.getByTestId("upload").setInputFiles([{ name: "notes.md", mimeType: "text/markdown", buffer: Buffer.from("# Other notes\n") }]);
  await page.getByTestId("replace").click();
  await page.getByTestId("notice").filter({ hasText: "1 file is uploaded" }).waitFor();
  await row("notes.md").click();
  await view.getByRole("heading", { name: "Other notes" }).waitFor();
  await back();

  // By drop, into the folder that it is dropped on.
  await say(page, "run `mkdir -p inside; touch 'inside/<img src=x onerror=pwned=1>.txt'; touch $'inside/\\u202egpj.exe'`");
  await ended(page, 4);
  await row("inside").waitFor();
  const transfer = await page.evaluateHandle(() => {
    const data = new DataTransfer();
    data.items.add(new File(["dropped"], "dropped.txt"));
    return data;
  });
  await row("inside").dispatchEvent("dragover", { dataTransfer: transfer });
  await row("inside").dispatchEvent("drop", { dataTransfer: transfer });
  await row("inside").click();
  await row("dropped.txt").waitFor();
  assert.equal(await page.evaluate(() => window.pwned), undefined, "no name ran");
  await row("<img src=x").waitFor();
  assert.equal(await row("\u202e").count(), 0, "no name turns around what is shown");

  // From the keyboard, as trees are walked.
  await row("inside").focus();
  await page.keyboard.press("ArrowLeft");
  await row("dropped.txt").waitFor({ state: "detached" });
  await page.keyboard.press("ArrowRight");
  await row("dropped.txt").waitFor();
  await page.keyboard.press("End");
  await page.keyboard.press("Home");
  await page.waitForFunction(() => document.activeElement?.dataset.testid === "file");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-level")), "1");
  await panel.getByRole("searchbox").fill("dropped");
  await row("inside/dropped.txt").waitFor();
  assert.equal(await panel.getByTestId("file").count(), 1);
  await panel.getByRole("searchbox").fill("");

  const [zip] = await Promise.all([page.waitForEvent("download"), page.getByTestId("zip").click()]);
  assert.equal((await readFile(await zip.path())).subarray(0, 2).toString(), "PK");

  // What a turn has changed is what the sandbox compares, also where a command or a person has changed it.
  await say(page, "run `mv blob.bin moved.bin`");
  assert.equal(await ended(page, 5), "completed");
  await page.getByTestId("files-changes").check();
  const compared = page.locator('[data-testid="changes"][data-from="sandbox"]');
  const changed = (name) => compared.getByTestId("file-diff").filter({ hasText: name });
  const of = page.locator("#changes-of");
  await of.selectOption("turn-3");
  await changed("hello.py").locator(".diff .added").filter({ hasText: 'print("theirs")' }).waitFor();
  await changed("hello.py").locator(".diff .removed").filter({ hasText: 'print("changed by hand")' }).waitFor();
  await of.selectOption("turn-5");
  const moved = compared.locator('[data-status="renamed"]');
  await moved.filter({ hasText: "blob.bin → moved.bin" }).waitFor();
  await of.selectOption("");
  await changed("notes.md").filter({ hasText: "new" }).waitFor();
  assert.match(await compared.getByTestId("changes-sum").innerText(), /files\s*.*\+\d+\s*−\d+/s);
  await changed("pixel.png").locator("summary").click();
  await changed("pixel.png").getByText("No text").waitFor();
  await changed("hello.py").first().waitFor();
  assert.equal(await compared.getByText("\u202e").count(), 0, "no name turns around what is shown");
  assert.equal(await page.evaluate(() => window.pwned), undefined, "nothing of it ran");
  await shot("changes-of-all");
  const [patch] = await Promise.all([page.waitForEvent("download"), page.getByTestId("changes-patch").click()]);
  assert.match(await readFile(await patch.path(), "utf8"), /^diff --git /m);
  await changed("hello.py").first().locator("summary").click();
  await page.getByTestId("files-tree").check();

  // On a phone.
  const phone = await (await browser.newContext(PHONE)).newPage();
  await phone.goto(page.url());
  await live(phone);
  await phone.getByTestId("panel-toggle").tap();
  await phone.getByTestId("tab-files").tap();
  await phone.getByTestId("file").filter({ hasText: "table.csv" }).tap();
  await phone.getByTestId("file-view").getByRole("cell", { name: "a, b" }).waitFor();
  assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is cut off");
  await shot("file-phone", phone);
  nothingWrong(/the server responded with a status of (409|412)/);
});
