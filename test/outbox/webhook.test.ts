import type { ServerResponse } from 'node:http';
import test, { type ExecutionContext } from 'ava';
import { createOutbox, type OutboxObserver, type Relay } from 'grpc-replay-guard/outbox';
import { createWebhookDestination, type WebhookOptions } from 'grpc-replay-guard/outbox/webhook';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import {
  append,
  NEVER_MS,
  openOutbox,
  RecordingObserver,
  relayTo,
  rounds,
  states,
} from '../helpers/databases/outbox.js';
import { startReceiver, WEBHOOK_SECRET } from '../helpers/servers/webhook-receiver.js';
import { poll } from '../helpers/waiting/poll.js';

const data = emptiedData(test);

const retry = { initialBackoffMs: NEVER_MS, maxBackoffMs: NEVER_MS };

/** An outbox whose notes go to a webhook receiver. */
async function open(
  t: ExecutionContext,
  engine: 'sqlite' | 'postgres',
  options: Partial<WebhookOptions> = {},
) {
  const outbox = await openOutbox(await data(t, engine));
  const receiver = await startReceiver(t);
  const recorder = new RecordingObserver();
  const { url } = receiver;
  const desk = createWebhookDestination({ url, secret: WEBHOOK_SECRET, types: ['note'], retry, ...options });
  const relay = relayTo(t, outbox, desk, { observer: recorder });
  return { outbox, receiver, recorder, relay };
}

for (const engine of engines) {
  test.serial(
    `${engine}: a receiver gets every event in order after failures, with equal bodies in all attempts`,
    async (t) => {
      const { outbox, receiver, recorder, relay } = await open(t, engine);
      const options = { url: receiver.url, secret: WEBHOOK_SECRET, types: ['note'], retry };
      const hasty = relayTo(t, outbox, createWebhookDestination({ ...options, timeoutMs: 50 }), {
        observer: recorder,
      });
      const [first, second, other] = await append(outbox, ['a', 1], ['a', 2], ['b', 1]);
      const cut = (response: ServerResponse) => void response.destroy();
      const failures: [Relay, () => Promise<void> | void][] = [
        [relay, () => void receiver.answers.push(500, 503)],
        [relay, () => void receiver.answers.push(429, 429)],
        [relay, () => void receiver.answers.push(408, 425)],
        [relay, () => void receiver.answers.push(cut, cut)],
        [hasty, () => receiver.hang()],
        [relay, () => receiver.down()],
      ];
      for (const [by, fail] of failures) {
        await fail();
        t.is(await by.runOnce(), 0);
        await outbox.database.query('UPDATE replay_guard_outbox SET due_at = 0');
      }
      await receiver.up();
      t.deepEqual(await rounds(relay), [2, 1]);

      t.is(receiver.forged, 0);
      t.is(recorder.log.filter((entry) => entry.startsWith('failed')).length, 2 * failures.length);
      const of = (id?: string) => receiver.received.filter((each) => each.id === id);
      // The attempts during `hang` and `down` did not reach the receiver.
      t.deepEqual([of(first).length, of(second).length, of(other).length], [5, 1, 5]);
      for (const id of [first, other]) t.is(new Set(of(id).map(({ body }) => body)).size, 1);
      t.is(receiver.received.filter(({ id }) => id !== other).at(-1)?.id, second);
      const { type, data: payload, timestamp, ...more } = JSON.parse(of(first)[0]?.body ?? '');
      t.deepEqual({ type, payload, more }, { type: 'note', payload: { number: 1 }, more: {} });
      t.is(new Date(timestamp).toISOString(), timestamp);
      t.like(of(first)[0]?.headers, { 'content-type': 'application/json' });
    },
  );

  test.serial(`${engine}: status 410 ends the subscription`, async (t) => {
    const { outbox, receiver, recorder, relay } = await open(t, engine);
    await append(outbox, ['a', 1], ['a', 2]);
    receiver.answers.push(410);
    t.deepEqual(await rounds(relay), []);
    t.deepEqual(await rounds(relay), []);
    t.is(receiver.received.length, 1);
    t.deepEqual(recorder.log, ['ended desk']);
    t.is((await outbox.report())[0]?.closed[0]?.reason, 'the receiver answered 410');
    await outbox.reopen('desk');
    t.deepEqual(await rounds(relay), [1, 1]);
    t.is(receiver.received[1]?.body, receiver.received[0]?.body);
  });

  test.serial(
    `${engine}: permanent statuses make dead letters, and redirects are not followed`,
    async (t) => {
      const { outbox, receiver, recorder, relay } = await open(t, engine);
      const answers = [400, 401, 403, 404, 413, 302, 304];
      receiver.answers.push(...answers);
      for (const answer of answers) {
        await append(outbox, [String(answer), 1]);
        t.is(await relay.runOnce(), 0);
      }
      t.deepEqual(
        recorder.log,
        answers.map((answer) => `dead ${answer}`),
      );
      t.deepEqual(
        (await outbox.deadLetters()).map(({ error }) => error),
        answers.map((answer) => `UndeliverableError: the receiver answered ${answer}`),
      );
      t.true(receiver.received.every(({ path }) => path === '/hook'));
      t.is(await outbox.requeueAll('desk'), answers.length);
      t.deepEqual(await rounds(relay), [answers.length]);
    },
  );
}

