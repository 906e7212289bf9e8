// A process that counts the promises of one-statement transactions on SQLite. Start it with the counting preload.
import { medianOf } from '../report/statistics.js';
import { openWithTables, skuOf } from '../servers/tables.js';

const WARM_UP = 30;
const COUNTED = 41;
const update = 'UPDATE inventory_items SET on_hand = on_hand + 1 WHERE sku = $1';

const { database, close } = await openWithTables(process.argv[2] ?? '');
const promises: number[] = [];
for (let index = 0; index < WARM_UP + COUNTED; index++) {
  const before = globalThis.benchCreated?.promises ?? Number.NaN;
  await database.transaction(() => database.query(update, [skuOf(index)]));
  promises.push((globalThis.benchCreated?.promises ?? Number.NaN) - before);
}
await close();
process.send?.(medianOf(promises.slice(WARM_UP)));
process.disconnect();
