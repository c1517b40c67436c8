// Dialog in which one step can follow another.

import { h } from './dom.js';

/** Modal dialog with a title. */
export class StepDialog {
  #dialog = h('dialog', { class: 'steps', 'aria-labelledby': 'dialog-title' });
  #mustStay = false;

  /** Aborting `signal` closes the dialog. `onClose` is called when it is closed. */
  constructor(signal, onClose = () => {}) {
    const closing = new AbortController();
    signal.addEventListener('abort', () => this.#dialog.close(), { signal: closing.signal });
    this.#dialog.addEventListener('cancel', (event) => {
      if (this.#mustStay) event.preventDefault();
    });
    this.#dialog.addEventListener('close', () => {
      closing.abort();
      this.#dialog.remove();
      onClose();
    });
    document.body.append(this.#dialog);
  }

  /** Whether the dialog is still open. */
  get isOpen() {
    return this.#dialog.open;
  }

  /**
   * Show a step, and move the focus to its first field or, if it has none, to its title. The Escape
   * key does not close a step that `mustStay`.
   */
  show(title, content, { mustStay = false } = {}) {
    this.#mustStay = mustStay;
    const heading = h('h2', { id: 'dialog-title', tabindex: -1 }, title);
    this.#dialog.replaceChildren(heading, ...[content].flat(Infinity).filter(Boolean));
    if (!this.#dialog.open) this.#dialog.showModal();
    (this.#dialog.querySelector('input, select') ?? heading).focus();
  }

  close() {
    this.#dialog.close();
  }

  /** Create a button that closes the dialog. */
  closeButton(text, style = 'quiet') {
    return h('button', { type: 'button', class: style, onclick: () => this.close() }, text);
  }
}
