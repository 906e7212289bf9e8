import { type DescMessage, fromBinary, getExtension, type Message } from '@bufbuild/protobuf';
import { registry } from '../../helpers/codegens/index.js';

/** What an independent decoder, protobuf-es, reads from a message. */
export interface ReadMessage {
  /** Equal messages have equal texts, and only those. */
  readonly text: string;
  /**
   * Whether different bytes may be equal for this decoder only: a text that is not valid UTF-8, or an unknown value
   * of a closed enum, which the decoder moves to the unknown fields.
   */
  readonly isLossy: boolean;
}

/** Decodes a message. Returns undefined if the decoder refuses the bytes. */
export function readMessage(type: DescMessage, wire: Uint8Array): ReadMessage | undefined {
  let message: Message;
  try {
    message = fromBinary(type, wire);
  } catch {
    return undefined;
  }
  const text = textOf(message);
  return { text, isLossy: text.includes('\ufffd') || movesValues(message) };
}

/** Whether a message, at any depth, has unknown fields with the number of a known field. */
function movesValues(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(movesValues);
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return false;
  const { $typeName, $unknown = [] } = value as Partial<Message>;
  const fields = ($typeName && registry.getMessage($typeName)?.fields) || [];
  if ($unknown.some(({ no }) => fields.some(({ number }) => number === no))) return true;
  return Object.entries(value).some(([name, entry]) => name !== '$unknown' && movesValues(entry));
}

/** A text of all fields, without unknown fields. */
function textOf(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (value instanceof Uint8Array) return `<${Buffer.from(value).toString('hex')}>`;
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  if (value === null || typeof value !== 'object') return String(value);
  const entries = Object.entries(value).filter(([name, entry]) => name !== '$unknown' && entry !== undefined);
  entries.push(...extensionsOf(value as Message));
  return `{${entries
    .map(([name, entry]) => `${JSON.stringify(name)}:${textOf(entry)}`)
    .sort()
    .join()}}`;
}

/** The extensions of a message. The decoder keeps them among the unknown fields. */
function extensionsOf(message: Message): [string, unknown][] {
  const type = message.$typeName && registry.getMessage(message.$typeName);
  if (!type) return [];
  const numbers = [...new Set(message.$unknown?.map(({ no }) => no))];
  return numbers.flatMap((number) => {
    const extension = registry.getExtensionFor(type, number);
    return extension ? [[extension.typeName, getExtension(message, extension)] as [string, unknown]] : [];
  });
}
