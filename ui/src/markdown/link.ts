/** Addresses and characters of a Markdown text that somebody else wrote. */

/** The address as the browser will take it; null where it is not plain http or https. */
export function safeAddress(given: string): URL | null {
  // Without a scheme it would be an address of this page's own server.
  if (!/^https?:\/\//i.test(given)) return null;
  try {
    const address = new URL(given);
    return address.protocol === "https:" || address.protocol === "http:" ? address : null;
  } catch {
    return null;
  }
}

/** Whether a link's text names a host that is not the one it leads to. */
export function claimsAnotherHost(label: string, address: URL): boolean {
  const claimed = label.trim().match(/^(?:https?:\/\/)?((?:[\w-]+\.)+[a-z]{2,})(?:[/:?#]|$)/i)?.[1];
  if (claimed === undefined) return address.username !== "" || address.password !== "";
  const bare = (host: string) => host.toLowerCase().replace(/^www\./, "");
  return bare(claimed) !== bare(address.hostname);
}

const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00a0",
  copy: "©",
  hellip: "…",
  mdash: "—",
  ndash: "–",
  rarr: "→",
  larr: "←",
  times: "×",
  middot: "·",
  bull: "•",
};

/** Replaces character references (`&amp;`, `&#8230;`); unknown ones stay as they are written. */
export function decodeReferences(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, ...parts) => {
    const [decimal, hex, name] = parts as (string | undefined)[];
    if (name !== undefined) return Object.hasOwn(NAMED, name) ? (NAMED[name] ?? whole) : whole;
    const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex ?? "", 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : "\ufffd";
  });
}
