/** Fails a build whose page loads more script at first than it may. */
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** Of compressed bytes: what the conversation page needs before it shows anything. */
const MOST_SCRIPT = 75_000;
const MOST_STYLE = 12_000;

export function firstLoad(): Plugin {
  return {
    name: "first-load",
    apply: "build",
    generateBundle(_options, bundle) {
      const files = new Set<string>();
      const add = (name: string) => {
        const file = bundle[name];
        if (files.has(name) || file?.type !== "chunk") return;
        files.add(name);
        for (const imported of file.imports) add(imported);
      };
      for (const [name, file] of Object.entries(bundle)) {
        if (file.type === "chunk" && file.isEntry) add(name);
      }
      const script = [...files].reduce((sum, name) => {
        const file = bundle[name];
        return sum + (file?.type === "chunk" ? gzipSync(file.code).length : 0);
      }, 0);
      const styles = Object.values(bundle).filter(({ fileName }) => fileName.startsWith("assets/index-") && fileName.endsWith(".css"));
      const style = styles.reduce((sum, file) => sum + (file.type === "asset" ? gzipSync(file.source).length : 0), 0);
      if (files.size === 0 || styles.length === 0) this.error("there is no page in this build");
      this.info(`the first load is ${script} bytes of script and ${style} of style, compressed`);
      if (script > MOST_SCRIPT) this.error(`the first load may have ${MOST_SCRIPT} bytes of script`);
      if (style > MOST_STYLE) this.error(`the first load may have ${MOST_STYLE} bytes of style`);
    },
  };
}
