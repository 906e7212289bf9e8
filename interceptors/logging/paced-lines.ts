import { outsideOfRequests } from '../context/copies.js';

/** The maximum number of kinds. Events of all further kinds count as one kind. */
const MAX_KINDS = 1_000;

/** The events of one kind. */
interface Kind {
  /** When the last line was written, by `performance.now()`. */
  atMs: number;
  /** The number of events without a line since the last line. */
  suppressed: number;
  /** Writes the line of the last event. */
  write: (suppressed: number) => void;
  /** Writes a line about the suppressed events at the end of the interval. Undefined if there are none. */
  timer: NodeJS.Timeout | undefined;
}

/**
 * Writes log lines about events that repeat. The first event of a kind is written at once. During the interval after a
 * line, further events of its kind are counted only. At the end of the interval, a line about the last of them states
 * their number. So an event is reported after one interval at the latest.
 */
export class PacedLines {
  readonly #intervalMs: number;
  readonly #kinds = new Map<string, Kind>();

  /** @param intervalMs the minimum interval between two lines about one kind, in milliseconds, at most 2^31 - 1 */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /**
   * Adds an event.
   * @param kind the kind of the event
   * @param write writes the line; receives the number of events of this kind without a line since the last line
   */
  add(kind: string, write: (suppressed: number) => void): void {
    const known = this.#kindOf(kind);
    known.write = write;
    const pauseMs = known.atMs + this.#intervalMs - performance.now();
    if (pauseMs <= 0 && !known.timer) {
      this.#write(known);
      return;
    }
    known.suppressed++;
    // The process must not stay alive for a log line.
    known.timer ??= outsideOfRequests(() => setTimeout(() => this.#end(known), pauseMs).unref());
  }

  #end(kind: Kind): void {
    kind.timer = undefined;
    // The line is about the last event, so this event is not suppressed.
    kind.suppressed--;
    this.#write(kind);
  }

  #write(kind: Kind): void {
    const { suppressed, write } = kind;
    kind.atMs = performance.now();
    kind.suppressed = 0;
    write(suppressed);
  }

  #kindOf(name: string): Kind {
    const known = this.#kinds.get(name);
    if (known) return known;
    if (this.#kinds.size >= MAX_KINDS && name !== '') return this.#kindOf('');
    const kind: Kind = { atMs: Number.NEGATIVE_INFINITY, suppressed: 0, write: () => {}, timer: undefined };
    this.#kinds.set(name, kind);
    return kind;
  }
}

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
