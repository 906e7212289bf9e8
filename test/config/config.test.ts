import test from 'ava';
import { ConfigError, misspeltSettings, readConfig } from '#src/config/config.js';

test('without settings the shop hosts both services on SQLite and listens on loopback only', (t) => {
  t.deepEqual(readConfig({}), {
    grpc: { host: '127.0.0.1', port: 50051 },
    ops: { host: '127.0.0.1', port: 9464 },
    database: { engine: 'sqlite', path: 'data/shop.db' },
    services: new Set(['order', 'inventory'] as const),
    inventory: undefined,
    identity: { kind: 'single' },
    tls: undefined,
    guard: { mode: 'ENFORCE' },
    outbox: { webhook: undefined, relay: true, maxAttempts: 100, retentionMs: 86_400_000 },
    modeFile: undefined,
    warehouseSecret: undefined,
    logLevel: 'info',
    shutdownGraceMs: 10_000,
  });
});

const postgres = { DATABASE_URL: 'postgres://db/shop' };
const pepper = { REPLAY_GUARD_PEPPER: 'sixteen bytes at least' };
const key = Buffer.alloc(32, 7);
const WEBHOOK_SECRET = `whsec_${key.toString('base64')}`;
const WEBHOOK_URL = 'https://hooks.example/orders';

test('every setting is read into the configuration', (t) => {
  const config = readConfig({
    GRPC_ADDRESS: '[::]:0',
    OPS_ADDRESS: '0.0.0.0:80',
    OPS_HOSTS: 'Shop_1, ops.shop.example.',
    DATABASE_URL: 'postgresql://shop:secret@db:5432/shop?sslmode=require',
    SERVICES: 'order',
    INVENTORY_ADDRESS: 'inventory.svc:50051',
    CALLER_IDENTITY: 'metadata:X-Tenant',
    TLS_CERT: 'c.pem',
    TLS_KEY: 'k.pem',
    TLS_CLIENT_CA: 'clients.pem',
    TLS_CA: 'roots.pem',
    REPLAY_GUARD_MODE: 'off',
    REPLAY_GUARD_TTL: '30m',
    REPLAY_GUARD_PEPPER: 'sixteen bytes at least',
    REPLAY_GUARD_PEPPER_PREVIOUS: 'sixteen bytes before',
    REPLAY_GUARD_CIPHER_KEY: key.toString('base64'),
    REPLAY_GUARD_CIPHER_KEY_PREVIOUS: key.toString('hex'),
    REPLAY_GUARD_MAX_KEYS: '100000',
    REPLAY_GUARD_MAX_IN_FLIGHT: '50',
    REPLAY_GUARD_MAX_WAITING: '500',
    REPLAY_GUARD_MODE_FILE: 'modes.json',
    WAREHOUSE_WEBHOOK_SECRET: `whsec_${key.toString('base64')}`,
    WEBHOOK_URL,
    WEBHOOK_SECRET,
    OUTBOX_RELAY: 'off',
    OUTBOX_MAX_ATTEMPTS: '7',
    OUTBOX_RETENTION: '7d',
    LOG_LEVEL: 'warn',
    SHUTDOWN_GRACE: '500ms',
  });
  t.deepEqual(config, {
    grpc: { host: '::', port: 0 },
    ops: { host: '0.0.0.0', port: 80, names: ['shop_1', 'ops.shop.example'] },
    database: {
      engine: 'postgres',
      connectionString: 'postgresql://shop:secret@db:5432/shop?sslmode=require',
      listenString: 'postgresql://shop:secret@db:5432/shop?sslmode=require',
    },
    services: new Set(['order'] as const),
    inventory: { host: 'inventory.svc', port: 50051 },
    identity: { kind: 'metadata', name: 'x-tenant' },
    tls: { cert: 'c.pem', key: 'k.pem', clientCa: 'clients.pem', ca: 'roots.pem' },
    guard: {
      mode: 'OFF',
      retentionMs: 1_800_000,
      pepper: { current: 'sixteen bytes at least', previous: ['sixteen bytes before'] },
      cipherKey: { current: key, previous: [key] },
      quotas: { liveKeysPerScope: 100_000, inFlightPerScope: 50, waitingPerScope: 500 },
    },
    outbox: {
      webhook: { url: WEBHOOK_URL, secret: WEBHOOK_SECRET },
      relay: false,
      maxAttempts: 7,
      retentionMs: 604_800_000,
    },
    modeFile: 'modes.json',
    warehouseSecret: `whsec_${key.toString('base64')}`,
    logLevel: 'warn',
    shutdownGraceMs: 500,
  });
});

