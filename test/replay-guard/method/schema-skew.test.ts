import { status } from '@grpc/grpc-js';
import test from 'ava';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';

const emptied = emptiedData(test);
const versions = ['now', 'next'] as const;

for (const engine of engines) {
  for (const [first, second] of [versions, versions.toReversed()] as const) {
    test.serial(
      `${engine}: a server with schema "${second}" replays the bytes of a server with schema "${first}"`,
      async (t) => {
        const data = await emptied(t, engine);
        const answer = { entryId: 'id', balanceMinor: 7, labels: { b: '1', a: '2' }, currency: 'EUR' };
        const handlers = () => ({
          Append: (_call: unknown, callback: (error: null, reply: typeof answer) => void) =>
            callback(null, answer),
        });
        const writing = await openLedger(t, data, { version: first as 'now' | 'next', handlers });
        const stored = await writing.append('key', { account: 'alice' });
        t.is(stored.code, status.OK);
        t.is(stored.bytes?.includes('EUR'), first === 'next');
        await writing.guard.close();
        writing.server.kill();
        const reading = await openLedger(t, data, { version: second as 'now' | 'next', handlers });
        const replay = await reading.append('key', { account: 'alice' });
        t.like(replay, { code: status.OK, replayed: true });
        t.deepEqual(replay.bytes, stored.bytes);
        t.is(reading.entered, 0);
      },
    );
  }
}
