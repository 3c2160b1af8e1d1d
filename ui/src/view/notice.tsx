import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { useLeaving } from "./focus.ts";
import { Icon } from "./icon.tsx";

/** What is wrong with something that this page asked for, near the place where it was asked. */
export function Notice() {
  const session = useSession();
  const words = session.notice.value;
  return (
    <div role="status" class="notice-place">
      {words !== null && (
        <p class="notice" data-testid="notice">
          <span>{words}</span>
          <Dismiss />
        </p>
      )}
    </div>
  );
}

function Dismiss() {
  const session = useSession();
  return (
    <button
      ref={useLeaving<HTMLButtonElement>()}
      type="button"
      class="quiet small"
      aria-label={text.dismiss}
      onClick={() => session.tell(null)}
    >
      <Icon name="cross" />
    </button>
  );
}
