import protobuf from 'protobufjs';

/** The message type `replayguard.v1.MethodPolicy`, equal to its definition in replayguard/v1/policy.proto. */
export const policyType = protobuf
  .parse(
    `syntax = "proto3";
    package replayguard.v1;
    message Duration { int64 seconds = 1; int32 nanos = 2; }
    message MethodPolicy {
      KeyRequirement key = 1;
      Duration ttl = 2;
      Atomicity atomicity = 3;
      Duration lease = 4;
      Duration wait = 5;
      repeated ReplayedCode replayed_codes = 6;
      int64 max_reply_bytes = 7;
      Mode mode = 8;
      string key_field = 9;
      bool reject_old_keys = 10;
      OnStoreFailure on_store_failure = 11;
      repeated string fingerprint_excludes = 12;
      Duration max_execution = 13;
    }
    enum Mode { MODE_UNSPECIFIED = 0; MODE_OFF = 1; MODE_ENFORCE = 2; MODE_OBSERVE = 3; }
    enum OnStoreFailure {
      ON_STORE_FAILURE_UNSPECIFIED = 0; ON_STORE_FAILURE_REFUSE = 1; ON_STORE_FAILURE_EXECUTE = 2;
    }
    enum KeyRequirement {
      KEY_REQUIREMENT_UNSPECIFIED = 0; KEY_REQUIREMENT_REQUIRED = 1; KEY_REQUIREMENT_OPTIONAL = 2;
    }
    enum Atomicity { ATOMICITY_UNSPECIFIED = 0; ATOMICITY_TRANSACTION = 1; ATOMICITY_LEASE = 2; }
    enum ReplayedCode {
      REPLAYED_CODE_UNSPECIFIED = 0;
      REPLAYED_CODE_UNKNOWN = 2;
      REPLAYED_CODE_INVALID_ARGUMENT = 3;
      REPLAYED_CODE_NOT_FOUND = 5;
      REPLAYED_CODE_ALREADY_EXISTS = 6;
      REPLAYED_CODE_PERMISSION_DENIED = 7;
      REPLAYED_CODE_RESOURCE_EXHAUSTED = 8;
      REPLAYED_CODE_FAILED_PRECONDITION = 9;
      REPLAYED_CODE_ABORTED = 10;
      REPLAYED_CODE_OUT_OF_RANGE = 11;
      REPLAYED_CODE_UNIMPLEMENTED = 12;
      REPLAYED_CODE_INTERNAL = 13;
      REPLAYED_CODE_DATA_LOSS = 15;
      REPLAYED_CODE_UNAUTHENTICATED = 16;
    }`,
    { keepCase: true },
  )
  .root.resolveAll()
  .lookupType('replayguard.v1.MethodPolicy');
