import { useState } from "preact/hooks";
import { deleteSession } from "../session/sessions.ts";
import { forgetVisit } from "../session/visited.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { Dialog } from "./dialog.tsx";

/** Asks whether the session is to be deleted, as nothing brings it back. */
export function DeleteDialog({ close }: { close: () => void }) {
  const session = useSession();
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const remove = async () => {
    setBusy(true);
    setWrong(null);
    try {
      await deleteSession(session.id);
      session.close();
      session.setDraft("");
      forgetVisit(session.id);
      location.assign("/demo");
    } catch (error) {
      setWrong(text.deleteFailed(error instanceof Error ? error.message : ""));
      setBusy(false);
    }
  };
  return (
    <Dialog title={text.deleteSession} test="delete-dialog" close={close}>
      <p>{text.deleteWords}</p>
      <p role="alert" class="wrong">
        {wrong}
      </p>
      <div class="row end">
        <button type="button" onClick={close}>
          {text.cancel}
        </button>
        <button type="button" class="stop" disabled={busy} data-testid="delete-sure" onClick={() => void remove()}>
          {text.deleteIt}
        </button>
      </div>
    </Dialog>
  );
}
