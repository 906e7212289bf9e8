import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { LeaseLostError } from 'grpc-replay-guard/database';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import type { Claim, ClaimRequest, IdempotencyStore, NotClaimed } from 'grpc-replay-guard/store';
import { dataAt, freshData } from '../../helpers/databases/engines.js';
import type { Cleanup } from '../../helpers/databases/postgres.js';
import {
  type Answer,
  LEASE_MS,
  type Position,
  RETENTION_MS,
  ReferenceSeries,
} from '../references/reference-series.js';
import { must, type Setup, type Target } from '../target.js';

/** A step of producers, of executions, or of time. */
type Step =
  | {
      readonly do: 'claim';
      readonly producer: number;
      /** The epoch minus the current epoch, and the sequence minus the next sequence. */
      readonly epochs: number;
      readonly ahead: number;
      readonly payload: number;
      /** Whether the claim ends at once, if it is granted. */
      readonly completes: boolean;
    }
  /** `open` chooses among the claims that have not ended. */
  | { readonly do: 'complete' | 'fail' | 'release' | 'renew'; readonly open: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'purge' };

const often = (value: number, rare: fc.Arbitrary<number>) =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: rare });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('claim'),
      producer: fc.nat(1),
      epochs: fc.oneof(
        { weight: 6, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: -1, max: 2 }) },
      ),
      ahead: often(0, fc.integer({ min: -7, max: 3 })),
      payload: often(1, fc.constant(2)),
      completes: fc.oneof({ weight: 2, arbitrary: fc.constant(true) }, fc.constant(false)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.oneof(
        { weight: 3, arbitrary: fc.constant('complete' as const) },
        fc.constantFrom('fail', 'release', 'renew'),
      ),
      open: fc.nat(3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('wait'),
      ms: fc.oneof(
        { weight: 6, arbitrary: fc.constantFrom(1, LEASE_MS - 1, LEASE_MS, LEASE_MS + 1) },
        { weight: 1, arbitrary: fc.constantFrom(RETENTION_MS - 1, RETENTION_MS, RETENTION_MS + 1) },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge') }) },
);

/** A store, with the clock that it uses. Without a clock the time of the store cannot be moved. */
interface Engine {
  readonly name: string;
  readonly store: IdempotencyStore;
  readonly clock?: { now: number };
}

/** Sequences of producers at the stores, against the rules of the contract. */
export const sequencesTarget: Target<readonly Step[]> = {
  title: 'sequences of producers at the stores',
  inputs: fc.array(step, { minLength: 1, maxLength: 30, size: 'max' }),
  quickRuns: 60,
  requires: [
    'claimed',
    'ended',
    'completed',
    'in-progress',
    'gap',
    'fenced',
    'outdated',
    'lease lost',
    'taken over',
  ],
  planted: 'the store ignores the epoch',
  async open(t, setup) {
    const engines = await openEngines(t, setup);
    let inputs = 0;
    return {
      async check(steps) {
        const name = `input ${inputs++}`;
        for (const engine of engines) await new Series(engine, name, setup).run(steps);
      },
    };
  },
};

async function openEngines(t: Cleanup, { postgresUrl }: Setup): Promise<Engine[]> {
  const [memory, sqlite] = [{ now: Date.now() }, { now: Date.now() }];
  const file = await freshData(t, 'sqlite');
  const engines: Engine[] = [
    { name: 'memory', store: createMemoryStore({ clock: () => memory.now }), clock: memory },
    { name: 'SQLite', store: (await file.open({ clock: () => sqlite.now })).store, clock: sqlite },
  ];
  if (postgresUrl === undefined) return engines;
  const opened = await dataAt(t, 'postgres', postgresUrl).open({ maxConnections: 3 });
  return [...engines, { name: 'Postgres', store: opened.store }];
}

interface OpenClaim {
  readonly number: number;
  readonly producer: number;
  readonly claim: Claim;
}

/** Runs steps at a store and at the reference. */
class Series {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #setup: Setup;
  readonly #references = [new ReferenceSeries(), new ReferenceSeries()] as const;
  #open: OpenClaim[] = [];
  #claims = 0;

  constructor(engine: Engine, name: string, setup: Setup) {
    this.#engine = engine;
    this.#name = name;
    this.#setup = setup;
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const [index, each] of steps.entries()) {
      const [expected, actual] = await this.#step(each);
      this.#setup.count(expected.split(' ')[0] === 'lease' ? expected : (expected.split(' ')[0] as string));
      must(expected === actual, `${this.#engine.name}, step ${index}: '${actual}' instead of '${expected}'`);
    }
    for (const { claim } of this.#open) await claim.release();
  }

  async #step(each: Step): Promise<[Answer, Answer]> {
    if (each.do === 'claim') return this.#claim(each);
    if (each.do === 'purge') {
      await this.#engine.store.purge(100);
      return ['purged', 'purged'];
    }
    if (each.do === 'wait') {
      const { clock } = this.#engine;
      if (clock) clock.now += each.ms;
      // After the retention a record may be gone or not, so that the end of its claim is not defined.
      if (each.ms >= RETENTION_MS - 1) this.#open = [];
      return ['waited', 'waited'];
    }
    const chosen = this.#open[each.open % Math.max(1, this.#open.length)];
    if (!chosen) return ['nothing', 'nothing'];
    if (each.do !== 'renew') this.#open = this.#open.filter((one) => one !== chosen);
    return this.#end(each.do, chosen);
  }

  async #claim({
    producer,
    epochs,
    ahead,
    payload,
    completes,
  }: Step & { do: 'claim' }): Promise<[Answer, Answer]> {
    const reference = this.#references[producer] as ReferenceSeries;
    const epoch = Math.max(0, reference.epoch) + epochs;
    const sequence = (epoch > reference.epoch ? 0 : reference.completed + 1) + ahead;
    if (epoch < 0 || sequence < 0) return ['nothing', 'nothing'];
    const position = { epoch, sequence, payload };
    const number = this.#claims++;
    const expected = reference.claim(position, number, this.#now());
    const result = await this.#engine.store.claim(this.#request(position, producer));
    if (result.outcome !== 'claimed') return [expected, answerOf(result)];
    if (result.claim.takenOver) this.#setup.count('taken over');
    const open = { number, producer, claim: result.claim };
    if (completes && expected === 'claimed') return this.#end('complete', open);
    this.#open.push(open);
    return [expected, 'claimed'];
  }

  async #end(
    how: 'complete' | 'fail' | 'release' | 'renew',
    { number, producer, claim }: OpenClaim,
  ): Promise<[Answer, Answer]> {
    const reference = this.#references[producer] as ReferenceSeries;
    const reply = `reply ${number}`;
    const ended = (isOwned: boolean): Answer => (isOwned ? 'ended' : 'lease lost');
    if (how === 'release') {
      reference.release(number);
      await claim.release();
      return ['released', 'released'];
    }
    const expected =
      how === 'renew' ? reference.renew(number, this.#now()) : reference.complete(number, reply);
    const work = how === 'renew' ? () => claim.renew() : () => claim[how](Buffer.from(reply));
    const actual = await work().then(
      () => true,
      (error) => {
        must(error instanceof LeaseLostError, `${how}: ${String(error)}`);
        return false;
      },
    );
    return [ended(expected), ended(actual)];
  }

  /** Without a clock of its own, the reference stands still: no lease and no retention ends in its time. */
  #now(): number {
    return this.#engine.clock?.now ?? 0;
  }

  #request({ epoch, sequence, payload }: Position, producer: number): ClaimRequest {
    const hasClock = this.#engine.clock !== undefined;
    return {
      scope: 'fuzz',
      id: digest(`${this.#name} ${producer} ${epoch} ${sequence}`),
      fingerprint: digest(String(payload)),
      atomicity: 'LEASE',
      leaseMs: hasClock ? LEASE_MS : 3_600_000,
      retentionMs: hasClock ? RETENTION_MS : 86_400_000,
      series: {
        id: digest(`${this.#name} ${producer}`),
        epoch: this.#setup.planted ? 0n : BigInt(epoch),
        sequence: BigInt(sequence),
      },
    };
  }
}

const digest = (text: string) => createHash('sha256').update(text).digest();
const payloads = new Map([1, 2].map((payload) => [digest(String(payload)).toString('hex'), payload]));

function answerOf(result: NotClaimed): Answer {
  switch (result.outcome) {
    case 'completed':
      return `completed ${payloads.get(result.fingerprint.toString('hex'))} ${result.reply}`;
    case 'gap':
      return result.expected === undefined ? 'gap' : `gap ${result.expected}`;
    case 'fenced':
      return `fenced ${result.epoch}`;
    default:
      return result.outcome;
  }
}
