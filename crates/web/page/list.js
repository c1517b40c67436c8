// All videos of the user, newest first.

import { h, icon, say } from './dom.js';
import { bytes } from './format.js';
import { download, get, isOver, page, remove } from './jobs.js';
import { badge, glance, progress, trouble } from './state.js';
import { accepted, add, news } from './uploads.js';
import { Watch } from './watch.js';
import { refusal, t } from './words.js';

const FILTERS = ['QUEUED', 'PROCESSING', 'DONE', 'FAILED', 'CANCELLED', 'EXPIRED'];
/** Jobs that are fetched at a time, as many as the interface gives. */
const LIMIT = 100;

/** The list, of one state if there is a `filter`. */
export function list(main, { filter }) {
  const rows = new Map();
  const leaving = new AbortController();
  const items = h('ul', { class: 'jobs', 'aria-label': t('videos') });
  const rest = h('div', { class: 'rest' });
  const watch = new Watch(heard, look);
  let next = `/videos?limit=${LIMIT}${filter ? `&status=${filter}` : ''}`;
  const first = next;
  let busy = false;

  main.append(
    h('h1', { tabindex: -1 }, t('videos')),
    dropZone(leaving.signal),
    h('nav', { class: 'filters', 'aria-label': t('filter') },
      [null, ...FILTERS].map((state) => h('a', { href: state ? `#/state/${state}` : '#/', 'aria-current': state === filter && 'page' }, t(state ?? 'all')))),
    items, rest);

  const sight = new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && more(), { rootMargin: '800px' });
  sight.observe(rest);
  news.addEventListener('received', arrived, { signal: leaving.signal });
  // Whoever comes back sees what happened meanwhile.
  document.addEventListener('visibilitychange', () => document.hidden || look(), { signal: leaving.signal });
  more();

  async function more() {
    if (busy || !next) return;
    busy = true;
    rest.replaceChildren(h('p', { class: 'loading' }, t('loading')));
    try {
      const { jobs, next: following } = await page(next, leaving.signal);
      next = following;
      jobs.forEach((job) => put(job, false));
      rest.replaceChildren(...(next ? [h('button', { type: 'button', class: 'quiet', onclick: more }, t('more'))] : []));
      settle();
    } catch (error) {
      if (leaving.signal.aborted) return;
      rest.replaceChildren(trouble(`${t('not_loaded')}. ${refusal(error)}`, () => { busy = false; more(); }));
      return;
    } finally {
      busy = false;
    }
    // What is still in sight is not told again.
    sight.unobserve(rest);
    sight.observe(rest);
  }

  /** Read the newest jobs again. */
  async function look() {
    try {
      const { jobs } = await page(first, leaving.signal);
      for (const job of jobs.reverse()) put(job, !rows.has(job.id));
      settle();
    } catch {
      // The next look may succeed.
    }
  }

  function arrived() {
    if (!filter || filter === 'QUEUED') look();
  }

  async function heard(event) {
    const row = rows.get(event.job_id);
    if (!row) return;
    if (event.status === row.job.status && !isOver(event)) {
      row.show({ ...row.job, progress: event.progress });
      return;
    }
    try {
      const job = await get(event.job_id, leaving.signal);
      if (job.status !== row.job.status) say(t('now', { name: job.filename, state: t(job.status) }));
      row.show(job);
      settle();
    } catch {
      // The next look may succeed.
    }
  }

  function put(job, newest) {
    const row = rows.get(job.id) ?? rowOf(job, { changed: settle, removed: () => drop(job.id) });
    row.show(job);
    if (rows.has(job.id)) return;
    rows.set(job.id, row);
    if (newest) items.prepend(row.element);
    else items.append(row.element);
  }

  function drop(id) {
    const { element } = rows.get(id);
    const neighbour = element.nextElementSibling ?? element.previousElementSibling;
    rows.delete(id);
    element.remove();
    (neighbour?.querySelector('a') ?? main.querySelector('h1')).focus();
    settle();
  }

  /** Watch what is under way: first what is worked on, then what waits longest. */
  function settle() {
    const open = [...rows.values()].map(({ job }) => job).filter((job) => !isOver(job)).reverse();
    watch.want([...open.filter((job) => job.status === 'PROCESSING'), ...open.filter((job) => job.status !== 'PROCESSING')].map((job) => job.id));
    const none = rest.querySelector('.empty');
    if (rows.size > 0) none?.remove();
    else if (!next && !none) rest.replaceChildren(empty(filter));
  }

  return {
    title: t('videos'),
    close() {
      leaving.abort();
      sight.disconnect();
      watch.close();
    },
  };
}

