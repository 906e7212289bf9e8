import test from 'ava';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { readHosts } from '#library/database/postgres/servers/hosts.js';

/** Connection strings, the connection string of each of their hosts, and what a host must accept. */
const read: readonly (readonly [given: string, urls: readonly string[], target: string])[] = [
  ['postgres://u:p@h1:5432/db', ['postgres://u:p@h1:5432/db'], 'any'],
  ['postgres:///db', ['postgres:///db'], 'any'],
  ['postgres://h1:,h2/db', ['postgres://h1/db', 'postgres://h2/db'], 'read-write'],
  ['postgresql://u@h1/db?sslmode=require', ['postgresql://u@h1/db?sslmode=require'], 'any'],
  ['socket:/run/postgresql?db=shop', ['socket:/run/postgresql?db=shop'], 'any'],
  [
    'postgres://u:a,b%40c@h1:5432,h2:5433/db?sslmode=verify-full',
    [
      'postgres://u:a,b%40c@h1:5432/db?sslmode=verify-full',
      'postgres://u:a,b%40c@h2:5433/db?sslmode=verify-full',
    ],
    'read-write',
  ],
  [
    'postgres://h1,[::1]:1,10.0.0.1/',
    ['postgres://h1/', 'postgres://[::1]:1/', 'postgres://10.0.0.1/'],
    'read-write',
  ],
  ['postgres://h1,h2?target_session_attrs=any', ['postgres://h1/', 'postgres://h2/'], 'any'],
  ['postgres://h1/db?target_session_attrs=primary', ['postgres://h1/db'], 'primary'],
  ['postgres://h1,h2/db?load_balance_hosts=disable', ['postgres://h1/db', 'postgres://h2/db'], 'read-write'],
  ['postgres:///db?host=h1,h2&port=1,2', ['postgres://h1:1/db', 'postgres://h2:2/db'], 'read-write'],
  ['postgres:///db?host=h1,::1&port=7', ['postgres://h1:7/db', 'postgres://[::1]:7/db'], 'read-write'],
  [
    'postgres://%2Frun%2Fa:1,%2Frun%2Fb/db',
    ['postgres:///db?host=%2Frun%2Fa&port=1', 'postgres:///db?host=%2Frun%2Fb'],
    'read-write',
  ],
];

for (const [given, urls, target] of read) {
  test(`the hosts and the target of ${given} are read`, (t) => {
    t.deepEqual(readHosts(given), { urls, target } as never);
  });
}

const refused: readonly (readonly [given: string, reason: string])[] = [
  ['postgres://u:secret@h1:5432,:5433/db', 'each of several hosts needs a name'],
  ['postgres://u:secret@h1,,h2/db', 'each of several hosts needs a name'],
  ['postgres:///db?host=h1,', 'each of several hosts needs a name'],
  ['postgres://h1:0,h2/db', 'a port must be a number from 1 to 65535'],
  ['postgres://h1:x/db', 'a port must be a number from 1 to 65535'],
  ['postgres://h1:65536/db', 'a port must be a number from 1 to 65535'],
  ['postgres:///db?host=h1,h2&port=1,2,3', '`port` needs one port, or one for each host'],
  ['postgres://[::1/db', 'a host has a wrong form'],
  ['postgres://::1/db', 'a port must be a number from 1 to 65535'],
  ['postgres://u:sec#ret@h1/db', 'a # in it must be written as %23'],
  ...['read-only', 'standby', 'prefer-standby', 'read_write', ''].map(
    (name) =>
      [
        `postgres://u:secret@h1,h2/db?target_session_attrs=${name}`,
        '`target_session_attrs` must be read-write, primary or any, because the guard writes',
      ] as const,
  ),
  [
    'postgres://h1,h2/db?load_balance_hosts=random',
    '`load_balance_hosts` must be disable: the hosts are tried in their order',
  ],
  ['postgres://h1/db?hostaddr=10.0.0.1', '`hostaddr` is not supported'],
  ['postgres://h1/db?service=shop', '`service` is not supported'],
  [
    'postgres://h1/db?sslmode=requires',
    '`sslmode` must be one of disable, allow, prefer, require, verify-ca, verify-full, no-verify',
  ],
];

for (const [connectionString, reason] of refused) {
  test(`openPostgres refuses ${connectionString}`, async (t) => {
    await t.throwsAsync(openPostgres({ connectionString }), {
      instanceOf: TypeError,
      message: `the connection string is wrong: ${reason}`,
    });
  });
}