const JWT = {
  CALLER_IDENTITY: 'jwt',
  JWT_JWKS: 'https://issuer.example/jwks.json',
  JWT_ISSUER: 'https://issuer.example',
  JWT_AUDIENCE: 'shop',
};

test('the JWT settings make the rules for tokens', (t) => {
  const { issuer, audience } = { issuer: 'https://issuer.example', audience: 'shop' };
  t.deepEqual(readConfig(JWT).identity, { kind: 'jwt', keys: { url: JWT.JWT_JWKS }, issuer, audience });
  const all = {
    ...{ ...JWT, JWT_JWKS: 'keys/jwks.json', JWT_CLAIM: 'tenant', JWT_ALGORITHMS: 'PS256, ES512' },
    ...{ JWT_SELF_TOKEN_FILE: 'token', INVENTORY_ADDRESS: 'inventory:1' },
  };
  t.deepEqual(readConfig(all).identity, {
    ...{ kind: 'jwt', keys: { path: 'keys/jwks.json' }, issuer, audience },
    ...{ claim: 'tenant', algorithms: ['PS256', 'ES512'], ownTokenPath: 'token' },
  });
});

const durations: [string, number][] = [
  ['90s', 90_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
  ['30000ms', 30_000],
];
for (const [text, ms] of durations) {
  test(`the duration ${text} is ${ms} ms`, (t) => {
    t.is(readConfig({ REPLAY_GUARD_TTL: text }).guard.retentionMs, ms);
  });
}

const loopbacks = ['localhost:1', '127.0.0.1:1', '127.8.8.8:1', '[::1]:1'];
for (const address of loopbacks) {
  test(`CALLER_IDENTITY=single allows the loopback address ${address}`, (t) => {
    t.notThrows(() => readConfig({ GRPC_ADDRESS: address, OPS_ADDRESS: address }));
  });
}

const TLS = { TLS_CERT: 'c', TLS_KEY: 'k' };

/** Wrong settings, the setting that the message names, and the reason. */
const wrong: [Record<string, string>, string, RegExp][] = [
  [{ GRPC_ADDRESS: ':50051' }, 'GRPC_ADDRESS', /must be HOST:PORT/],
  [{ GRPC_ADDRESS: '127.0.0.1' }, 'GRPC_ADDRESS', /must be HOST:PORT/],
  [{ GRPC_ADDRESS: '127.0.0.1:65536' }, 'GRPC_ADDRESS', /must be HOST:PORT/],
  [{ GRPC_ADDRESS: '127.0.0.1:-1' }, 'GRPC_ADDRESS', /must be HOST:PORT/],
  [{ GRPC_ADDRESS: '::1:50051' }, 'GRPC_ADDRESS', /must be HOST:PORT/],
  [{ GRPC_ADDRESS: '[127.0.0.1]:1' }, 'GRPC_ADDRESS', /must be HOST:PORT/],
  [{ GRPC_ADDRESS: 'a b:1' }, 'GRPC_ADDRESS', /must be HOST:PORT/],
  [{ OPS_ADDRESS: '' }, 'OPS_ADDRESS', /must be HOST:PORT/],
  [{ OPS_HOSTS: '' }, 'OPS_HOSTS', /must be host names/],
  [{ OPS_HOSTS: 'shop,' }, 'OPS_HOSTS', /must be host names/],
  [{ OPS_HOSTS: 'shop:9464' }, 'OPS_HOSTS', /without ports and addresses/],
  [{ OPS_HOSTS: '127.0.0.1' }, 'OPS_HOSTS', /without ports and addresses/],
  [{ OPS_HOSTS: '[::1]' }, 'OPS_HOSTS', /must be host names/],
  [{ OPS_HOSTS: '*.example' }, 'OPS_HOSTS', /must be host names/],
  [{ OPS_HOSTS: 'http://shop' }, 'OPS_HOSTS', /must be host names/],
  [{ OPS_HOST: 'shop' }, 'OPS_HOST', /unknown setting; did you mean OPS_HOSTS\?/],
  [{ DATABASE_URL: 'mysql://root@localhost/shop' }, 'DATABASE_URL', /must be sqlite:PATH .* or postgres:/],
  [{ DATABASE_URL: 'sqlite:' }, 'DATABASE_URL', /must be sqlite:PATH/],
  [{ DATABASE_URL: 'sqlite::memory:' }, 'DATABASE_URL', /must be sqlite:PATH/],
  [{ DATABASE_URL: 'postgres://shop:1/x@db/shop' }, 'DATABASE_URL', /must be percent-encoded/],
  [{ DATABASE_URL: 'postgres://shop:1#x@db/shop' }, 'DATABASE_URL', /must be percent-encoded/],
  [{ DATABASE_URL: 'postgres://shop:1%x@db/shop' }, 'DATABASE_URL', /must be percent-encoded/],
  [{ DATABASE_URL: 'postgres://shop:1,2/x@h1,h2/shop' }, 'DATABASE_URL', /must be percent-encoded/],
  [{ DATABASE_URL: 'postgres://h1:x,h2/shop' }, 'DATABASE_URL', /a port must be a number from 1 to 65535/],
  [{ DATABASE_URL: 'postgres://h1,,h2/shop' }, 'DATABASE_URL', /each of several hosts needs a name/],
  [{ DATABASE_URL: 'postgres://h 1,h2/shop' }, 'DATABASE_URL', /a host has a wrong form/],
  [
    { DATABASE_URL: 'postgres://h1,h2/shop?target_session_attrs=standby' },
    'DATABASE_URL',
    /`target_session_attrs` must be read-write, primary or any/,
  ],
  [{ DATABASE_URL: 'postgres://h1/shop?sslmode=on' }, 'DATABASE_URL', /`sslmode` must be one of/],
  [{ DATABASE_POOLER: 'session' }, 'DATABASE_POOLER', /must be none or transaction/],
  [{ DATABASE_POOLER: 'transaction' }, 'DATABASE_POOLER', /allowed only when DATABASE_URL is postgres:/],
  [{ DATABASE_LISTEN_URL: 'postgres://h/db' }, 'DATABASE_LISTEN_URL', /allowed only when DATABASE_URL is/],
  [{ ...postgres, DATABASE_LISTEN_URL: 'sqlite:x' }, 'DATABASE_LISTEN_URL', /must be postgres:/],
  [{ ...postgres, DATABASE_LISTEN_URL: 'postgres://h1:x/db' }, 'DATABASE_LISTEN_URL', /a port must be/],
  [{ DATABASE_URL: 'postgres://[' }, 'DATABASE_URL', /a host has a wrong form/],
  [{ SERVICES: 'orders' }, 'SERVICES', /must be order, inventory or order,inventory/],
  [{ SERVICES: '' }, 'SERVICES', /must be order/],
  [{ SERVICES: 'order' }, 'INVENTORY_ADDRESS', /required when SERVICES does not include inventory/],
  [{ INVENTORY_ADDRESS: 'inventory:0' }, 'INVENTORY_ADDRESS', /must have a port/],
  [{ CALLER_IDENTITY: 'alice' }, 'CALLER_IDENTITY', /must be single, metadata:NAME, mtls or jwt/],
  [{ CALLER_IDENTITY: 'metadata:' }, 'CALLER_IDENTITY', /must be single, metadata:NAME, mtls or jwt/],
  [{ CALLER_IDENTITY: 'metadata:a b' }, 'CALLER_IDENTITY', /must be single, metadata:NAME, mtls or jwt/],
  [{ CALLER_IDENTITY: 'metadata:idempotency-key' }, 'CALLER_IDENTITY', /reserved/],
  [{ CALLER_IDENTITY: 'metadata:grpc-timeout' }, 'CALLER_IDENTITY', /reserved/],
  [{ CALLER_IDENTITY: 'metadata:id-bin' }, 'CALLER_IDENTITY', /reserved/],
  [{ CALLER_IDENTITY: 'metadata:Authorization' }, 'CALLER_IDENTITY', /can have one entry only/],
  [{ CALLER_IDENTITY: 'metadata:from' }, 'CALLER_IDENTITY', /can have one entry only/],
  [{ CALLER_IDENTITY: 'metadata:cookie' }, 'CALLER_IDENTITY', /has a meaning of its own in HTTP/],
  [{ CALLER_IDENTITY: 'jwt' }, 'JWT_JWKS', /required when CALLER_IDENTITY is jwt/],
  [
    { CALLER_IDENTITY: 'jwt', JWT_JWKS: 'f', JWT_AUDIENCE: 'a' },
    'JWT_ISSUER',
    /required when CALLER_IDENTITY/,
  ],
  [
    { CALLER_IDENTITY: 'jwt', JWT_JWKS: 'f', JWT_ISSUER: 'i' },
    'JWT_AUDIENCE',
    /required when CALLER_IDENTITY/,
  ],
  [{ ...JWT, JWT_JWKS: '' }, 'JWT_JWKS', /must be the path of a file or a URL/],
  [{ ...JWT, JWT_ISSUER: '' }, 'JWT_ISSUER', /must not be empty/],
  [{ ...JWT, JWT_AUDIENCE: '' }, 'JWT_AUDIENCE', /must not be empty/],
  [{ ...JWT, JWT_CLAIM: '' }, 'JWT_CLAIM', /must not be empty/],
  [{ ...JWT, JWT_ALGORITHMS: '' }, 'JWT_ALGORITHMS', /must be one or more of RS256/],
  [{ ...JWT, JWT_ALGORITHMS: 'none' }, 'JWT_ALGORITHMS', /must be one or more of RS256/],
  [{ ...JWT, JWT_ALGORITHMS: 'RS256,HS256' }, 'JWT_ALGORITHMS', /must be one or more of RS256/],
  [{ ...JWT, JWT_ALGORITHM: 'RS256' }, 'JWT_ALGORITHM', /unknown setting/],
  [
    { ...JWT, JWT_SELF_TOKEN_FILE: 'f' },
    'JWT_SELF_TOKEN_FILE',
    /allowed only when orders use a remote inventory/,
  ],
  [
    { ...JWT, INVENTORY_ADDRESS: 'i:1' },
    'JWT_SELF_TOKEN_FILE',
    /required when orders use a remote inventory/,
  ],
  [{ JWT_JWKS: 'f' }, 'JWT_JWKS', /allowed only when CALLER_IDENTITY is jwt/],
  [
    { CALLER_IDENTITY: 'metadata:x', JWT_CLAIM: 'sub' },
    'JWT_CLAIM',
    /allowed only when CALLER_IDENTITY is jwt/,
  ],
  [{ JWT_SELF_TOKEN_FILE: 'f' }, 'JWT_SELF_TOKEN_FILE', /allowed only when CALLER_IDENTITY is jwt/],
  [{ CALLER_IDENTITY: 'mtls' }, 'CALLER_IDENTITY', /mtls requires TLS_CLIENT_CA/],
  [{ CALLER_IDENTITY: 'mtls', ...TLS }, 'CALLER_IDENTITY', /mtls requires TLS_CLIENT_CA/],
  [
    { GRPC_ADDRESS: '0.0.0.0:1' },
    'CALLER_IDENTITY',
    /requires loopback addresses, but GRPC_ADDRESS is not one/,
  ],
  [
    { GRPC_ADDRESS: 'shop.example:1' },
    'CALLER_IDENTITY',
    /requires loopback addresses, but GRPC_ADDRESS is not one/,
  ],
  [{ OPS_ADDRESS: '[::]:1' }, 'CALLER_IDENTITY', /requires loopback addresses, but OPS_ADDRESS is not one/],
  [{ TLS_CERT: 'c' }, 'TLS_CERT', /requires TLS_KEY/],
  [{ TLS_KEY: 'k' }, 'TLS_KEY', /requires TLS_CERT/],
  [{ TLS_CLIENT_CA: 'ca' }, 'TLS_CLIENT_CA', /requires TLS_CERT/],
  [{ TLS_CA: 'ca' }, 'TLS_CA', /requires TLS_CERT/],
  [{ ...TLS, TLS_CERT: '' }, 'TLS_CERT', /path of a PEM file/],
  [{ ...TLS, TLS_KEY: '-----BEGIN PRIVATE KEY-----\nM' }, 'TLS_KEY', /a PEM file, not its content/],
  [{ ...JWT, JWT_JWKS: '{"keys":[]}' }, 'JWT_JWKS', /a file or a URL, not its content/],
  [{ REPLAY_GUARD_MODE: 'on' }, 'REPLAY_GUARD_MODE', /must be enforce, observe or off/],
  [{ REPLAY_GUARD_MODE_FILE: '' }, 'REPLAY_GUARD_MODE_FILE', /path of a JSON file/],
  [{ REPLAY_GUARD_MAX_KEYS: '0' }, 'REPLAY_GUARD_MAX_KEYS', /whole number of at least 1/],
  [{ REPLAY_GUARD_MAX_IN_FLIGHT: '1e3' }, 'REPLAY_GUARD_MAX_IN_FLIGHT', /whole number of at least 1/],
  [{ REPLAY_GUARD_MAX_WAITING: '0' }, 'REPLAY_GUARD_MAX_WAITING', /whole number of at least 1/],
  [{ WAREHOUSE_WEBHOOK_SECRET: '' }, 'WAREHOUSE_WEBHOOK_SECRET', /must be whsec_/],
  [{ WAREHOUSE_WEBHOOK_SECRET: key.toString('base64') }, 'WAREHOUSE_WEBHOOK_SECRET', /must be whsec_/],
  [{ WAREHOUSE_WEBHOOK_SECRET: 'whsec_c2hvcnQ=' }, 'WAREHOUSE_WEBHOOK_SECRET', /24 to 64 random bytes/],
  [{ WAREHOUSE_WEBHOOK_SECRET: `whsec_${'A'.repeat(33)}` }, 'WAREHOUSE_WEBHOOK_SECRET', /in base64/],
  [{ WAREHOUSE_SECRET: 'x' }, 'WAREHOUSE_SECRET', /unknown setting/],
  [{ REPLAY_GUARD_TTL: '24' }, 'REPLAY_GUARD_TTL', /must be a duration/],
  [{ REPLAY_GUARD_TTL: '-1h' }, 'REPLAY_GUARD_TTL', /must be a duration/],
  [{ REPLAY_GUARD_TTL: '1.5h' }, 'REPLAY_GUARD_TTL', /must be a duration/],
  [{ REPLAY_GUARD_TTL: '999999999999d' }, 'REPLAY_GUARD_TTL', /must be a duration/],
  [{ REPLAY_GUARD_TTL: '29s' }, 'REPLAY_GUARD_TTL', /at least the lease, 30s/],
  [{ REPLAY_GUARD_PEPPER: 'hunter2' }, 'REPLAY_GUARD_PEPPER', /at least 16 bytes/],
  [{ REPLAY_GUARD_CIPHER_KEY: 'hunter2' }, 'REPLAY_GUARD_CIPHER_KEY', /32 random bytes/],
  [{ REPLAY_GUARD_CIPHER_KEY: `${key.toString('base64')}AA` }, 'REPLAY_GUARD_CIPHER_KEY', /32 random bytes/],
  [
    { REPLAY_GUARD_CIPHER_KEY_PREVIOUS: 'none' },
    'REPLAY_GUARD_CIPHER_KEY_PREVIOUS',
    /requires REPLAY_GUARD_CIPHER_KEY/,
  ],
  [{ REPLAY_GUARD_PEPPER_PREVIOUS: 'none' }, 'REPLAY_GUARD_PEPPER_PREVIOUS', /requires REPLAY_GUARD_PEPPER/],
  [{ REPLAY_GUARD_PEPPER_PREVIOUS: 'hunter2' }, 'REPLAY_GUARD_PEPPER_PREVIOUS', /at least 16 bytes/],
  [{ REPLAY_GUARD_PEPPER_NEXT: 'hunter2' }, 'REPLAY_GUARD_PEPPER_NEXT', /at least 16 bytes/],
  [{ ...pepper, REPLAY_GUARD_PEPPER_COVERS: 'all' }, 'REPLAY_GUARD_PEPPER_COVERS', /`keys` or `everything`/],
  [{ REPLAY_GUARD_PEPPER_COVERS: 'keys' }, 'REPLAY_GUARD_PEPPER_COVERS', /requires REPLAY_GUARD_PEPPER/],
  ...(['NEXT', 'PREVIOUS'] as const).map((other): [Record<string, string>, string, RegExp] => [
    { ...pepper, [`REPLAY_GUARD_PEPPER_${other}`]: pepper.REPLAY_GUARD_PEPPER },
    `REPLAY_GUARD_PEPPER_${other}`,
    /must differ from REPLAY_GUARD_PEPPER/,
  ]),
  [{ WEBHOOK_URL }, 'WEBHOOK_URL', /requires WEBHOOK_SECRET/],
  [{ WEBHOOK_SECRET }, 'WEBHOOK_SECRET', /requires WEBHOOK_URL/],
  [{ WEBHOOK_URL: 'http://hooks.example', WEBHOOK_SECRET }, 'WEBHOOK_URL', /must be an https URL/],
  [{ WEBHOOK_URL: 'https://a:b@hooks.example', WEBHOOK_SECRET }, 'WEBHOOK_URL', /no user and no password/],
  [{ WEBHOOK_URL, WEBHOOK_SECRET: 'hunter2' }, 'WEBHOOK_SECRET', /must be whsec_/],
  [{ WEBHOOK_URI: WEBHOOK_URL }, 'WEBHOOK_URI', /unknown setting/],
  [{ OUTBOX_RELAY: 'no' }, 'OUTBOX_RELAY', /must be on or off/],
  [{ OUTBOX_MAX_ATTEMPTS: '0' }, 'OUTBOX_MAX_ATTEMPTS', /whole number from 1/],
  [{ OUTBOX_MAX_ATTEMPTS: '1000000' }, 'OUTBOX_MAX_ATTEMPTS', /whole number from 1/],
  [{ OUTBOX_RETENTION: '7' }, 'OUTBOX_RETENTION', /must be a duration/],
  [{ OUTBOX_POLL: '1s' }, 'OUTBOX_POLL', /unknown setting/],
  [{ REPLAY_GUARD_TLL: '24h' }, 'REPLAY_GUARD_TLL', /unknown setting; did you mean REPLAY_GUARD_TTL\?/],
  [{ TLS_CERTIFICATE: 'c' }, 'TLS_CERTIFICATE', /unknown setting/],
  [{ CALLER_ID: 'mtls' }, 'CALLER_ID', /unknown setting/],
  [{ OPS_PORT: '9464' }, 'OPS_PORT', /unknown setting/],
  [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL', /must be one of fatal, error/],
  [{ SHUTDOWN_GRACE: '30d' }, 'SHUTDOWN_GRACE', /at most 1h/],
  [{ SHUTDOWN_GRACE: 'soon' }, 'SHUTDOWN_GRACE', /must be a duration/],
];
for (const [env, name, reason] of wrong) {
  test(`the settings ${JSON.stringify(env)} are refused with one line`, (t) => {
    const error = t.throws(() => readConfig(env), { instanceOf: ConfigError });
    t.true(error.message.startsWith(`${name}: `), error.message);
    t.regex(error.message, reason);
    t.false(error.message.includes('\n'));
  });
}

for (const env of [
  { DATABASE_URL: 'mysql://root:hunter2@localhost/shop' },
  { REPLAY_GUARD_PEPPER: 'hunter2' },
  { REPLAY_GUARD_CIPHER_KEY: 'hunter2' },
  { REPLAY_GUARD_PEPPER_PREVIOUS: 'hunter2' },
  { WEBHOOK_SECRET: 'hunter2' },
  { WEBHOOK_URL: 'https://user:hunter2@hooks.example' },
]) {
  test(`the message about ${Object.keys(env)[0]} does not repeat the secret`, (t) => {
    t.false(t.throws(() => readConfig(env)).message.includes('hunter2'));
  });
}

test('the settings of a pooler and of several hosts reach the database, and LISTEN avoids the pooler', (t) => {
  const several = 'postgres://shop:a%2Cb@h1:5432,h2:5433/shop?target_session_attrs=read-write';
  const direct = 'postgres://h1,h2/shop';
  const location = { engine: 'postgres', connectionString: several } as const;
  const read = (env: NodeJS.ProcessEnv) => readConfig({ DATABASE_URL: several, ...env }).database;
  t.deepEqual(read({}), { ...location, listenString: several });
  const pooler = { DATABASE_POOLER: 'transaction' };
  t.deepEqual(read(pooler), { ...location, pooler: 'transaction', listenString: undefined });
  t.deepEqual(read({ ...pooler, DATABASE_LISTEN_URL: direct }), {
    ...location,
    pooler: 'transaction',
    listenString: direct,
  });
});

test('the settings of a change of the pepper reach the guard', (t) => {
  const next = { REPLAY_GUARD_PEPPER_NEXT: 'sixteen bytes later' };
  const { guard } = readConfig({ ...pepper, ...next, REPLAY_GUARD_PEPPER_COVERS: 'everything' });
  t.deepEqual(guard.pepper, {
    ...{ current: pepper.REPLAY_GUARD_PEPPER, previous: [] },
    ...{ next: 'sixteen bytes later', covers: 'everything' },
  });
  t.deepEqual(readConfig(next).guard.pepper, { current: null, previous: [], next: 'sixteen bytes later' });
});

test('`none` as the previous pepper and cipher key keeps records from before these settings readable', (t) => {
  const { guard } = readConfig({
    REPLAY_GUARD_PEPPER: 'sixteen bytes at least',
    REPLAY_GUARD_PEPPER_PREVIOUS: 'none',
    REPLAY_GUARD_CIPHER_KEY: key.toString('hex'),
    REPLAY_GUARD_CIPHER_KEY_PREVIOUS: 'none',
  });
  t.deepEqual(guard.pepper, { current: 'sixteen bytes at least', previous: [null] });
  t.deepEqual(guard.cipherKey, { current: key, readsPlaintext: true });
});

test('variables of Kubernetes and of other programs are ignored', (t) => {
  t.notThrows(() =>
    readConfig({
      INVENTORY_SERVICE_HOST: '10.0.0.1',
      INVENTORY_PORT_50051_TCP_ADDR: '10.0.0.1',
      OPS_SERVICE_HOST: '10.0.0.1',
      OPS_SERVICE_PORT_HTTP: '80',
      OPS_PORT: 'tcp://10.0.0.1:80',
      OPS_PORT_80_TCP: 'tcp://10.0.0.1:80',
      TLS_PORT_443_TCP_PROTO: 'tcp',
      JWT_SERVICE_HOST: '10.0.0.1',
      GRPC_TRACE: 'all',
      GRPC_VERBOSITY: 'DEBUG',
      PATH: '/bin',
    }),
  );
});

for (const [name, nearest] of [
  ['REPLAY_GAURD_MODE', 'REPLAY_GUARD_MODE'],
  ['REPLAYGUARD_MODE_FILE', 'REPLAY_GUARD_MODE_FILE'],
  ['GRPC_ADDRES', 'GRPC_ADDRESS'],
  ['GRCP_ADDRESS', 'GRPC_ADDRESS'],
  ['grpc_address', 'GRPC_ADDRESS'],
  ['DATABASE_URI', 'DATABASE_URL'],
  ['SERVICE', 'SERVICES'],
  ['INVENTORY_ADRESS', 'INVENTORY_ADDRESS'],
  ['LOGLEVEL', 'LOG_LEVEL'],
  ['SHUTDOWN_GRACE_', 'SHUTDOWN_GRACE'],
  ['OUTBX_RELAY', 'OUTBOX_RELAY'],
] as const) {
  test(`the variable ${name} is a misspelt ${nearest}`, (t) => {
    t.notThrows(() => readConfig({ [name]: 'x' }));
    t.deepEqual(misspeltSettings({ [name]: 'x', PATH: '/bin' }), [{ name, nearest }]);
  });
}

test('an ordinary environment has no misspelt settings', (t) => {
  const names = [
    'PATH HOME HOSTNAME HOST USER LOGNAME SHELL SHLVL PWD OLDPWD TERM LANG LC_ALL TZ TMPDIR EDITOR DISPLAY MAIL _',
    'NODE_ENV NODE_OPTIONS NODE_VERSION NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED YARN_VERSION PORT CI DEBUG',
    'npm_command npm_config_loglevel npm_config_cache npm_lifecycle_event npm_package_name npm_execpath INIT_CWD',
    'GRPC_VERBOSITY GRPC_TRACE GRPC_NODE_VERBOSITY GRPC_NODE_TRACE GRPC_DNS_RESOLVER GRPC_SSL_CIPHER_SUITES',
    'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH GRPC_PROXY grpc_proxy http_proxy https_proxy no_proxy HTTPS_PROXY NO_PROXY',
    'PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSSLMODE PGAPPNAME SSL_CERT_FILE SSL_CERT_DIR JAVA_HOME',
    'KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_PORT POD_NAME POD_IP NAMESPACE SERVICE_NAME',
    'AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY GOOGLE_APPLICATION_CREDENTIALS AZURE_CLIENT_ID',
    'OTEL_SERVICE_NAME OTEL_EXPORTER_OTLP_ENDPOINT OTEL_LOG_LEVEL SENTRY_DSN DD_AGENT_HOST DD_SERVICE',
    'REDIS_URL RABBITMQ_URL DB_HOST DB_URL DATABASE_HOST DATABASE_USER DATABASE_PASSWORD WEB_CONCURRENCY',
    'INVOCATION_ID JOURNAL_STREAM LISTEN_FDS LISTEN_PID NOTIFY_SOCKET SYSTEMD_EXEC_PID XDG_RUNTIME_DIR',
  ];
  const env = Object.fromEntries(names.flatMap((line) => line.split(' ')).map((name) => [name, 'x']));
  t.deepEqual(misspeltSettings(env), []);
  t.deepEqual(misspeltSettings({ INVENTORY_SERVICE_HOST: '10.0.0.1', OPS_PORT: 'tcp://10.0.0.1:80' }), []);
  t.notThrows(() => readConfig(env));
});

test('a setting with the right name is not misspelt, whatever its value is', (t) => {
  t.deepEqual(misspeltSettings({ GRPC_ADDRESS: 'x', LOG_LEVEL: 'x', SERVICES: 'x' }), []);
});
