import fc from 'fast-check';
import { mutateText, mutations } from './mutations.js';

/** The environment of a shop: the names and values of its variables. */
export type Environment = Readonly<Record<string, string>>;

/** The parts of values that must stay secret. They are long enough not to occur in a message by chance. */
export const SECRETS = {
  password: 'hunter2-is-the-password',
  pepper: 'pepper-of-the-fuzzing-0123456789',
  earlier: 'earlier-pepper-of-the-fuzzing-012',
  cipherKey: Buffer.alloc(32, 0xa7).toString('base64'),
  earlierKey: Buffer.alloc(32, 0xb3).toString('hex'),
  webhook: `whsec_${Buffer.alloc(32, 0xc9).toString('base64')}`,
  warehouse: `whsec_${Buffer.alloc(32, 0xd4).toString('base64')}`,
};

/** Valid environments. Each random environment changes one of them. */
export const validEnvironments: readonly Environment[] = [
  {
    ...{ DATABASE_URL: `postgres://shop:${SECRETS.password}@127.0.0.1:1/shop`, LOG_LEVEL: 'warn' },
    ...{ REPLAY_GUARD_PEPPER: SECRETS.pepper, REPLAY_GUARD_PEPPER_PREVIOUS: SECRETS.earlier },
    REPLAY_GUARD_CIPHER_KEY: SECRETS.cipherKey,
    REPLAY_GUARD_CIPHER_KEY_PREVIOUS: SECRETS.earlierKey,
    ...{ WEBHOOK_URL: 'https://hooks.example/orders', WEBHOOK_SECRET: SECRETS.webhook },
    ...{ WAREHOUSE_WEBHOOK_SECRET: SECRETS.warehouse, REPLAY_GUARD_TTL: '30m', SHUTDOWN_GRACE: '1s' },
    ...{ REPLAY_GUARD_MAX_KEYS: '1000', REPLAY_GUARD_MAX_IN_FLIGHT: '50', REPLAY_GUARD_MODE: 'observe' },
    ...{ OUTBOX_RELAY: 'off', OUTBOX_MAX_ATTEMPTS: '7', OUTBOX_RETENTION: '7d', SERVICES: 'order,inventory' },
  },
  {
    ...{ DATABASE_URL: 'sqlite::memory', CALLER_IDENTITY: 'jwt', JWT_JWKS: 'https://issuer.example/jwks' },
    ...{ JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'shop', JWT_CLAIM: 'tenant' },
    ...{
      JWT_ALGORITHMS: 'PS256, ES512',
      GRPC_ADDRESS: '[::]:0',
      OPS_ADDRESS: '0.0.0.0:0',
      OPS_HOSTS: 'shop.internal,shop',
    },
  },
  {
    ...{
      CALLER_IDENTITY: 'mtls',
      TLS_CERT: 'c.pem',
      TLS_KEY: 'k.pem',
      TLS_CLIENT_CA: 'a.pem',
      TLS_CA: 'r.pem',
    },
    ...{ SERVICES: 'order', INVENTORY_ADDRESS: 'inventory.svc:50051', REPLAY_GUARD_MODE_FILE: 'modes.json' },
  },
];

const names = [...new Set(validEnvironments.flatMap((environment) => Object.keys(environment)))];
const hostileValues = [
  ...[
    '',
    ' ',
    '0',
    '-1',
    '1e9',
    '99999999999999',
    'null',
    'true',
    'none',
    '%00',
    '\u0000',
    '\n',
    'a\nb\r\nc',
  ],
  ...['__proto__', 'constructor', '127.0.0.1', ':::', '[::1]', 'x:99999', '../../etc/passwd', '\ud800', '🔑'],
  ...[
    'sqlite:',
    'sqlite::memory:',
    'postgres://',
    'postgres://[',
    'file:///etc/passwd',
    'http://x',
    'https://',
  ],
  ...['metadata:', 'metadata:x-bin', 'metadata:authorization', '1ms', '999999d', '1.5h', 'x'.repeat(5_000)],
];
/** A value that begins or ends with a secret, as after a wrong copy. */
const spoilt = fc
  .tuple(fc.constantFrom(...Object.values(SECRETS)), fc.constantFrom(...hostileValues), fc.boolean())
  .map(([secret, hostile, isFirst]) => (isFirst ? secret + hostile : hostile + secret));
const value = (name: string, environment: Environment) =>
  fc.oneof(
    fc.constantFrom(...hostileValues),
    fc.constantFrom(...validEnvironments.map((other) => other[name] ?? '')),
    mutations.map((changes) => mutateText(environment[name] ?? 'sqlite:x', changes)),
    spoilt,
    fc.string(),
  );
const foreignName = fc.oneof(
  fc.constantFrom(...names).map((name) => `${name}S`),
  fc.constantFrom('TLS_', 'JWT_X', 'REPLAY_GUARD_\n', 'OPS_SERVICE_HOST', 'toString', 'GRPC_ADDRES'),
);

/** Environments with one to three hostile values, unknown names and missing variables. */
export const environments: fc.Arbitrary<Environment> = fc.constantFrom(...validEnvironments).chain((base) =>
  fc
    .array(
      fc
        .oneof({ weight: 9, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: foreignName })
        .chain((name) => fc.tuple(fc.constant(name), value(name, base))),
      { minLength: 1, maxLength: 3 },
    )
    .map((changes) => ({ ...base, ...Object.fromEntries(changes) })),
);
