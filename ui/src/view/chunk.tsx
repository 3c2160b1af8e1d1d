/** Long lists of items in pieces, which are drawn when somebody comes near them. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

/** Items that are drawn together. */
export const CHUNK = 40;
/** Lists that are no longer than this are drawn whole. */
const SHORT = 2 * CHUNK;
/** How near is near: a few screens. */
const MARGIN = "2000px";
/** What an item takes as a rule, in CSS pixels. */
const ITEM_HEIGHT = 40;

/** Splits a list. What is added to its end changes the last piece alone. */
export function chunksOf<T>(items: readonly T[]): T[][] {
  if (items.length <= SHORT) return [[...items]];
  const chunks: T[][] = [];
  for (let at = 0; at < items.length; at += CHUNK) chunks.push(items.slice(at, at + CHUNK));
  return chunks;
}

interface ChunkProps {
  /** How many items are in it. */
  size: number;
  /** It is drawn wherever it is. */
  wanted: boolean;
  children: () => ComponentChildren;
}

/** Once it is drawn it stays so: what somebody has opened in it stays open. */
export function Chunk({ size, wanted, children }: ChunkProps) {
  const place = useRef<HTMLDivElement>(null);
  const [near, setNear] = useState(wanted);
  const drawn = near || wanted;
  useEffect(() => {
    const element = place.current;
    if (drawn || element === null) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) setNear(true);
      },
      { root: element.closest(".scroller"), rootMargin: MARGIN },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, [drawn]);
  const height = `${size * ITEM_HEIGHT}px`;
  return drawn ? (
    <div class="chunk" style={{ containIntrinsicBlockSize: `auto ${height}` }}>
      {children()}
    </div>
  ) : (
    <div ref={place} class="chunk" style={{ height }} />
  );
}
