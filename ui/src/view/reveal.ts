/** Going to a place in the conversation, from wherever it is named. */
import { signal } from "@preact/signals";
import { show, wide } from "../workbench.ts";

/** A turn, or an item of it. */
export interface Place {
  readonly turn: string;
  readonly item: string | null;
}

/** Where the conversation was told to go last. The same place again is another value. */
export const revealed = signal<Place | null>(null);

export function reveal(turn: string, item: string | null = null): void {
  if (!wide.value) show("panel", false);
  revealed.value = { turn, item };
}

/** Whether what has this item inside has to be open for it to be seen. */
export function isRevealed(items: readonly { readonly key: string }[]): boolean {
  const key = revealed.value?.item;
  return key != null && items.some((item) => item.key === key);
}

/** The element of a place, where it is drawn. */
export function elementAt(root: ParentNode, place: Place): HTMLElement | null {
  const turn = root.querySelector<HTMLElement>(`[data-turn="${CSS.escape(place.turn)}"]`);
  if (place.item === null || turn === null) return turn;
  return turn.querySelector<HTMLElement>(`[data-item="${CSS.escape(place.item)}"]`) ?? turn;
}
