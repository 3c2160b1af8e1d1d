/** Parts of the page that are fetched when they are opened for the first time. */
import { type ComponentType, createElement } from "preact";
import { useEffect, useState } from "preact/hooks";
import { text } from "../text.ts";
import { Skeleton } from "./skeleton.tsx";

export function later<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let known: ComponentType<P> | null = null;
  return (props: P) => {
    const [state, setState] = useState<"waiting" | "here" | "failed">(known === null ? "waiting" : "here");
    useEffect(() => {
      if (state !== "waiting") return;
      let gone = false;
      load().then(
        (part) => {
          known = part;
          if (!gone) setState("here");
        },
        () => {
          if (!gone) setState("failed");
        },
      );
      return () => {
        gone = true;
      };
    }, []);
    if (known !== null) return createElement(known, props);
    if (state !== "failed") return <Skeleton />;
    // After a deployment the page names files that are no longer there. What was typed is kept.
    return (
      <div class="part-failed" role="alert">
        <p>{text.partFailed}</p>
        <button type="button" onClick={() => location.reload()}>
          {text.reload}
        </button>
      </div>
    );
  };
}
