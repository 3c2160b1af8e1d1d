/** What was changed in files, by turn or by all of them: as the sandbox compares them, or else as the calls say. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { sleeps } from "../resources/samples.ts";
import { activeTurn, type Turn } from "../session/conversation.ts";
import { save } from "../session/download.ts";
import { count, text } from "../text.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { diffLines } from "../view/line-diff.ts";
import { Nothing } from "../view/nothing.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { DiffRow, DiffView } from "../view/tool-body.tsx";
import { more } from "../words/more.ts";
import { openFile, wantedChanges } from "../workbench.ts";
import { changesIn } from "./changes.ts";
import { type Diff, fetchDiff, fetchPatch, type FileDiff, patchLines, type Span, spanOf } from "./diff.ts";
import { savedName, shownName } from "./names.ts";

/** Files whose changes are shown at once. */
const OPEN = 5;
/** Turns that can be chosen: the newest. */
const MOST_TURNS = 500;
/** After a change it is compared anew when nothing has changed for this long. */
const PAUSE_MS = 1_500;
/** Lines of a file that are shown at first. */
const FIRST_LINES = 400;

export function ChangesView({ changes }: { changes: number }) {
  const session = useSession();
  const words = more.changes;
  const { turns } = session.conversation.value;
  // One that was taken out of the queue has changed nothing.
  const ran = turns.filter((turn) => turn.startedAt > 0);
  const chosen = ran.find(({ id }) => id === wantedChanges.value) ?? null;
  const span = spanOf(chosen);
  const { compared, again } = useCompared(span, changes, ran.length > 0);
  const listed = ran.slice(-MOST_TURNS);
  if (ran.length === 0) return <Nothing icon="pen" words={words.nothing} />;
  return (
    <div class="changes-view" data-testid="changes" data-from={compared.from}>
      <div class="changes-head">
        <label class="hidden" for="changes-of">
          {words.of}
        </label>
        <select id="changes-of" value={chosen?.id ?? ""} onChange={(event) => (wantedChanges.value = event.currentTarget.value)}>
          <option value="">{words.all}</option>
          {(chosen === null || listed.includes(chosen) ? listed : [chosen, ...listed]).toReversed().map((turn) => (
            <option key={turn.id} value={turn.id}>
              {nameOf(turn)}
            </option>
          ))}
        </select>
        {compared.from === "sandbox" && compared.diff.files.length > 0 && <PatchButton span={span} />}
        {compared.from === "sandbox" && (
          <button type="button" class="quiet small" aria-label={words.again} title={words.again} onClick={again}>
            <Icon name="retry" />
          </button>
        )}
      </div>
      {compared.from === "nobody" && <Skeleton lines={6} />}
      {compared.from === "sandbox" && <Compared key={`${span.from} ${span.to}`} diff={compared.diff} />}
      {compared.from === "calls" && (
        <>
          <div class="changes-part">
            <p>{compared.wrong === null ? words.asleepPart : words.failed(compared.wrong)}</p>
            <button type="button" class="small" data-testid="changes-whole" onClick={again}>
              {words.whole}
            </button>
          </div>
          <OfCalls turns={turns} only={chosen?.id ?? null} />
        </>
      )}
    </div>
  );
}

type Known =
  | { readonly from: "nobody" }
  | { readonly from: "sandbox"; readonly diff: Diff }
  /** The sandbox sleeps, or could not say. */
  | { readonly from: "calls"; readonly wrong: string | null };

/** What is between two turns that have ended stays as it is. */
const known = new Map<string, Diff>();
const MOST_KNOWN = 20;

/** What the sandbox says is between two points. One that sleeps is asked only when somebody wants it: by `again`. */
function useCompared(span: Span, changes: number, any: boolean): { compared: Known; again: () => void } {
  const session = useSession();
  const key = `${session.id} ${span.from} ${span.to}`;
  const [shown, setShown] = useState<{ key: string; told: Known }>({ key: "", told: { from: "nobody" } });
  const [asked, setAsked] = useState(0);
  const wanted = useRef(false);
  const lasting = span.to !== "now";
  // What goes on is compared anew when it has changed, what is over once.
  const news = lasting ? 0 : changes;
  useEffect(() => {
    if (!any) return;
    const stop = new AbortController();
    const show = (told: Known) => !stop.signal.aborted && setShown({ key, told });
    const compare = async () => {
      const kept = wanted.current ? undefined : known.get(key);
      if (kept !== undefined) return show({ from: "sandbox", diff: kept });
      try {
        const awake = wanted.current || activeTurn(session.conversation.value) !== null;
        if (!awake && (await sleeps(session.id))) return show({ from: "calls", wrong: null });
        if (stop.signal.aborted) return;
        wanted.current = false;
        const diff = await fetchDiff(session.id, span, stop.signal);
        if (lasting) {
          known.set(key, diff);
          for (const old of [...known.keys()].slice(0, -MOST_KNOWN)) known.delete(old);
        }
        show({ from: "sandbox", diff });
      } catch (error) {
        show({ from: "calls", wrong: error instanceof Error ? error.message : "" });
      }
    };
    const timer = setTimeout(() => void compare(), shown.key === key && !wanted.current ? PAUSE_MS : 0);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, news, asked, any]);
  const again = () => {
    wanted.current = true;
    setShown({ key: "", told: { from: "nobody" } });
    setAsked(asked + 1);
  };
  return { compared: shown.key === key ? shown.told : { from: "nobody" }, again };
}

