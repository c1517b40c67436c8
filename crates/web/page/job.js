// Details of a job: its video, status, history and frames.

import { ContactSheets } from './contact-sheets.js';
import { announce, h, icon } from './dom.js';
import { downloadArchive } from './downloads.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { bytes, dateTime, duration } from './format.js';
import { gapText } from './frames.js';
import { Gallery } from './gallery.js';
import { fetchHistory, fetchJob, isFinished, isVideoStored, removeJob } from './jobs.js';
import { forgetJob } from './list-place.js';
import { liveTime } from './live-times.js';
import { Previews } from './previews.js';
import { problemText } from './problems.js';
import { ProcessAgainDialog } from './process-again.js';
import { recipeText } from './recipe-text.js';
import { fetchAccount, user } from './session.js';
import { ShareDialog } from './share-dialog.js';
import { shareText } from './share-texts.js';
import { progressBar, statusBadge } from './status.js';
import { sentence, t } from './texts.js';
import { JobWatcher } from './watch.js';

/** Maximum gaps that are listed above the gallery, which shows all of them. */
const MAX_GAPS = 20;
/** Text about leaving the page, by the mails that the user gets. */
const MAY_LEAVE = { failures: 'may_leave_failures', none: 'may_leave_none' };
/** Text in place of the gallery, by status. */
const NO_GALLERY = {
  EXPIRED: 'gallery_expired',
  FAILED: 'gallery_none',
  CANCELLED: 'gallery_none',
};

/** Details of a job. With a `frame` number, the viewer is open. */
export class JobView {
  title = 'FIAP X';
  #id;
  #job = null;
  #frame;
  #gallery = null;
  #sheets = null;
  #previews = null;
  /** Mails that the user gets, once they are known. */
  #mails = null;
  #closing = new AbortController();
  #watcher = new JobWatcher((event) => this.#onEvent(event), () => {});
  #title = h('h1', { tabindex: -1 }, '\u00a0');
  #badge = h('span', {});
  #actions = h('div', { class: 'actions' });
  #note = h('p', { class: 'hint', role: 'status' });
  #error = errorLine();
  #status = h('div', { class: 'job-status' });
  #missing = h('div', { class: 'job-missing' });
  #gallerySection = h('section', { class: 'gallery', 'aria-labelledby': 'gallery-title' });
  #facts = h('div', { class: 'job-facts' });
  #warnings = h('div', { class: 'job-warnings' });
  #history = h('div', { class: 'job-history' });

