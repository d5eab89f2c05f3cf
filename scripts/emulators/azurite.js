// Loaded by node before Azurite: turns its garbage collection off.
//
// Every ten minutes Azurite walks its memory and drops the bodies that no blob holds any more,
// one at a time, and each drop sorts the index of all bodies again, without a pause in which a
// request could be answered. After a test run of a minute that is 19,000 bodies and more than
// four minutes of silence (measured with an interval of 40 s); it grows with the square. A body
// whose blob is about to be made is dropped too. A test server is young and small: it keeps all.
const constants = require(process.env.AZURITE_HOME + "/dist/src/blob/utils/constants.js");
if (typeof constants.DEFAULT_GC_INTERVAL_MS !== "number") {
  throw new Error("azurite.js does not fit this version of Azurite");
}
constants.DEFAULT_GC_INTERVAL_MS = 2 ** 31 - 1; // 24 days, the most that a timer takes
