// Addresses at which there is nothing.

import { h } from './dom.js';
import { PROBLEMS, problemText } from './problems.js';
import { user } from './session.js';
import { t } from './texts.js';

/** Code of the problem that the service answered with, in place of what the browser requested. */
export const documentProblem = document.documentElement.dataset.problem;

/**
 * Return the address in the page of what a path of the API is about, or null. Users find such paths
 * in logs and in programs, and open them.
 */
export function addressInPage(path) {
  const [, kind, id, part, number] =
    /^\/([a-z]+)(?:\/([^/]+))?(?:\/([^/]+))?(?:\/(\d+))?/.exec(path) ?? [];
  if (kind === 'videos' || kind === 'jobs') {
    if (!id) return '/#/';
    return `/#/jobs/${id}${part === 'frames' && number ? `/${number}` : ''}`;
  }
  if (kind === 'webhooks') return id ? `/#/webhooks/${id}` : '/#/webhooks';
  return ['auth', 'keys'].includes(kind) ? '/#/account' : null;
}

/** What the page shows at an address at which there is nothing. */
export class AbsentView {
  /** `code` is that of the problem, or none at an address of the page itself. */
  constructor(main, { code }) {
    const isKnown = code && code !== 'NOT_FOUND' && Object.hasOwn(PROBLEMS, code);
    this.title = t(isKnown ? 'not_opened' : 'page_not_found');
    const next = user() ? ['#/', 'to_videos'] : ['#/login', 'login'];
    main.append(h('div', { class: 'narrow' },
      h('div', { class: 'card' },
        h('h1', { tabindex: -1 }, this.title),
        h('p', {}, isKnown ? problemText({ code }) : t('page_not_found_reason')),
        h('div', { class: 'actions' },
          h('a', { class: 'primary', href: `/${next[0]}` }, t(next[1]))))));
  }
}
