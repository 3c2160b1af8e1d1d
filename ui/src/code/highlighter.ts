/**
 * Colours for code. Fetched when there is code to be coloured.
 *
 * The library gives a tree, not markup: what is drawn of it are `span`s that are made here.
 */
import type { Element, Root, RootContent, Text } from "hast";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import markdown from "highlight.js/lib/languages/markdown";
import php from "highlight.js/lib/languages/php";
import python from "highlight.js/lib/languages/python";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";
import { type ComponentChildren, createElement } from "preact";

const known = createLowlight({
  bash, c, cpp, csharp, css, diff, dockerfile, go, ini, java, javascript, json, markdown, php, python, ruby, rust,
  sql, typescript, xml, yaml,
});

/** The code in colours; null where its language is not known, or is not what the code is in. */
export function paint(code: string, language: string): ComponentChildren | null {
  if (!known.registered(language)) return null;
  try {
    return draw(known.highlight(language, code));
  } catch {
    return null;
  }
}

function draw(node: Root | Element): ComponentChildren {
  return node.children.map((child: RootContent): ComponentChildren => {
    if (child.type === "text") return (child as Text).value;
    if (child.type !== "element") return null;
    const names = child.properties.className;
    return createElement("span", { class: Array.isArray(names) ? names.join(" ") : "" }, draw(child));
  });
}
