/**
 * Writes log lines about events that repeat, for example the failures of a poller while the database is down. The first
 * event of a kind is logged at once. Each later line stands for the events of its kind since the line before.
 */
export class PacedLog {
  readonly #intervalMs: number;
  readonly #now: () => number;
  readonly #kinds = new Map<string, { atMs: number; events: number }>();

  /**
   * @param intervalMs the minimum interval between two lines about one kind, in milliseconds
   * @param now the time in milliseconds. Default: a clock that cannot be set.
   */
  constructor(intervalMs: number, now = () => performance.now()) {
    this.#intervalMs = intervalMs;
    this.#now = now;
  }

  /**
   * Adds an event.
   * @param kind the kind of the event; the number of kinds must be bounded
   * @param write writes the line; receives the number of events since the last line, this event included
   */
  add(kind: string, write: (events: number) => void): void {
    const last = this.#kinds.get(kind) ?? { atMs: Number.NEGATIVE_INFINITY, events: 0 };
    this.#kinds.set(kind, last);
    last.events++;
    const now = this.#now();
    if (now - last.atMs < this.#intervalMs) return;
    const { events } = last;
    Object.assign(last, { atMs: now, events: 0 });
    write(events);
  }
}

/** The minimum interval between two lines about failures of a background task, in milliseconds. */
export const FAILURE_LOG_INTERVAL_MS = 60_000;

/** The number of causes that belong to the kind of an error. A chain of causes can be a circle. */
const MAX_CAUSES = 5;

/**
 * Returns the kind of an error: the classes and the codes of the error and its causes. A failure for another reason is
 * then logged at once.
 */
export function kindOf(error: unknown): string {
  const kinds: string[] = [];
  for (let cause = error; cause instanceof Error && kinds.length <= MAX_CAUSES; cause = cause.cause)
    kinds.push('code' in cause ? `${cause.name} ${cause.code}` : cause.name);
  return kinds.join(' < ');
}
