// Status of a job, as the list and the details show it.

import { h } from './dom.js';
import { secondsLeft } from './estimates.js';
import { bytes, dateTime, duration } from './format.js';
import { isFinished } from './jobs.js';
import { liveTime } from './live-times.js';
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

/** Create the progress bar of a job, with an estimate of the time that is left. */
export function progressBar(job) {
  const { done, expected } = job.progress;
  const left = secondsLeft(job);
  const attributes = {
    class: 'progress-bar',
    'aria-label': t('progress_of', { name: job.filename }),
    max: expected > 0 ? expected : 1,
    value: expected > 0 && Math.min(done, expected),
  };
  return h('div', { class: 'progress' },
    h('progress', attributes),
    h('span', { class: 'amount' },
      expected > 0 ? t('frames_of', { done, expected }) : t(job.status),
      left !== null && ` · ${t('about_left', { left: duration(left) })}`));
}

/** Sizes, recipe and times of a job: the nodes of one line. */
export function summary(job) {
  const facts = [
    h('time', { datetime: job.created_at }, dateTime(job.created_at)),
    job.video_size_bytes > 0 && bytes(job.video_size_bytes),
    shortRecipeText(job.recipe),
    job.frame_count != null && framesText(job),
    job.zip_size_bytes != null && `ZIP ${bytes(job.zip_size_bytes)}`,
    endTime(job),
  ];
  return facts.filter(Boolean).flatMap((fact, index) => (index > 0 ? [' · ', fact] : [fact]));
}

/** Time at which a job ended or its files expire, or null. */
function endTime(job) {
  if (job.status === 'DONE') return liveTime(job.expires_at, 'expires');
  if (job.status === 'EXPIRED') return liveTime(job.expires_at, 'expired');
  return isFinished(job) && job.completed_at ? liveTime(job.completed_at) : null;
}
