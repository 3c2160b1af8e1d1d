/**
 * xterm.js under the page's policy, which takes no style that stands in markup: neither in elements nor in
 * attributes. It makes both, and has no other way. So where it does, its code is given another: sheets of the
 * object model, and single properties. A version in which these places look otherwise fails the build.
 */
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";

const SHEET = fileURLToPath(new URL("../src/terminal/sheet.ts", import.meta.url));
const ELEMENT = /[\w$.]+\.createElement\("style"\)/g;
const ATTRIBUTE = /([\w$]+)\.setAttribute\("style",`\$\{\1\.getAttribute\("style"\)\|\|""\}\$\{([\w$]+)\};`\)/g;
/** Elements, and attributes. */
const PLACES = [3, 1];

export function strictXterm(): Plugin {
  return {
    name: "strict-xterm",
    enforce: "pre",
    // Else it is bundled before it comes by here.
    config: () => ({ optimizeDeps: { exclude: ["@xterm/xterm"] } }),
    transform(code, id) {
      if (!/@xterm\/xterm\/lib\/xterm\.m?js/.test(id)) return;
      const found = [ELEMENT, ATTRIBUTE].map((place) => code.match(place)?.length ?? 0);
      if (found.join() !== PLACES.join() || code.includes("innerHTML")) {
        this.error(`xterm.js makes styles in ${found.join(" and ")} places, not in ${PLACES.join(" and ")}: look at them anew`);
      }
      const strict = code.replace(ELEMENT, "sheetElement()").replace(ATTRIBUTE, (_, element, style) => `${element}.style.cssText+=${style}+";"`);
      return { code: `import{sheetElement}from${JSON.stringify(SHEET)};${strict}`, map: null };
    },
  };
}
