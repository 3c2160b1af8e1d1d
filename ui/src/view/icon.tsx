/** Line icons on a 16 by 16 grid. They are never alone: words or a label stand beside each. */
const PATHS = {
  check: "M3 8.5l3.2 3.2L13 5",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  cross: "M4 4l8 8M12 4l-8 8",
  stop: "M4.5 4.5h7v7h-7z",
  up: "M8 13V3.5M3.5 8L8 3.5 12.5 8",
  down: "M8 3v9.5M3.5 8L8 12.5 12.5 8",
  link: "M6.5 9.5l3-3M7 4.5l1.2-1.2a3 3 0 014.3 4.3L11.2 9M9 11.500l-1.2 1.2a3 3 0 01-4.300-4.300L4.800 7",
  share: "M8 10V2M5 4.800L8 2l3 2.800M3 8v5.500h10V8",
  plus: "M8 3v10M3 8h10",
  sun: "M8 5a3 3 0 100 6 3 3 0 000-6zM8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  moon: "M13 9.500A5.500 5.500 0 016.500 3 5.500 5.500 0 1013 9.500z",
  screen: "M2 3h12v8H2zM6 14h4M8 11v3",
  chevron: "M6 3.500L10.500 8 6 12.500",
  sliders: "M2 5h7M13 5h1M2 11h1M7 11h7M11 3.200v3.600M5 9.200v3.600",
  alert: "M8 2L14.500 13.500h-13zM8 6.500v3M8 11.400v.4",
  clock: "M8 2a6 6 0 100 12A6 6 0 008 2zM8 4.800V8l2.200 1.600",
  dot: "M8 5.500a2.500 2.500 0 100 5 2.500 2.500 0 000-5z",
  circle: "M8 3a5 5 0 100 10A5 5 0 008 3z",
  half: "M8 3a5 5 0 100 10zM8 3a5 5 0 010 10",
  question: "M5.800 6a2.200 2.200 0 113.300 1.900C8.300 8.400 8 8.800 8 9.600M8 12v.4",
} as const;

export type IconName = keyof typeof PATHS | "spinner";

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={name === "spinner" ? "M8 2a6 6 0 106 6" : PATHS[name]} />
    </svg>
  );
}
