/** The axis of the values of a panel. */
export interface Axis {
  readonly max: number;
  readonly ticks: readonly number[];
  /** Returns the text of a value, with its unit. */
  label(value: number): string;
}

/** Returns an axis from 0 to a round number that is at least `highest`. */
export function axisOf(unit: string, highest: number): Axis {
  const least = unit === 'short' ? 4 : unit === 's' ? 0.001 : unit === 'percentunit' ? 0.1 : 1;
  const step = roundStep(Math.max(highest, least) / 4);
  const count = Math.ceil(Math.max(highest, least) / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, index) => index * step);
  return { max: count * step, ticks, label: (value) => textOf(unit, value) };
}

/** Returns a value with the unit that Grafana shows for the name of a unit. */
export function textOf(unit: string, value: number): string {
  if (unit === 'percentunit') return `${short(value * 100)} %`;
  if (unit === 'reqps') return `${short(value)} req/s`;
  if (unit === 'ops') return `${short(value)} ops/s`;
  if (unit !== 's') return short(value);
  if (value === 0) return '0 s';
  return value < 1
    ? `${short(value * 1_000)} ms`
    : value < 120
      ? `${short(value)} s`
      : `${short(value / 60)} min`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Returns the smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `step`. */
function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  return ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= step * (1 - 1e-9)) ?? 10) * power;
}
