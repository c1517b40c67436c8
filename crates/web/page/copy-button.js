// Button that copies a text.

import { announce, h } from './dom.js';
import { t } from './texts.js';

/** Create a button that copies a text. Browsers allow that in secure contexts only. */
export function copyButton(text) {
  if (!navigator.clipboard) return null;
  const button = h('button', { type: 'button', class: 'quiet' }, t('copy'));
  button.addEventListener('click', async () => {
    const copied = await navigator.clipboard.writeText(text).then(() => true, () => false);
    button.textContent = t(copied ? 'copied' : 'not_copied');
    announce(button.textContent);
  });
  return button;
}
