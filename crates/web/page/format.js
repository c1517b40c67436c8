// Sizes and times, as people read them.

import { language, number, t } from './words.js';

/** Bytes, in powers of 1000. */
export function bytes(count) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let power = 0;
  while (power < units.length - 1 && count >= 999.5) {
    count /= 1000;
    power += 1;
  }
  return `${number(count, power > 0 && count < 10 ? 1 : 0)} ${units[power]}`;
}

const two = (value) => String(value).padStart(2, '0');

/** Seconds of a video to the millisecond, such as 0:02.467 or 1:00:02.467. */
export function timecode(seconds) {
  const sign = seconds < 0 ? '−' : '';
  const ms = Math.round(Math.abs(seconds) * 1000);
  const [h, m, s] = [Math.floor(ms / 3600000), Math.floor(ms / 60000) % 60, Math.floor(ms / 1000) % 60];
  return `${sign}${h ? `${h}:${two(m)}` : m}:${two(s)}.${String(ms % 1000).padStart(3, '0')}`;
}

/** A length of time, such as 12 s, 3 min 5 s or 1 h 20 min. */
export function span(seconds) {
  if (seconds < 10 && seconds % 1) return t('seconds_left', { n: Math.round(seconds * 10) / 10 }).replace(/^\S+/, number(seconds, 1));
  const whole = Math.round(seconds);
  if (whole < 60) return t('seconds_left', { n: whole });
  if (whole < 3600) return t('minutes_left', { m: Math.floor(whole / 60), s: whole % 60 });
  return t('hours_left', { h: Math.floor(whole / 3600), m: Math.floor(whole / 60) % 60 });
}

/** A moment, such as 25 Nov, 08:15. */
export function moment(iso) {
  return new Intl.DateTimeFormat(language, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }).format(new Date(iso));
}

/** A moment as it lies from now, such as in 6 days. */
export function fromNow(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const [unit, length] = [['day', 86400], ['hour', 3600], ['minute', 60]].find(([, length]) => Math.abs(seconds) >= length) ?? ['second', 1];
  return new Intl.RelativeTimeFormat(language, { numeric: 'auto' }).format(Math.round(seconds / length), unit);
}
