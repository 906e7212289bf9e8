export * from './headers.js';
export { REASONS, type Reason } from './reasons.js';
export { parseTime } from './rfc3339.js';
export {
  type FailureDetails,
  readStatusDetails,
  type StatusDetail,
  statusDetails,
} from './status-details.js';
