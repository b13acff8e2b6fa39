/** The tracker: BEP 15 over UDP and BEP 3 over HTTP, on a PeerStore. */
export type { TrackerStats, Transport, TransportCounters } from './counters.ts'
export { trackerErrors } from './errors.ts'
export { startTracker, type Tracker, type TrackerOptions } from './tracker.ts'
