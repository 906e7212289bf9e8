import {
  Client,
  type ClientUnaryCall,
  credentials,
  type Interceptor,
  Metadata,
  type status,
} from '@grpc/grpc-js';
import {
  createIdempotencyInterceptor,
  createRetryServiceConfig,
  type Intent,
  newIntent,
  type Outcome,
  readMethodsOf,
  type SendClock,
  type SendUnary,
  sendUntilKnown,
  withIdempotencyKey,
  withSequence,
} from 'grpc-replay-guard/client';
import { expectType } from './expect-type.js';

interface Order {
  readonly orderId: string;
}
declare const send: SendUnary<Order>;

// The interceptor is an option of grpc-js clients.
const interceptor = createIdempotencyInterceptor();
expectType<Interceptor>()(interceptor);
new Client('localhost:1', credentials.createInsecure(), { interceptors: [interceptor] });
createIdempotencyInterceptor({ skip: ['/a.B/C'] });
createIdempotencyInterceptor({ skip: (path) => path.endsWith('/Get') });
// @ts-expect-error an unknown option
createIdempotencyInterceptor({ ignore: ['/a.B/C'] });
// @ts-expect-error a single path is not a list
createIdempotencyInterceptor({ skip: '/a.B/C' });

// A check of `outcome` narrows the type.
const outcome: Outcome<Order> = await sendUntilKnown(send);
if (outcome.outcome === 'done') {
  expectType<Order>()(outcome.response);
  expectType<Date | undefined>()(outcome.expiresAt);
} else if (outcome.outcome === 'refused') {
  expectType<status>()(outcome.code);
  expectType<string | undefined>()(outcome.reason);
  // @ts-expect-error a refused operation has no response
  outcome.response;
} else {
  expectType<'unknown'>()(outcome.outcome);
  expectType<string>()(outcome.key);
  expectType<boolean>()(outcome.retryLater);
}
// @ts-expect-error the response is known only after the outcome was checked
outcome.response;
// @ts-expect-error outcomes are readonly
outcome.outcome = 'done';

sendUntilKnown(send, {
  intent: newIntent(),
  retentionMs: 3_600_000,
  initialBackoffMs: 10,
  maxBackoffMs: 100,
});
// @ts-expect-error an unknown option
sendUntilKnown(send, { ttlMs: 3_600_000 });
// @ts-expect-error a clock also waits
sendUntilKnown(send, { clock: { now: () => 0 } });
const clock: SendClock = { now: () => 0, wait: async () => {} };
sendUntilKnown(send, { clock });
sendUntilKnown<Order>((_metadata, _options, _callback): ClientUnaryCall => {
  throw new Error('not connected');
});
// @ts-expect-error a send returns the call
sendUntilKnown<Order>(() => {});

// Keys, sequences and intents.
const intent: Intent = newIntent();
expectType<string | undefined>()(intent.firstSent);
expectType<Metadata>()(withIdempotencyKey(intent.key, intent, new Metadata()));
// @ts-expect-error a key is a text
withIdempotencyKey(1);
expectType<Metadata>()(withSequence({ producer: 'shop', sequence: 1n, epoch: 2 }));
// @ts-expect-error the producer is missing
withSequence({ sequence: 1 });
// @ts-expect-error a sequence is a number
withSequence({ producer: 'shop', sequence: '1' });

expectType<string[]>()(readMethodsOf({}, {}));
const config = createRetryServiceConfig({ services: ['a.B'], maxAttempts: 3, initialBackoffMs: 10 });
expectType<number | undefined>()(config.methodConfig[0]?.retryPolicy.maxAttempts);
// @ts-expect-error an unknown option
createRetryServiceConfig({ firstMs: 10 });
