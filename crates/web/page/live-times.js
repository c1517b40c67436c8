// Times relative to now, which stay true while they are shown.

import { h } from './dom.js';
import { dateTime, fromNow } from './format.js';
import { t } from './texts.js';

/** Time between two updates, in milliseconds. */
const INTERVAL = 5000;

/**
 * Create the text of a time relative to now, such as in 6 days, within the text with this `key`, if
 * one is given. The time itself is its tooltip.
 */
export function liveTime(iso, key = '') {
  const attributes = { class: 'live', datetime: iso, title: dateTime(iso), 'data-key': key };
  const element = h('time', attributes);
  update(element);
  return element;
}

function update(element) {
  const { dateTime: iso, dataset: { key } } = element;
  const when = fromNow(iso);
  const isPast = new Date(iso) <= Date.now();
  const text = key ? t(key === 'expires' && isPast ? 'expired' : key, { when }) : when;
  if (element.textContent !== text) element.textContent = text;
}

function updateAll() {
  if (!document.hidden) document.querySelectorAll('time.live').forEach(update);
}

setInterval(updateAll, INTERVAL);
document.addEventListener('visibilitychange', updateAll);