  constructor(main, { id, frame }) {
    this.#id = id;
    this.#frame = frame;
    const sideColumn = [this.#facts, this.#warnings, this.#history];
    main.append(
      h('p', { class: 'back-link' }, h('a', { href: '#/' }, icon('left'), t('videos'))),
      h('div', { class: 'job-head' },
        h('div', { class: 'title' }, this.#title, this.#badge),
        this.#actions,
        this.#note,
        this.#error),
      h('div', { class: 'columns' },
        h('div', { class: 'news' }, this.#status, this.#missing),
        h('div', { class: 'side-column' }, sideColumn),
        this.#gallerySection));
    this.#load();
  }

  /** Show another frame of the same job, or none. Returns false for another job. */
  update({ id, frame }) {
    if (id !== this.#id) return false;
    this.#frame = frame;
    if (frame) this.#gallery?.openViewer(frame, { openedByLink: true });
    else this.#gallery?.closeViewer();
    return true;
  }

  close() {
    this.#closing.abort();
    this.#watcher.close();
    this.#previews?.close();
    this.#gallery?.close();
    this.#sheets?.close();
  }

  async #load() {
    try {
      const { signal } = this.#closing;
      const job = await fetchJob(this.#id, signal);
      if (!isFinished(job)) this.#mails ??= (await fetchAccount(signal)).mails;
      this.#show(job);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      const notFound = [400, 403, 404].includes(error.status);
      this.#title.textContent = t(notFound ? 'not_found' : 'not_loaded');
      this.#status.replaceChildren(notFound
        ? h('p', {}, t('not_found_reason'))
        : errorNotice(problemText(error), () => this.#load()));
    }
  }

  #show(job) {
    const before = this.#job;
    this.#job = job;
    if (before?.status !== job.status) {
      document.title = `${job.filename} · FIAP X`;
      this.#drawHead();
      this.#drawFacts();
      this.#drawWarnings();
      this.#drawHistory();
      this.#drawGallery();
      if (before) announce(t('status_of', { name: job.filename, status: t(job.status) }));
    }
    this.#drawStatus();
    this.#watcher.watch(isFinished(job) ? [] : [job.id]);
  }

  async #onEvent(event) {
    const { status, retry_count: retries } = this.#job;
    if (event.status === status && event.retry_count === retries && !isFinished(event)) {
      this.#show({ ...this.#job, progress: event.progress });
    } else {
      await this.#load();
      this.#drawHistory();
    }
  }

  #drawHead() {
    const job = this.#job;
    const button = (style, action, ...content) => {
      const onclick = showingErrors(this.#error, action);
      return h('button', { type: 'button', class: style, onclick }, content);
    };
    const download = () => downloadArchive(job, this.#note);
    this.#title.textContent = job.filename;
    this.#badge.replaceChildren(statusBadge(job));
    this.#actions.replaceChildren(...[
      job.download_available && button('primary', download, icon('down'), t('download')),
      isFinished(job) && isVideoStored(job)
        && button('quiet', () => this.#processAgain(), t('process_again')),
      job.download_available && h('button', {
        type: 'button',
        class: 'quiet',
        id: 'share',
        onclick: () => new ShareDialog(job, this.#closing.signal),
      }, shareText('share')),
      button('quiet', () => this.#remove(), t(isFinished(job) ? 'delete' : 'cancel_job')),
    ].filter(Boolean));
  }

  #processAgain() {
    const onCreated = (id) => { location.hash = `#/jobs/${id}`; };
    new ProcessAgainDialog(this.#job, { onCreated, signal: this.#closing.signal });
  }

  async #remove() {
    try {
      const job = await removeJob(this.#job);
      if (job === null) {
        forgetJob(this.#id);
        location.hash = '#/';
      } else if (job) this.#show(job);
    } catch (error) {
      if (error.status === 409) await this.#load();
      throw error;
    }
  }

  #drawStatus() {
    const job = this.#job;
    const isRunning = !isFinished(job) && user() !== null;
    const retry = isRunning && job.next_attempt_at
      && liveTime(job.next_attempt_at, 'next_attempt');
    this.#status.replaceChildren(...[
      job.status === 'PROCESSING' && progressBar(job),
      isRunning && h('p', { class: 'hint' }, t(MAY_LEAVE[this.#mails] ?? 'may_leave', { email: user().email })),
      job.error_message && h('div', { class: 'notice bad' },
        h('p', {}, job.error_message),
        retry && h('p', {}, retry)),
    ].filter(Boolean));
  }

  /** Draw the facts about the job, with those about the `video` once they are known. */
  #drawFacts(video) {
    const job = this.#job;
    const rate = video?.frame_rate && t('rate', { n: video.frame_rate });
    const join = (...parts) => parts.filter(Boolean).join(' · ');
    // Keeps the places of what is fetched with the frames, so that these do not move.
    const later = !video && job.status === 'DONE' && '…';
    const facts = [
      [t('format'), join(job.video_format.toUpperCase(), video?.codec)],
      [t('resolution'), later || video && join(`${video.width} × ${video.height}`, rate)],
      [t('duration'), later || video?.duration_s && duration(video.duration_s)],
      [t('source_url'), job.source_url],
      [t('video_size'), job.video_size_bytes > 0 && bytes(job.video_size_bytes)],
      [t('recipe'), sentence(recipeText(job.recipe) ?? '')],
      [t('archive_size'), job.zip_size_bytes != null
        && join(bytes(job.zip_size_bytes), t('frames', { n: job.frame_count }))],
      [t('processing_time'), job.processing_time_seconds != null
        && duration(job.processing_time_seconds)],
      [t('uploaded_at'), dateTime(job.created_at)],
      [t('available_until'), job.status === 'DONE' && dateTime(job.expires_at)],
    ].filter(([, value]) => value);
    this.#facts.replaceChildren(section('about',
      h('dl', {}, facts.map(([name, value]) =>
        h('div', {}, h('dt', {}, name), h('dd', {}, value))))));
  }

  #drawWarnings() {
    const { warnings } = this.#job;
    const items = warnings.map((warning) => h('li', {}, warning));
    this.#warnings.replaceChildren(
      ...(items.length > 0 ? [section('warnings', h('ul', {}, items))] : []));
  }

  async #drawHistory() {
    try {
      const changes = await fetchHistory(this.#id, this.#closing.signal);
      const list = h('ol', { class: 'history' }, changes.map(historyItem));
      this.#history.replaceChildren(section('history', list));
    } catch {
      // The history is not essential, and the rest of the view shows the status.
    }
  }

  #drawGallery() {
    const { status } = this.#job;
    const heading = h('h2', { id: 'gallery-title' }, t('gallery'));
    this.#previews?.close();
    this.#previews = null;
    if (status === 'PROCESSING') {
      this.#previews = new Previews(this.#id, this.#gallerySection, heading);
      return;
    }
    if (status !== 'DONE') {
      const text = t(NO_GALLERY[status] ?? 'gallery_later');
      this.#gallerySection.replaceChildren(heading, h('p', { class: 'hint' }, text));
      return;
    }
    this.#gallery ??= new Gallery(this.#job, this.#gallerySection, heading, (contents) => {
      this.#drawFacts(contents.video);
      this.#drawMissing(contents);
      if (contents.sheets > 0) {
        this.#sheets = new ContactSheets(this.#job, contents.sheets);
        heading.after(this.#sheets.element);
      }
    });
    if (this.#frame) this.#gallery.openViewer(this.#frame);
  }

  #drawMissing({ complete, expected, written, missing: gaps }) {
    if (complete) return;
    const [name, text] = written < expected
      ? ['missing', t('frames_missing', { written, expected })]
      : ['damage', t('damaged_parts')];
    const items = gaps.slice(0, MAX_GAPS).map((gap) => h('li', {}, gapText(gap)));
    const notice = section(name, h('p', {}, text), items.length > 0 && h('ul', {}, items));
    notice.className = 'notice warn';
    this.#missing.replaceChildren(notice);
  }
}

/** Create a section whose heading is the text `name`. */
function section(name, ...children) {
  const id = `${name}-title`;
  return h('section', { 'aria-labelledby': id }, h('h2', { id }, t(name)), children);
}

function historyItem({ new_state: state, attempt, error_code: code, at }) {
  const repeated = attempt > 1 && state === 'PROCESSING';
  return h('li', { 'data-state': state },
    h('span', {}, t(state), repeated && ` · ${t('attempt', { n: attempt })}`),
    code && h('code', {}, code),
    h('time', { datetime: at }, dateTime(at)));
}