function PatchButton({ span }: { span: Span }) {
  const session = useSession();
  const words = more.changes;
  const take = async () => {
    try {
      save(await fetchPatch(session.id, span), `${savedName(session.id)}-${span.from}-${span.to}.patch`);
    } catch (error) {
      session.tell(words.failed(error instanceof Error ? error.message : ""));
    }
  };
  return (
    <button type="button" class="quiet small" aria-label={words.patch} title={words.patch} data-testid="changes-patch" onClick={take}>
      <Icon name="download" />
    </button>
  );
}

function Compared({ diff }: { diff: Diff }) {
  const words = more.changes;
  const sum = (of: (file: FileDiff) => number) => diff.files.reduce((all, file) => all + of(file), 0);
  return (
    <>
      {diff.note !== null && <p class="notice">{diff.note}</p>}
      {diff.files.length === 0 ? (
        <p class="faint">{words.undone}</p>
      ) : (
        <p class="faint changes-sum" data-testid="changes-sum">
          {text.filesCount(diff.files.length)}
          <Counts added={sum(({ added }) => added)} removed={sum(({ removed }) => removed)} />
        </p>
      )}
      {diff.files.map((file, at) => (
        <FileChanges
          key={file.path}
          path={file.path}
          oldPath={file.oldPath}
          status={file.status === "modified" ? null : words.states[file.status]}
          kind={file.status}
          added={file.added}
          removed={file.removed}
          countless={file.binary}
          open={diff.files.length <= OPEN || at === 0}
        >
          <Patch file={file} />
        </FileChanges>
      ))}
      {diff.truncated && <p class="faint">{words.truncated}</p>}
    </>
  );
}

/** The lines of a file's patch. */
export function Patch({ file }: { file: FileDiff }) {
  const [all, setAll] = useState(false);
  const words = more.changes;
  if (file.binary) return <p class="faint no-patch">{words.noText}</p>;
  if (file.patch === null) return <p class="faint no-patch">{words.tooLong}</p>;
  const lines = patchLines(file.patch);
  if (lines.length === 0) return <p class="faint no-patch">{file.oldPath === null ? words.noLines : words.sameContent}</p>;
  const cut = !all && lines.length > FIRST_LINES + 50;
  return (
    <>
      <pre class="diff" tabIndex={0}>
        {(cut ? lines.slice(0, FIRST_LINES) : lines).map((line, at) =>
          line?.kind === "unended" ? (
            <span key={at} class="gap">{`  ${words.unended}\n`}</span>
          ) : (
            <DiffRow key={at} line={line} />
          ),
        )}
      </pre>
      {cut && (
        <button type="button" class="quiet small" onClick={() => setAll(true)}>
          {text.showAll(count(lines.length))}
        </button>
      )}
    </>
  );
}

/** What the agent's own calls say. */
function OfCalls({ turns, only }: { turns: readonly Turn[]; only: string | null }) {
  const session = useSession();
  const words = more.changes;
  const found = changesIn(turns, only);
  return (
    <>
      {found.length === 0 && <p class="faint">{words.noCalls}</p>}
      {found.map(({ path, isNew, parts }, at) => {
        const diffs = parts.map(({ before, after }) => diffLines(before, after));
        const lines = (kind: string) => diffs.reduce((sum, one) => sum + one.filter((line) => line.kind === kind).length, 0);
        return (
          <FileChanges
            key={`${only} ${path}`}
            path={path.split("/workspace/").at(-1) ?? path}
            oldPath={null}
            status={isNew ? text.fileStates.added : null}
            kind={isNew ? "added" : "modified"}
            added={lines("added")}
            removed={lines("removed")}
            countless={false}
            open={found.length <= OPEN || at === 0}
          >
            {diffs.map((one, part) => (
              <DiffView key={part} lines={one} />
            ))}
          </FileChanges>
        );
      })}
      <p class="faint">{session.older.value === "none" ? words.hint : words.hintPart}</p>
    </>
  );
}

function nameOf({ id, message }: Turn): string {
  const words = message?.content.trim().split("\n", 1)[0]?.slice(0, 60) ?? "";
  return text.turnOf(Number(id.replace("turn-", "")), words);
}

export function Counts({ added, removed }: { added: number; removed: number }) {
  return (
    <span class="changes-count">
      <span class="hidden">{text.changes(added, removed)}</span>
      <span aria-hidden="true" class="added">{`+${added}`}</span>
      <span aria-hidden="true" class="removed">{`−${removed}`}</span>
    </span>
  );
}

interface FileChangesProps {
  path: string;
  oldPath: string | null;
  /** In a word, where it was not simply changed. */
  status: string | null;
  kind: FileDiff["status"];
  added: number;
  removed: number;
  /** It has no lines. */
  countless: boolean;
  open: boolean;
  children: ComponentChildren;
}

function FileChanges({ path, oldPath, status, kind, added, removed, countless, open: first, children }: FileChangesProps) {
  const [open, setOpen] = useState(first);
  const name = shownName(path);
  return (
    <details class="file-diff" open={open} data-testid="file-diff" data-status={kind} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <Icon name="chevron" />
        <span class="path" title={name}>
          {oldPath !== null && <span class="old-path">{more.changes.movedFrom(shownName(oldPath))}</span>}
          {name}
        </span>
        {status !== null && <span class={`file-state ${kind}`}>{status}</span>}
        {!countless && <Counts added={added} removed={removed} />}
      </summary>
      {open && (
        <>
          {children}
          {kind !== "deleted" && (
            <button type="button" class="quiet small" onClick={() => openFile(path)}>
              <Icon name="file" />
              {text.openFile}
            </button>
          )}
        </>
      )}
    </details>
  );
}
