import { describe, expect, it } from "vitest";
import { dataOf, type Machine, readSample, withSample } from "./samples.ts";

const document = {
  cpu: { percent: 100, count: 2 },
  memory: { used_bytes: 5, limit_bytes: 10 },
  disk: { used_bytes: 1, total_bytes: 4 },
  processes: 7,
  status: "running",
};

describe("what a sandbox uses", () => {
  it("is read as it must be, whatever was sent", () => {
    expect(readSample(document, 3)).toEqual({
      at: 3,
      cpu: 50,
      processors: 2,
      memory: { used: 5, of: 10 },
      disk: { used: 1, of: 4 },
      processes: 7,
    });
    expect(readSample({ status: "sleeping", cpu: { percent: 5 } }, 3)).toBe("sleeping");
    expect(readSample({ cpu: { percent: "9", count: -1 }, memory: 5, processes: Number.NaN }, 3)).toMatchObject({ cpu: 0, processors: 1, processes: 0 });
    expect(readSample("x", 3)).toBeNull();
  });

  it("is kept for a while, and is another story after sleep", () => {
    const sample = readSample(document, 1);
    if (sample === null) throw new Error("it is one");
    let now: Machine = { state: "waiting" };
    for (let at = 0; at < 150; at += 1) now = withSample(now, sample);
    expect(now.state === "running" && now.samples.length).toBe(100);
    now = withSample(now, "sleeping");
    expect(now).toEqual({ state: "sleeping" });
    expect(withSample(now, sample)).toEqual({ state: "running", samples: [sample] });
  });

  it("comes in pieces, cut anywhere", async () => {
    const bytes = new TextEncoder().encode('data: {"a":"ä"}\n\n: ping\n\nevent: x\r\ndata: 1\r\ndata: 2\r\n\r\ndata: never whole');
    for (let size = 1; size < bytes.length; size += 3) {
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
          controller.close();
        },
      });
      const all: string[] = [];
      for await (const data of dataOf(stream)) all.push(data);
      expect(all, `in pieces of ${size}`).toEqual(['{"a":"ä"}', "1\n2"]);
    }
  });

  it("is not read on where it never ends", async () => {
    let sent = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        controller.enqueue(new Uint8Array(16 * 1024).fill(97));
      },
    });
    for await (const data of dataOf(stream)) expect(data).toBe("never");
    expect(sent).toBeLessThan(10);
  });
});
