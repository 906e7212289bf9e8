import { type FieldPath, isNamed } from './field-path.js';
import { fieldOfStatic, isStaticMessage } from './google-protobuf.js';
import { choiceIn } from './oneof.js';

/**
 * The string at a path in a decoded request of any code generator; undefined where it is empty, absent, or
 * no string.
 */
export function readField(message: unknown, path: FieldPath): string | undefined {
  const found = path.split('.').reduce(fieldOf, message);
  return typeof found === 'string' && found !== '' ? found : undefined;
}

function fieldOf(message: unknown, name: string): unknown {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return undefined;
  if (isStaticMessage(message)) return fieldOfStatic(message, name);
  // Own properties only: what else a request has comes from its class.
  const entries = Object.entries(message);
  const found =
    entries.find(([property]) => property === name) ?? entries.find(([property]) => isNamed(property, name));
  if (found) return found[1];
  const choices = entries.map(([, value]) => choiceIn(message, value));
  return choices.find((choice) => choice && isNamed(choice.name, name))?.value;
}
