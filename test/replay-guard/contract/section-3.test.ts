import test from 'ava';
import { endingRows } from './rows/endings.js';
import { metadataRows } from './rows/metadata.js';
import { streamRows } from './rows/streams.js';
import { play } from './table/play.js';

play(test, { endings: endingRows, metadata: metadataRows, streams: streamRows });
