export { derivedKeys } from './derived-keys.js';
