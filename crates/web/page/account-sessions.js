// Open sessions of the user.

import { announce, h } from './dom.js';
import { errorLine, errorNotice, showingErrors } from './errors.js';
import { dateTime } from './format.js';
import { liveTime } from './live-times.js';
import { problemText } from './problems.js';
import { request } from './session.js';
import { t } from './texts.js';

/** List of the open sessions, each of which can be ended. */
export class SessionList {
  #signal;
  #title = h('h2', { id: 'sessions-title', tabindex: -1 }, t('sessions'));
  #body = h('div', {});
  #error = errorLine();

  constructor(signal) {
    this.#signal = signal;
    this.element = h('section', { 'aria-labelledby': 'sessions-title' },
      this.#title, this.#body, this.#error);
    this.load();
  }

  /** Fetch the sessions and show them. */
  async load() {
    try {
      const sessions = await (await request('/auth/sessions', { signal: this.#signal })).json();
      this.#show(sessions);
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#body.replaceChildren(errorNotice(problemText(error), () => this.load()));
    }
  }

  #show(sessions) {
    const endOthers = () => this.#end('/auth/sessions', 'other_sessions_ended');
    const button = { type: 'button', class: 'quiet', onclick: this.#showing(endOthers) };
    this.#body.replaceChildren(
      h('ul', { class: 'settings', 'aria-labelledby': 'sessions-title' },
        sessions.map((session) => this.#row(session))),
      ...(sessions.some(({ current }) => !current)
        ? [h('button', button, t('end_other_sessions'))]
        : []));
  }

  #row({ id, browser, address, current, created_at: created, last_used_at: used }) {
    const name = browser ?? t('unknown_browser');
    const end = () => this.#end(`/auth/sessions/${id}`, 'session_was_ended');
    const button = {
      type: 'button',
      class: 'quiet',
      'aria-label': t('of_file', { what: t('end_session'), name: `${name}, ${address ?? ''}` }),
      onclick: this.#showing(end),
    };
    return h('li', { 'data-session': id },
      h('div', {},
        h('p', { class: 'strong' }, name,
          current && h('span', { class: 'badge', 'data-state': 'DONE' }, t('this_session'))),
        h('p', { class: 'facts' },
          address && `${address} · `,
          t('last_used'), ' ', liveTime(used), ' · ',
          t('logged_in_on', { when: dateTime(created) }))),
      !current && h('button', button, t('end_session')));
  }

  #showing(action) {
    return showingErrors(this.#error, action);
  }

  async #end(path, message) {
    try {
      await request(path, { method: 'DELETE' });
    } catch (problem) {
      // It has ended meanwhile.
      if (problem.code !== 'SESSION_NOT_FOUND') throw problem;
    }
    await this.load();
    announce(t(message));
    this.#title.focus();
  }
}
