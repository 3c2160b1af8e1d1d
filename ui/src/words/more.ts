/** The words of the parts of the page that are fetched when they are opened, and fetched with them. */
import { follow } from "../text.ts";
import { en, type MoreWords } from "./more/en.ts";

export let more: MoreWords = en;

await follow(async (wanted) => {
  if (wanted === "de") more = (await import("./more/de.ts")).de;
  else if (wanted === "zh") more = (await import("./more/zh.ts")).zh;
  else more = en;
});
