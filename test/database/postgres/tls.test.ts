import { execFileSync } from 'node:child_process';
import test from 'ava';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { administer } from '../../helpers/databases/administer.js';
import { freshFolder } from '../../helpers/databases/engines.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { startCluster } from '../../helpers/databases/postgres-cluster.js';
import { createAuthority } from '../../helpers/identities/certificates.js';

test('with sslmode=verify-full each of several hosts must present a certificate for its own name', async (t) => {
  const folder = await freshFolder(t);
  const authority = await createAuthority(folder, 'authority');
  const stranger = await createAuthority(folder, 'stranger');
  const { certPath, keyPath } = await authority.issue('server', 'localhost');
  // Postgres accepts a key only if it belongs to its own user, which is another one for root.
  if (process.getuid?.() === 0) execFileSync('chown', ['-R', 'nobody', folder]);
  execFileSync('chmod', ['600', keyPath]);
  const settings = ['ssl=on', `ssl_cert_file=${certPath}`, `ssl_key_file=${keyPath}`];
  const cluster = await startCluster(settings);
  t.teardown(cluster.stop);
  const { port, password } = new URL(cluster.url);
  const at = (hosts: string, ca = authority.certPath) =>
    `postgres://postgres:${password}@${hosts}/postgres?sslmode=verify-full&sslrootcert=${ca}`;
  const tls = 'SELECT ssl::text AS tls FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
  const [named, unnamed, closed] = [`localhost:${port}`, `127.0.0.1:${port}`, 'localhost:1'];

  for (const hosts of [`${closed},${named}`, `${unnamed},${named}`, `${named},${unnamed}`]) {
    const { database, close } = await openUrl(at(hosts));
    t.deepEqual<object[], object[]>(await database.query(tls), [{ tls: 'true' }], hosts);
    await close();
  }
  const names = { instanceOf: DatabaseUnavailableError, message: /host 2: Hostname\/IP does not match/ };
  await t.throwsAsync(openUrl(at(`${closed},${unnamed}`)), names);
  await t.throwsAsync(openUrl(at(`${closed},${named}`, stranger.certPath)), {
    instanceOf: DatabaseUnavailableError,
    message: /host 2: (self-signed certificate|unable to verify|unable to get)/,
  });
  t.is((await administer(cluster.url, 'SELECT 1 AS one')).length, 1);
});
