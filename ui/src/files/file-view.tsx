/** A file: as what it is, as its text, and to be changed. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Code } from "../code/code.tsx";
import { Markdown } from "../markdown/markdown.tsx";
import { save } from "../session/download.ts";
import { bytes, count, text } from "../text.ts";
import { useSession } from "../view/context.ts";
import { CopyButton } from "../view/copy-button.tsx";
import { Icon } from "../view/icon.tsx";
import { Nothing } from "../view/nothing.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { more } from "../words/more.ts";
import { type Content, type Files, Refused } from "./api.ts";
import { readTable } from "./csv.ts";
import { type Draft, draftOf, keepDraft } from "./drafts.ts";
import { Editor } from "./editor.tsx";
import { lookOf, savedName } from "./names.ts";
import { Notebook } from "./notebook.tsx";
import type { FileNode } from "./tree.ts";

/** Lines that are shown; the others can be downloaded. */
const MOST_LINES = 5_000;

interface FileViewProps {
  files: Files;
  file: FileNode;
  writes: boolean;
  /** Is another one when the agent has changed files. */
  changes: number;
  close: () => void;
  /** Something was written. */
  changed: () => void;
}

export function FileView({ files, file, writes, changes, close, changed }: FileViewProps) {
  const session = useSession();
  const [content, setContent] = useState<Content | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const [source, setSource] = useState(false);
  const [draft, setDraft] = useState(() => (writes ? draftOf(session.id, file.path) : null));
  const editing = draft !== null;
  const keep = (now: Draft | null) => keepDraft(session.id, file.path, now);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  useEffect(() => {
    // What is being edited is not taken away; saving says where somebody else was faster.
    if (editing) return;
    let gone = false;
    files.read(file).then(
      (read) => {
        if (gone) return;
        setContent(read);
        setWrong(null);
      },
      (error: unknown) => {
        if (gone) return;
        const large = error instanceof Refused && error.status === 413;
        setWrong(large ? text.tooLarge(bytes(file.size ?? 0)) : text.filesFailed(error instanceof Error ? error.message : ""));
      },
    );
    return () => {
      gone = true;
    };
  }, [file.path, changes, editing]);

  const download = async () => {
    try {
      save(await files.download(file), savedName(file.name));
    } catch (error) {
      session.tell(text.filesFailed(error instanceof Error ? error.message : ""));
    }
  };
  const isText = content?.kind === "text";
  const look = isText ? lookOf(file.path) : "code";
  return (
    <div class="file-view" data-testid="file-view">
      <header>
        <button type="button" class="quiet small" aria-label={text.allFiles} title={text.allFiles} data-testid="files-back" onClick={close}>
          <Icon name="back" />
        </button>
        <h2 ref={heading} tabIndex={-1} title={file.name}>
          {file.name}
        </h2>
        {file.size !== null && <span class="faint">{bytes(file.size)}</span>}
        {isText && look !== "code" && !editing && (
          <button type="button" class="quiet small" aria-pressed={source} onClick={() => setSource(!source)}>
            {source ? text.preview : text.source}
          </button>
        )}
        {isText && !editing && <CopyButton value={content.content} />}
        {isText && writes && !editing && (
          <button type="button" class="quiet small" data-testid="file-edit" onClick={() => setDraft({ typed: content.content, base: content.content, version: content.version })}>
            <Icon name="pen" />
            {text.edit}
          </button>
        )}
        <button type="button" class="quiet small" aria-label={text.download} title={text.download} data-testid="file-download" onClick={download}>
          <Icon name="download" />
        </button>
      </header>
      {draft !== null ? (
        <Editor
          files={files}
          file={file}
          draft={draft}
          keep={keep}
          done={(written) => {
            keep(null);
            setDraft(null);
            if (written) changed();
          }}
        />
      ) : wrong !== null ? (
        <Nothing icon="file" words={wrong} />
      ) : content === null ? (
        <Skeleton lines={8} />
      ) : (
        <Preview content={content} file={file} look={source ? "code" : look} download={download} />
      )}
    </div>
  );
}

interface PreviewProps {
  content: Content;
  file: FileNode;
  look: ReturnType<typeof lookOf>;
  download: () => void;
}

function Preview({ content, file, look, download }: PreviewProps) {
  if (content.kind === "image") return <Picture content={content.content} name={file.name} />;
  if (content.kind === "binary") {
    return (
      <div class="nothing">
        <Icon name="file" />
        {/* The page's policy, and that of the files, let no viewer of the browser's in here. */}
        <p>{content.type === "application/pdf" ? more.changes.pdf : text.binary}</p>
        <p class="faint">{[content.type, bytes(content.size)].filter((one) => one !== "").join(" · ")}</p>
        <button type="button" onClick={download}>
          <Icon name="download" />
          {text.download}
        </button>
      </div>
    );
  }
  switch (look) {
    case "markdown":
      return (
        <div class="file-page">
          <Markdown text={content.content} live={false} />
        </div>
      );
    case "table":
      return <TableView content={content.content} path={file.path} />;
    case "notebook":
      return <Notebook content={content.content} />;
    case "code":
      return <Lines content={content.content} language={content.language} />;
  }
}

function Lines({ content, language }: { content: string; language: string }) {
  const lines = content.replace(/\n$/, "").split("\n");
  const shown = lines.length > MOST_LINES ? lines.slice(0, MOST_LINES).join("\n") : content;
  const numbers = Array.from({ length: Math.min(lines.length, MOST_LINES) }, (_, at) => at + 1).join("\n");
  return (
    <>
      <div class="lines" tabIndex={0} role="group" aria-label={text.source}>
        <pre class="numbers" aria-hidden="true">
          {numbers}
        </pre>
        <pre>
          <Code code={shown} language={language} />
        </pre>
      </div>
      {lines.length > MOST_LINES && <p class="faint cut">{text.linesShown(count(MOST_LINES), count(lines.length))}</p>}
    </>
  );
}

function TableView({ content, path }: { content: string; path: string }) {
  const table = readTable(content, path);
  return (
    <div class="markdown file-page">
      <div class="table" tabIndex={0} role="group" aria-label={text.preview}>
        <table>
          <thead>
            <tr>
              {table.head.map((cell, at) => (
                <th key={at} scope="col">
                  {cell}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {table.rows.map((row, at) => (
              <tr key={at}>
                {row.map((cell, column) => (
                  <td key={column}>{cell}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {table.all > table.rows.length && (
        <p class="faint">{text.rowsShown(count(table.rows.length), count(table.all))}</p>
      )}
    </div>
  );
}

/** As a picture a drawing runs no scripts and fetches nothing, whatever is in it. */
function Picture({ content, name }: { content: Blob; name: string }) {
  const [address, setAddress] = useState<string | null>(null);
  useEffect(() => {
    const made = URL.createObjectURL(content);
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [content]);
  if (address === null) return null;
  return (
    <div class="picture">
      <img src={address} alt={name} />
    </div>
  );
}
