/** Small charts, drawn as lines of an SVG. What they show stands beside them in words. */

const WIDTH = 120;
const HEIGHT = 32;

interface LineProps {
  values: readonly number[];
  /** What the upper edge stands for; at least this, and more where a value is more. */
  most: number;
  /** How many values there is room for: with fewer the line begins further right. */
  room: number;
  label: string;
}

export function LineChart({ values, most, room, label }: LineProps) {
  const top = Math.max(most, ...values, 1e-9);
  const step = WIDTH / Math.max(1, room - 1);
  const points = values.map((value, at) => {
    const x = WIDTH - (values.length - 1 - at) * step;
    const y = HEIGHT - (value / top) * (HEIGHT - 2) - 1;
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  const first = points[0]?.split(" ")[0] ?? "0";
  return (
    <svg class="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {points.length > 1 && (
        <>
          <path class="area" d={`M${first} ${HEIGHT}L${points.join("L")}L${WIDTH} ${HEIGHT}Z`} />
          <path class="line" d={`M${points.join("L")}`} />
        </>
      )}
    </svg>
  );
}

interface Bar {
  readonly value: number;
  readonly label: string;
}

interface BarsProps {
  bars: readonly Bar[];
  label: string;
  /** They are all that there is to show, and what is nothing has no bar. Else there is room for more of them. */
  whole?: boolean;
}

/** A bar for each, the newest at the right. */
export function BarChart({ bars, label, whole = false }: BarsProps) {
  const top = Math.max(...bars.map(({ value }) => value), 1e-9);
  const step = WIDTH / Math.max(whole ? 1 : 12, bars.length);
  return (
    <svg class="chart bars" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {bars.map(({ value, label: words }, at) => {
        const height = whole && value === 0 ? 0 : Math.max(1, (value / top) * (HEIGHT - 1));
        return (
          <rect key={at} x={WIDTH - (bars.length - at) * step + step * 0.1} y={HEIGHT - height} width={step * 0.8} height={height}>
            <title>{words}</title>
          </rect>
        );
      })}
    </svg>
  );
}
