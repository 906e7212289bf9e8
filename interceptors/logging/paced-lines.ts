import { outsideOfRequests } from '../context/copies.js';

/** The maximum number of kinds in an interval. Events of all further kinds count as one kind. */
const MAX_KINDS = 1_000;

/** The events of one kind. */
interface Kind {
  /** When the last line was written, by `performance.now()`. */
  atMs: number;
  /** The number of events without a line since the last line. */
  suppressed: number;
  /** Writes the line of the last suppressed event. Removed after use, because the function can hold the call of the event. */
  write: ((suppressed: number) => void) | undefined;
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
  /** The kinds by name, in the order of their last lines. */
  readonly #kinds = new Map<string, Kind>();

  /** @param intervalMs the minimum interval between two lines about one kind, in milliseconds, at most 2^31 - 1 */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /**
   * Adds an event.
   * @param kind the kind of the event
   * @param write writes the line, and must not throw; receives the number of events of this kind without a line since the last line
   */
  add(kind: string, write: (suppressed: number) => void): void {
    const [name, known] = this.#find(kind);
    const pauseMs = known.atMs + this.#intervalMs - performance.now();
    if (pauseMs <= 0 && !known.timer) {
      this.#write(name, known, write);
      return;
    }
    known.write = write;
    known.suppressed++;
    // The process must not stay alive for a log line.
    known.timer ??= outsideOfRequests(() => setTimeout(() => this.#end(name, known), pauseMs).unref());
  }

  #end(name: string, kind: Kind): void {
    const { write } = kind;
    kind.timer = undefined;
    kind.write = undefined;
    // The line is about the last event, so this event is not suppressed.
    kind.suppressed--;
    if (write) this.#write(name, kind, write);
  }

  #write(name: string, kind: Kind, write: (suppressed: number) => void): void {
    const { suppressed } = kind;
    kind.atMs = performance.now();
    kind.suppressed = 0;
    this.#kinds.delete(name);
    this.#kinds.set(name, kind);
    write(suppressed);
  }

  /** Returns the kind of this name. If there are too many kinds in the interval, returns the kind of all others. */
  #find(name: string): [name: string, kind: Kind] {
    const known = this.#kinds.get(name);
    if (known) return [name, known];
    if (this.#kinds.size >= MAX_KINDS && !this.#forgetOldest() && name !== '') return this.#find('');
    return [name, { atMs: Number.NEGATIVE_INFINITY, suppressed: 0, write: undefined, timer: undefined }];
  }

  /** Forgets the kind with the oldest line. Returns false if its interval has not ended. */
  #forgetOldest(): boolean {
    const [oldest] = this.#kinds;
    if (!oldest) return false;
    const [name, { atMs, timer }] = oldest;
    if (timer || performance.now() - atMs < this.#intervalMs) return false;
    return this.#kinds.delete(name);
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
