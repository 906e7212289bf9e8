import test from 'ava';
import { freshData } from '../../helpers/databases/engines.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { databaseContract } from './database.js';
import { migrateInProcesses } from './migrate-in-processes.js';

databaseContract(test, 'postgres', async (t) => {
  const data = await freshData(t, 'postgres');
  return {
    data,
    migrateInProcesses: (component, steps) => migrateInProcesses(data.url, component, steps),
    outage: async () => {
      const proxy = await startProxy(t, data.url);
      const opened = await openUrl(proxy.url);
      t.teardown(() => opened.close());
      return {
        opened,
        begin: async () => {
          proxy.down();
          return async () => proxy.up();
        },
      };
    },
  };
});
