// Area to drop videos on, with a button to choose them and the options of their frames.

import { h, icon } from './dom.js';
import { errorLine, showError } from './errors.js';
import { bytes } from './format.js';
import { UploadOptions } from './options.js';
import { t } from './texts.js';
import { addFiles, uploadLimits } from './uploads.js';

/** Create the drop area and what belongs to it. It stops listening when `signal` is aborted. */
export function dropArea(signal) {
  const options = new UploadOptions();
  const error = errorLine();
  const add = (files) => {
    const recipe = options.checked();
    error.hidden = recipe !== null;
    if (recipe) addFiles(files, recipe);
    else showError(error, t('options_fix'));
  };
  const limitsText = h('p', { class: 'hint', id: 'limits' }, '\u00a0');
  const input = h('input', {
    type: 'file',
    id: 'files',
    multiple: true,
    class: 'visually-hidden',
    'aria-describedby': 'limits',
    // Before the user has chosen files that are not sent.
    onclick: (event) => options.checked() || event.preventDefault(),
    onchange: () => {
      add([...input.files]);
      input.value = '';
    },
  });
  const area = h('section', { class: 'drop-area', 'aria-label': t('uploads') },
    icon('up'),
    h('p', { class: 'strong' }, t('drop')),
    input,
    h('label', { for: 'files', class: 'primary' }, t('choose_files')),
    limitsText);
  uploadLimits().then((limits) => {
    if (!limits) return;
    const { suffixes, max_video_bytes: maximum } = limits;
    input.accept = suffixes.join(',');
    limitsText.textContent =
      t('upload_limits', { suffixes: suffixes.join(' '), size: bytes(maximum) });
  });
  acceptDrops(area, add, signal);
  return [area, error, options.element];
}

/**
 * Accept files dropped anywhere in the window, because a browser opens a file that is dropped
 * elsewhere, and so leaves the page.
 */
function acceptDrops(area, add, signal) {
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  const onDragOver = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    area.classList.add('active');
  };
  const onDragLeave = (event) => {
    if (!event.relatedTarget) area.classList.remove('active');
  };
  const onDrop = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    area.classList.remove('active');
    add([...event.dataTransfer.files]);
  };
  addEventListener('dragover', onDragOver, { signal });
  addEventListener('dragleave', onDragLeave, { signal });
  addEventListener('drop', onDrop, { signal });
}
