// Numbers, sizes and times as text.

import { formatter, number, t } from './texts.js';

/** Size in bytes, such as 1.5 MB. Units are powers of 1000, so 1 MB is 1,000,000 bytes. */
export function bytes(count) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let power = 0;
  while (power < units.length - 1 && count >= 999.5) {
    count /= 1000;
    power += 1;
  }
  return `${number(count, power > 0 && count < 10 ? 1 : 0)} ${units[power]}`;
}

const pad = (value, digits) => String(value).padStart(digits, '0');

/** Position in a video, in seconds, to the millisecond, such as 0:02.467 or 1:00:02.467. */
export function timecode(seconds) {
  const sign = seconds < 0 ? '−' : '';
  const total = Math.round(Math.abs(seconds) * 1000);
  const hours = Math.floor(total / 3_600_000);
  const minutes = Math.floor(total / 60_000) % 60;
  const wholeSeconds = pad(Math.floor(total / 1000) % 60, 2);
  const milliseconds = pad(total % 1000, 3);
  const clock = `${hours ? `${hours}:${pad(minutes, 2)}` : minutes}:${wholeSeconds}`;
  return `${sign}${clock}${t('decimal_point')}${milliseconds}`;
}

/** Number with all its decimals and without grouping, as a user would type it. */
export function decimal(value) {
  return String(value).replace('.', t('decimal_point'));
}

/** Position in a video, in seconds, as a user would type it, such as 0:05 or 1:02.5. */
export function position(seconds) {
  const [whole, decimals] = Number(seconds).toFixed(6).replace(/\.?0+$/, '').split('.');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const clock = `${hours ? `${hours}:${pad(minutes, 2)}` : minutes}:${pad(whole % 60, 2)}`;
  return decimals ? `${clock}${t('decimal_point')}${decimals}` : clock;
}

/** Length of time, in seconds, such as 2.5 s, 12 s, 3 min 5 s or 1 h 20 min. */
export function duration(seconds) {
  if (seconds < 10) return t('seconds', { s: number(seconds, 1) });
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes === 0) return t('seconds', { s: whole });
  if (minutes < 60) return t('minutes', { m: minutes, s: whole % 60 });
  return t('hours', { h: Math.floor(minutes / 60), m: minutes % 60 });
}

/** Date and time, such as 25 Nov, 08:15, with the year if it is another one than now. */
export function dateTime(iso) {
  const date = new Date(iso);
  const year = date.getFullYear() === new Date().getFullYear() ? undefined : 'numeric';
  const format = { day: 'numeric', month: 'short', year, hour: '2-digit', minute: '2-digit' };
  return formatter('DateTimeFormat', format).format(date);
}

/** Time relative to now, such as in 6 days. */
export function fromNow(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const units = [['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]];
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? units.at(-1);
  const value = Math.round(seconds / length);
  return formatter('RelativeTimeFormat', { numeric: 'auto' }).format(value, unit);
}
