import type { PgBouncer } from '../../helpers/databases/pgbouncer.js';
import type { Cleanup } from '../../helpers/databases/postgres.js';
import type { Cluster, ClusterOptions } from '../../helpers/databases/postgres-cluster.js';
import type { Random } from '../../helpers/faults/seeded-random.js';
import type { PostgresProxy } from '../../helpers/proxies/postgres-proxy.js';
import type { EventCounts } from '../../scenarios/chaos/event-counts.js';
import type { Admin } from '../database/admin.js';
import type { Engine } from '../engines.js';
import type { Machine } from '../machine.js';
import type { ServerSlot } from '../server/server-slot.js';
import type { AdversaryServerSettings } from '../server/settings.js';

/** The parts of a round that a fault may strike. */
export interface Arena {
  readonly engine: Engine;
  readonly servers: readonly ServerSlot[];
  readonly leaseMs: number;
  readonly random: Random;
  readonly events: EventCounts;
  /** An operator's connection. Postgres only. */
  readonly admin: Admin;
  /** The Postgres of this round. Postgres only. */
  readonly cluster: Cluster;
  /** The proxy between the servers and Postgres. Only for faults with `viaProxy`. */
  readonly proxy: PostgresProxy;
  /** The PgBouncer between the servers and the proxy. Only for faults with `viaPooler`. */
  readonly pooler: PgBouncer;
  /** The SQLite file. SQLite only. */
  readonly file: string;
  /** The folder of the database, on the disk that the fault has asked for. */
  readonly folder: string;
  /** The file with the time that libfaketime tells the servers, or the database. */
  readonly clockFile: string;
  /** The URL of the database without the proxy. A failover changes it. */
  url: string;
  /** Runs functions after the round. */
  readonly cleanUps: Cleanup;
}

/** A kind of fault. */
export interface Fault {
  readonly title: string;
  readonly engines: readonly Engine[];
  /** Returns the tool or right that the machine lacks for this fault, or undefined. */
  readonly lacks?: (machine: Machine) => string | undefined;
  /** Settings of the servers during this fault. */
  readonly servers?: Partial<AdversaryServerSettings>;
  /** Whether the servers reach Postgres through a proxy that reads the protocol. */
  readonly viaProxy?: boolean;
  /** Whether the servers reach Postgres, or its proxy, through a PgBouncer in transaction mode. */
  readonly viaPooler?: boolean;
  /** Settings for a Postgres of its own. Without them the round shares the Postgres of the run. */
  readonly cluster?: ClusterOptions;
  /** Whether the Postgres must be Debian's Postgres 15. Default: the one in node_modules. */
  readonly needsDebian?: boolean;
  /** The size of a disk of its own for the database, in megabytes. */
  readonly diskMb?: number;
  /** Whose clock libfaketime moves. */
  readonly movesClockOf?: 'servers' | 'database';
  /** Whether leases end only by their time, so that no execution may overlap another one. */
  readonly leavesLeases?: boolean;
  /** Whether expired records may stay for a long time, because the fault sets the clock of a SQLite server. */
  readonly delaysPurge?: boolean;
  /** The events that must happen in a round. A round without them proves nothing. */
  readonly requires: readonly string[];
  /** The longest pause between two strikes, in milliseconds. */
  readonly pauseMs: number;
  /** Strikes once, and ends the fault before it resolves. Counts what it did in `events`. */
  strike(arena: Arena): Promise<void>;
  /** Ends the effects that remain after a strike. Runs after the last strike. */
  readonly restore?: (arena: Arena) => void;
}
