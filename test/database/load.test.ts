import test from 'ava';
import { createDatabaseMetrics } from 'grpc-replay-guard/database/prometheus';
import { Registry } from 'prom-client';
import { engines, freshData } from '../helpers/databases/engines.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

for (const engine of engines) {
  test(`${engine}: units of work that wait for the writer or a connection are counted and timed`, async (t) => {
    const options = engine === 'postgres' ? { maxConnections: 1 } : {};
    const opened = await (await freshData(t, engine)).open(options);
    const register = new Registry();
    createDatabaseMetrics(register, opened);
    const value = async (sample: string) => {
      const line = (await register.metrics())
        .split('\n')
        .find((text) => text.startsWith(`replay_guard_database_${sample} `));
      return line === undefined ? undefined : Number(line.split(' ').at(-1));
    };
    const own = `{engine="${engine}"}`;
    t.is(await value(`waiting${own}`), 0);
    t.not(await value(`wait_duration_seconds_count${own}`), undefined, 'the histogram starts at 0');
    const waitsBefore = Number(await value(`wait_duration_seconds_count${own}`));

    const barrier = new Barrier();
    const first = opened.database.transaction(() => barrier.pass());
    await barrier.reached();
    const others = [1, 2, 3].map(() => opened.database.transaction(async () => {}));
    await poll('three units wait', async () => (await value(`waiting${own}`)) === 3);
    const inUse = await value(`connections{engine="${engine}",state="in_use"}`);
    t.is(inUse, engine === 'postgres' ? 1 : undefined);
    t.is(await value(`connections_max${own}`), engine === 'postgres' ? 1 : undefined);
    barrier.open();
    await Promise.all([first, ...others]);
    t.is(await value(`waiting${own}`), 0);
    t.is(Number(await value(`wait_duration_seconds_count${own}`)) - waitsBefore, 3);
    if (engine === 'postgres') t.is(await value('connections{engine="postgres",state="idle"}'), 1);
  });

  test(`${engine}: a closed database is not counted any more, and has no metrics`, async (t) => {
    const register = new Registry();
    const data = await freshData(t, engine);
    const closed = await data.open();
    createDatabaseMetrics(register, closed);
    createDatabaseMetrics(register, await data.open());
    const max = async () =>
      /^replay_guard_database_connections_max\{engine="postgres"\} (\d+)$/m.exec(
        await register.metrics(),
      )?.[1];
    const before = Number(await max());
    await closed.close();
    if (engine === 'postgres') t.is(Number(await max()), before / 2);
    t.is(closed.load(), undefined);
    t.throws(() => createDatabaseMetrics(register, closed), { instanceOf: TypeError });
  });

  test(`${engine}: the databases of one registry are counted together`, async (t) => {
    const register = new Registry();
    const options = engine === 'postgres' ? { maxConnections: 2 } : {};
    const barriers = [new Barrier(), new Barrier()];
    const work: Promise<unknown>[] = [];
    for (const barrier of barriers) {
      const opened = await (await freshData(t, engine)).open(options);
      createDatabaseMetrics(register, opened);
      work.push(opened.database.transaction(() => barrier.pass()));
      await barrier.reached();
      if (engine === 'postgres') work.push(opened.database.transaction(() => barrier.pass()));
      work.push(opened.database.transaction(async () => {}));
    }
    const total = async () =>
      new RegExp(`^replay_guard_database_waiting\\{engine="${engine}"\\} (\\d+)$`, 'm').exec(
        await register.metrics(),
      )?.[1];
    await poll('one unit of each database waits', async () => (await total()) === '2');
    for (const barrier of barriers) barrier.open();
    await Promise.all(work);
    t.is(await total(), '0');
  });
}
