import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { ContextValue } from '#library/context/context-value.js';

test('each value has its own name, and a nested value hides the outer value of the same name', async (t) => {
  const [one, two] = [new ContextValue<number>('one'), new ContextValue<number>('two')];
  const values = () => [one.get(), two.get()];
  t.deepEqual(values(), [undefined, undefined]);
  await one.run(1, () =>
    two.run(2, async () => {
      t.deepEqual(values(), [1, 2]);
      const inner = one.run(3, async () => {
        t.deepEqual(values(), [3, 2]);
        await null;
        two.run(4, () => t.deepEqual(values(), [3, 4]));
        t.deepEqual(values(), [3, 2]);
      });
      t.deepEqual(values(), [1, 2]);
      await inner;
      t.deepEqual(values(), [1, 2]);
    }),
  );
  t.deepEqual(values(), [undefined, undefined]);
});

test('work that starts itself again in its own context does not keep the earlier values', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const [one, two] = [new ContextValue<object>('one'), new ContextValue<object>('two')];
  const earlier: WeakRef<object>[] = [];
  const left = await new Promise<number>((resolve) => {
    const again = (rest: number) => {
      const values = [{}, {}] as const;
      earlier.push(...values.map((value) => new WeakRef(value)));
      one.run(values[0], () => two.run(values[1], () => setImmediate(next, rest)));
    };
    const next = (rest: number) => {
      if (rest > 0) return again(rest - 1);
      collect();
      resolve(earlier.filter((value) => value.deref() !== undefined).length);
    };
    again(50);
  });
  t.true(left < 10, `${left} of ${earlier.length} values are left`);
});