function empty(filter) {
  return h('div', { class: 'empty' },
    h('p', { class: 'strong' }, t(filter ? 'nothing_here' : 'nothing_yet')),
    filter ? h('a', { href: '#/' }, t('nothing_here_do')) : h('p', {}, t('nothing_yet_do')));
}

/** A place to drop videos, and a button for those who choose them. */
function dropZone(leaving) {
  const rules = h('p', { class: 'hint' }, '\u00a0');
  const input = h('input', { type: 'file', id: 'files', multiple: true, class: 'unseen', 'aria-describedby': 'rules', onchange: chosen });
  rules.id = 'rules';
  accepted().then((limits) => {
    if (!limits) return;
    input.accept = limits.suffixes.join(',');
    rules.textContent = t('accepted', { suffixes: limits.suffixes.join(' '), size: bytes(limits.max_video_bytes) });
  });
  function chosen() {
    add([...input.files]);
    input.value = '';
  }
  const zone = h('section', { class: 'drop', 'aria-label': t('uploads') },
    icon('up'), h('p', { class: 'strong' }, t('drop')), input, h('label', { for: 'files', class: 'primary' }, t('choose')), rules);
  const held = (event) => event.dataTransfer?.types.includes('Files');
  // Anywhere on the page: who misses the place would otherwise leave the page for the video.
  const over = (event) => {
    if (!held(event)) return;
    event.preventDefault();
    zone.classList.add('over');
  };
  addEventListener('dragover', over, { signal: leaving });
  addEventListener('dragleave', (event) => event.relatedTarget ?? zone.classList.remove('over'), { signal: leaving });
  addEventListener('drop', (event) => {
    if (!held(event)) return;
    event.preventDefault();
    zone.classList.remove('over');
    add([...event.dataTransfer.files]);
  }, { signal: leaving });
  return zone;
}

function rowOf(first, { changed, removed }) {
  const name = h('a', { class: 'name', href: `#/jobs/${first.id}` }, first.filename);
  const [state, body, actions, wrong] = [h('div', { class: 'state' }), h('div', { class: 'body' }), h('div', { class: 'actions' }), h('p', { class: 'error', role: 'alert', hidden: true })];
  const row = { job: first, element: h('li', {}, state, h('div', { class: 'what' }, name, body, wrong), actions), show };
  const guarded = (act) => async () => {
    wrong.hidden = true;
    try {
      await act();
    } catch (error) {
      wrong.textContent = refusal(error);
      wrong.hidden = false;
    }
  };
  const button = (what, shape, act) =>
    h('button', { type: 'button', class: 'round', title: t(what), 'aria-label': t('of_file', { what: t(what), name: first.filename }), onclick: guarded(act) }, icon(shape));
  async function removal() {
    const job = await remove(row.job);
    if (job === null) removed();
    else if (job) {
      show(job);
      changed();
    }
  }
  let drawn = null;
  function show(job) {
    row.job = job;
    const look = JSON.stringify(job);
    if (look === drawn) return;
    const states = drawn === null || JSON.parse(drawn).status !== job.status;
    drawn = look;
    body.replaceChildren(...(job.status === 'PROCESSING' ? [progress(job)] : []), h('p', { class: 'facts' }, glance(job)), ...(job.status === 'FAILED' ? [h('p', { class: 'why' }, job.error_message)] : []));
    if (!states) return;
    state.replaceChildren(badge(job));
    const held = actions.contains(document.activeElement);
    actions.replaceChildren(
      ...(job.download_available ? [button('download', 'down', () => download(row.job))] : []),
      button(isOver(job) ? 'delete' : 'stop', isOver(job) ? 'bin' : 'close', removal));
    if (held) actions.querySelector('button').focus();
  }
  return row;
}
