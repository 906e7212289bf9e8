/** The member that is set in a oneof. */
export interface OneofChoice {
  readonly name: string;
  readonly value: unknown;
}

/** Whether a decoded message is one of protobuf-es, which says so itself. */
export const isEsMessage = (value: object): boolean => '$typeName' in value;

/**
 * Reads a property that holds a oneof as a choice: `{ case, value }` in protobuf-es, `{ $case, [member] }` or
 * `{ $case, value }` in ts-proto. Undefined for every other property, and where no member is set.
 */
export function choiceIn(message: object, property: unknown): OneofChoice | undefined {
  if (typeof property !== 'object' || property === null || isEsMessage(property)) return undefined;
  // Fields may be named `case`, and only protobuf-es never leaves a bare object for a message.
  const inEs = isEsMessage(message) && 'case' in property && 'value' in property;
  const inTsProto = '$case' in property;
  if (!inEs && !inTsProto) return undefined;
  const choice = property as Record<string, unknown>;
  const name = inEs ? choice.case : choice.$case;
  if (typeof name !== 'string') return undefined;
  return { name, value: inTsProto && Object.hasOwn(choice, name) ? choice[name] : choice.value };
}
