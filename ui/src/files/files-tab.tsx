/** The files of the session's workspace: the tree, and the one that is looked at. */
import "../style/files.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { MOST_BYTES } from "../session/attachments.ts";
import { activeTurn, filesOf } from "../session/conversation.ts";
import { save } from "../session/download.ts";
import { bytes, text } from "../text.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { later } from "../view/later.tsx";
import { Nothing } from "../view/nothing.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { sleeps } from "../resources/samples.ts";
import { more } from "../words/more.ts";
import { FILES_VIEWS, filesView, filesWanted, viewFiles, wantedFile } from "../workbench.ts";
import { Files, type Listing, MOST_FILES, Refused } from "./api.ts";
import { ChangesView } from "./changes-view.tsx";
import { anyDraft } from "./drafts.ts";
import { FileView } from "./file-view.tsx";
import { savedName } from "./names.ts";
import { type FileNode, nodeAt, relative } from "./tree.ts";
import { Tree } from "./tree-view.tsx";

const GitView = later(async () => (await import("../repository/git-view.tsx")).GitView);

/** After a change the list is read anew when nothing has changed for this long. */
const PAUSE_MS = 800;

export function FilesTab() {
  const session = useSession();
  const files = useRef(new Files(session.id)).current;
  const [listing, setListing] = useState<Listing | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  // What somebody has begun to change is gone on with.
  const [shown, setShown] = useState<FileNode | null>(() => {
    const draft = session.access.value.write ? anyDraft(session.id) : null;
    return draft === null ? null : namedFile(draft);
  });
  const [read, setRead] = useState(0);
  const [asleep, setAsleep] = useState(false);
  const changes = useChanges();
  const wanted = wantedFile.value;
  const opened = filesWanted.value;
  const tree = filesView.value === "tree";
  /** What was listed last: a link that broke and came back is no reason to ask anew. */
  const last = useRef({ changes: -1, read: 0 });

  // Before the log is here nobody knows whether anything was said.
  const caughtUp = session.caughtUp.value;
  useEffect(() => {
    if (!caughtUp || !tree) return;
    const again = read > last.current.read;
    if (!again && !opened && wanted === null && changes === last.current.changes) return;
    let gone = false;
    const asOf = () => {
      last.current = { changes, read };
      filesWanted.value = false;
    };
    const list = async () => {
      try {
        // What was saved last is shown of one that sleeps, where that is enough; else it is woken. So whoever
        // only has this tab open asks for nothing.
        const asked = again || opened || wanted !== null || activeTurn(session.conversation.value) !== null;
        const sleeping = !asked && session.conversation.value.turns.length > 0 && (await sleeps(session.id).catch(() => false));
        if (!gone) setAsleep(sleeping);
        if (gone || sleeping) return;
        const found = await files.list();
        if (gone) return;
        asOf();
        setListing(found);
        setWrong(null);
      } catch (error) {
        if (gone) return;
        asOf();
        // A session in which nothing was said has no files.
        const none = error instanceof Refused && error.status === 404 && session.conversation.value.turns.length === 0;
        setWrong(none ? text.noFiles : text.filesFailed(error instanceof Error ? error.message : ""));
      }
    };
    const timer = setTimeout(() => void list(), read === 0 && listing === null ? 0 : PAUSE_MS);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [changes, read, wanted !== null, opened, caughtUp, tree]);

  // The agent's own card of a call leads here.
  useEffect(() => {
    if (wanted === null || listing === null) return;
    wantedFile.value = null;
    const path = relative(wanted, listing);
    setShown(nodeAt(listing.tree, path) ?? namedFile(path));
  }, [wanted, listing]);

  const again = () => setRead(read + 1);
  if (!tree) {
    return (
      <div class="files-tab">
        <ViewChoice />
        {filesView.value === "git" ? <GitView changes={changes} /> : <ChangesView changes={changes} />}
      </div>
    );
  }
  if (shown !== null) {
    const now = listing === null ? null : nodeAt(listing.tree, shown.path);
    return (
      <FileView
        key={shown.path}
        files={files}
        file={now ?? shown}
        writes={session.access.value.write}
        changes={changes}
        close={() => setShown(null)}
        changed={again}
      />
    );
  }
  if (listing === null && asleep) {
    return (
      <div class="files-tab" data-testid="files-asleep">
        <ViewChoice />
        <div class="nothing">
          <Icon name="moon" />
          <p>{more.changes.asleep}</p>
          <button
            type="button"
            data-testid="wake"
            onClick={() => {
              setAsleep(false);
              again();
            }}
          >
            {more.changes.wake}
          </button>
        </div>
      </div>
    );
  }
  if (listing === null && wrong === null) return <Skeleton lines={6} />;
  return (
    <Folder files={files} listing={listing} wrong={wrong} again={again} open={setShown} writes={session.access.value.write} />
  );
}

/** Between the tree, what was changed, and the repository. */
function ViewChoice() {
  return (
    <div class="segments" role="group" aria-label={text.tabs.files}>
      {FILES_VIEWS.map((one) => (
        <label key={one}>
          <input type="radio" name="files-view" checked={filesView.value === one} data-testid={`files-${one}`} onChange={() => viewFiles(one)} />
          <span>{more.changes.views[one]}</span>
        </label>
      ))}
    </div>
  );
}

/** Grows with each change of the files that the conversation tells of. */
function useChanges(): number {
  const session = useSession();
  const { turns } = session.conversation.value;
  const active = activeTurn(session.conversation.value);
  return turns.length * 1_000_000 + (active === null ? 0 : 500_000 + filesOf(active).length + active.touches + active.items.filter((item) => item.kind === "tool" && item.state !== "running").length);
}

/** A file that the list does not have: it is deeper, or left out. */
function namedFile(path: string): FileNode {
  const address = path.split("/").map(encodeURIComponent).join("/");
  return { name: path.split("/").at(-1) ?? path, path, address, kind: "file", size: null, state: null, children: [] };
}

interface FolderProps {
  files: Files;
  listing: Listing | null;
  wrong: string | null;
  writes: boolean;
  again: () => void;
  open: (file: FileNode) => void;
}

function Folder({ files, listing, wrong, writes, again, open }: FolderProps) {
  const session = useSession();
  const field = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const [busy, setBusy] = useState<string | null>(null);
  /** What waits for somebody to say that it may replace what is there. */
  const [replacing, setReplacing] = useState<{ files: readonly File[]; folder: string } | null>(null);

  const upload = async (given: readonly File[], folder: string, overwrite: boolean) => {
    setReplacing(null);
    const large = given.find((file) => file.size > MOST_BYTES);
    if (large !== undefined) return session.tell(text.uploadFailed(text.uploadLarge(large.name, bytes(MOST_BYTES))));
    if (given.length > MOST_FILES) return session.tell(text.uploadFailed(text.uploadMany(MOST_FILES)));
    if (given.length === 0) return;
    setBusy(text.uploading(given.length));
    try {
      await files.upload(given, folder, overwrite);
      session.tell(text.uploaded(given.length));
      again();
    } catch (error) {
      if (error instanceof Refused && error.status === 409 && !overwrite) setReplacing({ files: given, folder });
      else session.tell(text.uploadFailed(error instanceof Error ? error.message : ""));
    }
    setBusy(null);
  };
  const zip = async () => {
    try {
      save(await files.zip(), `${savedName(session.id)}.zip`);
    } catch (error) {
      session.tell(text.filesFailed(error instanceof Error ? error.message : ""));
    }
  };
  const empty = listing !== null && listing.tree.children.length === 0;
  return (
    <div
      class="files-tab"
      data-over={over}
      data-testid="files"
      onDragOver={(event) => {
        if (!writes || event.dataTransfer?.types.includes("Files") !== true) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOver(false);
      }}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const folder = (event.target as Element).closest<HTMLElement>("[data-folder]")?.dataset.folder ?? "";
        if (writes) void upload([...(event.dataTransfer?.files ?? [])], folder, false);
      }}
    >
      <ViewChoice />
      <header>
        <span class="faint">{listing === null ? "" : text.filesCount(listing.files)}</span>
        <button type="button" class="quiet small" aria-label={text.filesAgain} title={text.filesAgain} onClick={again}>
          <Icon name="retry" />
        </button>
        {listing !== null && !empty && (
          <button type="button" class="quiet small" aria-label={text.filesZip} title={text.filesZip} data-testid="zip" onClick={zip}>
            <Icon name="download" />
          </button>
        )}
        {writes && (
          <>
            <input
              ref={field}
              class="hidden"
              type="file"
              multiple
              tabIndex={-1}
              aria-hidden="true"
              data-testid="upload"
              onChange={(event) => {
                const given = [...(event.currentTarget.files ?? [])];
                event.currentTarget.value = "";
                void upload(given, "", false);
              }}
            />
            <button type="button" class="quiet small" onClick={() => field.current?.click()} disabled={busy !== null}>
              <Icon name="upload" />
              {text.filesUpload}
            </button>
          </>
        )}
      </header>
      <p role="status" class="faint">
        {busy}
      </p>
      {replacing !== null && (
        <div class="notice" role="alert">
          <span>{text.replaceWords}</span>
          <span>
            <button type="button" class="small" data-testid="replace" onClick={() => void upload(replacing.files, replacing.folder, true)}>
              {text.replace}
            </button>
            <button type="button" class="quiet small" onClick={() => setReplacing(null)}>
              {text.cancel}
            </button>
          </span>
        </div>
      )}
      {listing?.saved === true && (
        <p class="faint from-save" data-testid="from-save">
          <Icon name="moon" />
          {more.changes.saved}
        </p>
      )}
      {wrong !== null && <Nothing icon="folder" words={wrong} />}
      {wrong === null && empty && <Nothing icon="folder" words={text.noFiles} />}
      {listing !== null && !empty && <Tree tree={listing.tree} open={open} />}
      {listing?.cut === true && <p class="faint">{text.filesCut}</p>}
      {over && <p class="drop-here">{text.filesDrop}</p>}
    </div>
  );
}
