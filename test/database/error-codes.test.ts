import test from 'ava';
import {
  CommitInDoubtError,
  ContentionError,
  DatabaseReadOnlyError,
  DatabaseReplacedError,
  DatabaseUnavailableError,
  LeaseLostError,
  LockTimeoutError,
  NoConnectionError,
  PoolerError,
  UnitOfWorkError,
} from 'grpc-replay-guard/database';
import { SequenceWindow, UnreadableWindowError } from 'grpc-replay-guard/store';

const codes = [
  [DatabaseUnavailableError, 'REPLAY_GUARD_DATABASE_UNAVAILABLE'],
  [ContentionError, 'REPLAY_GUARD_CONTENTION'],
  [LockTimeoutError, 'REPLAY_GUARD_LOCK_TIMEOUT'],
  [NoConnectionError, 'REPLAY_GUARD_NO_CONNECTION'],
  [PoolerError, 'REPLAY_GUARD_POOLER'],
  [DatabaseReadOnlyError, 'REPLAY_GUARD_DATABASE_READ_ONLY'],
  [DatabaseReplacedError, 'REPLAY_GUARD_DATABASE_REPLACED'],
  [CommitInDoubtError, 'REPLAY_GUARD_COMMIT_IN_DOUBT'],
  [LeaseLostError, 'REPLAY_GUARD_LEASE_LOST'],
  [UnitOfWorkError, 'REPLAY_GUARD_UNIT_OF_WORK'],
  [UnreadableWindowError, 'REPLAY_GUARD_UNREADABLE_WINDOW'],
] as const;

for (const [Kind, code] of codes) {
  test(`${Kind.name} has the code ${code}`, (t) => {
    const cause = new Error('cause');
    t.like(new Kind('text', { cause }), { name: Kind.name, code, message: 'text', cause });
  });
}

for (const Kind of [
  ContentionError,
  LockTimeoutError,
  NoConnectionError,
  DatabaseReadOnlyError,
  DatabaseReplacedError,
]) {
  test(`${Kind.name} is a DatabaseUnavailableError`, (t) => {
    t.true(new Kind('text') instanceof DatabaseUnavailableError);
  });
}

test('a corrupt window is refused with its code', (t) => {
  t.throws(() => SequenceWindow.read(Buffer.alloc(13), 0n), {
    instanceOf: UnreadableWindowError,
    code: 'REPLAY_GUARD_UNREADABLE_WINDOW',
    message: 'the window is corrupt or of an unknown version',
  });
});
