/// <reference types="vitest/config" />
import { defineConfig } from "vite";
import { firstLoad } from "./dev/budget.ts";
import { shellFirst } from "./dev/order.ts";
import { scriptedServer } from "./dev/server.ts";
import { strictXterm } from "./dev/xterm.ts";

export default defineConfig({
  base: "/",
  publicDir: false,
  plugins: [strictXterm(), scriptedServer(), firstLoad(), shellFirst()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    // Everything is a file of its own: the page's policy allows nothing inline but pictures.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    chunkSizeWarningLimit: 400,
    // What is needed at first is one file, however much of it parts that come later use as well: many small
    // ones compress worse, and each is a question of its own.
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "index", tags: ["$initial"], test: (id) => !id.endsWith(".css") }] } },
    },
  },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"], globals: false },
});
