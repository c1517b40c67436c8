// List of the user's videos, newest first.

import { announce, h, iconButton, replaceActions } from './dom.js';
import { dropArea } from './drop-area.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { downloadArchive, fetchJob, fetchJobs, isFinished, removeJob } from './jobs.js';
import { problemText } from './problems.js';
import { progressBar, statusBadge, summaryText } from './status.js';
import { t } from './texts.js';
import { uploadEvents } from './uploads.js';
import { JobWatcher } from './watch.js';

const STATUSES = ['QUEUED', 'PROCESSING', 'DONE', 'FAILED', 'CANCELLED', 'EXPIRED'];
/** Jobs of a page, the most that the API returns. */
const PAGE_SIZE = 100;
/** Distance to the end of the list at which the next page is fetched. */
const FETCH_DISTANCE = '800px';

/** List of all videos, or of those with a `status`. */
export class ListView {
  title = t('videos');
  #main;
  #status;
  #rows = new Map();
  #list = h('ul', { class: 'jobs', 'aria-label': t('videos') });
  #end = h('div', { class: 'list-end' });
  #firstPath;
  #nextPath;
  #loading = false;
  #closing = new AbortController();
  #watcher = new JobWatcher((event) => this.#onJobEvent(event), () => this.#refresh());
  #endObserver = new IntersectionObserver(
    (entries) => entries.some(({ isIntersecting }) => isIntersecting) && this.#loadMore(),
    { rootMargin: FETCH_DISTANCE });

  constructor(main, { status }) {
    const { signal } = this.#closing;
    this.#main = main;
    this.#status = status;
    const filter = status ? `&status=${encodeURIComponent(status)}` : '';
    this.#firstPath = `/videos?limit=${PAGE_SIZE}${filter}`;
    this.#nextPath = this.#firstPath;
    main.append(
      h('h1', { tabindex: -1 }, t('videos')),
      ...dropArea(signal),
      filters(status),
      this.#list,
      this.#end);
    this.#endObserver.observe(this.#end);
    uploadEvents.addEventListener('received', () => this.#onReceived(), { signal });
    const onVisibilityChange = () => document.hidden || this.#refresh();
    document.addEventListener('visibilitychange', onVisibilityChange, { signal });
    this.#loadMore();
  }

  async #loadMore() {
    if (this.#loading || !this.#nextPath) return;
    this.#loading = true;
    const { signal } = this.#closing;
    this.#end.replaceChildren(h('p', { class: 'loading' }, t('loading')));
    try {
      const { jobs, next } = await fetchJobs(this.#nextPath, signal);
      this.#nextPath = next;
      jobs.forEach((job) => this.#show(job));
      const more = { type: 'button', class: 'quiet', onclick: () => this.#loadMore() };
      this.#end.replaceChildren(...(next ? [h('button', more, t('load_more'))] : []));
      this.#update();
    } catch (error) {
      if (signal.aborted) return;
      const text = `${t('not_loaded')}. ${problemText(error)}`;
      this.#end.replaceChildren(errorNotice(text, () => this.#loadMore()));
      return;
    } finally {
      this.#loading = false;
    }
    // An observer reports changes only, and the end of the list may still be visible.
    this.#endObserver.unobserve(this.#end);
    this.#endObserver.observe(this.#end);
  }

  /** Fetch the newest jobs again. */
  async #refresh() {
    try {
      const { jobs } = await fetchJobs(this.#firstPath, this.#closing.signal);
      for (const job of jobs.reverse()) this.#show(job, { first: !this.#rows.has(job.id) });
      this.#update();
    } catch {
      // The next refresh may succeed.
    }
  }

  #onReceived() {
    if (!this.#status || this.#status === 'QUEUED') this.#refresh();
  }

  async #onJobEvent(event) {
    const row = this.#rows.get(event.job_id);
    if (!row) return;
    if (event.status === row.job.status && !isFinished(event)) {
      row.show({ ...row.job, progress: event.progress });
      return;
    }
    try {
      const job = await fetchJob(event.job_id, this.#closing.signal);
      if (job.status !== row.job.status) {
        announce(t('status_of', { name: job.filename, status: t(job.status) }));
      }
      row.show(job);
      this.#update();
    } catch {
      // The next event or refresh may succeed.
    }
  }

  #show(job, { first = false } = {}) {
    const known = this.#rows.get(job.id);
    const row = known ?? new JobRow(job, {
      onChange: () => this.#update(),
      onRemove: () => this.#removeRow(job.id),
    });
    row.show(job);
    if (known) return;
    this.#rows.set(job.id, row);
    if (first) this.#list.prepend(row.element);
    else this.#list.append(row.element);
  }

  #removeRow(id) {
    const { element } = this.#rows.get(id);
    const neighbor = element.nextElementSibling ?? element.previousElementSibling;
    this.#rows.delete(id);
    element.remove();
    (neighbor?.querySelector('a') ?? this.#main.querySelector('h1')).focus();
    this.#update();
  }

  /** Watch the unfinished jobs: those in progress first, then those that wait longest. */
  #update() {
    const jobs = [...this.#rows.values()].map(({ job }) => job);
    const unfinished = jobs.filter((job) => !isFinished(job)).reverse();
    const inProgress = ({ status }) => status === 'PROCESSING';
    this.#watcher.watch([
      ...unfinished.filter(inProgress),
      ...unfinished.filter((job) => !inProgress(job)),
    ].map(({ id }) => id));
    const empty = this.#end.querySelector('.empty');
    if (this.#rows.size > 0) empty?.remove();
    else if (!this.#nextPath && !empty) this.#end.replaceChildren(emptyNotice(this.#status));
  }

  close() {
    this.#closing.abort();
    this.#endObserver.disconnect();
    this.#watcher.close();
  }
}

function filters(current) {
  const link = (status) =>
    h('a', {
      href: status ? `#/state/${status}` : '#/',
      'aria-current': status === current && 'page',
    }, t(`filter_${status ?? 'all'}`));
  return h('nav', { class: 'filters', 'aria-label': t('filter') }, [null, ...STATUSES].map(link));
}

function emptyNotice(status) {
  if (status) {
    return h('div', { class: 'empty' },
      h('p', { class: 'strong' }, t('no_videos_with_status')),
      h('a', { href: '#/' }, t('show_all')));
  }
  return h('div', { class: 'empty' },
    h('p', { class: 'strong' }, t('no_videos')),
    h('p', {}, t('upload_first')));
}

/** Row of a job. */
class JobRow {
  #state = h('div', { class: 'state' });
  #body = h('div', {});
  #actions = h('div', { class: 'actions' });
  #error = errorLine();
  #onChange;
  #onRemove;
  #drawn = null;

  constructor(job, { onChange, onRemove }) {
    this.job = job;
    this.#onChange = onChange;
    this.#onRemove = onRemove;
    const link = h('a', { class: 'name', href: `#/jobs/${job.id}` }, job.filename);
    this.element = h('li', {},
      this.#state,
      h('div', { class: 'details' }, link, this.#body, this.#error),
      this.#actions);
  }

  /** Show the current state of the job. */
  show(job) {
    const statusChanged = this.#drawn === null || this.job.status !== job.status;
    this.job = job;
    const json = JSON.stringify(job);
    if (json === this.#drawn) return;
    this.#drawn = json;
    this.#body.replaceChildren(...[
      job.status === 'PROCESSING' && progressBar(job),
      h('p', { class: 'facts' }, summaryText(job)),
      job.status === 'FAILED' && h('p', { class: 'reason' }, job.error_message),
    ].filter(Boolean));
    if (!statusChanged) return;
    this.#state.replaceChildren(statusBadge(job));
    replaceActions(this.#actions,
      job.download_available && this.#button('download', 'down', () => downloadArchive(this.job)),
      isFinished(job)
        ? this.#button('delete', 'trash', () => this.#remove())
        : this.#button('cancel_job', 'close', () => this.#remove()));
  }

  #button(key, iconName, action) {
    const label = t('of_file', { what: t(key), name: this.job.filename });
    return iconButton(t(key), iconName, showingErrors(this.#error, action), label);
  }

  async #remove() {
    try {
      const job = await removeJob(this.job);
      if (job === null) this.#onRemove();
      else if (job) this.#update(job);
    } catch (error) {
      // If this fails, the next event or refresh shows the state.
      const update = (job) => this.#update(job);
      if (error.status === 409) await fetchJob(this.job.id).then(update, () => {});
      throw error;
    }
  }

  #update(job) {
    this.show(job);
    this.#onChange();
  }
}
