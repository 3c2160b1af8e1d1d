import { CopyButton } from "../view/copy-button.tsx";
import { more } from "../words/more.ts";

interface SecretProps {
  title: string;
  value: string;
  test: string;
  kept: () => void;
}

/** What is shown this once, until somebody says that it is kept. */
export function SecretOnce({ title, value, test, kept }: SecretProps) {
  const words = more.automation;
  return (
    <div class="automation-secret" role="group" aria-label={title} data-testid={test}>
      <strong>{title}</strong>
      <p>{words.secretWords}</p>
      <div class="row">
        <input readOnly class="code" value={value} aria-label={title} onFocus={(event) => event.currentTarget.select()} />
        <CopyButton value={value} />
      </div>
      <button type="button" data-testid={`${test}-kept`} onClick={kept}>
        {words.secretKept}
      </button>
    </div>
  );
}
