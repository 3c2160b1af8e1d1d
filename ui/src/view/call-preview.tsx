/**
 * What a call that is asked about would do, for who decides: all of its input and nothing else, each character
 * seen, from its begin, in boxes that leave the buttons in reach. Who wrote it may want to deceive.
 */
import { editsOf } from "../files/changes.ts";
import { isFields } from "../session/wire.ts";
import { count, text } from "../text.ts";
import { diffLines } from "./line-diff.ts";
import { DiffView, json } from "./tool-body.tsx";
import { verbatim } from "./verbatim.tsx";

/** Edits with more lines than this are shown as what goes and what comes. */
const MOST_COMPARED = 2_000;
/** With more lines than this it is said how many there are: the others are below. */
const SEEN = 10;
/** Characters that further fields may have to be said in a line. */
const SHORT = 160;

export function CallPreview({ tool, input }: { tool: string; input: unknown }) {
  if (!isFields(input)) return <Exact value={json(input)} />;
  if (tool === "Bash" && typeof input.command === "string") {
    const { command, ...rest } = input;
    return (
      <>
        <div class="terminal">
          <Size value={input.command} />
          <pre class="command" tabIndex={0} data-testid="asked">
            {verbatim(input.command)}
          </pre>
        </div>
        <Rest fields={rest} />
      </>
    );
  }
  if (tool === "Write" && typeof input.file_path === "string" && typeof input.content === "string") {
    const { file_path, content, ...rest } = input;
    return (
      <>
        <Exact label={input.file_path} value={input.content} />
        <Rest fields={rest} />
      </>
    );
  }
  const edits = tool === "Edit" || tool === "MultiEdit" ? editsOf(input) : [];
  const all = Array.isArray(input.edits) ? input.edits.length : 1;
  if (typeof input.file_path === "string" && edits.length > 0 && edits.length === all) {
    const { file_path, old_string, new_string, replace_all, edits: several, ...rest } = input;
    return (
      <>
        <section class="tool-section">
          <header>
            <span class="path">{verbatim(input.file_path)}</span>
          </header>
          <div class="edits" tabIndex={0} role="group" aria-label={text.toolInput} data-testid="asked">
            {edits.map((edit, at) => (
              <div key={at}>
                {edit.all && <p class="faint">{text.everywhere}</p>}
                <Edit before={edit.before} after={edit.after} />
              </div>
            ))}
          </div>
        </section>
        <Rest fields={rest} />
      </>
    );
  }
  return <Exact value={json(input)} />;
}

function Edit({ before, after }: { before: string; after: string }) {
  if (linesOf(before) + linesOf(after) <= MOST_COMPARED) return <DiffView lines={diffLines(before, after)} />;
  return (
    <>
      <Exact label={text.before} value={before} />
      <Exact label={text.after} value={after} />
    </>
  );
}

/** What of the input is not shown by itself. */
export function Rest({ fields }: { fields: object }) {
  const all = Object.entries(fields);
  if (all.length === 0) return null;
  const line = all.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`).join(", ");
  if (line.length > SHORT) return <Exact label={text.furtherInput} value={json(fields)} />;
  return (
    <p class="faint size rest">
      {text.furtherInput} <code data-testid="asked">{verbatim(line)}</code>
    </p>
  );
}

function Exact({ label = "", value }: { label?: string; value: string }) {
  return (
    <section class="tool-section">
      {label !== "" && (
        <header>
          <span class="path">{verbatim(label)}</span>
        </header>
      )}
      <Size value={value} />
      <pre class="exact" tabIndex={0} data-testid="asked">
        {verbatim(value)}
      </pre>
    </section>
  );
}

/** How much there is, where not all of it is seen at once. */
function Size({ value }: { value: string }) {
  const lines = linesOf(value);
  return lines <= SEEN ? null : <p class="faint size">{text.linesInAll(count(lines))}</p>;
}

function linesOf(value: string): number {
  return value.split("\n").length;
}
