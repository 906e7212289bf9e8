import { cancelled, frozen, terminated } from './backends.js';
import { databaseClock, serverClocks } from './clocks.js';
import { combined } from './combined.js';
import type { Fault } from './fault.js';
import { cutAtCommit } from './network.js';
import { poolerKilled } from './pooler.js';
import { crashed, diskFull, failingFsync } from './postgres-server.js';
import { altered, exhausted, expiredLeases, locked, readOnly } from './postgres-state.js';
import { duplicates, kill, stopped } from './processes.js';
import { lockedFile } from './sqlite-state.js';
import { debianStandby, standby } from './standby.js';

/** Several faults in one round on SQLite. */
const mixedSqlite = combined('several faults in one round', [kill, stopped, lockedFile]);

/** Several faults in one round on Postgres. */
const mixedPostgres = combined('several faults in one round', [
  ...[kill, stopped, cancelled, terminated, frozen, crashed, cutAtCommit, readOnly, locked, altered],
  expiredLeases,
]);

/** Every kind of fault, by its name in `--faults`. */
export const faults: Readonly<Record<string, Fault>> = {
  duplicates,
  kill,
  stop: stopped,
  cancel: cancelled,
  terminate: terminated,
  'hold-back': frozen,
  crash: crashed,
  'cut-commit': cutAtCommit,
  pooler: poolerKilled,
  'read-only': readOnly,
  exhaust: exhausted,
  lock: locked,
  'lock-file': lockedFile,
  alter: altered,
  'expired-leases': expiredLeases,
  'server-clock': serverClocks,
  'database-clock': databaseClock,
  'disk-full': diskFull,
  fsync: failingFsync,
  standby,
  'standby-15': debianStandby,
  'mixed-sqlite': mixedSqlite,
  'mixed-postgres': mixedPostgres,
};
