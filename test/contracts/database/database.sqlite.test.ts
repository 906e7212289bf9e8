import test from 'ava';
import Sqlite from 'better-sqlite3';
import { freshData } from '../../helpers/databases/engines.js';
import { databaseContract } from './database.js';
import { migrateInProcesses } from './migrate-in-processes.js';

databaseContract(test, 'sqlite', async (t) => {
  const data = await freshData(t, 'sqlite');
  return {
    data,
    migrateInProcesses: (component, steps) => migrateInProcesses(data.url, component, steps),
    outage: async () => ({
      opened: await data.open(),
      begin: async () => {
        // A second connection that holds the file, as another process would.
        const holder = new Sqlite(data.url.slice('sqlite:'.length));
        holder.exec('BEGIN IMMEDIATE');
        return async () => {
          holder.close();
        };
      },
    }),
  };
});
