// Status of a job, as the list and the details show it.

import { h } from './dom.js';
import { bytes, fromNow } from './format.js';
import { isFinished } from './jobs.js';
import { shortRecipeText } from './recipe-text.js';
import { t } from './texts.js';

/** Create a badge with the status of a job. */
export function statusBadge(job) {
  const state = job.status === 'DONE' && job.complete === false ? 'INCOMPLETE' : job.status;
  return h('span', { class: 'badge', 'data-state': state }, t(state));
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
  const size = job.video_size_bytes > 0 && bytes(job.video_size_bytes);
  const facts = [size, shortRecipeText(job.recipe)];
  if (job.frame_count != null) facts.push(t('frames', { n: job.frame_count }));
  if (job.zip_size_bytes != null) facts.push(`ZIP ${bytes(job.zip_size_bytes)}`);
  if (job.status === 'DONE') facts.push(t('expires', { when: fromNow(job.expires_at) }));
  else if (job.status === 'EXPIRED') facts.push(t('expired', { when: fromNow(job.expires_at) }));
  else if (isFinished(job) && job.completed_at) facts.push(fromNow(job.completed_at));
  return facts.filter(Boolean).join(' · ');
}
