import test from 'ava';
import { endingRows } from './rows/replies/endings.js';
import { metadataRows } from './rows/replies/metadata.js';
import { streamRows } from './rows/replies/streams.js';
import { play } from './table/run-rows.js';

play(test, { endings: endingRows, metadata: metadataRows, streams: streamRows });
