import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../../helpers/faults/seeded-random.js';
import { isResult, isTransient } from '../judge/answers.js';
import type { Attempt, LoadMethod, LoadOperation } from '../judge/history.js';
import { Caller } from './caller.js';
import { Operations } from './operations.js';

const DEADLINE_MS = 4_000;
const KEY_WORKERS = 10;
const PRODUCERS: readonly (readonly [string, LoadMethod])[] = [
  ['importer', 'append'],
  ['gateway', 'transfer'],
];

/**
 * Clients that send operations, retry each one until its outcome is known, send duplicates to other servers, disconnect
 * early, and repeat what was answered.
 */
export class Load {
  readonly caller: Caller;
  readonly operations: Operations;
  readonly #random: Random;
  readonly #workers: Promise<void>[];
  readonly #lastOf = new Map<string, LoadOperation>();
  #isStopping = false;
  #givesUp = false;

  constructor(addresses: readonly string[], random: Random) {
    this.caller = new Caller(addresses);
    this.operations = new Operations(random);
    this.#random = random;
    this.#workers = [
      ...Array.from({ length: KEY_WORKERS }, () => this.#sendKeys()),
      ...PRODUCERS.map(([producer, method]) => this.#sendSequences(producer, method)),
    ];
  }

  /** Starts no other operation. Resolves when every outcome is known, or `withinMs` milliseconds have passed. */
  async finish(withinMs: number): Promise<void> {
    this.#isStopping = true;
    const giveUp = setTimeout(() => {
      this.#givesUp = true;
    }, withinMs);
    await Promise.all(this.#workers);
    clearTimeout(giveUp);
  }

  /** Sends every operation once more, and the last one of each producer. Call this method after `finish`. */
  async confirm(): Promise<void> {
    this.#givesUp = false;
    const known = new Set(this.caller.attempts.filter(isResult).map(({ operation }) => operation));
    const last = new Set(this.#lastOf.values());
    const queue = this.operations.all
      .filter((operation) => known.has(operation) && ('key' in operation.name || last.has(operation)))
      .values();
    const until = performance.now() + 30_000;
    const worker = async () => {
      for (const operation of queue) {
        let attempt = await this.#attempt(operation);
        while (!isEnd(attempt) && performance.now() < until) attempt = await this.#attempt(operation);
      }
    };
    await Promise.all(Array.from({ length: KEY_WORKERS }, worker));
  }

  close(): void {
    this.caller.close();
  }

  async #sendKeys(): Promise<void> {
    while (!this.#isStopping) {
      await Promise.all(this.operations.next().map((operation) => this.#pursue(operation)));
      await pause(this.#random() * 10);
    }
  }

  async #sendSequences(producer: string, method: LoadMethod): Promise<void> {
    while (!this.#isStopping) {
      const operation = this.operations.nextOf(producer, method);
      this.#lastOf.set(producer, operation);
      // The next sequence must not be sent before the outcome of this one is known.
      if (!(await this.#pursue(operation))) return;
      await pause(this.#random() * 10);
    }
  }

  /** Sends an operation until its outcome is known, then perhaps again. Resolves to whether the outcome is known. */
  async #pursue(operation: LoadOperation): Promise<boolean> {
    const copies = this.#random() < 0.35 ? this.caller.servers : 1;
    const ends = await Promise.all(Array.from({ length: copies }, () => this.#sendUntilKnown(operation)));
    const isKnown = ends.some(isEnd);
    if (isKnown && this.#random() < 0.3) await this.#attempt(operation);
    if (isKnown && this.#random() < 0.1) {
      await this.caller.call(operation, this.#server(), DEADLINE_MS, true);
    }
    return isKnown;
  }

  async #sendUntilKnown(operation: LoadOperation): Promise<Attempt> {
    for (;;) {
      const attempt = await this.#attempt(operation);
      if (isEnd(attempt) || this.#givesUp) return attempt;
      await pause(10 + this.#random() * 150);
    }
  }

  /** Makes one attempt at a random server. Some clients disconnect early. */
  #attempt(operation: LoadOperation): Promise<Attempt> {
    const isImpatient = this.#random() < 0.04;
    const deadlineMs = isImpatient ? 10 + this.#random() * 100 : DEADLINE_MS;
    return this.caller.call(operation, this.#server(), deadlineMs);
  }

  #server(): number {
    return Math.floor(this.#random() * this.caller.servers);
  }
}

/** Whether a client stops after this answer: a result, or a refusal that no retry changes. */
function isEnd(attempt: Attempt): boolean {
  return isResult(attempt) || !isTransient(attempt);
}
