import type * as z from 'zod';
import { invalidFields } from './service-error.js';

/**
 * What the schema makes of the request.
 * @throws ServiceError INVALID_ARGUMENT that names all violated fields
 */
export function valid<Schema extends z.ZodType>(schema: Schema, request: unknown): z.output<Schema> {
  const checked = schema.safeParse(request);
  if (checked.success) return checked.data;
  throw invalidFields(
    checked.error.issues.map(({ path, message }) => ({ field: fieldPath(path), description: message })),
  );
}

/** The path as the .proto writes it. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((field, part) => {
    if (typeof part === 'number') return `${field}[${part}]`;
    const name = String(part).replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return field ? `${field}.${name}` : name;
  }, '');
}
