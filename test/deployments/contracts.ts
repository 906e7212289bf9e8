// A part of the contracts that takes a few seconds: claims, and every way in which a call ends.
import '../contracts/store/claims.test.js';
import '../replay-guard/contract/replies.test.js';
