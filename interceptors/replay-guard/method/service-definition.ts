import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/** The codec of a message type in a `GenericDefinition`. */
export interface GenericMessage {
  /** Returns a writer. Its `finish` returns the encoded message. */
  encode(message: unknown): { finish(): Uint8Array };
  /** Decodes a message. */
  decode(bytes: Uint8Array): unknown;
  /** Adds the omitted fields to a message. Absent if the code was generated with `outputPartialMethods=false`. */
  fromPartial?(message: unknown): unknown;
}

/** One method in a `GenericDefinition`. */
interface GenericMethod {
  readonly name: string;
  readonly requestType: GenericMessage;
  readonly requestStream: boolean;
  readonly responseType: GenericMessage;
  readonly responseStream: boolean;
  readonly options: { readonly idempotencyLevel?: string };
}

/** A service definition that ts-proto generates with `outputServices=generic-definitions`, as nice-grpc uses it. */
export interface GenericDefinition {
  readonly fullName: string;
  readonly methods: { readonly [method: string]: GenericMethod };
}

/** A service definition in any form that servers on grpc-js accept. */
export type AnyServiceDefinition = ServiceDefinition | GenericDefinition;

/**
 * Applies a change to a service definition and returns the result in the form of the input.
 * @param change receives and returns the definition in the form of grpc-js
 */
export function mapService<T extends AnyServiceDefinition>(
  definition: T,
  change: (service: ServiceDefinition) => ServiceDefinition,
): T {
  if (isGeneric(definition)) return withServerCodecs(definition, change(toServiceDefinition(definition)));
  return change(definition as ServiceDefinition) as T;
}

function isGeneric(definition: AnyServiceDefinition): definition is GenericDefinition {
  return typeof definition.fullName === 'string' && 'methods' in definition;
}

function toServiceDefinition({ fullName, methods }: GenericDefinition): ServiceDefinition {
  const entries = Object.entries(methods).map(([name, method]) => {
    const [request, response] = [codecOf(method.requestType), codecOf(method.responseType)];
    const definition: MethodDefinition<unknown, unknown> & { options: object } = {
      path: `/${fullName}/${method.name}`,
      requestStream: method.requestStream,
      responseStream: method.responseStream,
      requestSerialize: request.serialize,
      requestDeserialize: request.deserialize,
      responseSerialize: response.serialize,
      responseDeserialize: response.deserialize,
      options: { idempotency_level: method.options.idempotencyLevel },
    };
    return [name, definition];
  });
  return Object.fromEntries(entries);
}

/** Returns the generic definition with the request decoders and response encoders of its grpc-js form. */
function withServerCodecs<T extends GenericDefinition>(generic: T, service: ServiceDefinition): T {
  const methods = Object.entries(generic.methods).map(([name, method]) => {
    const { requestDeserialize, responseSerialize } = service[name] as MethodDefinition<unknown, unknown>;
    const requestType = { ...method.requestType, decode: requestDeserialize };
    const responseType = {
      ...method.responseType,
      // The value may be `Verbatim` bytes instead of a message, so the value is not changed.
      fromPartial: (message: unknown) => message,
      encode: (message: unknown) => ({ finish: () => responseSerialize(message) }),
    };
    return [name, { ...method, requestType, responseType }];
  });
  return { ...generic, methods: Object.fromEntries(methods) };
}

function codecOf(type: GenericMessage) {
  return {
    serialize: (message: unknown) =>
      Buffer.from(type.encode(type.fromPartial?.(message) ?? message).finish()),
    deserialize: (bytes: Buffer) => type.decode(bytes),
  };
}
