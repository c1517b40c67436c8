// Storage that the user uses.

import { h } from './dom.js';
import { bytes } from './format.js';
import { request } from './session.js';
import { t } from './texts.js';

/** Share of the storage from which it is a warning. */
const NEARLY_FULL = 0.9;

/** Line with the storage that is used, and its limit. */
export class StorageUsage {
  element = h('p', { class: 'usage hint' });
  #signal;

  constructor(signal) {
    this.#signal = signal;
  }

  /** Fetch the storage and show it. */
  async update() {
    try {
      const response = await request('/videos/usage', { signal: this.#signal });
      const { stored_bytes: used, max_stored_bytes: limit } = await response.json();
      this.element.textContent = t('storage_used', { used: bytes(used), limit: bytes(limit) });
      this.element.classList.toggle('warn', used > limit * NEARLY_FULL);
    } catch {
      // The next update may succeed.
    }
  }
}
