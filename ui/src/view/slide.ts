/** What slides over the conversation has the focus while it does, and Escape sends it away. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { over, type Side, show, wide } from "../workbench.ts";

export function useSlide<T extends HTMLElement>(side: Side) {
  const element = useRef<T>(null);
  useLayoutEffect(() => {
    const mounted = element.current;
    if (wide.value || mounted === null) return;
    const before = document.activeElement;
    mounted.focus();
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.defaultPrevented || over.value !== side) return;
      event.preventDefault();
      show(side, false);
    };
    document.addEventListener("keydown", pressed);
    return () => {
      document.removeEventListener("keydown", pressed);
      const mine = mounted.contains(document.activeElement) || document.activeElement === document.body;
      if (mine && before instanceof HTMLElement) before.focus();
    };
  }, []);
  return element;
}
