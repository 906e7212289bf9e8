import type { Databases } from '../servers/databases.js';
import type { ServerProcess } from '../servers/server-process.js';
import { type Engine, type Kind, type Subject, type Work, worksOf } from '../servers/subject.js';
import { type Counts, countCalls } from './count-calls.js';
import { canCountFsyncs } from './fsyncs.js';

/** The counts of one server with one work. */
export interface CountedWork {
  readonly subject: Subject;
  readonly work: Work;
  readonly counts: Counts;
}

const counted: readonly Work[] = ['ReceiveStock, new key', 'ReceiveStock, hot replay', 'PlaceOrder, new key'];

/** The unguarded shop with a commit for each call shows what the handle alone creates. */
const kindsOf: Readonly<Record<Engine, readonly Kind[]>> = {
  sqlite: ['yardstick', 'unguarded', 'unguardedAlone', 'guarded'],
  postgres: ['yardstick', 'unguarded', 'guarded'],
};

/**
 * Counts what a call costs at the yardstick, the unguarded and the guarded shop. The servers of one engine are counted
 * one after another: commits on one Postgres at the same time would share fsyncs.
 */
export async function countAll(
  databases: Databases,
  { engines, calls }: { readonly engines: readonly Engine[]; readonly calls: number },
): Promise<CountedWork[]> {
  const ofEngine = async (engine: Engine) => {
    const counts: CountedWork[] = [];
    for (const kind of kindsOf[engine]) counts.push(...(await countOne(databases, { engine, kind }, calls)));
    return counts;
  };
  return (await Promise.all(engines.map(ofEngine))).flat();
}

async function countOne(databases: Databases, subject: Subject, calls: number): Promise<CountedWork[]> {
  const { engine, kind } = subject;
  const works = counted.filter((work) => worksOf(subject).includes(work));
  const databaseUrl = await databases.create(engine);
  const writersOf = ({ pid }: ServerProcess) =>
    engine === 'sqlite' ? [pid] : databases.backends(databaseUrl);
  const options = { countedCalls: calls, ...(canCountFsyncs() && { writersOf }) };
  const counts = await countCalls({ kind, databaseUrl }, works, options);
  return [...counts].map(([work, perCall]) => ({ subject, work, counts: perCall }));
}
