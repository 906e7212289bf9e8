import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { createOutbox, UndeliverableError, type WakeUps } from 'grpc-replay-guard/outbox';
import { createPostgresWakeUps } from 'grpc-replay-guard/outbox/postgres';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { openUrl } from '../helpers/databases/open-url.js';
import {
  append,
  note,
  notebook,
  openOutbox,
  RecordingObserver,
  relayTo,
} from '../helpers/databases/outbox.js';
import { startProxy } from '../helpers/proxies/postgres-proxy.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const data = emptiedData(test);

/** Resolves when `count` notes are written. */
const written = (notes: readonly string[], count: number) =>
  poll(`${count} notes`, () => notes.length === count);

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, check);

  it('an append in this process wakes the relay after its commit', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const { notes, write } = notebook();
    relayTo(t, outbox, write).start();
    for (const number of [1, 2, 3]) {
      await outbox.database.transaction(async () => {
        await outbox.append(note('a', number));
        // A wake-up before the commit would find no event, and no second wake-up would follow.
        for (let round = 0; round < 20; round++) await nextTurn();
      });
      await written(notes, number);
    }
    t.deepEqual(notes, ['a1', 'a2', 'a3']);
  });

  it('events before the start and events behind a delivery are delivered without a poll', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    await append(outbox, ['a', 1], ['a', 2], ['a', 3]);
    const { notes, write } = notebook();
    relayTo(t, outbox, { deliveries: { note: write }, concurrency: 1 }).start();
    await written(notes, 3);
    t.deepEqual(notes, ['a1', 'a2', 'a3']);
  });

  it('a failed attempt is retried after its pause without a poll', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const { notes, write } = notebook();
    let failures = 2;
    const relay = relayTo(t, outbox, {
      deliveries: {
        note: async (...given) => {
          if (failures-- > 0) throw new Error('not yet');
          await write(...given);
        },
      },
      retry: { initialBackoffMs: 5, maxBackoffMs: 10 },
    });
    relay.start();
    await append(outbox, ['a', 1]);
    await written(notes, 1);
    t.is(failures, -1);
  });

  it('requeue and discard wake the relay', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const { notes, write } = notebook();
    const recorder = new RecordingObserver();
    let isRefusing = true;
    const relay = relayTo(
      t,
      outbox,
      async (...given) => {
        if (isRefusing) throw new UndeliverableError('never');
        await write(...given);
      },
      { observer: recorder },
    );
    relay.start();
    const [first] = await append(outbox, ['a', 1]);
    const [second] = await append(outbox, ['b', 1], ['b', 2]);
    await Promise.all([recorder.logged('dead a'), recorder.logged('dead b')]);
    isRefusing = false;
    await outbox.requeue(first as string);
    await written(notes, 1);
    await outbox.discard(second as string);
    await written(notes, 2);
    t.deepEqual(notes, ['a1', 'b2']);
  });

  it('a poll finds events whose append sent no wake-up', async (t) => {
    const source = await data(t, engine);
    const [outbox, silent] = [await openOutbox(source), await openOutbox(source)];
    const { notes, write } = notebook();
    relayTo(t, outbox, write, { pollMs: 5 }).start();
    await append(silent, ['a', 1]);
    await written(notes, 1);
    await append(silent, ['a', 2]);
    await written(notes, 2);
    t.deepEqual(notes, ['a1', 'a2']);
  });

  it('a relay continues after a failure of the database', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const { notes, write } = notebook();
    const recorder = new RecordingObserver();
    await outbox.database.query('ALTER TABLE replay_guard_outbox RENAME TO away');
    relayTo(t, outbox, write, { observer: recorder, pollMs: 5 }).start();
    await recorder.logged('error');
    await outbox.database.query('ALTER TABLE away RENAME TO replay_guard_outbox');
    await append(outbox, ['a', 1]);
    await written(notes, 1);
    t.deepEqual(notes, ['a1']);
  });
}

/** Returns a source of wake-ups from Postgres, a barrier that counts the wake-ups, and the errors of the source. */
function startListening(t: ExecutionContext, connectionString: string) {
  const errors: unknown[] = [];
  const source = createPostgresWakeUps({
    client: { connectionString },
    onError: (error) => errors.push(error),
  });
  const woken = new Barrier();
  const wakeUps: WakeUps = {
    start: (wake) =>
      source.start(() => {
        void woken.pass();
        wake();
      }),
    stop: () => source.stop(),
  };
  woken.open();
  t.teardown(() => source.stop());
  return { wakeUps, woken, errors };
}

