// Estimates of the time that jobs need, from the progress that the page has seen.

/** First progress that was seen of each job: its number of frames, and when, in milliseconds. */
const seen = new Map();
/** Time after which an estimate is of use, in milliseconds. */
const MIN_TIME = 2000;

/**
 * Return the estimated time until a job is finished, in whole seconds, or null as long as too
 * little is known.
 */
export function secondsLeft({ id, status, progress: { done, expected } }) {
  if (status !== 'PROCESSING') {
    seen.delete(id);
    return null;
  }
  const now = performance.now();
  const first = seen.get(id);
  // Another attempt begins anew.
  if (!first || done < first.done) {
    seen.set(id, { done, at: now });
    return null;
  }
  const [frames, time] = [done - first.done, now - first.at];
  if (!expected || frames === 0 || time < MIN_TIME) return null;
  return Math.ceil(((expected - done) * time) / frames / 1000);
}
