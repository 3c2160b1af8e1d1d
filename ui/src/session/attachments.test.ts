import { beforeEach, describe, expect, it, vi } from "vitest";
import { Attachments, MOST_FILES, safeName, type Send, withAttachments } from "./attachments.ts";

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));
const named = (name: string, type = "text/plain") => new File(["x"], name, { type });

beforeEach(() => localStorage.clear());

describe("what goes with a message", () => {
  it("is sent while the message is written, and named in it", async () => {
    const send = vi.fn<Send>(async (_file, name, progress) => (progress(0.5), `attachments/${name}`));
    const all = new Attachments("s", send);
    all.add([named("a b.txt"), named("c.txt")]);
    expect([all.settled, all.list.value[0]?.path]).toEqual([false, null]);
    await settled();
    expect(all.settled).toBe(true);
    // Another visit finds what is there.
    expect(new Attachments("s", send).list.value.map(({ name }) => name)).toEqual(["a b.txt", "c.txt"]);
    expect(withAttachments("look \n", all.take())).toBe("look\n\n@attachments/a-b.txt @attachments/c.txt");
    expect([all.list.value, new Attachments("s", send).list.value]).toEqual([[], []]);
    expect(withAttachments(" as it is ", [])).toBe(" as it is ");
    expect(withAttachments("", ["a"])).toBe("@a");
  });

  it("has another name where one is taken", async () => {
    const taken = new Set(["a.txt", "a-2.txt"]);
    const all = new Attachments("s", async (_file, name) => (taken.has(name) ? null : name));
    all.add([named("a.txt")]);
    await settled();
    expect(all.take()).toEqual(["a-3.txt"]);
  });

  it("says what is wrong, and can be tried again or taken off", async () => {
    let broken = true;
    const all = new Attachments("s", async (_file, name) => {
      if (broken) throw new Error("no way");
      return name;
    });
    const large = named("large");
    Object.defineProperty(large, "size", { value: 51 * 1024 * 1024 });
    all.add([named("a.txt"), large]);
    await settled();
    expect(all.list.value.map(({ wrong }) => wrong)).toEqual(["no way", "It is larger than 50 MiB."]);
    expect(all.settled).toBe(true);
    expect(all.take()).toEqual([]);
    broken = false;
    all.again(all.list.value[0]?.key ?? 0);
    await settled();
    all.remove(all.list.value[1]?.key ?? 0);
    expect(all.take()).toEqual(["a.txt"]);
    all.add(Array.from({ length: MOST_FILES + 1 }, (_, at) => named(`${at}`)));
    expect(all.list.value.at(-1)?.wrong).toContain(String(MOST_FILES));
  });

  it("that is taken off on its way is not sent on", async () => {
    const stopped: boolean[] = [];
    const all = new Attachments("s", async (_file, name, _progress, stop) => {
      await settled();
      stopped.push(stop.aborted);
      return name;
    });
    all.add([named("a.txt")]);
    all.remove(all.list.value[0]?.key ?? 0);
    await settled();
    await settled();
    expect([stopped, all.list.value]).toEqual([[true], []]);
  });

  it("has names that a mention goes through", () => {
    const name = (given: string, tried = 1) => safeName(named(given), tried);
    expect(name("../../etc/pass wd")).toBe("etc-pass-wd");
    expect(name("..")).toBe("file");
    expect(name("été (1).tar.gz", 2)).toBe("été-1-.tar-2.gz");
    expect(name("a\u202egnp.exe\n@b")).toBe("a-gnp.exe-b");
    expect(name("", 3)).toBe("file-3");
    expect(safeName(named("", "image/png"), 1)).toBe("file.png");
    expect(name("x".repeat(300)).length).toBe(100);
  });
});