test.serial(
  'a wrong secret gives a wrong signature, and a payload of bytes makes a dead letter',
  async (t) => {
    const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
    const { outbox, receiver, relay } = await open(t, 'sqlite', { secret });
    await append(outbox, ['a', 1]);
    await outbox.database.transaction(() =>
      outbox.append({ type: 'note', aggregate: 'b', payload: Buffer.from('x') }),
    );
    t.is(await relay.runOnce(), 0);
    t.deepEqual([receiver.forged, receiver.received.length], [1, 0]);
    const errors = (await outbox.deadLetters()).map(({ error }) => error).sort();
    t.regex(errors[0] ?? '', /sends JSON, but the payload/);
    t.regex(errors[1] ?? '', /answered 401/);
  },
);

test.serial('the connection of an endless response body is closed', async (t) => {
  const { outbox, receiver, relay } = await open(t, 'sqlite');
  await append(outbox, ['a', 1]);
  let closed = false;
  receiver.answers.push((response) => {
    response.on('close', () => {
      closed = true;
    });
    response.writeHead(200).write('and so on');
  });
  t.deepEqual(await rounds(relay), [1]);
  await poll('the connection is closed', () => closed);
});

test.serial('the pause of Retry-After is respected up to maxBackoffMs', async (t) => {
  const HOUR_MS = 3_600_000;
  const at = (ms: number) => new Date(Date.now() + ms).toUTCString();
  const cases: [status: number, retryAfter: string | undefined, pauseMs: number][] = [
    [429, '30', 30_000],
    [503, '30', 30_000],
    [503, '120', 60_000],
    [429, '999999999', 60_000],
    [429, at(HOUR_MS), 60_000],
    [503, at(-HOUR_MS), 500],
    [503, '0', 500],
    [429, 'soon', 500],
    [429, '-5', 500],
    [429, '1e9', 500],
    [429, '2099', 60_000],
    [429, undefined, 500],
    [500, '30', 500],
  ];
  const outbox = await openOutbox(await data(t, 'sqlite'));
  const { url, answers } = await startReceiver(t);
  const pauses: (number | undefined)[] = [];
  const retry = { initialBackoffMs: 1_000, maxBackoffMs: 60_000 };
  const desk = createWebhookDestination({ url, secret: WEBHOOK_SECRET, types: ['note'], retry });
  const observer = {
    failed: (...[, , , retryInMs]: Parameters<OutboxObserver['failed']>) => void pauses.push(retryInMs),
  };
  const relay = relayTo(t, outbox, desk, { observer, random: () => 0 });
  for (const [index, [status, retryAfter]] of cases.entries()) {
    await append(outbox, [`a${index}`, 1]);
    answers.push((response) => {
      response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end();
    });
    t.is(await relay.runOnce(), 0);
  }
  t.deepEqual(
    pauses,
    cases.map(([, , pauseMs]) => pauseMs),
  );
});

test.serial('a failing receiver does not delay another destination', async (t) => {
  const source = await data(t, 'sqlite');
  const { database } = await openOutbox(source);
  const outbox = createOutbox({ database, routes: { note: ['desk', 'shelf'] } });
  const receiver = await startReceiver(t);
  const desk = createWebhookDestination({
    url: receiver.url,
    secret: WEBHOOK_SECRET,
    types: ['note'],
    retry,
  });
  const shelf = { deliveries: { note: async () => {} } };
  const relay = relayTo(t, outbox, desk, { destinations: { desk, shelf } });
  await append(outbox, ['a', 1], ['a', 2]);
  receiver.answers.push(500);
  t.deepEqual(await rounds(relay), [1, 1]);
  t.deepEqual(await states(database, 'shelf'), [
    [1, 'delivered'],
    [1, 'delivered'],
  ]);
  t.deepEqual(await states(database), [
    [1, 'pending'],
    [0, 'pending'],
  ]);
});

test('a webhook needs an https or loopback URL without a password, and a valid secret', (t) => {
  const secret = WEBHOOK_SECRET;
  const make =
    (url: string, given = secret) =>
    () =>
      createWebhookDestination({ url, secret: given, types: [] });
  for (const url of [
    'https://example.com/x?y',
    'http://127.0.0.1:1',
    'http://localhost/',
    'http://[::1]:8080/',
  ]) {
    t.notThrows(make(url), url);
  }
  for (const url of [
    'http://example.com',
    'http://10.0.0.1',
    'http://127.evil.com',
    'ftp://localhost',
    '/x',
    '',
  ]) {
    t.throws(make(url), { instanceOf: TypeError, message: /^url must be an https URL/ }, url);
  }
  t.throws(make('https://user:secret@example.com'), {
    instanceOf: TypeError,
    message: /^url must contain no user/,
  });
  const of = (bytes: number) => `whsec_${Buffer.alloc(bytes, 1).toString('base64')}`;
  t.notThrows(make('https://example.com', of(24)));
  t.notThrows(make('https://example.com', of(64)));
  for (const wrong of [of(23), of(65), of(32).slice(6), `${of(32)}!`, 'whsec_', '', `${of(24)}A`]) {
    t.throws(
      make('https://example.com', wrong),
      { instanceOf: TypeError, message: /^secret must be whsec_/ },
      wrong,
    );
  }
  t.not(make('https://a.example')().endpoint, make('https://b.example')().endpoint);
});
