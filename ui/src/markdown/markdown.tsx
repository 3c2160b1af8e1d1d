/**
 * Markdown as elements of our own making.
 *
 * No text from outside ever becomes markup: each token of the text is drawn as an element that is
 * chosen here, with text inside. HTML in the text is shown as the characters that it is. So there is
 * nothing to sanitise, and no place where a string is parsed as HTML.
 */
import type { Token, Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { Code } from "../code/code.tsx";
import { text as words } from "../text.ts";
import { CopyButton } from "../view/copy-button.tsx";
import { memo } from "../view/memo.ts";
import { type Blocks, noBlocks, splitBlocks } from "./blocks.ts";
import { claimsAnotherHost, decodeReferences, safeAddress } from "./link.ts";
import { settle } from "./settle.ts";

/** Elements inside elements; what is nested more deeply is shown as it is written. */
const DEEPEST = 24;

/** Draws `text`; with `live` more of it is to come. */
export const Markdown = memo(MarkdownView);

function MarkdownView({ text, live }: { text: string; live: boolean }) {
  const drawn = useRef<Blocks>(noBlocks);
  // A text that is whole is read once more as a whole: a link's address may stand anywhere in it.
  drawn.current = live ? splitBlocks(settle(text), drawn.current) : splitBlocks(text);
  return (
    <div class="markdown">
      {drawn.current.blocks.map(({ start, token }) => (
        <BlockView key={start} token={token} />
      ))}
    </div>
  );
}

const BlockView = memo(
  ({ token }: { token: Token }) => <>{block(token, 0)}</>,
  (before, after) =>
    before.token === after.token ||
    (before.token.type === after.token.type && before.token.raw === after.token.raw && !refers(after.token)),
);

/** Whether the block may hold a link whose address stands elsewhere in the text. */
function refers(token: Token): boolean {
  return token.type !== "code" && token.raw.includes("[");
}

function blocks(tokens: readonly Token[] | undefined, depth: number): ComponentChildren {
  return tokens?.map((token) => block(token, depth));
}

function block(token: Token, depth: number): ComponentChildren {
  if (depth > DEEPEST) return token.raw;
  switch (token.type) {
    case "heading": {
      // The page's own headings come first in the outline.
      const Heading = `h${Math.min(6, (token as Tokens.Heading).depth + 2)}` as "h3" | "h4" | "h5" | "h6";
      return <Heading data-level={String(token.depth)}>{inlines(token.tokens, depth)}</Heading>;
    }
    case "paragraph":
      return <p>{inlines(token.tokens, depth)}</p>;
    case "code":
      return <CodeBlock code={String(token.text)} language={String(token.lang ?? "")} />;
    case "blockquote":
      return <blockquote>{blocks(token.tokens, depth + 1)}</blockquote>;
    case "list":
      return <ListView list={token as Tokens.List} depth={depth + 1} />;
    case "table":
      return <TableView table={token as Tokens.Table} depth={depth + 1} />;
    case "hr":
      return <hr />;
    case "html":
      return <p class="as-written">{token.raw}</p>;
    case "space":
    case "def":
      return null;
    case "text":
      return token.tokens === undefined ? decodeReferences(token.text) : inlines(token.tokens, depth);
    case "checkbox":
      return <Checkbox checked={token.checked === true} />;
    default:
      return <p>{token.raw}</p>;
  }
}

function ListView({ list, depth }: { list: Tokens.List; depth: number }) {
  const items = list.items.map((item, at) => (
    <li key={at} class={item.task ? "task" : undefined}>
      {item.tokens.map((token) =>
        list.loose && token.type === "text" ? <p>{block(token, depth)}</p> : block(token, depth),
      )}
    </li>
  ));
  if (!list.ordered) return <ul>{items}</ul>;
  return <ol start={typeof list.start === "number" ? list.start : 1}>{items}</ol>;
}

function TableView({ table, depth }: { table: Tokens.Table; depth: number }) {
  const align = (at: number) => table.align[at] ?? undefined;
  return (
    <div class="table" tabIndex={0} role="group">
      <table>
        <thead>
          <tr>
            {table.header.map((cell, at) => (
              <th key={at} data-align={align(at)}>
                {inlines(cell.tokens, depth)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, at) => (
            <tr key={at}>
              {row.map((cell, column) => (
                <td key={column} data-align={align(column)}>
                  {inlines(cell.tokens, depth)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function inlines(tokens: readonly Token[] | undefined, depth: number): ComponentChildren {
  return tokens?.map((token) => inline(token, depth + 1));
}

function inline(token: Token, depth: number): ComponentChildren {
  if (depth > DEEPEST) return token.raw;
  switch (token.type) {
    case "strong":
      return <strong>{inlines(token.tokens, depth)}</strong>;
    case "em":
      return <em>{inlines(token.tokens, depth)}</em>;
    case "del":
      return <del>{inlines(token.tokens, depth)}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "br":
      return <br />;
    case "html":
      return /^<br\s*\/?>$/i.test(token.raw) ? <br /> : token.raw;
    case "link":
      return (
        <Link address={token.href} label={token.text}>
          {inlines(token.tokens, depth)}
        </Link>
      );
    case "image":
      return <Image address={token.href} label={token.text} />;
    case "escape":
      return token.text;
    case "text":
      return token.tokens === undefined ? decodeReferences(token.text) : inlines(token.tokens, depth);
    case "checkbox":
      return <Checkbox checked={token.checked === true} />;
    default:
      return token.raw;
  }
}

interface LinkProps {
  address: string;
  label: string;
  children: ComponentChildren;
}

function Link({ address, label, children }: LinkProps) {
  const safe = safeAddress(address);
  // Its text alone: an address that is not shown can't be followed by mistake.
  if (safe === null) return <span class="no-link">{children}</span>;
  return (
    <>
      <a href={safe.href} target="_blank" rel="noopener noreferrer nofollow" title={safe.href}>
        {children}
      </a>
      {claimsAnotherHost(label, safe) && <span class="host"> ({safe.hostname})</span>}
    </>
  );
}

/** A picture from elsewhere would tell its server what was read, so it is a link. */
function Image({ address, label }: { address: string; label: string }) {
  const name = label === "" ? words.image : `${words.image}: ${label}`;
  return (
    <Link address={address} label="">
      {name}
    </Link>
  );
}

function Checkbox({ checked }: { checked: boolean }) {
  const { completed, pending } = words.todoStates;
  return <input type="checkbox" checked={checked} disabled aria-label={checked ? completed : pending} />;
}

function CodeBlock({ code, language }: { code: string; language: string }) {
  const label = language.trim().split(/\s+/)[0]?.slice(0, 24) || words.code;
  return (
    <figure class="code">
      <figcaption>
        <span>{label}</span>
        <CopyButton value={code} />
      </figcaption>
      <pre tabIndex={0}>
        <Code code={code} language={label} />
      </pre>
    </figure>
  );
}
