/** All that the palette offers, and which of it fits what was typed. */
import type { Agent } from "../session/sessions.ts";
import type { Session } from "../session/session.ts";
import { byLink } from "../session/admission.ts";
import { activeTurn } from "../session/conversation.ts";
import { PERMISSION_MODES } from "../session/wire.ts";
import { chosenLanguage, MOTIONS, motion, THEMES, theme } from "../settings.ts";
import { LANGUAGES, type Language, text } from "../text.ts";
import { agentToLaunch, copyLink, dialog, exportAs } from "../view/actions.ts";
import { finding } from "../view/find-state.ts";
import { focusComposer } from "../view/focus.ts";
import type { IconName } from "../view/icon.tsx";
import type { Entry } from "../view/rail.tsx";
import { more } from "../words/more.ts";
import { openTab, TABS, toggle, viewFiles } from "../workbench.ts";

export interface Command {
  /** Unique among all. */
  readonly id: string;
  readonly icon: IconName;
  readonly words: string;
  /** Further words by which it is found, and which say more about it. */
  readonly about: string;
  readonly keys?: string;
  readonly run: () => void;
}

export interface CommandGroup {
  readonly title: string;
  readonly commands: readonly Command[];
}

/** Commands that are shown of a group, where nothing was typed and where something was. */
const FEW = 6;
const MANY = 30;

export function groupsOf(session: Session, agents: readonly Agent[], sessions: readonly Entry[]): CommandGroup[] {
  const words = more.palette;
  const { write, manage } = session.access.value;
  const active = activeTurn(session.conversation.value);
  const account = !byLink();
  const go = (path: string) => () => location.assign(path);
  const when = (is: boolean, ...commands: Command[]) => (is ? commands : []);
  return [
    {
      title: words.session,
      commands: [
        ...when(write && active !== null, { id: "stop", icon: "stop", words: text.stop, about: words.turn, keys: "Esc", run: () => active && session.interrupt(active.id) }),
        ...when(write, { id: "write", icon: "pen", words: words.write, about: "", run: focusComposer }),
        { id: "find", icon: "search", words: text.find, about: "", keys: "Ctrl+Shift+F", run: () => (finding.value = true) },
        ...TABS.map((tab): Command => ({ id: `tab ${tab}`, icon: "side", words: words.open(text.tabs[tab]), about: text.panel, run: () => openTab(tab) })),
        {
          id: "git",
          icon: "fork",
          words: words.open(more.changes.views.git),
          about: text.panel,
          run: () => {
            viewFiles("git");
            openTab("files");
          },
        },
        { id: "rail", icon: "rail", words: words.rail, about: "", keys: "Ctrl+B", run: () => toggle("rail") },
        { id: "panel", icon: "side", words: words.panel, about: "", keys: "Ctrl+J", run: () => toggle("panel") },
        ...when(write, ...PERMISSION_MODES.map((mode): Command => ({ id: `mode ${mode}`, icon: "eye", words: `${text.permissionMode}: ${text.permissionModes[mode].name}`, about: text.permissionModes[mode].words, run: () => session.chooseMode(mode) }))),
        { id: "link", icon: "link", words: text.copyLink, about: "", run: () => void copyLink(session) },
        ...when(manage, { id: "share", icon: "share", words: text.share, about: "", run: () => (dialog.value = "share") }),
        { id: "markdown", icon: "download", words: text.exportMarkdown, about: "", run: () => void exportAs(session, "markdown") },
        { id: "json", icon: "download", words: text.exportJson, about: "", run: () => void exportAs(session, "json") },
        ...when(manage, { id: "delete", icon: "trash", words: text.deleteSession, about: "", run: () => (dialog.value = "delete") }),
      ],
    },
    {
      title: words.begin,
      commands: [
        { id: "new", icon: "plus", words: text.newSession, about: text.launchPlain, run: go("/demo") },
        ...when(
          account,
          ...agents.map(
            (agent): Command => ({
              id: `launch ${agent.id}`,
              icon: "agent",
              words: words.launch(agent.name),
              about: agent.description,
              run: () => {
                agentToLaunch.value = agent.id;
                dialog.value = "launch";
              },
            }),
          ),
          { id: "usage", icon: "gauge", words: text.usage, about: more.usage.title, run: () => (dialog.value = "usage") },
          { id: "automation", icon: "clock", words: text.automation, about: more.automation.title, run: () => (dialog.value = "automation") },
          { id: "agents", icon: "wrench", words: more.agents.title, about: "", run: go("/agents") },
          { id: "build", icon: "plus", words: text.buildAgent, about: "", run: go("/agents?new") },
        ),
      ],
    },
    {
      title: text.sessions,
      commands: sessions
        .filter((one) => one.id !== session.id)
        .map((one) => ({
          id: `session ${one.id}`,
          icon: "lines",
          words: one.title === "" ? text.untitled : one.title,
          about: [one.status === null ? "" : text.sessionStates[one.status], one.agent, one.id.slice(0, 8)].filter((part) => part !== "").join(" · "),
          run: go(`/demo/${encodeURIComponent(one.id)}`),
        })),
    },
    {
      title: text.settings,
      commands: [
        { id: "settings", icon: "gear", words: text.settings, about: "", run: () => (dialog.value = "settings") },
        ...THEMES.map((one): Command => ({ id: `theme ${one}`, icon: one === "dark" ? "moon" : one === "light" ? "sun" : "screen", words: `${text.themeLabel}: ${text.themes[one]}`, about: "", run: () => theme.set(one) })),
        ...(Object.keys(LANGUAGES) as Language[]).map((one): Command => ({ id: `language ${one}`, icon: "globe", words: `${text.languageLabel}: ${LANGUAGES[one]}`, about: "", run: () => chosenLanguage.set(one) })),
        ...MOTIONS.map((one): Command => ({ id: `motion ${one}`, icon: "half", words: `${text.motionLabel}: ${text.motions[one]}`, about: "", run: () => motion.set(one) })),
      ],
    },
  ];
}

/** What fits all the words that were typed, what begins with them first; groups in which nothing does are left out. */
export function fitting(groups: readonly CommandGroup[], typed: string): CommandGroup[] {
  const wanted = typed.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const most = wanted.length === 0 ? FEW : MANY;
  return groups.flatMap(({ title, commands }) => {
    const found = commands
      .map((command) => ({ command, rank: rank(command, wanted) }))
      .filter(({ rank }) => rank >= 0)
      .sort((a, b) => b.rank - a.rank)
      .slice(0, most)
      .map(({ command }) => command);
    return found.length === 0 ? [] : [{ title, commands: found }];
  });
}

/** How well it fits; -1 where it does not. */
function rank({ words, about }: Command, wanted: readonly string[]): number {
  const name = words.toLowerCase();
  const all = `${name} ${about.toLowerCase()}`;
  if (!wanted.every((word) => all.includes(word))) return -1;
  return wanted.reduce((sum, word) => sum + (name.startsWith(word) ? 4 : new RegExp(`\\b${escaped(word)}`).test(name) ? 3 : name.includes(word) ? 2 : 0), 0);
}

function escaped(word: string): string {
  return word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
