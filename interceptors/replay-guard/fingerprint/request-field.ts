import { type FieldPath, isNamed } from './field-path.js';
import { fieldOfStatic, isStaticMessage } from './google-protobuf.js';
import { choiceIn } from './oneof.js';

/**
 * Returns the string at a path in a decoded request. Supports the messages of all code generators. Returns
 * undefined if the value is empty, absent, or not a string.
 */
export function readField(message: unknown, path: FieldPath): string | undefined {
  const found = path.split('.').reduce(fieldOf, message);
  return typeof found === 'string' && found !== '' ? found : undefined;
}

function fieldOf(message: unknown, name: string): unknown {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return undefined;
  if (isStaticMessage(message)) return fieldOfStatic(message, name);
  // Inherited properties belong to the class of the message and are not fields.
  const entries = Object.entries(message);
  const found =
    entries.find(([property]) => property === name) ?? entries.find(([property]) => isNamed(property, name));
  if (found) return found[1];
  const choices = entries.map(([, value]) => choiceIn(message, value));
  return choices.find((choice) => choice && isNamed(choice.name, name))?.value;
}
