import { setTimeout as pause } from 'node:timers/promises';
import type { ScopeSource } from 'grpc-replay-guard';
import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import type { OpenStore } from 'grpc-replay-guard/store';
import type { DatabaseEngine, Session, Statement } from '#library/database/engine.js';
import { storedAddress } from '#library/store/sql/address.js';
import type { EngineOptions } from '../../helpers/databases/open-url.js';
import type { BugName } from './bugs.js';
import { openEngine, openStoreOn } from './engines.js';
import { type EnginePatch, patchedEngine } from './patched-engine.js';
import { PatchedStore, type StorePatch } from './patched-store.js';

/** The parts of a server that a bug changes. */
interface Patch {
  readonly engine?: EnginePatch;
  /** Returns the changes to the store. `engine` runs statements outside of every unit of work. */
  readonly store?: (engine: DatabaseEngine) => StorePatch;
  /** SQL that runs after the migration. */
  readonly schema?: string;
  readonly scope?: ScopeSource;
}

const onRecords = (change: (text: string) => string) => (text: string) =>
  text.includes('replay_guard_records') ? change(text) : text;
const statement = (text: string, ...params: Statement['params']): Statement => ({ text, params });

const patches: Readonly<Record<BugName, Patch>> = {
  'no-unique-index': {
    schema: 'ALTER TABLE replay_guard_records DROP CONSTRAINT IF EXISTS replay_guard_records_pkey',
    engine: {
      rewrite: onRecords((text) =>
        text.replace(
          /ON CONFLICT \(scope, id\) DO UPDATE[\s\S]*RETURNING/,
          'ON CONFLICT DO NOTHING RETURNING',
        ),
      ),
    },
  },
  'no-fence': {
    engine: {
      rewrite: onRecords((text) =>
        text.replace('AND fence = $3 AND state <= 0', 'AND CAST($3 AS BIGINT) IS NOT NULL'),
      ),
    },
  },
  'reply-before-commit': {
    store: () => ({
      claim: (claim) => ({
        complete: async (reply) => {
          setTimeout(() => void claim.complete(reply).catch(() => {}), 150);
        },
      }),
    }),
  },
  'two-transactions': {
    engine: {
      session: (session, engine) => ({
        ...session,
        commit: async (last) => {
          await session.commit();
          await pause(100);
          return last ? engine.run(last) : [];
        },
      }),
    },
  },
  'unscoped-key': { scope: () => 'everyone' },
  'release-in-doubt': {
    store: (engine) => ({
      claim: (claim, request) => ({
        complete: async (reply) => {
          try {
            await claim.complete(reply);
          } catch (error) {
            if (!(error instanceof CommitInDoubtError)) throw error;
            const release = 'DELETE FROM replay_guard_records WHERE scope = $1 AND id = $2';
            await engine.run(statement(release, ...storedAddress(request)));
            throw new DatabaseUnavailableError('the commit was not answered', { cause: error });
          }
        },
      }),
    }),
  },
  'takeover-of-live-lease': {
    engine: {
      rewrite: onRecords((text) =>
        text
          .replace('record.lease_until <= excluded.fence', 'TRUE')
          .replace(
            'fence, lease_until, expires_at, now',
            'fence, CAST(0 AS BIGINT) AS lease_until, expires_at, now',
          ),
      ),
    },
  },
  'purge-live-record': {
    store: (engine) => ({
      beforePurge: async () => {
        await engine.run(statement('DELETE FROM replay_guard_records WHERE state = 1'));
      },
    }),
  },
  'behind-failed-begin': { engine: { session: runningBehind } },
};

/** One statement in fifty runs on its own, after its transaction has failed. */
function runningBehind(session: Session, engine: DatabaseEngine): Session {
  return {
    ...session,
    query: async (sent) => {
      if (Math.random() > 0.02) return session.query(sent);
      await engine.run(sent);
      throw new DatabaseUnavailableError('BEGIN failed');
    },
  };
}

/** A store with a planted bug, and the scope source of a server with that bug. */
export interface OpenWithBug extends OpenStore {
  readonly scope?: ScopeSource;
}

/** Opens a database with a planted bug. */
export async function openWithBug(bug: BugName, url: string, options: EngineOptions): Promise<OpenWithBug> {
  const patch = patches[bug];
  const { engine, close } = await openEngine(url, options);
  const opened = await openStoreOn(patch.engine ? patchedEngine(engine, patch.engine) : engine, close);
  if (patch.schema) await engine.run(statement(patch.schema));
  const store = patch.store ? new PatchedStore(opened.store, patch.store(engine)) : opened.store;
  return { ...opened, store, ...(patch.scope && { scope: patch.scope }) };
}
