/** The set member of a oneof. */
export interface OneofChoice {
  readonly name: string;
  readonly value: unknown;
}

/** Whether a decoded message is a message of protobuf-es, which has the property `$typeName`. */
export const isEsMessage = (value: object): boolean => '$typeName' in value;

/**
 * Returns the set member of a oneof. protobuf-es represents a oneof as `{ case, value }`. ts-proto represents a oneof
 * as `{ $case, [member] }` or `{ $case, value }`. Returns undefined if no member is set, or if the property is not a
 * oneof.
 * @param message the message that contains the property
 */
export function choiceIn(message: object, property: unknown): OneofChoice | undefined {
  if (typeof property !== 'object' || property === null || isEsMessage(property)) return undefined;
  // A field may have the name `case`. In protobuf-es, a plain object is never a message, so the object must be a
  // oneof.
  const inEs = isEsMessage(message) && 'case' in property && 'value' in property;
  const inTsProto = '$case' in property;
  if (!inEs && !inTsProto) return undefined;
  const choice = property as Record<string, unknown>;
  const name = inEs ? choice.case : choice.$case;
  if (typeof name !== 'string') return undefined;
  return { name, value: inTsProto && Object.hasOwn(choice, name) ? choice[name] : choice.value };
}
