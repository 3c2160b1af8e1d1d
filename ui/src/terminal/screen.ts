/** The screen of a terminal: xterm.js in the page's colours, under its policy. */
import "@xterm/xterm/css/xterm.css";
import { FitAddon } from "@xterm/addon-fit";
import { type ITheme, Terminal } from "@xterm/xterm";
import { copy } from "../view/copy-button.tsx";
import type { Size } from "./wire.ts";

/** Lines that can be scrolled back to. The sandbox keeps less than that of most output. */
const SCROLLBACK = 5_000;
const FONT_PIXELS = 13;
/** The least that is taken for a size: before it is laid out, a place has none. */
const LEAST = { cols: 20, rows: 4 };
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;

export interface Owner {
  typed(text: string): void;
  resized(size: Size): void;
  /** The key that was to be with Ctrl has come. */
  controlled(): void;
  /** Somebody wants out of it, by the keyboard. */
  left(): void;
}

export class Screen {
  private readonly terminal: Terminal;
  private readonly fitted = new FitAddon();
  private readonly watched: ResizeObserver;
  /** What is shown was printed before: the answers to its questions were given then. */
  private past = true;
  /** The next key is with Ctrl: for who has no such key. */
  control = false;

  constructor(
    private readonly place: HTMLElement,
    label: string,
    forReader: boolean,
    private readonly owner: Owner,
  ) {
    this.terminal = new Terminal({
      allowTransparency: false,
      cursorBlink: false,
      customGlyphs: true,
      fontFamily: getComputedStyle(place).fontFamily,
      fontSize: FONT_PIXELS,
      // Nothing is opened by what a program prints.
      linkHandler: { activate: () => undefined },
      logLevel: "off",
      macOptionIsMeta: true,
      minimumContrastRatio: 4.5,
      screenReaderMode: forReader,
      scrollback: SCROLLBACK,
      theme: themeOf(place),
    });
    this.terminal.loadAddon(this.fitted);
    this.terminal.open(place);
    this.label(label);
    this.terminal.attachCustomKeyEventHandler((event) => this.pressed(event));
    this.terminal.onData((data) => this.typed(data));
    this.terminal.onBinary((data) => this.typed(data));
    this.watched = new ResizeObserver(() => this.fit());
    this.watched.observe(place);
    this.fit();
  }

  dispose(): void {
    this.watched.disconnect();
    this.terminal.dispose();
  }

  get size(): Size {
    return { cols: this.terminal.cols, rows: this.terminal.rows };
  }

  get selection(): string {
    return this.terminal.getSelection();
  }

  label(words: string): void {
    this.terminal.textarea?.setAttribute("aria-label", words);
  }

  forReader(is: boolean): void {
    this.terminal.options.screenReaderMode = is;
  }

  recolour(): void {
    this.terminal.options.theme = themeOf(this.place);
  }

  focus(): void {
    this.terminal.focus();
  }

  begin(): void {
    this.past = true;
    this.terminal.reset();
  }

  print(bytes: Uint8Array): void {
    this.terminal.write(bytes);
  }

  live(): void {
    this.terminal.write("", () => {
      this.past = false;
    });
  }

  /** Another viewer has another size: what is printed is made for it. */
  resized(size: Size): void {
    this.terminal.resize(size.cols, size.rows);
  }

  /** As somebody would press it. */
  press(data: string): void {
    this.typed(data);
    this.terminal.focus();
  }

  paste(text: string): void {
    this.terminal.paste(text);
    this.terminal.focus();
  }

  /** What is selected, or where nothing is, what is on the screen. */
  async copied(): Promise<boolean> {
    return copy(this.selection === "" ? this.shown() : this.selection);
  }

  private shown(): string {
    const { active } = this.terminal.buffer;
    const lines = [];
    for (let row = 0; row < this.terminal.rows; row += 1) {
      lines.push(active.getLine(active.viewportY + row)?.translateToString(true) ?? "");
    }
    return lines.join("\n").trimEnd();
  }

  private fit(): void {
    const wanted = this.fitted.proposeDimensions();
    if (wanted === undefined || !(wanted.cols >= LEAST.cols) || !(wanted.rows >= LEAST.rows)) return;
    const { cols, rows } = this.size;
    this.terminal.resize(Math.min(500, wanted.cols), Math.min(300, wanted.rows));
    // What another viewer has chosen is not said back: two would go on for ever.
    if (this.size.cols !== cols || this.size.rows !== rows) this.owner.resized(this.size);
  }

  private typed(data: string): void {
    if (this.past) return;
    const letter = this.control && data.length === 1 ? data.toUpperCase().charCodeAt(0) : 0;
    if (letter >= 64 && letter < 96) {
      this.control = false;
      this.owner.controlled();
      this.owner.typed(String.fromCharCode(letter - 64));
    } else {
      this.owner.typed(data);
    }
  }

  /** False for what is not for the terminal. */
  private pressed(event: KeyboardEvent): boolean {
    const key = event.key.toLowerCase();
    if (key === "f6") {
      if (event.type === "keydown") {
        event.preventDefault();
        this.owner.left();
      }
      return false;
    }
    if (!event.ctrlKey || event.altKey || event.metaKey) return true;
    // As terminals have it, and as people are used to: where something is selected, that is copied.
    if (key === "c" && (event.shiftKey || this.terminal.hasSelection())) {
      if (event.type === "keydown") {
        event.preventDefault();
        void copy(this.selection).then(() => this.terminal.focus());
        this.terminal.clearSelection();
      }
      return false;
    }
    // The browser pastes by itself.
    return key !== "v";
  }
}

/** The page's own colours, as they are where the terminal stands. */
function themeOf(place: HTMLElement): ITheme {
  const { backgroundColor, color } = getComputedStyle(place);
  const theme: Record<string, string> = {
    background: backgroundColor,
    foreground: color,
    cursor: color,
    cursorAccent: backgroundColor,
  };
  const sample = place.appendChild(document.createElement("span"));
  for (const [at, name] of NAMES.entries()) {
    sample.className = `c${at}`;
    const shade = getComputedStyle(sample).color;
    theme[name] = shade;
    theme[`bright${name.charAt(0).toUpperCase()}${name.slice(1)}`] = shade;
  }
  sample.className = "chosen";
  theme.selectionBackground = getComputedStyle(sample).backgroundColor;
  sample.remove();
  return theme;
}
