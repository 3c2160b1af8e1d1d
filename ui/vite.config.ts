/// <reference types="vitest/config" />
import { defineConfig } from "vite";
import { firstLoad } from "./dev/budget.ts";
import { scriptedServer } from "./dev/server.ts";

export default defineConfig({
  base: "/",
  publicDir: false,
  plugins: [scriptedServer(), firstLoad()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    // Everything is a file of its own: the page's policy allows nothing inline but pictures.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    chunkSizeWarningLimit: 250,
  },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"], globals: false },
});
