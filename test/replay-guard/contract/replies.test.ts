import test from 'ava';
import { endingRows } from './rows/replies/endings.js';
import { metadataRows } from './rows/replies/metadata.js';
import { streamRows } from './rows/replies/streams.js';
import { unsendableRows } from './rows/replies/unsendable.js';
import { runRows } from './table/run-rows.js';

runRows(test, {
  'handler result': endingRows,
  'reply metadata': metadataRows,
  stream: streamRows,
  'reply that cannot be sent': unsendableRows,
});
