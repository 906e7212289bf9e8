import { status } from '@grpc/grpc-js';
import { keeps, refusals, releases, unguarded } from '../../table/expected-result.js';
import { storeComes, storeGoes } from '../../table/faults.js';
import { endsWith, writesAndWaits } from '../../table/handlers.js';
import { declare, everyKind, leaves, type Row, type Setup } from '../../table/row.js';
import {
  begins,
  call,
  ends,
  isHeld,
  letsGo,
  replays,
  setsModes,
  settles,
  wouldHaveBeen,
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
    line: 'OFF: every call passes, whatever it carries',
    methods,
    setup: off,
    steps: [
      ...[call({}, unguarded), call({}, unguarded), call(another, unguarded)],
      ...[call({ key: 'not a key' }, unguarded), call({ key: null, caller: null }, unguarded)],
    ],
    leaves: leaves('nothing', 5, 5),
    counts: {},
  },
  {
    line: 'ENFORCE: guarded, where the server is OFF',
    setup: enforce,
    steps: [
      ...[call(), replays(), call(another, refusals.keyReused)],
      ...[call({ method: 'Transfer' }, unguarded), call({ method: 'Transfer' }, unguarded)],
    ],
    leaves: leaves('completed', 3, 3),
    counts: { executed: 1, replayed: 1, reused: 1 },
  },
  {
    line: 'by default as the server is set',
    methods: [...everyKind, 'Touch', 'Close'],
    setup: offForAll,
    steps: [call({}, unguarded), call({}, unguarded)],
    leaves: leaves('nothing', 2, 2),
    counts: {},
  },
  {
    line: 'switched while calls are served',
    methods,
    setup: switched,
    steps: [
      ...[call(), setsModes({ server: 'OFF' }), call({}, unguarded)],
      ...[setsModes({ server: 'OFF', methods: inEvery('ENFORCE') }), replays()],
      ...[setsModes({ methods: inEvery('OFF') }), call({}, unguarded), setsModes({}), replays()],
    ],
    leaves: leaves('completed', 3, 3),
    counts: { executed: 1, replayed: 2 },
  },
];

const observed: Row[] = [
  {
    line: 'OBSERVE: records and counts, never refuses or replays; ENFORCE has the first reply',
    methods,
    setup: observe,
    steps: [
      ...[call({}, unguarded), settles('completed'), call({}, unguarded), call(another, unguarded)],
      ...[call({ key: 'not a key' }, unguarded), call({ key: null }, unguarded)],
      wouldHaveBeen({ executed: 1, replayed: 1, reused: 1, key_invalid: 1, key_missing: 1 }),
      ...[setsModes({ methods: inEvery('ENFORCE') }), replays()],
    ],
    leaves: leaves('completed', 5, 5),
    counts: { bypassed: 5, replayed: 1 },
  },
  {
    line: 'OBSERVE: a duplicate of what is under way executes beside it',
    methods,
    setup: observe,
    handler: writesAndWaits,
    steps: [
      ...[begins(), isHeld(1), begins(), isHeld(2), wouldHaveBeen({ executed: 1, in_progress: 1 })],
      ...[letsGo(1), letsGo(2), ends(unguarded), ends(unguarded)],
    ],
    leaves: leaves('completed', 2, 2),
    counts: { bypassed: 2 },
  },
  {
    line: 'OBSERVE: a failure that is kept is recorded, its writes are the handler’s own',
    methods,
    setup: observe,
    handler: endsWith(status.NOT_FOUND, { ids: [] }),
    steps: [
      ...[
        call({}, releases(status.NOT_FOUND)),
        settles('completed'),
        setsModes({ methods: inEvery('ENFORCE') }),
      ],
      ...[call({}, { ...keeps(status.NOT_FOUND), replayed: true })],
    ],
    leaves: leaves('completed', 1, 1),
    counts: { bypassed: 1, replayed: 1 },
  },
  {
    line: 'OBSERVE: any other failure is not recorded',
    methods,
    setup: observe,
    handler: endsWith(status.ABORTED, { ids: [] }),
    steps: [call({}, releases(status.ABORTED)), call({}, releases(status.ABORTED))],
    leaves: leaves('nothing', 2, 2),
    counts: { bypassed: 2 },
  },
  {
    line: 'OBSERVE: neither a store that is gone nor a missing identity is in the way',
    methods,
    setup: observe,
    steps: [
      ...[storeGoes, call({}, unguarded), storeComes, call({ caller: null }, unguarded)],
      wouldHaveBeen({ refused: 2 }),
    ],
    leaves: leaves('nothing', 2, 2),
    counts: { bypassed: 2 },
  },
  {
    line: 'OBSERVE: a handler that throws is what it is without a guard',
    methods,
    setup: observe,
    handler: () => {
      throw new Error('for grpc-js to answer');
    },
    steps: [call({}, { code: status.UNKNOWN })],
    leaves: leaves('nothing', 1, 0),
    counts: { bypassed: 1 },
  },
];

/** Section 4, `mode`. */
export const modeRows: readonly Row[] = [...served, ...observed];
