// Errors, as views show them.

import { h } from './dom.js';
import { problemText } from './problems.js';
import { t } from './texts.js';

/** Create a notice of an error, with a button to try again if there is a `retry`. */
export function errorNotice(text, retry) {
  return h('div', { class: 'notice bad', role: 'alert' },
    h('p', {}, text),
    retry && h('button', { class: 'quiet', type: 'button', onclick: retry }, t('retry')));
}

/** Create an empty, hidden line for an error. */
export function errorLine() {
  return h('p', { class: 'error', role: 'alert', hidden: true });
}

/** Show a text in an error line. */
export function showError(line, text) {
  line.textContent = text;
  line.hidden = false;
}

/** Return an event handler that runs an action and shows its error in a line. */
export function showingErrors(line, action) {
  return async () => {
    line.hidden = true;
    try {
      await action();
    } catch (error) {
      showError(line, problemText(error));
    }
  };
}
