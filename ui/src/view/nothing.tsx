import { Icon, type IconName } from "./icon.tsx";

/** An empty place says what will be there, or what to do. */
export function Nothing({ icon, words }: { icon: IconName; words: string }) {
  return (
    <div class="nothing">
      <Icon name={icon} />
      <p>{words}</p>
    </div>
  );
}
