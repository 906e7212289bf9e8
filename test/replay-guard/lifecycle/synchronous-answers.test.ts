import {
  ResponderBuilder,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from '@grpc/grpc-js';
import test from 'ava';
import type { ScopeSource } from 'grpc-replay-guard';
import { freshData } from '../../helpers/databases/engines.js';
import { onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';

/** Records what the guard does before its processing of the end of a request reanswers. */
class Answers {
  /** For each call, whether the answer was sent before the processing of the request returned. */
  readonly answered: boolean[] = [];
  #isAnswered = false;

  readonly interceptor: ServerInterceptor = (_method, call) =>
    new ServerInterceptingCall(call, {
      ...new ResponderBuilder()
        .withSendStatus((end, next) => {
          this.#isAnswered = true;
          next(end);
        })
        .withSendMessage((message, next) => {
          this.#isAnswered = true;
          next(message);
        })
        .build(),
      start: (next) =>
        next(
          new ServerListenerBuilder()
            .withOnReceiveHalfClose((proceed) => {
              this.#isAnswered = false;
              proceed();
              this.answered.push(this.#isAnswered);
            })
            .build(),
        ),
    });
}

test('sqlite: a stored reply is sent in the turn in which the request arrived', async (t) => {
  const answers = new Answers();
  const ledger = await openLedger(t, await freshData(t, 'sqlite'), { before: [answers.interceptor] });
  const { code, bytes } = await ledger.append('key');
  t.is(code, status.OK);
  t.like(await ledger.append('key'), { replayed: true, bytes });
  t.deepEqual(answers.answered, [false, true]);
});

test('sqlite: a reused key is refused in the turn in which the request arrived', async (t) => {
  const answers = new Answers();
  const ledger = await openLedger(t, await freshData(t, 'sqlite'), { before: [answers.interceptor] });
  await ledger.append('key', { account: 'alice' });
  t.is((await ledger.append('key', { account: 'bob' })).code, status.FAILED_PRECONDITION);
  t.deepEqual(answers.answered, [false, true]);
});

test('a call without a key is refused in the turn in which the request arrived', async (t) => {
  const answers = new Answers();
  const ledger = await openLedger(t, 'memory', { before: [answers.interceptor] });
  t.is((await ledger.append()).code, status.INVALID_ARGUMENT);
  t.deepEqual(answers.answered, [true]);
});

const sources: Record<string, ScopeSource> = {
  'throws synchronously': () => {
    throw new Error('on purpose');
  },
  'gives no scope at once': () => undefined,
};

for (const [what, scope] of Object.entries(sources)) {
  test(`a call whose scope source ${what} is refused as unauthenticated`, async (t) => {
    const ledger = await openLedger(t, 'memory', { guard: { scope } });
    t.is((await ledger.append('key')).code, status.UNAUTHENTICATED);
    t.deepEqual(ledger.outcomes.ended, ['refused']);
  });
}

test('sqlite: a handler that answers synchronously commits, and its duplicates get the reply', async (t) => {
  const ledger = await openLedger(t, await freshData(t, 'sqlite'), {
    handlers: () => onBoth((account, callback) => callback(null, { entryId: account })),
  });
  const replies = await Promise.all([1, 2, 3].map(() => ledger.append('key', { account: 'alice' })));
  for (const reply of replies) t.like(reply, { code: status.OK, bytes: replies[0]?.bytes });
  t.is(ledger.entered, 1);
  t.is(ledger.outcomes.count('executed'), 1);
});
