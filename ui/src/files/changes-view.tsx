/** What was changed in files, by turn or by all of them. */
import { useMemo, useState } from "preact/hooks";
import type { Turn } from "../session/conversation.ts";
import { text } from "../text.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { type DiffLine, diffLines } from "../view/line-diff.ts";
import { Nothing } from "../view/nothing.tsx";
import { DiffView } from "../view/tool-body.tsx";
import { more } from "../words/more.ts";
import { openFile, wantedChanges } from "../workbench.ts";
import { changesFiles, changesIn } from "./changes.ts";
import { shownName } from "./names.ts";

/** Files whose changes are shown at once. */
const OPEN = 5;

export function ChangesView({ changes }: { changes: number }) {
  const session = useSession();
  const words = more.changes;
  const { turns } = session.conversation.value;
  const changing = turns.filter((turn) => turn.items.some((item) => item.kind === "tool" && changesFiles(item)));
  const wanted = wantedChanges.value;
  const chosen = changing.some(({ id }) => id === wanted) ? wanted : null;
  const found = useMemo(() => changesIn(turns, chosen), [changes, chosen]);
  if (changing.length === 0) return <Nothing icon="pen" words={words.nothing} />;
  return (
    <div class="changes-view" data-testid="changes">
      <label class="hidden" for="changes-of">
        {words.of}
      </label>
      <select id="changes-of" value={chosen ?? ""} onChange={(event) => (wantedChanges.value = event.currentTarget.value)}>
        <option value="">{words.all}</option>
        {changing.toReversed().map((turn) => (
          <option key={turn.id} value={turn.id}>
            {nameOf(turn)}
          </option>
        ))}
      </select>
      {found.length === 0 && <p class="faint">{words.undone}</p>}
      {found.map(({ path, isNew, parts }, at) => (
        <FileDiff
          key={`${chosen} ${path}`}
          path={path}
          isNew={isNew}
          diffs={parts.map(({ before, after }) => diffLines(before, after))}
          open={found.length <= OPEN || at === 0}
        />
      ))}
      <p class="faint">{session.older.value === "none" ? words.hint : words.hintPart}</p>
    </div>
  );
}

function nameOf({ id, message }: Turn): string {
  const words = message?.content.trim().split("\n", 1)[0]?.slice(0, 60) ?? "";
  return text.turnOf(Number(id.replace("turn-", "")), words);
}

interface FileDiffProps {
  path: string;
  isNew: boolean;
  diffs: readonly DiffLine[][];
  open: boolean;
}

function FileDiff({ path, isNew, diffs, open: first }: FileDiffProps) {
  const [open, setOpen] = useState(first);
  const count = (kind: DiffLine["kind"]) => diffs.reduce((sum, lines) => sum + lines.filter((line) => line.kind === kind).length, 0);
  const added = count("added");
  const removed = count("removed");
  const name = shownName(path.split("/workspace/").at(-1) ?? path);
  return (
    <details class="file-diff" open={open} data-testid="file-diff" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <Icon name="chevron" />
        <span class="path" title={name}>
          {name}
        </span>
        {isNew && <span class="file-state added">{text.fileStates.added}</span>}
        <span class="changes-count">
          <span class="hidden">{text.changes(added, removed)}</span>
          <span aria-hidden="true" class="added">{`+${added}`}</span>
          <span aria-hidden="true" class="removed">{`−${removed}`}</span>
        </span>
      </summary>
      {open && (
        <>
          {diffs.map((lines, at) => (
            <DiffView key={at} lines={lines} />
          ))}
          <button type="button" class="quiet small" onClick={() => openFile(path)}>
            <Icon name="file" />
            {text.openFile}
          </button>
        </>
      )}
    </details>
  );
}
