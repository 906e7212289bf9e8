import test from 'ava';
import { checkout, house } from './checkout.js';
import {
  engineExceptions,
  engineMatrices,
  generatedFolders,
  libraryLayers,
  limitedFiles,
  MAX_FILES_PER_FOLDER,
  packageOwners,
  serviceRooms,
  shopLayers,
  treeLayers,
} from './rooms.js';
import {
  deepImports,
  excessImports,
  fileCycles,
  fullFolders,
  guardTraces,
  hiddenImports,
  matrixGaps,
  misplacedFiles,
  relativeEscapes,
  roomCycles,
  strayPackages,
  unresolvedImports,
  upwardImports,
  wrongWords,
} from './rules.js';

test('every file of the library and of the shop is in a declared room, and every room has a file', (t) => {
  t.deepEqual(misplacedFiles(checkout, libraryLayers, 'interceptors'), []);
  t.deepEqual(misplacedFiles(checkout, shopLayers, 'src'), []);
});

test('no files import each other in a cycle', (t) => {
  t.deepEqual(fileCycles(checkout), []);
});

test('no rooms import each other in a cycle', (t) => {
  t.deepEqual(roomCycles(house, [...libraryLayers, ...shopLayers]), []);
});

test('rooms of the library import from lower layers only', (t) => {
  t.deepEqual(upwardImports(checkout, libraryLayers), []);
});

test('rooms of the shop import from lower layers only', (t) => {
  t.deepEqual(upwardImports(checkout, shopLayers), []);
});

test('tests may import bench, bench the shop, and the shop the library, and no tree imports a higher tree', (t) => {
  t.deepEqual(upwardImports(checkout, treeLayers), []);
});

test('the shop imports the library, and every file imports a closed room, through package entries only', (t) => {
  t.deepEqual(deepImports(checkout), []);
});

test('the library and the shop are imported from outside by aliases or package entries', (t) => {
  t.deepEqual(relativeEscapes(checkout), []);
});

test('every relative import names a source file or a generated file', (t) => {
  t.deepEqual(unresolvedImports(checkout, generatedFolders), []);
});

test('the library and the shop load modules only by imports with a constant name', (t) => {
  t.deepEqual(hiddenImports(checkout), []);
});

test('the metrics of a room import its observer only', (t) => {
  t.deepEqual(excessImports(checkout, limitedFiles), []);
});

test('drivers and optional packages are imported by the rooms that own them', (t) => {
  t.deepEqual(strayPackages(checkout, packageOwners), []);
});

test('the services contain no trace of the guard', (t) => {
  t.deepEqual(guardTraces(checkout, serviceRooms), []);
});

test('no folder has more files than the limit', (t) => {
  t.deepEqual(fullFolders(checkout, MAX_FILES_PER_FOLDER), []);
});

test('the engines have the same file names', (t) => {
  t.deepEqual(matrixGaps(checkout, engineMatrices, engineExceptions), []);
});

test('file names and exported names use the words of the vocabulary', (t) => {
  t.deepEqual(wrongWords(checkout), []);
});
