import type { AnyServiceDefinition } from './service-definition.js';

/** How deep packages are searched for services. A package name has fewer parts. */
const MAX_DEPTH = 16;

/** How many services of a package an error names. */
const MAX_NAMED = 5;

/**
 * Checks that a value is the definition of one service.
 * @throws TypeError otherwise. The message names what to pass instead: for example the property `service` of a client
 *   constructor, or the services of a package.
 */
export function assertServiceDefinition(given: unknown): asserts given is AnyServiceDefinition {
  if (isGenericDefinition(given) || isServiceDefinition(given)) return;
  throw new TypeError(`protect: ${whatToPass(given)}`);
}

function whatToPass(given: unknown): string {
  const services = servicesIn(given);
  if (isClientConstructor(given))
    return `a client constructor is not a service definition; pass ${lastPart(nameOf(given))}.service`;
  if (services.length > 0) {
    const named = services.slice(0, MAX_NAMED).join(', ');
    const rest = services.length > MAX_NAMED ? ` and ${services.length - MAX_NAMED} more` : '';
    return `an object with several entries is not one service definition; pass one of its services: ${named}${rest}`;
  }
  if (given instanceof Promise) return 'a promise is not a service definition; await it first';
  if (isMethod(given)) return 'one method is not a service definition; pass the definition of the service';
  if (isObject(given) && Object.values(given).some((value) => typeof value === 'function'))
    return 'an object with functions is not a service definition; pass the handlers to addService, and the definition to protect';
  return `${kindOf(given)} is not a service definition; pass a definition with the codecs of each method, as @grpc/proto-loader, protoc and ts-proto make it`;
}

/** Returns the paths of the services in an object: a package, a package definition or a module. */
function servicesIn(given: unknown, path = '', depth = 0): string[] {
  if (!isObject(given) || depth > MAX_DEPTH) return [];
  return Object.entries(given).flatMap(([name, value]) => {
    const isIdentifier = /^[A-Za-z_$][\w$]*$/.test(name);
    const at = isIdentifier ? `${path}${path && '.'}${name}` : `${path}['${name}']`;
    if (isClientConstructor(value)) return [`${at}.service`];
    if (isGenericDefinition(value) || (isServiceDefinition(value) && hasEntries(value))) return [at];
    // A message type or an enum has its descriptor in this property.
    if (!isObject(value) || 'fileDescriptorProtos' in value) return [];
    return servicesIn(value, at, depth + 1);
  });
}

type ClientConstructor = { readonly service: unknown; readonly serviceName?: unknown; readonly name: string };

function isClientConstructor(given: unknown): given is ClientConstructor {
  return typeof given === 'function' && 'service' in given && isServiceDefinition(given.service);
}

/** Returns the name of the service of a client constructor. The classes of grpc-js all have the same name. */
function nameOf({ serviceName, name }: ClientConstructor): string {
  return typeof serviceName === 'string' && serviceName !== '' ? serviceName : name;
}

const lastPart = (name: string) => name.slice(name.lastIndexOf('.') + 1);

function isGenericDefinition(given: unknown): boolean {
  return isObject(given) && typeof given.fullName === 'string' && isObject(given.methods);
}

/** Whether a value is a definition in the form of grpc-js. A service may have no methods. */
function isServiceDefinition(given: unknown): boolean {
  if (!isObject(given)) return false;
  const methods = Object.values(given);
  return methods.length > 0 ? methods.every(isMethod) : isPlain(given);
}

function isMethod(given: unknown): boolean {
  if (!isObject(given)) return false;
  const { path, requestDeserialize, responseSerialize } = given;
  return (
    typeof path === 'string' &&
    path.startsWith('/') &&
    typeof requestDeserialize === 'function' &&
    typeof responseSerialize === 'function'
  );
}

const isObject = (given: unknown): given is Record<string, unknown> =>
  typeof given === 'object' && given !== null;

const hasEntries = (given: unknown) => isObject(given) && Object.keys(given).length > 0;

function isPlain(given: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(given);
  return prototype === null || prototype === Object.prototype;
}

function kindOf(given: unknown): string {
  if (given === null || given === undefined) return String(given);
  return isObject(given) ? 'this object' : `a ${typeof given}`;
}
