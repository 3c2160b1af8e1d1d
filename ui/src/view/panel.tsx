/** The side panel: its tabs, and the edge by which it is made wider. */
import type { ComponentType, TargetedEvent, TargetedKeyboardEvent } from "preact";
import { text } from "../text.ts";
import {
  NARROWEST,
  openTab,
  panelWidth,
  setPanelWidth,
  show,
  type Tab,
  TABS,
  tab,
  wide,
  WIDEST,
} from "../workbench.ts";
import { Icon, type IconName } from "./icon.tsx";
import { later } from "./later.tsx";
import { useSlide } from "./slide.ts";

const ICONS: Record<Tab, IconName> = { files: "folder", terminal: "terminal", tasks: "list", tools: "wrench", resources: "gauge", log: "lines" };

const PARTS: Record<Tab, ComponentType> = {
  files: later(async () => (await import("../files/files-tab.tsx")).FilesTab),
  terminal: later(async () => (await import("../terminal/terminal-tab.tsx")).TerminalTab),
  tasks: later(async () => (await import("./tasks-tab.tsx")).TasksTab),
  tools: later(async () => (await import("./tools-tab.tsx")).ToolsTab),
  resources: later(async () => (await import("../resources/resources-tab.tsx")).ResourcesTab),
  log: later(async () => (await import("./log-tab.tsx")).LogTab),
};

export function Panel() {
  const element = useSlide<HTMLElement>("panel");
  const chosen = tab.value;
  const Part = PARTS[chosen];
  return (
    <aside ref={element} class="panel-side" aria-label={text.panel} data-testid="panel" tabIndex={-1}>
      {wide.value && <Edge />}
      <header>
        <div class="tabs" role="tablist" aria-label={text.panel} onKeyDown={walk}>
          {TABS.map((one) => (
            <button
              key={one}
              id={`tab-${one}`}
              type="button"
              role="tab"
              class="quiet"
              aria-selected={one === chosen}
              aria-controls="tab-panel"
              tabIndex={one === chosen ? 0 : -1}
              title={text.tabs[one]}
              data-testid={`tab-${one}`}
              onClick={() => openTab(one)}
            >
              <Icon name={ICONS[one]} />
              <span>{text.tabs[one]}</span>
            </button>
          ))}
        </div>
        <button
          type="button"
          class="quiet"
          aria-label={text.hidePanel}
          title={text.hidePanel}
          data-testid="panel-close"
          onClick={() => show("panel", false)}
        >
          <Icon name="cross" />
        </button>
      </header>
      <div id="tab-panel" class="tab-panel" role="tabpanel" aria-labelledby={`tab-${chosen}`} tabIndex={0}>
        <Part key={chosen} />
      </div>
    </aside>
  );
}

/** The arrow keys go from tab to tab. */
function walk(event: TargetedKeyboardEvent<HTMLElement>) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const next = TABS[(TABS.indexOf(tab.value) + step + TABS.length) % TABS.length];
  if (next === undefined) return;
  openTab(next);
  document.getElementById(`tab-${next}`)?.focus();
}

const STEP = 24;

/** By pointer or by the arrow keys. */
function Edge() {
  const dragged = (event: TargetedEvent<HTMLElement, PointerEvent>) => {
    if (event.currentTarget.hasPointerCapture(event.pointerId)) {
      setPanelWidth(document.documentElement.clientWidth - event.clientX);
    }
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLElement>) => {
    const step = { ArrowLeft: STEP, ArrowRight: -STEP }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    setPanelWidth(panelWidth.value + step);
  };
  return (
    <div
      class="edge"
      role="separator"
      aria-orientation="vertical"
      aria-label={text.panelWidth}
      aria-valuemin={NARROWEST}
      aria-valuemax={WIDEST}
      aria-valuenow={panelWidth.value}
      tabIndex={0}
      data-testid="panel-edge"
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={dragged}
      onKeyDown={pressed}
    />
  );
}
