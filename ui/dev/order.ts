/**
 * Has the page ask for its style and then its script behind what is seen at first, which needs neither: a style
 * holds up the drawing of what stands behind it, and of nothing before.
 */
import type { Plugin } from "vite";

const SCRIPT = /\s*<script type="module"[^>]*><\/script>/;
const STYLE = /\s*<link rel="stylesheet"[^>]*>/;

export function shellFirst(): Plugin {
  return {
    name: "shell-first",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(html) {
        const script = SCRIPT.exec(html)?.[0];
        const style = STYLE.exec(html)?.[0];
        if (script === undefined || style === undefined) throw new Error("the page has no script, or no style");
        // Both come over one line: what is asked for first need not be sent first.
        const later = script.replace("<script ", '<script fetchpriority="low" ');
        return html.replace(script, "").replace(style, "").replace("\n  </body>", `${style}${later}\n  </body>`);
      },
    },
  };
}
