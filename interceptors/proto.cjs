/**
 * The folder that contains `replayguard/v1/policy.proto`. The file has one form for `import` and `require`, and no dependency.
 */
exports.includeDir = require('node:path').join(__dirname, 'proto');
