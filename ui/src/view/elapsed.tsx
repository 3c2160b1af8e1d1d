import { duration } from "../text.ts";
import { useNow, useSession } from "./context.ts";

/** Whole seconds since `since`, a time of the server's, as they pass. */
export function Elapsed({ since }: { since: number }) {
  const session = useSession();
  const now = useNow();
  const seconds = Math.max(0, Math.floor((now - session.clockSkew.value - since) / 1000));
  return <span class="elapsed">{seconds < 60 ? `${seconds} s` : duration(seconds * 1000)}</span>;
}
