// Where a job stands, as the list and the job itself show it.

import { h } from './dom.js';
import { bytes, fromNow } from './format.js';
import { isOver } from './jobs.js';
import { t } from './words.js';

/** The state in a word. */
export function badge(job) {
  const incomplete = job.status === 'DONE' && job.complete === false;
  return h('span', { class: 'badge', 'data-state': incomplete ? 'INCOMPLETE' : job.status }, t(incomplete ? 'incomplete' : job.status));
}

/** How far a job is: a strip of film that fills. */
export function progress(job) {
  const { done, expected } = job.progress;
  const known = expected > 0;
  const bar = { class: 'strip', 'aria-label': t('progress_of', { name: job.filename }), max: known ? expected : 1 };
  return h('div', { class: 'progress' },
    h('progress', known ? { ...bar, value: Math.min(done, expected) } : bar),
    h('span', { class: 'figure' }, known ? t('frames_of', { done, expected }) : t(job.status)));
}

/** What else is worth knowing at a glance. */
export function glance(job) {
  const facts = [bytes(job.video_size_bytes)];
  if (job.frame_count != null) facts.push(t('frames', { n: job.frame_count }));
  if (job.zip_size_bytes != null) facts.push(`${t('archive')} ${bytes(job.zip_size_bytes)}`);
  if (job.status === 'DONE') facts.push(t('expires', { when: fromNow(job.expires_at) }));
  if (job.status === 'EXPIRED') facts.push(t('expired', { when: fromNow(job.expires_at) }));
  if (isOver(job) && job.status !== 'DONE' && job.status !== 'EXPIRED' && job.completed_at) facts.push(fromNow(job.completed_at));
  return facts.join(' · ');
}

/** Something went wrong, and what can be done. */
export function trouble(text, again) {
  return h('div', { class: 'notice bad', role: 'alert' },
    h('p', {}, text),
    again && h('button', { class: 'quiet', type: 'button', onclick: again }, t('retry')));
}
