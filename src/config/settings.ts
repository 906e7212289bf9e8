import { isIP } from 'node:net';
import { z } from 'zod';

/** Where a listener is bound: port 0 means any free port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Which database: a SQLite file, or a Postgres server. */
export type DatabaseLocation =
  | { readonly engine: 'sqlite'; readonly path: string }
  | { readonly engine: 'postgres'; readonly connectionString: string };

/** How a caller is told from another: not at all, by a metadata value, by its TLS certificate, or by its token. */
export type CallerIdentity =
  | { readonly kind: 'single' }
  | { readonly kind: 'metadata'; readonly name: string }
  | { readonly kind: 'mtls' }
  | TokenIdentity;

/** Which JSON Web Tokens name a caller. */
export interface TokenIdentity {
  readonly kind: 'jwt';
  readonly keys: KeyLocation;
  readonly issuer: string;
  readonly audience: string;
  readonly claim?: string;
  readonly algorithms?: readonly string[];
  /** The file with the token that this server shows to an inventory elsewhere. */
  readonly ownTokenPath?: string;
}

type IdentityChoice = Exclude<CallerIdentity, TokenIdentity> | Pick<TokenIdentity, 'kind'>;

/** Where the public keys of a token's issuer are: in a file, or served at a URL. */
export type KeyLocation = { readonly path: string } | { readonly url: string };

/** Whether only this machine can connect to the address. */
export function isLoopback({ host }: Address): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** `host:port`, with the brackets that IPv6 needs. */
export function formatAddress({ host, port }: Address): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

const HOST_PORT = /^(?:\[(?<ipv6>[0-9a-fA-F:.]+)\]|(?<name>[^\s:/[\]]+)):(?<port>\d{1,5})$/;

function parseAddress(text: string): Address | undefined {
  const { ipv6, name, port } = HOST_PORT.exec(text)?.groups ?? {};
  if (port === undefined || Number(port) > 65_535 || (ipv6 && isIP(ipv6) !== 6)) return undefined;
  return { host: (ipv6 ?? name) as string, port: Number(port) };
}

/** `HOST:PORT`, IPv6 in brackets. */
export const address = z.string().transform((text, context): Address => {
  const parsed = parseAddress(text);
  return parsed ?? refuse(context, 'must be HOST:PORT, for example 127.0.0.1:50051 or [::1]:0');
});

/** The `HOST:PORT` of another server. */
export const remoteAddress = address.refine(({ port }) => port > 0, {
  error: 'needs a port from 1 to 65535',
});

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A time span such as `90s`, in milliseconds, at most ten years. */
export const duration = z.string().transform((text, context): number => {
  const [, count, unit] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(count) * UNITS[unit as keyof typeof UNITS];
  return ms <= 3_650 * UNITS.d
    ? ms
    : refuse(context, 'must be a duration such as 500ms, 90s, 30m, 24h or 7d');
});

/** `sqlite:PATH` or `postgres://...`. The value may hold a password, so no message repeats it. */
export const databaseUrl = z.string().transform((text, context): DatabaseLocation => {
  if (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text)) {
    return { engine: 'postgres', connectionString: text };
  }
  const path = /^sqlite:(?!:memory:)(.+)$/.exec(text)?.[1];
  if (path) return { engine: 'sqlite', path };
  return refuse(
    context,
    'must be sqlite:PATH with the path of a file, or postgres://USER:PASSWORD@HOST/DATABASE',
  );
});

/** `single`, `metadata:NAME`, `mtls`, or `jwt`, whose particulars are settings of their own. */
export const callerIdentity = z.string().transform((text, context): IdentityChoice => {
  if (text === 'single' || text === 'mtls' || text === 'jwt') return { kind: text };
  const name = /^metadata:([a-z0-9_.-]+)$/i.exec(text)?.[1]?.toLowerCase();
  if (!name) return refuse(context, 'must be single, metadata:NAME, mtls or jwt');
  if (/^grpc-|^idempotency-|-bin$/.test(name)) {
    return refuse(context, `metadata:${name} is reserved; name the text metadata that your proxy sets`);
  }
  return { kind: 'metadata', name };
});

const HOSTED = ['order', 'inventory'] as const;
export type HostedService = (typeof HOSTED)[number];

/** A comma-separated choice of the services to host. */
export const services = z.string().transform((text, context): ReadonlySet<HostedService> => {
  const names = text.split(',').map((name) => name.trim());
  const known = names.filter((name) => (HOSTED as readonly string[]).includes(name)) as HostedService[];
  if (known.length === names.length) return new Set(known);
  return refuse(context, 'must be order, inventory or order,inventory');
});

/** What the guard does. */
export const guardMode = z
  .enum(['enforce', 'observe', 'off'], { error: 'must be enforce, observe or off' })
  .transform((mode) => mode.toUpperCase() as 'ENFORCE' | 'OBSERVE' | 'OFF');

/** Says why a value is wrong. */
export function refuse(context: z.core.$RefinementCtx, message: string): never {
  context.addIssue(message);
  return z.NEVER;
}
