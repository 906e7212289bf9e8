import { status } from '@grpc/grpc-js';
import { notStored, refusals, stored, unguarded } from '../../table/expected-result.js';
import { storeDown, storeUp } from '../../table/faults.js';
import { endsWith, writesAndWaits } from '../../table/handlers.js';
import { finalState, type Row } from '../../table/row.js';
import { declare, everyKind, type Setup } from '../../table/setup.js';
import {
  call,
  ends,
  held,
  observedCounts,
  release,
  replays,
  setModes,
  start,
  statesBecome,
} from '../../table/steps.js';

const another = { request: { amountMinor: 2 } };
const methods = everyKind;
const path = (method: string) => `/test.v1.LedgerService/${method}`;
const inEvery = (mode: 'OFF' | 'OBSERVE' | 'ENFORCE') =>
  Object.fromEntries(everyKind.map((method) => [path(method), mode]));

const off: Setup = {
  policy: { mode: 'OFF' },
  declared: declare('mode: MODE_OFF'),
  methods,
};
const observe: Setup = {
  policy: { mode: 'OBSERVE' },
  declared: declare('mode: MODE_OBSERVE'),
  methods,
};
const enforce: Setup = {
  guard: { mode: 'OFF' },
  policy: { mode: 'ENFORCE' },
  declared: declare('mode: MODE_ENFORCE'),
};
const offForAll: Setup = { guard: { mode: 'OFF' } };
const switched: Setup = {};

const served: Row[] = [
  {
    title: 'OFF: every call executes unguarded, with any key or none',
    methods,
    setup: off,
    steps: [
      ...[call({}, unguarded), call({}, unguarded), call(another, unguarded)],
      ...[call({ key: 'not a key' }, unguarded), call({ key: null, caller: null }, unguarded)],
    ],
    final: finalState('no record', 5, 5),
    counts: {},
  },
  {
    title: 'ENFORCE: the method is guarded although the server is OFF',
    setup: enforce,
    steps: [
      ...[call(), replays(), call(another, refusals.keyReused)],
      ...[call({ method: 'Transfer' }, unguarded), call({ method: 'Transfer' }, unguarded)],
    ],
    final: finalState('completed', 3, 3),
    counts: { executed: 1, replayed: 1, reused: 1 },
  },
  {
    title: 'not set: a method has the mode of the server',
    methods: [...everyKind, 'Touch', 'Close'],
    setup: offForAll,
    steps: [call({}, unguarded), call({}, unguarded)],
    final: finalState('no record', 2, 2),
    counts: {},
  },
  {
    title: 'changed at run time: the next call uses the new mode',
    methods,
    setup: switched,
    steps: [
      ...[call(), setModes({ server: 'OFF' }), call({}, unguarded)],
      ...[setModes({ server: 'OFF', methods: inEvery('ENFORCE') }), replays()],
      ...[setModes({ methods: inEvery('OFF') }), call({}, unguarded), setModes({}), replays()],
    ],
    final: finalState('completed', 3, 3),
    counts: { executed: 1, replayed: 2 },
  },
];

const observed: Row[] = [
  {
    title:
      'OBSERVE: calls are recorded and counted, never refused or replayed, and a later ENFORCE replays the first reply',
    methods,
    setup: observe,
    steps: [
      ...[call({}, unguarded), statesBecome('completed'), call({}, unguarded), call(another, unguarded)],
      ...[call({ key: 'not a key' }, unguarded), call({ key: null }, unguarded)],
      observedCounts({ executed: 1, replayed: 1, reused: 1, key_invalid: 1, key_missing: 1 }),
      ...[setModes({ methods: inEvery('ENFORCE') }), replays()],
    ],
    final: finalState('completed', 5, 5),
    counts: { bypassed: 5, replayed: 1 },
  },
  {
    title: 'OBSERVE: a duplicate of a running call executes concurrently',
    methods,
    setup: observe,
    handler: writesAndWaits,
    steps: [
      ...[start(), held(1), start(), held(2), observedCounts({ executed: 1, in_progress: 1 })],
      ...[release(1), release(2), ends(unguarded), ends(unguarded)],
    ],
    final: finalState('completed', 2, 2),
    counts: { bypassed: 2 },
  },
  {
    title:
      'OBSERVE: a failure with a replayed code is recorded, and the writes of the handler stay committed',
    methods,
    setup: observe,
    handler: endsWith(status.NOT_FOUND, { ids: [] }),
    steps: [
      ...[
        call({}, notStored(status.NOT_FOUND)),
        statesBecome('completed'),
        setModes({ methods: inEvery('ENFORCE') }),
      ],
      ...[call({}, { ...stored(status.NOT_FOUND), replayed: true })],
    ],
    final: finalState('completed', 1, 1),
    counts: { bypassed: 1, replayed: 1 },
  },
  {
    title: 'OBSERVE: a failure with another code is not recorded',
    methods,
    setup: observe,
    handler: endsWith(status.ABORTED, { ids: [] }),
    steps: [call({}, notStored(status.ABORTED)), call({}, notStored(status.ABORTED))],
    final: finalState('no record', 2, 2),
    counts: { bypassed: 2 },
  },
  {
    title: 'OBSERVE: an unreachable store or a missing identity does not stop a call',
    methods,
    setup: observe,
    steps: [
      ...[storeDown, call({}, unguarded), storeUp, call({ caller: null }, unguarded)],
      observedCounts({ refused: 2 }),
    ],
    final: finalState('no record', 2, 2),
    counts: { bypassed: 2 },
  },
  {
    title: 'OBSERVE: a handler that throws gives the same result as without a guard',
    methods,
    setup: observe,
    handler: () => {
      throw new Error('for grpc-js to answer');
    },
    steps: [call({}, { code: status.UNKNOWN })],
    final: finalState('no record', 1, 0),
    counts: { bypassed: 1 },
  },
];

/** The policy field `mode`. */
export const modeRows: readonly Row[] = [...served, ...observed];
