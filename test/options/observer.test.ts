import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { completeObserver } from '#library/options/observer.js';

interface Observer {
  started(id: number): void;
  ended(): void;
}

const names = { started: true, ended: true } as const;

test('an absent observer has methods without effect', (t) => {
  const observer = completeObserver<Observer>(undefined, names);
  t.notThrows(() => observer.started(1));
  t.notThrows(() => observer.ended());
});

test('a partial observer keeps its methods and gets the others', (t) => {
  const ids: number[] = [];
  const observer = completeObserver<Observer>({ started: (id) => ids.push(id) }, names);
  observer.started(7);
  observer.ended();
  t.deepEqual(ids, [7]);
});

test('the methods of an instance of a class keep their instance', (t) => {
  class Counter {
    count = 0;
    ended(): void {
      this.count++;
    }
  }
  const counter = new Counter();
  const { ended } = completeObserver<Observer>(counter, names);
  ended();
  t.is(counter.count, 1);
});

test('a method that is replaced later is called instead of the first', (t) => {
  const calls: string[] = [];
  const observer = { ended: () => void calls.push('first') };
  const { ended } = completeObserver<Observer>(observer, names);
  observer.ended = () => void calls.push('second');
  ended();
  t.deepEqual(calls, ['second']);
});

test('a misspelt method of an object literal is refused by name', (t) => {
  t.throws(() => completeObserver<Observer>({ end() {} } as object, names), {
    instanceOf: TypeError,
    message: 'observer: unknown method end; its methods are started, ended',
  });
});

test('an instance of a class may have other methods and fields', (t) => {
  class Recorder {
    readonly seen: string[] = [];
    readonly record = () => void this.seen.push('ended');
    ended(): void {
      this.record();
    }
  }
  const recorder = new Recorder();
  completeObserver<Observer>(recorder, names).ended();
  t.deepEqual(recorder.seen, ['ended']);
});

test('a method that is not a function is refused by name', (t) => {
  t.throws(() => completeObserver<Observer>({ ended: 'no' as never }, names), {
    instanceOf: TypeError,
    message: 'observer: ended must be a function',
  });
});

const throwing = () => {
  throw new Error('the disk is full');
};
const failing: Record<string, () => unknown> = {
  throws: throwing,
  'throws undefined': () => {
    throw undefined;
  },
  rejects: async () => throwing(),
};
for (const [title, ended] of Object.entries(failing)) {
  test.serial(
    `a method that ${title} becomes one process warning, and later calls reach the method`,
    async (t) => {
      const warnings: NodeJS.ErrnoException[] = [];
      const listen = (warning: Error) => warnings.push(warning);
      process.on('warning', listen);
      t.teardown(() => process.removeListener('warning', listen));
      let calls = 0;
      const count = () => {
        calls++;
        return ended();
      };
      const observer = completeObserver<Observer>({ ended: count }, names);
      const warned = once(process, 'warning');
      for (let call = 0; call < 3; call++) t.is(observer.ended(), undefined);
      await warned;
      await nextTurn();
      t.is(calls, 3);
      t.like(warnings, [{ code: 'REPLAY_GUARD_OBSERVER_FAILED' }]);
      t.regex(String(warnings[0]?.message), /the method ended of an observer failed/);
    },
  );
}

test.serial(
  'several observers receive each event in their order, and the failure of one does not stop the next',
  async (t) => {
    const calls: string[] = [];
    const failing: Partial<Observer> = {
      started() {
        throw new Error('on purpose');
      },
    };
    const named = (name: string): Partial<Observer> => ({ started: (id) => calls.push(`${name} ${id}`) });
    const warned = once(process, 'warning');
    const observer = completeObserver<Observer>([named('a'), failing, named('b')], names);
    observer.started(1);
    observer.started(2);
    observer.ended();
    t.deepEqual(calls, ['a 1', 'b 1', 'a 2', 'b 2']);
    t.is(((await warned) as NodeJS.ErrnoException[])[0]?.code, 'REPLAY_GUARD_OBSERVER_FAILED');
  },
);

test('an empty list of observers has methods without effect, and a member that is no object is refused', (t) => {
  t.notThrows(() => completeObserver<Observer>([], names).started(1));
  t.throws(() => completeObserver<Observer>([undefined as never], names), { instanceOf: TypeError });
});
