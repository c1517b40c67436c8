// Status of a job, as the list and the details show it.

import { h } from './dom.js';
import { bytes, fromNow } from './format.js';
import { isFinished } from './jobs.js';
import { shortRecipeText } from './recipe-text.js';
import { t } from './texts.js';

/** Number of expected frames if the archive of a job lacks some of them, or null. */
function expectedFrames({ complete, frame_count: count, progress: { expected } }) {
  return complete === false && expected > count ? expected : null;
}

/** Create a badge with the status of a job. */
export function statusBadge(job) {
  if (job.status !== 'DONE' || job.complete !== false) {
    return h('span', { class: 'badge', 'data-state': job.status }, t(job.status));
  }
  const flaw = expectedFrames(job) ? 'INCOMPLETE' : 'DAMAGED';
  return h('span', { class: 'badge flawed', 'data-state': flaw }, t(flaw));
}

/** Number of frames in the archive of a job, and of the expected ones if some are missing. */
function framesText(job) {
  const { frame_count: n } = job;
  const expected = expectedFrames(job);
  return expected ? t('frames_of', { done: n, expected }) : t('frames', { n });
}

/** Create the progress bar of a job. */
export function progressBar(job) {
  const { done, expected } = job.progress;
  const attributes = {
    class: 'progress-bar',
    'aria-label': t('progress_of', { name: job.filename }),
    max: expected > 0 ? expected : 1,
    value: expected > 0 && Math.min(done, expected),
  };
  return h('div', { class: 'progress' },
    h('progress', attributes),
    h('span', { class: 'amount' },
      expected > 0 ? t('frames_of', { done, expected }) : t(job.status)));
}

/** Sizes, recipe and times of a job, in one line. */
export function summaryText(job) {
  const facts = [bytes(job.video_size_bytes), shortRecipeText(job.recipe)];
  if (job.frame_count != null) facts.push(framesText(job));
  if (job.zip_size_bytes != null) facts.push(`ZIP ${bytes(job.zip_size_bytes)}`);
  if (job.status === 'DONE') facts.push(t('expires', { when: fromNow(job.expires_at) }));
  else if (job.status === 'EXPIRED') facts.push(t('expired', { when: fromNow(job.expires_at) }));
  else if (isFinished(job) && job.completed_at) facts.push(fromNow(job.completed_at));
  return facts.filter(Boolean).join(' · ');
}
