import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import fc from 'fast-check';
import { sequenceSettings } from '../../helpers/calls/sequence-settings.js';
import { engines } from '../../helpers/databases/engines.js';
import { assertProperty } from '../../helpers/messages/assert-property.js';
import { type LedgerMethod, methods, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';

/** One call of a producer, relative to the state of the series. */
interface Move {
  /** The sequence of the call minus the next sequence of the series. */
  readonly ahead: number;
  /** The epoch of the call minus the current epoch. */
  readonly epochs: number;
  readonly payload: number;
  /** Whether the handler fails. */
  readonly fails: boolean;
}

const often = <T>(value: T, arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(value) }, { weight: 1, arbitrary });
const move: fc.Arbitrary<Move> = fc.record({
  ahead: often(0, fc.integer({ min: -7, max: 2 })),
  epochs: fc.oneof(
    { weight: 9, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -1, max: 2 }) },
  ),
  payload: often(1, fc.constant(2)),
  fails: often(false, fc.constant(true)),
});

/** A model of the contract for the sequential calls of one producer. */
class ProducerModel {
  epoch = -1;
  completed = -1;
  readonly #kept = new Map<number, { payload: number; id: string }>();
  /** Whether a claim commits before the handler runs. A new epoch then begins even if its first call fails. */
  readonly #commitsClaim: boolean;

  constructor(commitsClaim: boolean) {
    this.#commitsClaim = commitsClaim;
  }

  /**
   * Returns the expected result of a call. `new` is an execution that succeeds. `failed` is an execution that fails.
   * `=` and an id is a replay of the reply with this id. Any other text is the reason of a refusal.
   */
  answer(epoch: number, sequence: number, { payload, fails }: Move, id: string): string {
    if (epoch < this.epoch) return 'PRODUCER_FENCED';
    const isNew = epoch > this.epoch;
    const completed = isNew ? -1 : this.completed;
    if (sequence <= completed) {
      const kept = this.#kept.get(sequence);
      if (!kept) return 'KEY_EXPIRED';
      return kept.payload === payload ? `=${kept.id}` : 'KEY_REUSED';
    }
    const isNext = completed < 0 ? sequence <= 1 : sequence === completed + 1;
    if (!isNext) return completed < 0 ? 'SEQUENCE_GAP' : `SEQUENCE_GAP ${completed + 1}`;
    if (isNew && (!fails || this.#commitsClaim)) this.#begin(epoch);
    if (fails) return 'failed';
    this.completed = sequence;
    this.#kept.set(sequence, { payload, id });
    for (const old of this.#kept.keys()) if (old <= sequence - 5) this.#kept.delete(old);
    return 'new';
  }

  #begin(epoch: number): void {
    this.epoch = epoch;
    this.completed = -1;
    this.#kept.clear();
  }
}

for (const engine of ['memory', ...engines] as const) {
  for (const method of methods) {
    test.serial(
      `${engine}: random calls of a producer to ${method} get the results of the contract`,
      async (t) => {
        let next = { id: '', fails: false };
        const ledger = await openLedger(t, engine, {
          handlers: () =>
            onBoth((_account, callback) => {
              if (next.fails) callback({ code: status.ABORTED, details: 'aborted' });
              else callback(null, method === 'append' ? { entryId: next.id } : { transferId: next.id });
            }),
        });
        const send = (by: LedgerMethod, payload: number, settings: ReturnType<typeof sequenceSettings>) =>
          by === 'append'
            ? ledger.append(undefined, { amountMinor: payload }, settings)
            : ledger.transfer(undefined, { amountMinor: payload }, settings);
        const property = fc.asyncProperty(fc.array(move, { minLength: 5, maxLength: 25 }), async (moves) => {
          const producer = randomUUID();
          const model = new ProducerModel(engine === 'memory' || method === 'transfer');
          for (const [index, one] of moves.entries()) {
            const epoch = Math.max(model.epoch, 0) + one.epochs;
            const sequence = (epoch > model.epoch ? 0 : model.completed + 1) + one.ahead;
            if (epoch < 0 || sequence < 0) continue;
            next = { id: `${producer} ${index}`, fails: one.fails };
            const before = ledger.entered;
            const expected = model.answer(epoch, sequence, one, next.id);
            const reply = await send(method, one.payload, sequenceSettings(producer, sequence, epoch));
            const info = reply.statusDetails?.errorInfo;
            const reason =
              info && [info.reason.replace('IDEMPOTENCY_', ''), info.metadata.expected].filter(Boolean);
            const message = reply.message as { entryId?: string; transferId?: string } | undefined;
            const id = method === 'append' ? message?.entryId : message?.transferId;
            const actual =
              reason?.join(' ') ??
              (reply.code === status.ABORTED ? 'failed' : reply.replayed ? `=${id}` : 'new');
            const executed = ledger.entered > before;
            if (actual !== expected || executed !== ['new', 'failed'].includes(actual))
              throw new Error(`call ${index}: ${epoch}/${sequence}: ${actual} instead of ${expected}`);
          }
        });
        await assertProperty(t, property, engine === 'memory' ? 40 : 12);
      },
    );
  }
}
