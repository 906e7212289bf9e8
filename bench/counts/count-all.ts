import type { Databases } from '../servers/databases.js';
import type { NodeBinary } from '../servers/fleet.js';
import type { ServerProcess } from '../servers/server-process.js';
import { type Engine, engines, type Kind, type Subject, type Work, worksOf } from '../servers/subject.js';
import { type Counts, countCalls } from './count-calls.js';
import { canCountFsyncs } from './fsyncs.js';

/** The counts of one server with one work. */
export interface CountedWork {
  readonly subject: Subject;
  readonly work: Work;
  readonly counts: Counts;
}

const kinds: readonly Kind[] = ['yardstick', 'unguarded', 'guarded'];
const counted: readonly Work[] = ['ReceiveStock, new key', 'ReceiveStock, hot replay', 'PlaceOrder, new key'];

/**
 * Counts what a call costs at the yardstick, the unguarded and the guarded shop, on every engine that can run. The
 * servers of one engine are counted one after another: commits on one Postgres at the same time would share fsyncs.
 */
export async function countAll(
  databases: Databases,
  node: NodeBinary,
  calls: number,
): Promise<CountedWork[]> {
  const usable = engines.filter((engine) => engine !== 'sqlite' || !node.noSqlite);
  const ofEngine = async (engine: Engine) => {
    const counts: CountedWork[] = [];
    for (const kind of kinds) counts.push(...(await countOne(databases, node, { engine, kind }, calls)));
    return counts;
  };
  return (await Promise.all(usable.map(ofEngine))).flat();
}

async function countOne(
  databases: Databases,
  node: NodeBinary,
  subject: Subject,
  calls: number,
): Promise<CountedWork[]> {
  const { engine, kind } = subject;
  const works = counted.filter((work) => worksOf(subject).includes(work));
  const databaseUrl = await databases.create(engine);
  const writersOf = ({ pid }: ServerProcess) =>
    engine === 'sqlite' ? [pid] : databases.backends(databaseUrl);
  const options = { countedCalls: calls, ...node.options, ...(canCountFsyncs() && { writersOf }) };
  const counts = await countCalls({ kind, databaseUrl }, works, options);
  return [...counts].map(([work, perCall]) => ({ subject, work, counts: perCall }));
}
