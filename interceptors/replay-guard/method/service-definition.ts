import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/** What a `GenericDefinition` needs of a message type. */
export interface GenericMessage {
  encode(message: unknown): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
  /** Completes a message of which fields are left out; absent where the codegen was told to omit it. */
  fromPartial?(message: unknown): unknown;
}

interface GenericMethod {
  readonly name: string;
  readonly requestType: GenericMessage;
  readonly requestStream: boolean;
  readonly responseType: GenericMessage;
  readonly responseStream: boolean;
  readonly options: { readonly idempotencyLevel?: string };
}

/** A service as ts-proto writes it for nice-grpc, by its option `outputServices=generic-definitions`. */
export interface GenericDefinition {
  readonly fullName: string;
  readonly methods: { readonly [method: string]: GenericMethod };
}

/** A service definition of any of the forms that servers on grpc-js take. */
export type AnyServiceDefinition = ServiceDefinition | GenericDefinition;

/** Changes a service in the form of grpc-js, and returns it in the form that it was given in. */
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

/** The generic definition with the codecs that a server uses taken from its grpc-js form. */
function withServerCodecs<T extends GenericDefinition>(generic: T, service: ServiceDefinition): T {
  const methods = Object.entries(generic.methods).map(([name, method]) => {
    const { requestDeserialize, responseSerialize } = service[name] as MethodDefinition<unknown, unknown>;
    const requestType = { ...method.requestType, decode: requestDeserialize };
    const responseType = {
      ...method.responseType,
      // What is sent need not be a message of this type, so it passes as it is.
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
