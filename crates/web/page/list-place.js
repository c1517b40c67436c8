// Place in the list of videos at which a video was opened, to return to.

import { sessionEvents } from './session.js';

let place = null;

// Nobody else may see the videos of a user.
sessionEvents.addEventListener('change', () => { place = null; });

/**
 * Keep a place: the `status` of the list, its `jobs` in order, the path of the page that follows
 * them (`next`), the text that the user searches for (`query`), the `id` of the job that was opened,
 * and the distance of its row from the top of the window, in pixels (`top`).
 */
export function keepPlace(kept) {
  place = kept;
}

/** Return the place in the list with a status, or null, and forget it. */
export function takePlace(status) {
  const taken = place?.status === status ? place : null;
  place = null;
  return taken;
}

/** Remove a deleted job. Its neighbor takes its place. */
export function forgetJob(id) {
  if (!place) return;
  const index = place.jobs.findIndex((job) => job.id === id);
  const jobs = place.jobs.filter((job) => job.id !== id);
  const neighbor = jobs[index] ?? jobs.at(-1);
  if (!neighbor) place = null;
  else if (place.id === id) place = { ...place, jobs, id: neighbor.id };
  else place = { ...place, jobs };
}
