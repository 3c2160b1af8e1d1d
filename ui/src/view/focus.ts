/** Where the focus goes when what has it goes away. */
import { useLayoutEffect, useRef } from "preact/hooks";

export const COMPOSER_FIELD = "composer-field";

export function focusComposer(): void {
  const field = document.getElementById(COMPOSER_FIELD);
  if (field instanceof HTMLTextAreaElement) {
    field.focus();
    requestAnimationFrame(() => field.setSelectionRange(field.value.length, field.value.length));
  }
}

/** Whether the focus is shown: whoever taps needs none, and a phone's keyboard would come up. */
export function focusIsShown(element: Element | null): boolean {
  return element?.matches(":focus-visible") ?? false;
}

/** For a button that takes itself away: whoever pressed it by key is at the composer then. */
export function useLeaving<T extends Element>() {
  const element = useRef<T>(null);
  useLayoutEffect(() => {
    const mounted = element.current;
    return () => {
      if (focusIsShown(mounted)) focusComposer();
    };
  }, []);
  return element;
}
