import test from 'ava';
import pg from 'pg';
import { claimed, completed, digest, reply, request } from '../../contracts/store/requests.js';
import { dataAt, freshData } from '../../helpers/databases/engines.js';

// An application sets its parsers for the whole process, so this file has a process of its own.
for (const type of Object.values(pg.types.builtins))
  pg.types.setTypeParser(type, (text: string) => `parsed ${text}`);
pg.defaults.binary = true;
pg.defaults.parseInt8 = true;

for (const form of ['hex', 'escape']) {
  test(`global type parsers do not change what the library reads, bytea_output ${form}`, async (t) => {
    const data = await freshData(t, 'postgres');
    const url = new URL(data.url);
    url.searchParams.set('options', `-c bytea_output=${form}`);
    const { database, store } = await dataAt(t, 'postgres', url.href).open();
    await database.migrate('notes', ['CREATE TABLE notes (id BIGINT PRIMARY KEY)']);
    const bytes = Buffer.from([0, 92, 39, 127, 128, 255, 48, 49]);
    for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
      const operation = request({ atomicity });
      await claimed(t, await store.claim(operation)).complete(bytes);
      t.deepEqual(completed(t, await store.claim(operation)).reply, bytes);
      const series = request({ atomicity, series: { id: digest(atomicity), epoch: 0n, sequence: 0n } });
      await claimed(t, await store.claim(series)).complete(reply('first'));
      t.deepEqual(completed(t, await store.claim(series)).reply, reply('first'));
    }
    const text = `SELECT $1::smallint AS small, $2::bigint AS big, $3::bytea AS bytes, $4::text AS text,
      $5::double precision AS float, true AS yes, md5('a')::uuid AS id`;
    t.deepEqual(await database.query<object>(text, [-1, 2n ** 60n, bytes, 'ä', 0.1]), [
      {
        ...{ small: -1n, big: 2n ** 60n, bytes, text: 'ä', float: 0.1, yes: true },
        id: '0cc175b9-c0f1-b6a8-31c3-99e269772661',
      },
    ]);
  });
}
