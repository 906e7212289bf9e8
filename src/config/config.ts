import { z } from 'zod';
import { address, isLoopback, remoteAddress } from './address.js';
import { callerIdentity } from './caller-identity.js';
import { databaseConflicts, databaseSettings, toDatabaseLocation } from './database-settings.js';
import { guardSettings, toGuardConfig } from './guard-settings.js';
import { hostNames } from './host-names.js';
import { jwtConflicts, jwtSettings, toTokenIdentity } from './jwt-settings.js';
import { type Misspelt, nearestSetting } from './misspelt.js';
import { outboxSettings, toOutboxConfig, webhookSecret } from './outbox-settings.js';
import * as setting from './settings.js';

/** A setting is wrong or unknown. The message is one line: the name of the setting and the reason. */
export class ConfigError extends Error {
  override name = 'ConfigError';

  /**
   * @param name the name of the setting
   * @param reason the reason why the value is wrong; line breaks become spaces
   */
  constructor(name: string, reason: string) {
    super(`${name}: ${reason}`.replaceAll(/\s+/g, ' '));
  }
}

/** The maximum of SHUTDOWN_GRACE. A longer grace time is probably a mistake. */
const MAX_GRACE_MS = 3_600_000;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const path = setting.filePath('a PEM file');

const schema = z.object({
  GRPC_ADDRESS: address.prefault('127.0.0.1:50051'),
  OPS_ADDRESS: address.prefault('127.0.0.1:9464'),
  OPS_HOSTS: hostNames.optional(),
  ...databaseSettings,
  SERVICES: setting.services.prefault('order,inventory'),
  INVENTORY_ADDRESS: remoteAddress.optional(),
  CALLER_IDENTITY: callerIdentity.prefault('single'),
  ...jwtSettings,
  TLS_CERT: path.optional(),
  TLS_KEY: path.optional(),
  TLS_CLIENT_CA: path.optional(),
  TLS_CA: path.optional(),
  ...guardSettings,
  WAREHOUSE_WEBHOOK_SECRET: webhookSecret.optional(),
  ...outboxSettings,
  LOG_LEVEL: z.enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(', ')}` }).default('info'),
  SHUTDOWN_GRACE: setting.duration
    .refine((ms) => ms <= MAX_GRACE_MS, { error: 'must be at most 1h' })
    .prefault('10s'),
});

type Settings = z.output<typeof schema>;
type Name = keyof Settings;

/** Checks the rules that involve more than one setting. Yields each wrong setting and the reason. */
function* conflicts(s: Settings): Generator<[Name, string]> {
  const requires = (name: Name, other: Name): [Name, string][] =>
    s[name] !== undefined && s[other] === undefined ? [[name, `requires ${other}`]] : [];
  yield* databaseConflicts(s);
  yield* requires('TLS_CERT', 'TLS_KEY');
  yield* requires('TLS_KEY', 'TLS_CERT');
  yield* requires('TLS_CLIENT_CA', 'TLS_CERT');
  yield* requires('TLS_CA', 'TLS_CERT');
  yield* requires('REPLAY_GUARD_PEPPER_PREVIOUS', 'REPLAY_GUARD_PEPPER');
  yield* requires('REPLAY_GUARD_PEPPER_COVERS', 'REPLAY_GUARD_PEPPER');
  for (const name of ['REPLAY_GUARD_PEPPER_NEXT', 'REPLAY_GUARD_PEPPER_PREVIOUS'] as const)
    if (s[name] && s[name] === s.REPLAY_GUARD_PEPPER) yield [name, 'must differ from REPLAY_GUARD_PEPPER'];
  if (s.REPLAY_GUARD_PEPPER_NEXT && s.REPLAY_GUARD_PEPPER_NEXT === s.REPLAY_GUARD_PEPPER_PREVIOUS)
    yield ['REPLAY_GUARD_PEPPER_NEXT', 'must differ from REPLAY_GUARD_PEPPER_PREVIOUS'];
  yield* requires('REPLAY_GUARD_CIPHER_KEY_PREVIOUS', 'REPLAY_GUARD_CIPHER_KEY');
  yield* requires('WEBHOOK_URL', 'WEBHOOK_SECRET');
  yield* requires('WEBHOOK_SECRET', 'WEBHOOK_URL');
  if (s.CALLER_IDENTITY.kind === 'mtls' && !s.TLS_CLIENT_CA) {
    yield ['CALLER_IDENTITY', 'mtls requires TLS_CLIENT_CA, TLS_CERT and TLS_KEY'];
  }
  if (s.CALLER_IDENTITY.kind === 'single') {
    for (const name of ['GRPC_ADDRESS', 'OPS_ADDRESS'] as const) {
      if (isLoopback(s[name])) continue;
      yield ['CALLER_IDENTITY', `single requires loopback addresses, but ${name} is not one`];
    }
  }
  if (!s.SERVICES.has('inventory') && !s.INVENTORY_ADDRESS) {
    yield ['INVENTORY_ADDRESS', 'required when SERVICES does not include inventory'];
  }
  yield* jwtConflicts(s, s.SERVICES.has('order') && s.INVENTORY_ADDRESS !== undefined);
}

/** The prefixes that only this program uses. An unknown name with such a prefix must be a mistake. */
const OWN_PREFIX = /^(REPLAY_GUARD|TLS|CALLER|OPS|JWT|WAREHOUSE|WEBHOOK|OUTBOX)_/;
/** The variables that Kubernetes sets for each service, even for a service with the name `ops` or `tls`. */
const SERVICE_LINK =
  /^\w+_(SERVICE_(HOST|PORT)(_\w+)?=|PORT=(tcp|udp|sctp):|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=)/;

const NAMES = Object.keys(schema.shape);

/** Yields the names of variables that are neither settings nor variables of Kubernetes. */
function* foreignNames(env: NodeJS.ProcessEnv): Generator<string> {
  for (const name of Object.keys(env)) {
    if (!(name in schema.shape) && !SERVICE_LINK.test(`${name}=${env[name]}`)) yield name;
  }
}

/**
 * Returns the variables of the environment that are probably misspelt settings. `readConfig` refuses unknown names with
 * a prefix of this program. A name with another prefix may belong to another program.
 */
export function misspeltSettings(env: NodeJS.ProcessEnv): Misspelt[] {
  return [...foreignNames(env)].flatMap((name) => {
    const nearest = nearestSetting(name, NAMES);
    return nearest ? [{ name, nearest }] : [];
  });
}

/** @throws ConfigError when a name with a prefix of this program is not a setting */
function refuseUnknown(env: NodeJS.ProcessEnv): void {
  for (const name of foreignNames(env)) {
    if (!OWN_PREFIX.test(name)) continue;
    const nearest = nearestSetting(name, NAMES);
    throw new ConfigError(name, nearest ? `unknown setting; did you mean ${nearest}?` : 'unknown setting');
  }
}

/** The checked settings. */
export type Config = ReturnType<typeof readConfig>;

/**
 * Reads the settings from the environment.
 * @throws ConfigError when a setting is wrong or unknown
 */
export function readConfig(env: NodeJS.ProcessEnv) {
  refuseUnknown(env);
  const parsed = schema.safeParse(env);
  const issue = parsed.error?.issues[0];
  if (!parsed.success) throw new ConfigError(String(issue?.path[0]), String(issue?.message));
  const [conflict] = conflicts(parsed.data);
  if (conflict) throw new ConfigError(...conflict);
  return toConfig(parsed.data);
}

function toConfig(s: Settings) {
  const { TLS_CERT: cert, TLS_KEY: key, TLS_CLIENT_CA: clientCa, TLS_CA: ca } = s;
  return {
    grpc: s.GRPC_ADDRESS,
    ops: { ...s.OPS_ADDRESS, ...(s.OPS_HOSTS && { names: s.OPS_HOSTS }) },
    database: toDatabaseLocation(s),
    services: s.SERVICES,
    inventory: s.INVENTORY_ADDRESS,
    identity: s.CALLER_IDENTITY.kind === 'jwt' ? toTokenIdentity(s) : s.CALLER_IDENTITY,
    tls: cert && key ? { cert, key, clientCa, ca } : undefined,
    guard: toGuardConfig(s),
    outbox: toOutboxConfig(s),
    modeFile: s.REPLAY_GUARD_MODE_FILE,
    warehouseSecret: s.WAREHOUSE_WEBHOOK_SECRET,
    logLevel: s.LOG_LEVEL,
    shutdownGraceMs: s.SHUTDOWN_GRACE,
  };
}
