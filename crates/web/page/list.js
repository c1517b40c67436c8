// List of the user's videos, newest first.

import { announce, h } from './dom.js';
import { DropArea } from './drop-area.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { JobRow } from './job-row.js';
import { fetchJob, fetchJobs, isFinished } from './jobs.js';
import { keepPlace, takePlace } from './list-place.js';
import { NameSearch, SelectionBar } from './list-tools.js';
import { problemText } from './problems.js';
import { fetchSample } from './sample.js';
import { StorageUsage } from './storage-usage.js';
import { t } from './texts.js';
import { Thumbnails } from './thumbnails.js';
import { uploadEvents } from './uploads.js';
import { JobWatcher } from './watch.js';

/** States by which the list can be filtered. */
export const STATUSES = ['QUEUED', 'PROCESSING', 'DONE', 'FAILED', 'CANCELLED', 'EXPIRED'];
/** Jobs of a page, the most that the API returns. */
const PAGE_SIZE = 100;
/** Distance to the end of the list at which the next page is fetched. */
const FETCH_DISTANCE = '800px';

/** List of all videos, or of those with a `status`. */
export class ListView {
  title = t('videos');
  #main;
  #status;
  #dropArea;
  #search;
  #usage;
  #selection = new SelectionBar((id) => this.#removeRow(id));
  #rows = new Map();
  /** Unfinished jobs that the filter leaves out, by id. They may come to match it. */
  #others = new Map();
  #list = h('ul', { class: 'jobs', 'aria-label': t('videos') });
  #end = h('div', { class: 'list-end' });
  #nextPath;
  #place;
  #loading = false;
  #closing = new AbortController();
  #thumbnails = new Thumbnails();
  #watcher = new JobWatcher((event) => this.#onJobEvent(event), () => this.#refresh());
  #endObserver = new IntersectionObserver(
    (entries) => entries.some(({ isIntersecting }) => isIntersecting) && this.#loadMore(),
    { rootMargin: FETCH_DISTANCE });

  constructor(main, { status }) {
    const { signal } = this.#closing;
    this.#main = main;
    this.#status = status;
    this.#dropArea = new DropArea();
    this.#usage = new StorageUsage(signal);
    this.#place = takePlace(status);
    this.#search = new NameSearch(this.#place?.query ?? '', () => this.#onSearch());
    const filter = status ? `&status=${encodeURIComponent(status)}` : '';
    this.#nextPath = this.#place ? this.#place.next : `/videos?limit=${PAGE_SIZE}${filter}`;
    main.append(
      h('div', { class: 'list-title' },
        h('h1', { tabindex: -1 }, t('videos')), this.#usage.element),
      ...this.#dropArea.elements,
      h('div', { class: 'list-head' }, filters(status), this.#search.element),
      this.#selection.element,
      this.#list,
      this.#end);
    main.querySelector('.filters [aria-current]')?.scrollIntoView({ block: 'nearest' });
    uploadEvents.addEventListener('received', () => this.#refresh(), { signal });
    const onVisibilityChange = () => document.hidden || this.#refresh();
    document.addEventListener('visibilitychange', onVisibilityChange, { signal });
    this.#begin();
  }

  /** Add files that were dropped on the page to the uploads. */
  addFiles(files) {
    this.#dropArea.add(files);
  }

  /** Scroll to the place that the user left. Returns whether there is one. */
  restore() {
    const row = this.#rows.get(this.#place?.id);
    if (!row) return false;
    const scroll = () =>
      scrollBy(0, row.element.getBoundingClientRect().top - this.#place.top);
    scroll();
    row.focus();
    // Rows get their height when they come into view.
    requestAnimationFrame(scroll);
    return true;
  }

  async #begin() {
    this.#usage.update();
    if (!this.#place) {
      await this.#loadMore();
      // The first page of a filtered list does not have the jobs that may come to match.
      if (this.#status) await this.#refresh();
      return;
    }
    const { id, jobs } = this.#place;
    jobs.forEach((job) => this.#show(job));
    this.#showEnd();
    await Promise.all([this.#refresh(), this.#fetch(id)]);
  }

  async #loadMore() {
    if (this.#loading || !this.#nextPath) return;
    this.#loading = true;
    const { signal } = this.#closing;
    this.#end.replaceChildren(h('p', { class: 'loading' }, t('loading')));
    try {
      const { jobs, next } = await fetchJobs(this.#nextPath, signal);
      this.#nextPath = next;
      // The end is inserted again below the new rows. If it moved, the browser would count that as
      // a shift of the layout, although the rows just take its place.
      this.#end.remove();
      jobs.forEach((job) => this.#show(job));
      this.#list.after(this.#end);
      this.#showEnd();
    } catch (error) {
      if (signal.aborted) return;
      const text = `${t('not_loaded')}. ${problemText(error)}`;
      this.#end.replaceChildren(errorNotice(text, () => this.#loadMore()));
    } finally {
      this.#loading = false;
    }
  }

  /** Show whether there are more jobs, which are fetched when the end comes near. */
  #showEnd() {
    const more = { type: 'button', class: 'quiet', onclick: () => this.#loadMore() };
    const button = this.#nextPath && h('button', more, t('load_more'));
    this.#end.replaceChildren(...(button ? [button] : []));
    this.#update();
    // An observer reports changes only, and the end of the list may still be visible.
    this.#endObserver.unobserve(this.#end);
    this.#endObserver.observe(this.#end);
  }

  /** Fetch the newest jobs again. */
  async #refresh() {
    try {
      const { jobs } = await fetchJobs(`/videos?limit=${PAGE_SIZE}`, this.#closing.signal);
      jobs.forEach((job) => this.#put(job));
      this.#update();
      this.#usage.update();
    } catch {
      // The next refresh may succeed.
    }
  }

  async #onJobEvent(event) {
    const id = event.job_id;
    const row = this.#rows.get(id);
    const job = row?.job ?? this.#others.get(id);
    if (!job) return;
    if (event.status === job.status && !isFinished(event)) {
      row?.show({ ...job, progress: event.progress });
    } else {
      await this.#fetch(id);
    }
  }

  /** Fetch a job again, and announce another status. */
  async #fetch(id) {
    try {
      const job = await fetchJob(id, this.#closing.signal);
      const before = this.#rows.get(id)?.job ?? this.#others.get(id);
      if (before && job.status !== before.status) {
        announce(t('status_of', { name: job.filename, status: t(job.status) }));
      }
      this.#put(job);
      this.#update();
      if (isFinished(job)) this.#usage.update();
    } catch (error) {
      // After other errors, the next event or refresh may succeed.
      if (error.status === 404) this.#removeRow(id);
    }
  }

  /** Show a job if the filter matches it, else remove its row. */
  #put(job) {
    const matches = !this.#status || job.status === this.#status;
    if (matches) this.#show(job);
    else if (this.#rows.has(job.id)) this.#removeRow(job.id);
    if (!matches && !isFinished(job)) this.#others.set(job.id, job);
    else this.#others.delete(job.id);
  }

  #show(job) {
    const known = this.#rows.get(job.id);
    const row = known ?? new JobRow(job, {
      thumbnails: this.#thumbnails,
      onChange: () => this.#onRowChange(job.id),
      onSelect: () => this.#selection.update([...this.#rows.values()]),
      onRemove: () => this.#removeRow(job.id),
    });
    row.show(job);
    if (known) return;
    row.element.hidden = !this.#search.matches(job);
    this.#rows.set(job.id, row);
    // Newest first, which is the order of the ids. Most jobs come after all others.
    const isOlder = (element) => element.dataset.job < job.id;
    const last = this.#list.lastElementChild;
    const next = last && isOlder(last) ? [...this.#list.children].find(isOlder) : null;
    this.#list.insertBefore(row.element, next);
  }

  /** Show the rows whose names match. The end of the list comes near, so all jobs are fetched. */
  #onSearch() {
    for (const row of this.#rows.values()) row.element.hidden = !this.#search.matches(row.job);
    this.#update();
  }

  #onRowChange(id) {
    const row = this.#rows.get(id);
    if (row) this.#put(row.job);
    this.#update();
  }

  /** Remove a row. If it had the focus, its neighbor gets it. */
  #removeRow(id) {
    const element = this.#rows.get(id)?.element;
    if (!element) return;
    const shown = [...this.#list.children].filter((other) => other === element || !other.hidden);
    const index = shown.indexOf(element);
    const neighbor = shown[index + 1] ?? shown[index - 1];
    const isFocused = element.contains(document.activeElement);
    this.#thumbnails.remove(element);
    this.#rows.delete(id);
    element.remove();
    if (isFocused) (neighbor?.querySelector('a') ?? this.#main.querySelector('h1')).focus();
    this.#update();
    this.#usage.update();
  }

  /** Watch the unfinished jobs: those in progress first, then those that wait longest. */
  #update() {
    const shown = [...this.#rows.values()].map(({ job }) => job);
    const unfinished = [...shown, ...this.#others.values()].filter((job) => !isFinished(job));
    unfinished.sort((one, other) => (one.id < other.id ? -1 : 1));
    const inProgress = ({ status }) => status === 'PROCESSING';
    this.#watcher.watch([
      ...unfinished.filter(inProgress),
      ...unfinished.filter((job) => !inProgress(job)),
    ].map(({ id }) => id));
    this.#selection.update([...this.#rows.values()]);
    this.#updateNotice();
  }

  /** Show a notice in place of rows, if there are none. */
  #updateNotice() {
    const isEmpty = [...this.#rows.values()].every((row) => row.element.hidden);
    const reason = this.#rows.size > 0 ? 'search' : this.#status ?? 'none';
    const shown = this.#end.querySelector('.empty');
    if (!isEmpty) {
      shown?.remove();
    } else if (!this.#nextPath && shown?.dataset.reason !== reason) {
      this.#end.replaceChildren(emptyNotice(reason, (file) => this.addFiles([file])));
    }
  }

  close() {
    this.#keepPlace();
    this.#closing.abort();
    this.#endObserver.disconnect();
    this.#watcher.close();
    this.#thumbnails.close();
  }

  /** Keep the place if the user opens one of the videos. */
  #keepPlace() {
    const [, id] = /^#\/jobs\/([^/]+)/.exec(location.hash) ?? [];
    const row = this.#rows.get(id);
    if (!row) return;
    const { top } = row.element.getBoundingClientRect();
    const { query } = this.#search;
    const order = [...this.#list.children].map(({ dataset: { job } }) => this.#rows.get(job).job);
    keepPlace({ status: this.#status, jobs: order, next: this.#nextPath, id, top, query });
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

/**
 * Notice in place of rows. The `reason` is `none`, `search` or the state of the filter.
 * `onSample(file)` is called with the sample clip if the user wants to try it.
 */
function emptyNotice(reason, onSample) {
  const notice = (...content) => h('div', { class: 'empty', 'data-reason': reason }, content);
  if (reason === 'search') return notice(h('p', { class: 'strong' }, t('no_videos_with_name')));
  if (reason !== 'none') {
    return notice(
      h('p', { class: 'strong' }, t('no_videos_with_status')),
      h('a', { href: '#/' }, t('show_all')));
  }
  const error = errorLine();
  const onclick = showingErrors(error, async () => onSample(await fetchSample()));
  return notice(
    h('p', { class: 'strong' }, t('no_videos')),
    h('p', {}, t('upload_first')),
    h('button', { type: 'button', class: 'quiet', id: 'sample', onclick }, t('try_sample')),
    error);
}