test.serial('postgres: an append in another process wakes the relay', async (t) => {
  const source = await data(t, 'postgres');
  const [outbox, other] = [await openOutbox(source), await openOutbox(source)];
  const { notes, write } = notebook();
  const { wakeUps, woken } = startListening(t, source.url);
  relayTo(t, outbox, write, { wakeUps }).start();
  // The first wake-up follows the LISTEN.
  await woken.reached();
  for (const number of [1, 2]) {
    await other.database.transaction(async () => {
      await other.append(note('a', number));
      for (let round = 0; round < 20; round++) await nextTurn();
    });
    await written(notes, number);
  }
  t.deepEqual(notes, ['a1', 'a2']);
});

test.serial('postgres: a requeue in another process wakes the relay', async (t) => {
  const source = await data(t, 'postgres');
  const [outbox, other] = [await openOutbox(source), await openOutbox(source)];
  const { notes, write } = notebook();
  const { wakeUps, woken } = startListening(t, source.url);
  const [id] = await append(outbox, ['a', 1], ['a', 2]);
  const refusing = async () => Promise.reject(new UndeliverableError('never'));
  t.is(await relayTo(t, outbox, refusing).runOnce(), 0);
  relayTo(t, outbox, write, { wakeUps }).start();
  await woken.reached();
  await other.requeue(id as string);
  await written(notes, 2);
  t.deepEqual(notes, ['a1', 'a2']);
});

test.serial(
  'postgres: a broken connection is opened again, and events appended meanwhile are delivered',
  async (t) => {
    const source = await data(t, 'postgres');
    const [outbox, other] = [await openOutbox(source), await openOutbox(source)];
    const proxy = await startProxy(t, source.url);
    const { notes, write } = notebook();
    const { wakeUps, woken, errors } = startListening(t, proxy.url);
    relayTo(t, outbox, write, { wakeUps }).start();
    await woken.reached();
    proxy.down();
    await poll('the error of the connection', () => errors.length > 0);
    await append(other, ['a', 1]);
    proxy.up();
    await written(notes, 1);
    // The second event proves that the new connection listens.
    await append(other, ['a', 2]);
    await written(notes, 2);
    t.deepEqual(notes, ['a1', 'a2']);
  },
);

test.serial('postgres: a listener that never connected can be stopped', async (t) => {
  const source = await data(t, 'postgres');
  const proxy = await startProxy(t, source.url);
  proxy.down();
  const { wakeUps, errors } = startListening(t, proxy.url);
  wakeUps.start(() => t.fail());
  await poll('a connection has failed', () => errors.length > 0);
  await wakeUps.stop();
  const { connections } = proxy;
  proxy.up();
  for (let round = 0; round < 100; round++) await nextTurn();
  t.is(proxy.connections, connections);
});

/** A proxy to Postgres. After `cut` it forwards neither data nor the end of a connection. */
async function startSilentProxy(t: ExecutionContext, url: string) {
  const target = new URL(url);
  const sockets: Socket[] = [];
  let isCut = false;
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = dial({ port: Number(target.port), host: target.hostname, allowHalfOpen: true });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.push(from.on('error', () => {}));
      from.on('data', (bytes) => isCut || to.write(bytes)).on('end', () => isCut || to.end());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = () => {
    isCut = true;
  };
  return { url: Object.assign(new URL(url), { host }).href, cut };
}

test.serial('postgres: a relay stops even if the database does not answer', async (t) => {
  const source = await data(t, 'postgres');
  await openOutbox(source);
  const silentProxy = await startSilentProxy(t, source.url);
  const { database } = await openUrl(silentProxy.url);
  const outbox = createOutbox({ database, routes: { note: ['desk'] } });
  const { wakeUps, woken } = startListening(t, silentProxy.url);
  const relay = relayTo(t, outbox, async () => {}, { wakeUps });
  relay.start();
  await woken.reached();
  silentProxy.cut();
  relay.wake();
  let isStopped = false;
  const stops = wakeUps.stop().then(() => relay.stop());
  void stops.then(() => {
    isStopped = true;
  });
  await poll('the relay has stopped', () => isStopped);
  t.pass();
});

test.serial('a relay stops even if the stop of its wake-ups never ends', async (t) => {
  const outbox = await openOutbox(await data(t, 'sqlite'));
  const wakeUps: WakeUps = { start() {}, stop: () => new Promise(() => {}) };
  const relay = relayTo(t, outbox, async () => {}, { wakeUps });
  relay.start();
  let isStopped = false;
  void relay.stop().then(() => {
    isStopped = true;
  });
  await poll('the relay has stopped', () => isStopped);
  t.pass();
});
