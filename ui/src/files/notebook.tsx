import { Code } from "../code/code.tsx";
import { Markdown } from "../markdown/markdown.tsx";
import { isFields } from "../session/wire.ts";
import { text } from "../text.ts";
import { terminalText } from "../view/terminal-text.ts";

/** Cells that are shown. */
const MOST_CELLS = 300;

export interface Cell {
  readonly markdown: boolean;
  readonly source: string;
  /** What the cell printed, or the text of what it drew. */
  readonly output: string;
}

/** The cells of a Jupyter notebook (nbformat 4); null where it is none. */
export function readCells(content: string): { cells: Cell[]; language: string } | null {
  let notebook: unknown;
  try {
    notebook = JSON.parse(content);
  } catch {
    return null;
  }
  if (!isFields(notebook) || !Array.isArray(notebook.cells)) return null;
  const metadata = isFields(notebook.metadata) ? notebook.metadata : {};
  const spec = isFields(metadata.kernelspec) ? metadata.kernelspec : {};
  const cells = notebook.cells.filter(isFields).map((cell) => ({
    markdown: cell.cell_type === "markdown",
    source: joined(cell.source),
    output: (Array.isArray(cell.outputs) ? cell.outputs : []).filter(isFields).map(outputOf).join("\n"),
  }));
  return { cells, language: typeof spec.language === "string" ? spec.language : "python" };
}

function outputOf(output: Record<string, unknown>): string {
  const data = isFields(output.data) ? output.data : {};
  return joined(output.text) || joined(data["text/plain"]) || joined(output.traceback);
}

function joined(lines: unknown): string {
  if (typeof lines === "string") return lines;
  return Array.isArray(lines) ? lines.filter((line) => typeof line === "string").join("") : "";
}

export function Notebook({ content }: { content: string }) {
  const notebook = readCells(content);
  if (notebook === null) return <pre class="file-page">{content}</pre>;
  return (
    <div class="file-page notebook">
      {notebook.cells.slice(0, MOST_CELLS).map((cell, at) =>
        cell.markdown ? (
          <Markdown key={at} text={cell.source} live={false} />
        ) : (
          <div key={at} class="cell">
            <pre tabIndex={0}>
              <Code code={cell.source} language={notebook.language} />
            </pre>
            {cell.output !== "" && (
              <pre class="output" tabIndex={0} aria-label={text.toolOutput} role="group">
                {terminalText(cell.output)}
              </pre>
            )}
          </div>
        ),
      )}
    </div>
  );
}
