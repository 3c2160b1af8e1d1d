/** All the words of the page, in one place. */
import type { Decision, Outcome } from "./session/wire.ts";

export const text = {
  product: "Agent Router",
  session: "Session",
  copyLink: "Copy the link to this session",
  linkCopied: "The link is copied. It opens this session for those who may in; others need a share link.",
  cannotCopy: "This browser does not let the page copy. The link is in the address bar.",
  newSession: "New session",
  theme: { system: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" },

  share: "Share this session",
  shareWords: "Whoever has a link may in until it ends, without signing in.",
  shareMode: "May",
  shareModes: { read: "read", write: "read and write" },
  shareUntil: "For",
  shareTimes: [
    { seconds: 3_600, words: "an hour" },
    { seconds: 604_800, words: "7 days" },
    { seconds: 7_776_000, words: "90 days" },
  ],
  shareMake: "Make a link",
  shareLink: "The link",
  shareCount: (links: number) =>
    links === 0 ? "No link holds" : links === 1 ? "1 link holds" : `${links} links hold`,
  shareRevoke: "Revoke all links",
  shareFailed: "That did not work. Try again",
  close: "Close",
  readOnly: "You may read here. To write, sign in with a key that may.",
  readOnlyLink: "You have opened this by a link for reading. What is said and done here appears as it happens.",

  signInTitle: "Sign in",
  signInWords: "Paste the operator's token or an API key. This browser keeps a key of its own instead, for 30 days.",
  signInFailed: "The server does not answer. Try again",
  signIn: "Sign in",
  signOut: "Sign out",
  token: "Token or key",
  refusedTitle: "This session is not open to you",
  refusedWords: "It is somebody else's. Ask for a share link, or sign in with another key.",
  linkEnded: "This share link has ended or was revoked. Ask for a new one.",

  live: "Live",
  connecting: "Connecting",
  catchingUp: "Catching up",
  offline: "Offline",
  reconnecting: (seconds: number) =>
    seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting",

  conversation: "Conversation",
  you: "You",
  claude: "Claude",
  newMessages: "New messages",
  showOlder: "Show what was said before",
  loadingOlder: "Loading what was said before",
  olderFailed: "What was said before did not come. Try again",
  dismiss: "Dismiss",
  removed: "Removed from the queue",

  emptyTitle: "Claude Code, in a sandbox of its own",
  emptyWords:
    "Say what you want built, fixed or explained. An agent writes and runs real files in a fresh sandbox, and you watch each step. Close the page whenever you like: the work goes on, and this address brings you back.",
  examples: [
    { title: "Create a hello world app", prompt: "Create a hello world app and run it." },
    {
      title: "Explain this sandbox",
      prompt: "Look around in this sandbox and tell me which languages and tools are installed.",
    },
    {
      title: "Write a script with tests",
      prompt:
        "Write a small script that counts the words in a text file, with tests, and run the tests.",
    },
  ],

  messageLabel: "Message to Claude",
  placeholder: "Ask Claude to build, fix or explain something…",
  placeholderBusy: "Write the next message; it waits for its turn…",
  placeholderOffline: "Offline. What you write is sent when the connection is back…",
  send: "Send",
  stop: "Stop",
  stopping: "Stopping…",
  stopNow: "Stop now",
  keys: "Enter sends · Shift+Enter new line · Esc stops · ↑ last message",
  cannotStopNow: "There is no connection, so the turn can't be stopped now. It goes on by itself.",
  tooLong: (limit: string) => `A message may hold ${limit}. Put long material into a file.`,

  model: "Model",
  noModels: "Loading models…",
  noKey: "no key",
  noKeyHint: "This deployment has no key for this model's provider.",

  advanced: "Options",
  advancedChanged: "Options (changed)",
  advancedHint: "They go with the next messages of this session.",
  allowedTools: "Tools that run without asking",
  moreTools: "More tools or rules",
  moreToolsHint: "Separated by commas, such as Bash(git log:*), mcp__github__*",
  permissionMode: "Permission mode",
  permissionModeHint: "It counts at once, also for the turn that runs.",
  permissionModes: {
    default: ["Ask", "asks before it changes a file or runs a command"],
    acceptEdits: ["Work", "changes files and runs commands, asks for what reaches outside"],
    plan: ["Plan", "reads and plans, and asks before it carries the plan out"],
    bypassPermissions: ["Bypass", "runs every tool without asking"],
  },
  rules: "Allowed in this session without asking",
  removeRule: (rule: string) => `Ask for ${rule} again`,
  maxTurns: "Most calls of the model",
  maxTurnsHint: "A turn ends after that many.",
  fastModel: "Fast model",
  fastModelHint: "For small background work. Empty: the same model.",
  resetOptions: "Back to the defaults",

  waiting: (count: number) => (count === 1 ? "1 message waits" : `${count} messages wait`),
  removeFromQueue: "Remove from the queue",
  sending: "Sending…",
  sentWhenConnected: "Is sent when the connection is back",
  notSent: "Not sent",
  tryAgain: "Try again",
  takeBack: "Take back",

  starting: "Starting the sandbox…",
  working: "Working…",
  thinking: "Thinking…",
  thought: "Thought",
  toolStates: { running: "running", done: "done", failed: "failed", stopped: "stopped" },
  toolWaits: "waits for you",
  toolInput: "Input",
  toolOutput: "Output",
  noOutput: "No output",
  cut: (amount: string) => `${amount} more were cut off`,
  showAll: (lines: number) => `Show all ${lines} lines`,
  files: "Files written",
  before: "removed",
  after: "added",
  agentPrompt: "Prompt",
  agentAnswer: "Answer",
  copy: "Copy",
  copied: "Copied",
  code: "code",
  image: "Image",
  errorTitle: "Error",
  permissionTitle: (tool: string) => `Claude asks whether it may use ${tool}`,
  questionTitle: "Claude asks",
  planTitle: "Claude has a plan",
  noPlan: "The plan is empty.",
  waitsForYou: "Waits for you",
  request: "Request",
  allow: "Allow",
  allowSession: "Allow for this session",
  allowSessionHint: (rules: string) => `Is not asked again in this session: ${rules}`,
  deny: "Deny",
  denyReason: "Reason, if there is one",
  denyReasonHint: "What should it do instead?",
  approveEdits: "Approve and edit automatically",
  approveAsk: "Approve, ask for each edit",
  keepPlanning: "Keep planning",
  planReasonHint: "What should be different?",
  otherAnswer: "Other",
  otherAnswerHint: "Your own answer",
  sendAnswers: "Send answers",
  noAnswer: "Don't answer",
  changedInput: "With a changed input",
  expiresIn: (time: string) => `Is refused by itself in ${time}`,
  cannotAnswerNow: "There is no connection now, so this can't be answered. It waits.",
  decisions: {
    allow: "Allowed",
    allow_session: "Allowed for this session",
    deny: "Denied",
    answer: "Answered",
    expired: "Nobody answered in time",
    withdrawn: "Not asked any more",
  } satisfies Record<Decision, string>,
  approved: "Approved",
  todos: "To do",
  todoProgress: (done: number, all: number) => `${done} of ${all} done`,
  todoStates: { pending: "to do", in_progress: "in progress", completed: "done" },

  outcomes: {
    completed: "Completed",
    failed: "Failed",
    interrupted: "Interrupted",
  } satisfies Record<Outcome, string>,
  tokens: (input: string, output: string) => `${input} tokens in, ${output} out`,
  filesChanged: (count: number) => (count === 1 ? "1 file written" : `${count} files written`),

  announceWorking: "Claude is working",
  announceStarting: "Starting the sandbox",
  announceTool: (tool: string, failed: boolean) =>
    failed ? `${tool} failed` : `Claude ran ${tool}`,
  announceRequest: (what: string) => `Claude waits for you: ${what}`,
  announceEnd: (outcome: Outcome) => `Turn ${outcome}`,
} as const;

/** 0.4 s · 12.3 s · 2 min 5 s · 1 h 4 min */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** US dollars, with as many digits as a small sum needs. */
export function dollars(value: number): string {
  return `$${value.toFixed(value < 1 ? 4 : 2)}`;
}

export function bytes(value: number): string {
  if (value < 1024) return `${value} bytes`;
  if (value < 1024 * 1024) return `${(value / 1024).toFixed(1)} KiB`;
  return `${(value / 1024 / 1024).toFixed(1)} MiB`;
}
