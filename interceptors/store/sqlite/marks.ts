const refusal = `BEGIN SELECT RAISE(ABORT, 'a server of an earlier version must not claim'); END`;

const steps: readonly string[] = ['replay_guard_records', 'replay_guard_producers'].flatMap((table) => [
  `CREATE TRIGGER ${table}_refuses_former BEFORE INSERT ON ${table} WHEN NEW.state = 0 ${refusal}`,
  `CREATE TRIGGER ${table}_refuses_former_update BEFORE UPDATE OF state ON ${table} WHEN NEW.state = 0 ${refusal}`,
]);

/** The migration steps that refuse the claims of earlier versions: see `MarkSql`. A renewal does not set the state. */
export const fence = (_now: bigint): readonly string[] => steps;
