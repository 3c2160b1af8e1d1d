import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { de } from "./de.ts";
import { en } from "./en.ts";
import { de as moreDe } from "./more/de.ts";
import { en as moreEn } from "./more/en.ts";
import { zh as moreZh } from "./more/zh.ts";
import { zh } from "./zh.ts";

/** Every text of a language by its path; what is made of numbers and names with some of them. */
function texts(value: unknown, path = ""): [string, string][] {
  if (typeof value === "string") return [[path, value]];
  if (typeof value === "function") return [[path, value("2", "3")]];
  return Object.entries(value as object).flatMap(([key, one]) => texts(one, `${path}.${key}`));
}

describe("the languages", () => {
  it.each([
    ["German", de, moreDe],
    ["Chinese", zh, moreZh],
  ])("%s says all that English says, and in its own words", (_name, words, more) => {
    const english = new Map([...texts(en), ...texts(moreEn)]);
    const other = new Map([...texts(words), ...texts(more)]);
    expect([...other.keys()].sort()).toEqual([...english.keys()].sort());
    expect([...other.values()].filter((one) => one.trim() === "")).toEqual([]);
    const same = [...other].filter(([path, one]) => one === english.get(path) && /\w{4,} \w{3,}/.test(one));
    expect(same.map(([path]) => path)).toEqual([".product", ".launchPlain", ".examples.0.prompt"]);
  });

  it.each([
    ["English", { ...en, ...moreEn }],
    ["German", { ...de, ...moreDe }],
    ["Chinese", { ...zh, ...moreZh }],
  ])("%s uses what it is given", (_name, words) => {
    const given = (value: unknown, path: string): string[] => {
      if (typeof value === "function") {
        const said = value("«one»", "«two»") as string;
        const left = ["«one»", "«two»"].slice(0, value.length).filter((one) => !said.includes(one));
        return left.map((one) => `${path} leaves out ${one}`);
      }
      return typeof value === "object" && value !== null
        ? Object.entries(value).flatMap(([key, one]) => given(one, `${path}.${key}`))
        : [];
    };
    // A flag is not a word.
    expect(given(words, "").filter((one) => !/announceTool|reconnecting/.test(one))).toEqual([]);
  });

  it("say nothing that the page does not", () => {
    const folder = join(import.meta.dirname, "..");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
    const sources = files.filter((name) => /\.tsx?$/.test(name) && !/^words|\.test\./.test(name)).map((name) => readFileSync(join(folder, name), "utf8"));
    const page = sources.join("\n");
    const names = [...Object.keys(en), ...Object.values(moreEn).flatMap((part) => Object.keys(part))];
    expect(names.filter((name) => !new RegExp(`\\.${name}\\b`).test(page))).toEqual([]);
  });
});
