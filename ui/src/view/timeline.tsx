/** A mark a turn along the conversation's edge, to jump along. */
import { signal } from "@preact/signals";
import type { TargetedKeyboardEvent } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Turn } from "../session/conversation.ts";
import { text } from "../text.ts";
import { memo } from "./memo.ts";
import { reveal } from "./reveal.ts";

/** With fewer turns there is nothing to jump along. */
const FEWEST = 3;

/** The turn that is seen, or the last of those. */
export const turnInView = signal<string | null>(null);

export const Timeline = memo(({ turns }: { turns: readonly Turn[] }) => {
  const list = useRef<HTMLElement>(null);
  const here = turnInView.value;
  useEffect(() => {
    const tick = list.current?.querySelector<HTMLElement>('[aria-current="true"]');
    const box = list.current;
    if (tick == null || box === null || box.scrollHeight <= box.clientHeight) return;
    box.scrollTop = tick.offsetTop - box.clientHeight / 2;
  }, [here]);
  if (turns.length < FEWEST) return null;
  const walk = (event: TargetedKeyboardEvent<HTMLElement>) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || event.altKey) return;
    event.preventDefault();
    const ticks = [...event.currentTarget.querySelectorAll("button")];
    ticks[ticks.indexOf(document.activeElement as HTMLButtonElement) + step]?.focus();
  };
  const known = turns.some((turn) => turn.id === here);
  return (
    <nav ref={list} class="timeline" aria-label={text.turns} data-testid="timeline" onKeyDown={walk}>
      {turns.map((turn, at) => {
        const current = known ? turn.id === here : at === turns.length - 1;
        const number = Number(turn.id.replace("turn-", "")) || at + 1;
        const words = text.turnOf(number, (turn.message?.content ?? "").slice(0, 80));
        return (
          <button
            key={turn.id}
            type="button"
            class={`tick ${turn.outcome ?? turn.state}`}
            aria-label={words}
            aria-current={current}
            tabIndex={current ? 0 : -1}
            title={words}
            onClick={() => reveal(turn.id)}
          />
        );
      })}
    </nav>
  );
});
