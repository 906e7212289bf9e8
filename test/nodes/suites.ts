/** The contract suites: every rule, on every engine. */
const contracts = ['dist/test/contracts/**/*.test.js', 'dist/test/replay-guard/contract/*.test.js'];

/** One contract of each engine, through gRPC and at the ports of the store and of the database. */
const onEachEngine = [
  'dist/test/contracts/database/*.test.js',
  'dist/test/contracts/store/{claims,sequences}.test.js',
  'dist/test/replay-guard/contract/{metrics,sequences,services}.test.js',
];

/** What depends on Node itself: module forms, TLS, HTTP/2, the asynchronous context, timers and native code. */
const onNode = [
  'dist/test/nodes/packed/*.js',
  'dist/test/types/{entries,hardened/hardened}.test.js',
  'dist/test/replay-guard/call/*.test.js',
  'dist/test/replay-guard/scope/*.test.js',
  'dist/test/replay-guard/lifecycle/process/*.test.js',
  'dist/test/replay-guard/lifecycle/client-disconnect.test.js',
  'dist/test/execution/*.test.js',
  'dist/test/database/{current-handle,sqlite*,sqlite/*}.test.js',
  'dist/test/server/credentials.test.js',
];

/** Returns the patterns of the tests that run in one version of Node. */
export function filesOf(isFull: boolean): readonly string[] {
  return [...(isFull ? contracts : onEachEngine), ...onNode];
}
