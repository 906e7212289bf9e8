import {
  type Claim,
  type ClaimRequest,
  type ClaimResult,
  decideSequence,
  type ErasedBatch,
  type FoundProducer,
  type FoundRecord,
  type IdempotencyStore,
  isSequenceRequest,
  type OpenStore,
  type PurgedBatch,
  SEQUENCE_WINDOW_SIZE,
  type SequenceDecision,
  type SequenceRequest,
  SequenceWindow,
  UnreadableWindowError,
} from 'grpc-replay-guard/store';
import { expectType } from './expect-type.js';

declare const store: IdempotencyStore;
declare const request: ClaimRequest;
declare const found: FoundProducer;
declare const opened: OpenStore;

// The result of a claim narrows by its outcome.
const result: ClaimResult = await store.claim(request);
if (result.outcome === 'claimed') {
  expectType<Claim>()(result.claim);
  expectType<Promise<void>>()(result.claim.complete(Buffer.alloc(1)));
  expectType<number>()(result.claim.run(() => 1));
  // @ts-expect-error a reply is bytes
  result.claim.complete('reply');
} else {
  // @ts-expect-error only a claimed key has a claim
  result.claim;
}
if (result.outcome === 'completed') expectType<Buffer>()(result.reply);
if (result.outcome === 'in-progress') expectType<Buffer | undefined>()(result.fingerprint);
if (result.outcome === 'fenced') expectType<bigint>()(result.epoch);
// @ts-expect-error an unknown outcome
result.outcome === 'lost';

expectType<FoundRecord | undefined>()(await store.find(request));
expectType<FoundProducer | undefined>()(await store.findProducer(request));
expectType<Promise<PurgedBatch>>()(store.purge(100));
expectType<Promise<PurgedBatch>>()(store.purge(100, 'position'));
expectType<Promise<ErasedBatch>>()(store.erase('scope', 10));
expectType<Promise<ErasedBatch>>()(store.erase('scope', 10, 'position'));
expectType<Promise<number>>()(store.countLive('scope', 10));
// @ts-expect-error an id is bytes
store.find({ scope: 'scope', id: 'id' });
// @ts-expect-error an address has a scope
store.find({ id: request.id });
// @ts-expect-error requests are readonly
request.leaseMs = 1;

// A store must have every method.
const { ping: _, ...rest } = store;
// @ts-expect-error `ping` is missing
rest satisfies IdempotencyStore;

expectType<IdempotencyStore>()(opened.store);
// @ts-expect-error the store is readonly
opened.store = store;

// A request with a position in a series is a sequence request.
// @ts-expect-error a request may have no position
decideSequence(request, found, 0);
if (isSequenceRequest(request)) {
  expectType<SequenceRequest>()(request);
  expectType<SequenceDecision>()(decideSequence(request, found, 0));
  expectType<SequenceDecision>()(decideSequence(request, undefined, 0));
}
const window = SequenceWindow.read(Buffer.alloc(0), 1n);
expectType<Buffer | undefined>()(window.find(1n)?.reply);
// @ts-expect-error a sequence is a bigint
window.find(1);
// @ts-expect-error the constructor of a window is private
new SequenceWindow(1n, []);
expectType<5>()(SEQUENCE_WINDOW_SIZE);
expectType<string>()(new UnreadableWindowError('a').message);
