// A preload (`node --import`): counts what the process creates. Every other module must load after this module.
import { createHook } from 'node:async_hooks';

/** What the process has created since its start. */
export interface Created {
  promises: number;
  timers: number;
  /** Abort controllers, and signals made by `AbortSignal.any` and `AbortSignal.timeout`. */
  controllers: number;
  errors: number;
  /** Statements of SQLite, if the process also loads `counting-sqlite`. */
  statements: number;
  /** Commits of SQLite, if the process also loads `counting-sqlite`. */
  commits: number;
}

declare global {
  /** Set by the counting preload. */
  var benchCreated: Created | undefined;
}

const created: Created = { promises: 0, timers: 0, controllers: 0, errors: 0, statements: 0, commits: 0 };
globalThis.benchCreated = created;

createHook({
  init(_id, type) {
    if (type === 'PROMISE') created.promises++;
    else if (type === 'Timeout') created.timers++;
  },
}).enable();

/** Counts the objects of a global class. Classes that extend it are counted through their `super()`. */
function countInstances(
  name: 'AbortController' | 'Error' | 'TypeError' | 'RangeError',
  counter: 'controllers' | 'errors',
): void {
  const original: object = globalThis[name];
  const counted = new Proxy(original, {
    construct(target, args, newTarget) {
      created[counter]++;
      return Reflect.construct(target as new () => object, args, newTarget);
    },
  });
  Object.defineProperty(globalThis, name, { value: counted, configurable: true, writable: true });
}

/** Counts the signals that a static method makes. */
function countSignals(name: 'any' | 'timeout'): void {
  const original = AbortSignal[name] as (argument: never) => AbortSignal;
  const counted = (argument: never) => {
    created.controllers++;
    return original.call(AbortSignal, argument);
  };
  Object.defineProperty(AbortSignal, name, { value: counted, configurable: true, writable: true });
}

countInstances('AbortController', 'controllers');
for (const name of ['Error', 'TypeError', 'RangeError'] as const) countInstances(name, 'errors');
for (const name of ['any', 'timeout'] as const) countSignals(name);
