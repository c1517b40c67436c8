// One video: what it is, how it went, and its frames.

import { h, icon, say } from './dom.js';
import { bytes, fromNow, moment, span, timecode } from './format.js';
import { Gallery } from './gallery.js';
import { download, get, isOver, remove, report } from './jobs.js';
import { badge, progress, trouble } from './state.js';
import { Watch } from './watch.js';
import { number, refusal, t } from './words.js';

/** A job by its id, with one of its frames enlarged if there is a `frame`. */
export function job(main, { id, frame }) {
  const leaving = new AbortController();
  const watch = new Watch(heard, () => {});
  const parts = Object.fromEntries(['head', 'status', 'facts', 'history', 'missing', 'warnings'].map((part) => [part, h('div', { class: `job-${part}` })]));
  const sheet = h('section', { class: 'gallery', 'aria-labelledby': 'gallery-title' });
  let gallery = null;
  let known = null;
  let wanted = frame;

  main.append(h('p', { class: 'back' }, h('a', { href: '#/' }, icon('left'), t('back'))), parts.head,
    h('div', { class: 'columns' },
      h('div', { class: 'main-column' }, parts.status, parts.missing, sheet),
      h('div', { class: 'side-column' }, parts.facts, parts.warnings, parts.history)));
  const [title, state, actions, wrong] = [h('h1', { tabindex: -1 }, '\u00a0'), h('span', {}), h('div', { class: 'actions' }), h('p', { class: 'error', role: 'alert', hidden: true })];
  parts.head.append(h('div', { class: 'title' }, title, state), actions, wrong);
  load();

  async function load() {
    try {
      show(await get(id, leaving.signal));
    } catch (error) {
      if (leaving.signal.aborted) return;
      const gone = error.status === 404 || error.status === 403 || error.status === 400;
      title.textContent = t(gone ? 'not_found' : 'not_loaded');
      parts.status.replaceChildren(gone ? h('p', {}, t('not_found_do')) : trouble(refusal(error), load));
    }
  }

  function show(job) {
    const before = known;
    known = job;
    if (before?.status !== job.status) {
      document.title = `${job.filename} · FIAP X`;
      head(job);
      facts(job);
      lines();
      pictures(job);
      if (before) say(t('now', { name: job.filename, state: t(job.status) }));
    }
    status(job);
    watch.want(isOver(job) ? [] : [job.id]);
  }

  async function heard(event) {
    if (event.status === known.status && event.retry_count === known.retry_count && !isOver(event)) {
      show({ ...known, progress: event.progress });
    } else {
      await load();
      lines();
    }
  }

  function head(job) {
    const guarded = (act) => async () => {
      wrong.hidden = true;
      try {
        await act();
      } catch (error) {
        wrong.textContent = refusal(error);
        wrong.hidden = false;
      }
    };
    title.textContent = job.filename;
    state.replaceChildren(badge(job));
    actions.replaceChildren(...[
      job.download_available && h('button', { type: 'button', class: 'primary', onclick: guarded(() => download(job)) }, icon('down'), t('download')),
      h('button', { type: 'button', class: 'quiet', onclick: guarded(removal) }, t(isOver(job) ? 'delete' : 'stop')),
    ].filter(Boolean));
  }

  async function removal() {
    const job = await remove(known);
    if (job === null) location.hash = '#/';
    else if (job) show(job);
  }

  function status(job) {
    const shown = [];
    if (job.status === 'PROCESSING') shown.push(progress(job));
    if (job.error_message) {
      const next = job.next_attempt_at && !isOver(job) && t('next_attempt', { when: fromNow(job.next_attempt_at) });
      shown.push(h('div', { class: 'notice bad' }, h('p', {}, job.error_message), next && h('p', {}, next)));
    }
    parts.status.replaceChildren(...shown);
  }

  function facts(job, video) {
    const rows = [
      video && [t('format'), `${job.video_format.toUpperCase()} · ${video.codec}`],
      !video && [t('format'), job.video_format.toUpperCase()],
      video && [t('picture'), `${video.width} × ${video.height}${video.frame_rate ? ` · ${t('rate', { rate: number(video.frame_rate, 2) })}` : ''}`],
      video?.duration_s && [t('duration'), span(video.duration_s)],
      [t('video_size'), bytes(job.video_size_bytes)],
      job.zip_size_bytes != null && [t('archive_size'), `${bytes(job.zip_size_bytes)} · ${t('frames', { n: job.frame_count })}`],
      job.processing_time_seconds != null && [t('took'), span(job.processing_time_seconds)],
      [t('uploaded_at'), moment(job.created_at)],
      job.status === 'DONE' && [t('kept_until'), moment(job.expires_at)],
    ].filter(Boolean);
    parts.facts.replaceChildren(h('section', { 'aria-labelledby': 'about-title' }, h('h2', { id: 'about-title' }, t('about')),
      h('dl', {}, rows.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))))));
    parts.warnings.replaceChildren(...(job.warnings.length
      ? [h('section', { 'aria-labelledby': 'warnings-title' }, h('h2', { id: 'warnings-title' }, t('warnings')), h('ul', { lang: 'en' }, job.warnings.map((warning) => h('li', {}, warning))))]
      : []));
  }

  async function lines() {
    try {
      const { history } = await report(id, leaving.signal);
      parts.history.replaceChildren(h('section', { 'aria-labelledby': 'history-title' }, h('h2', { id: 'history-title' }, t('history')),
        h('ol', { class: 'history' }, history.map((line) => h('li', { 'data-state': line.new_state },
          h('span', {}, t(line.new_state), line.attempt > 1 && line.new_state === 'PROCESSING' ? ` · ${t('attempt', { n: line.attempt })}` : ''),
          line.error_code && h('code', {}, line.error_code),
          h('time', { datetime: line.at }, moment(line.at)))))));
    } catch {
      // The rest of the page tells where the job stands.
    }
  }

  function pictures(job) {
    const title = h('h2', { id: 'gallery-title' }, t('gallery'));
    if (job.status !== 'DONE') {
      const why = { EXPIRED: 'gallery_gone', FAILED: 'gallery_never', CANCELLED: 'gallery_never' }[job.status] ?? 'gallery_later';
      sheet.replaceChildren(title, h('p', { class: 'hint' }, t(why)));
      return;
    }
    gallery ??= new Gallery(id, sheet, title, (contents) => {
      facts(known, contents.video);
      missing(contents);
    });
    if (wanted) gallery.enlarge(wanted);
  }

  function missing({ complete, expected, written, missing }) {
    if (complete) return;
    const text = written < expected ? t('missing_all', { written, expected }) : t('damaged_some');
    parts.missing.replaceChildren(h('section', { class: 'notice warn', 'aria-labelledby': 'missing-title' },
      h('h2', { id: 'missing-title' }, t('missing')), h('p', {}, text),
      missing.length > 0 && h('ul', {}, missing.slice(0, 20).map((gap) => h('li', {}, gapWords(gap))))));
  }

  return {
    title: 'FIAP X',
    /** Another frame of the same job is asked for, or none. */
    again(other) {
      if (other.id !== id) return false;
      wanted = other.frame;
      if (wanted) gallery?.enlarge(wanted, true);
      else gallery?.shrink();
      return true;
    },
    close() {
      leaving.abort();
      watch.close();
      gallery?.close();
    },
  };
}

/** Instants without a frame, in words. */
export function gapWords({ first_number: first, last_number: last, from_s: from, to_s: to }) {
  return t('gap', { n: last - first + 1, from: timecode(from), to: timecode(to) });
}
