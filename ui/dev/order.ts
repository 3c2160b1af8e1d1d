/** Has the page ask for its style before its script: the first paint needs the one, and not the other. */
import type { Plugin } from "vite";

const SCRIPT = /\s*<script type="module"[^>]*><\/script>/;

export function styleFirst(): Plugin {
  return {
    name: "style-first",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(html) {
        const script = SCRIPT.exec(html)?.[0];
        if (script === undefined || !html.includes('rel="stylesheet"')) throw new Error("the page has no script, or no style");
        // Both come over one line: what is asked for first need not be sent first.
        const later = script.replace("<script ", '<script fetchpriority="low" ');
        return html.replace(script, "").replace("\n  </head>", `${later}\n  </head>`);
      },
    },
  };
}
