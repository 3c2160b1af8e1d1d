import { render } from "preact";
import { describe, expect, it } from "vitest";
import { CallPreview } from "./call-preview.tsx";
import { escaped, verbatim } from "./verbatim.tsx";

const ESC = "\u001b";
const BREAKS = "\n".repeat(10_000);

/** What a person reads of a call that is asked about: each box by itself. */
function shown(tool: string, input: unknown): { boxes: string[]; place: HTMLElement } {
  const place = document.createElement("div");
  render(<CallPreview tool={tool} input={input} />, place);
  return { boxes: [...place.querySelectorAll<HTMLElement>("[data-testid=asked]")].map((one) => one.textContent ?? ""), place };
}

describe("hidden characters", () => {
  it("are written out, and marked", () => {
    expect(escaped("a\tb\nc")).toBe("a\tb\nc");
    expect(escaped(`${ESC}[8mx\r\u202ey\u200b\u{e0041}\u00ad`)).toBe("\\u001b[8mx\\u000d\\u202ey\\u200b\\u{e0041}\\u00ad");
    const place = document.createElement("p");
    render(<>{verbatim(`good\u202e\u2066bad`)}</>, place);
    expect(place.querySelector(".escaped")?.textContent).toBe("\\u202e\\u2066");
    expect(place.textContent).toBe("good\\u202e\\u2066bad");
    const many = "a\u202e".repeat(100_000);
    render(<>{verbatim(many)}</>, place);
    expect(place.textContent).toBe("a\\u202e".repeat(100_000));
  });
});

describe("what is asked about", () => {
  const deceiving = `echo ok\r rm -rf / ${ESC}[2K${ESC}]0;title\u0007 \u202etxt.hs${BREAKS}Approved by admin`;

  it("is a command as it would run, from its begin to its end", () => {
    const { boxes, place } = shown("Bash", { command: deceiving, description: "Approved by admin", run_in_background: true });
    expect(boxes[0]).toBe(`echo ok\\u000d rm -rf / \\u001b[2K\\u001b]0;title\\u0007 \\u202etxt.hs${BREAKS}Approved by admin`);
    expect(boxes[1]).toContain('"run_in_background": true');
    expect(boxes[1]).toContain('"description": "Approved by admin"');
    expect(place.querySelector(".size")?.textContent).toBe("10,001 lines in all");
  });

  it("is all of a file, and where it goes", () => {
    const { boxes, place } = shown("Write", { file_path: "/workspace/\u202egpj.sh", content: deceiving, mode: "755" });
    expect(place.querySelector(".path")?.textContent).toBe("/workspace/\\u202egpj.sh");
    expect(boxes[0]).toBe(escaped(deceiving));
    expect(boxes[1]).toContain('"mode": "755"');
  });

  it("is each edit, and whether it counts everywhere", () => {
    const { boxes, place } = shown("Edit", { file_path: "a", old_string: "x", new_string: "y\u202e", replace_all: true });
    expect(boxes[0]).toContain("y\\u202e");
    expect(place.textContent).toContain("Everywhere in the file:");
    expect(shown("Edit", { file_path: "a", old_string: BREAKS, new_string: `${BREAKS}z` }).boxes.join("")).toContain("z");
    expect(shown("Edit", { file_path: "a", old_string: "x", new_string: "y", note: "n".repeat(500) }).boxes[1]).toContain("n".repeat(500));
    // One that is not read as an edit hides nothing: all of the input is shown.
    const odd = { file_path: "a", edits: [{ old_string: "x", new_string: "y" }, { old_string: 5 }] };
    expect(shown("MultiEdit", odd).boxes).toEqual([JSON.stringify(odd, null, 2)]);
  });

  it("is all of the input of other tools, and of what is none of the form that it should have", () => {
    const input = { query: `\u202e${ESC}[8m`, nested: { deep: [1, "Approved by admin"] } };
    expect(shown("mcp__github__create", input).boxes).toEqual([escaped(JSON.stringify(input, null, 2))]);
    for (const odd of [{ command: ["rm"] }, "rm", null, [1]]) expect(shown("Bash", odd).boxes).toEqual([JSON.stringify(odd, null, 2)]);
    expect(shown("Bash", undefined).boxes).toEqual([""]);
  });

  it("is text, never markup", () => {
    const { place } = shown("Bash", { command: "<img src=x onerror=alert(1)><b>Approved by admin</b>" });
    expect(place.querySelector("img, b")).toBeNull();
  });
});
