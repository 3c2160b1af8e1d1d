/** What the session's sandbox uses of its machine, every few seconds while somebody looks. */
import { signal } from "@preact/signals";
import { ask } from "../session/admission.ts";
import { reasonOf } from "../session/download.ts";
import { isFields } from "../session/wire.ts";

export interface Sample {
  /** Milliseconds of this machine's clock. */
  readonly at: number;
  /** Of all processors that it may use, in percent. */
  readonly cpu: number;
  readonly processors: number;
  /** Bytes. */
  readonly memory: Share;
  readonly disk: Share;
  readonly processes: number;
}

export interface Share {
  readonly used: number;
  readonly of: number;
}

export type Machine =
  | { readonly state: "waiting" }
  | { readonly state: "running"; readonly samples: readonly Sample[] }
  /** It sleeps, or was never started. */
  | { readonly state: "sleeping" }
  /** With the server's words; none where there is no such session yet. */
  | { readonly state: "unknown"; readonly words: string };

/** Samples that are kept: five minutes of them. */
const MOST = 100;
const AGAIN_MS = 5_000;
/** Nothing that the server sends is longer. */
const LONGEST = 64 * 1024;

/** What is known; kept when somebody looks at another tab meanwhile. */
export const machine = signal<Machine>({ state: "waiting" });

/** Reads a document of `/api/resources`; null for what is none. */
export function readSample(body: unknown, at: number): Sample | "sleeping" | null {
  if (!isFields(body)) return null;
  if (body.status === "sleeping") return "sleeping";
  const cpu = isFields(body.cpu) ? body.cpu : {};
  const processors = number(cpu.count) || 1;
  return {
    at,
    cpu: Math.min(100, number(cpu.percent) / processors),
    processors,
    memory: share(body.memory, "limit_bytes"),
    disk: share(body.disk, "total_bytes"),
    processes: number(body.processes),
  };
}

export function withSample(now: Machine, sample: Sample | "sleeping"): Machine {
  if (sample === "sleeping") return { state: "sleeping" };
  const samples = now.state === "running" ? now.samples : [];
  return { state: "running", samples: [...samples, sample].slice(-MOST) };
}

/** Whether the session's sandbox sleeps; asking does not wake it. @throws where the server does not say. */
export async function sleeps(session: string): Promise<boolean> {
  const answer = await ask(address(session));
  if (!answer.ok) throw new Error(await reasonOf(answer));
  return readSample(await answer.json(), 0) === "sleeping";
}

/** Watches until `signal` says to stop. */
export async function watch(session: string, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      const answer = await ask(address(session), { headers: { accept: "text/event-stream" }, signal: stop });
      if (answer.ok && answer.body !== null) {
        for await (const data of dataOf(answer.body)) {
          const sample = readSample(JSON.parse(data), Date.now());
          if (sample !== null) machine.value = withSample(machine.value, sample);
        }
      } else {
        machine.value = { state: "unknown", words: answer.status === 404 ? "" : await reasonOf(answer) };
      }
    } catch {
      // The connection broke, or somebody looks away.
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, AGAIN_MS);
      stop.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
}

/** The data of each event of an event stream. */
export async function* dataOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      if (rest.length > LONGEST) return;
      const events = rest.split(/\r?\n\r?\n/);
      rest = events.pop() ?? "";
      for (const event of events) {
        const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
        if (data.length > 0) yield data.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

function address(session: string): string {
  return `/api/resources/${encodeURIComponent(session)}`;
}

function share(value: unknown, whole: string): Share {
  const fields = isFields(value) ? value : {};
  return { used: number(fields.used_bytes), of: number(fields[whole]) };
}

function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}
