import type * as z from 'zod';
import { invalidFields } from './service-error.js';

/**
 * Checks a request and returns the result of the schema.
 * @throws ServiceError INVALID_ARGUMENT when fields have wrong values; the error names them
 */
export function parseRequest<Schema extends z.ZodType>(schema: Schema, request: unknown): z.output<Schema> {
  const checked = schema.safeParse(request);
  if (checked.success) return checked.data;
  throw invalidFields(
    checked.error.issues.map(({ path, message }) => ({ field: fieldPath(path), description: message })),
  );
}

/** Returns the path of a field with the names of the .proto. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((field, part) => {
    if (typeof part === 'number') return `${field}[${part}]`;
    const name = String(part).replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return field ? `${field}.${name}` : name;
  }, '');
}
