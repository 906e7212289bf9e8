import { z } from 'zod';

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const MAX_DURATION_MS = 3_650 * UNITS_MS.d;

/** A duration such as `90s`, in milliseconds. The maximum is 3650 days. */
export const duration = z.string().transform((text, context): number => {
  const [, count, unit] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS];
  return ms <= MAX_DURATION_MS
    ? ms
    : refuse(context, 'must be a duration such as 500ms, 90s, 30m, 24h or 7d');
});

/** What users paste in place of a path: PEM, JSON, and JSON Web Tokens. */
const FILE_CONTENT = /-----BEGIN|^\s*[{[]|[\r\n]|\beyJ[\w-]+\.[\w-]+\./;

/**
 * The path of a file. The content of a file in its place is refused here: later errors name the path, and the content
 * may be a private key or a token.
 * @param kind the kind of the file, with its article
 */
export function filePath(kind: string) {
  return z
    .string()
    .min(1, { error: `must be the path of ${kind}` })
    .refine((text) => !FILE_CONTENT.test(text), { error: `must be the path of ${kind}, not its content` });
}

const SERVICE_NAMES = ['order', 'inventory'] as const;

/** The name of a service in the setting SERVICES. */
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** A comma-separated list of the services to host. */
export const services = z.string().transform((text, context): ReadonlySet<ServiceName> => {
  const names = text.split(',').map((name) => name.trim());
  const known = names.filter((name) => (SERVICE_NAMES as readonly string[]).includes(name)) as ServiceName[];
  if (known.length === names.length) return new Set(known);
  return refuse(context, 'must be order, inventory or order,inventory');
});

/** The mode of the guard, in the library's spelling. */
export const guardMode = z
  .enum(['enforce', 'observe', 'off'], { error: 'must be enforce, observe or off' })
  .transform((mode) => mode.toUpperCase() as 'ENFORCE' | 'OBSERVE' | 'OFF');

/** Adds an error message for a wrong value. The return value stands for the missing result. */
export function refuse(context: z.core.$RefinementCtx, message: string): never {
  context.addIssue(message);
  return z.NEVER;
}
