import { randomUUID } from 'node:crypto';
import type { Random } from '../../helpers/faults/seeded-random.js';
import { type LoadMethod, type LoadOperation, methods } from '../judge/history.js';

const SCOPES = ['alice', 'bob', 'carol'] as const;

/** Creates the operations of a round. Some share key and request with operations of other callers. */
export class Operations {
  /** Every operation so far. */
  readonly all: LoadOperation[] = [];
  readonly #random: Random;
  readonly #producers = new Map<string, number>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** Returns the next operations that clients send at the same time: one, or one for each caller. */
  next(): LoadOperation[] {
    const method = methods[this.#under(methods.length)] as LoadMethod;
    const name = { key: randomUUID() };
    const account = this.#account();
    const first = this.#under(SCOPES.length);
    const scopes = this.#random() < 0.2 ? SCOPES : [SCOPES[first] as string];
    return scopes.map((scope) => this.#add({ scope, method, name, account }));
  }

  /** Returns the next operation of a producer. */
  nextOf(producer: string, method: LoadMethod): LoadOperation {
    const sequence = this.#producers.get(producer) ?? 0;
    this.#producers.set(producer, sequence + 1);
    return this.#add({ scope: 'dave', method, name: { producer, sequence }, account: this.#account() });
  }

  #account(): string {
    const chance = this.#random();
    const ending = chance < 0.08 ? 'rejected' : chance < 0.2 ? 'flaky' : 'done';
    return `${ending} ${randomUUID()}`;
  }

  #add(operation: LoadOperation): LoadOperation {
    this.all.push(operation);
    return operation;
  }

  #under(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}
