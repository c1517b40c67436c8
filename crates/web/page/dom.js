// Elements, icons, announcements, dialogs and file downloads.

/**
 * Create an element. Attributes are set by name; names that begin with `on` add event handlers;
 * `true` sets an empty attribute, `false` and null are skipped. Children are strings and elements,
 * or nested lists of them. A string is always inserted as text, never as markup.
 */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== false && child != null));
  return element;
}

const ICON_PATHS = {
  up: 'M12 19V6m-6 6 6-6 6 6',
  down: 'M12 4v11m-5-5 5 5 5-5M5 20h14',
  close: 'M6 6l12 12M18 6 6 18',
  left: 'M15 5l-7 7 7 7',
  right: 'M9 5l7 7-7 7',
  retry: 'M20 12a8 8 0 1 1-2.5-5.8M20 3v4h-4',
  person: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7 8a7 7 0 0 1 14 0',
  pause: 'M9 5v14M15 5v14',
  play: 'M8 5l11 7-11 7Z',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
};

/** Create an icon. It is hidden from screen readers, so its control needs a label. */
export function icon(name) {
  const [svg, path] = ['svg', 'path'].map((tag) =>
    document.createElementNS('http://www.w3.org/2000/svg', tag));
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', 'icon');
  path.setAttribute('d', ICON_PATHS[name]);
  svg.append(path);
  return svg;
}

/** Create a round button with an icon. */
export function iconButton(title, iconName, onclick, label = title) {
  const attributes = { type: 'button', class: 'round', title, 'aria-label': label, onclick };
  return h('button', attributes, icon(iconName));
}

/** Replace the buttons in `container`. If one of them had the focus, the first one gets it. */
export function replaceActions(container, ...actions) {
  const focused = container.contains(document.activeElement);
  container.replaceChildren(...actions.filter(Boolean));
  if (focused) container.querySelector('button, a')?.focus();
}

/** Announce a text to users of screen readers. */
export function announce(text) {
  document.getElementById('announcement').textContent = text;
}

/** Close all dialogs, as if the user had dismissed them. */
export function closeDialogs() {
  document.querySelectorAll('dialog').forEach((dialog) => dialog.close());
}

/** Ask a question in a modal dialog. Resolves to true if the user chooses `yes`. */
export function confirmAction(question, { yes, no }) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { class: 'confirm', 'aria-labelledby': 'question' },
      h('form', { method: 'dialog' },
        h('p', { id: 'question' }, question),
        h('div', { class: 'actions' },
          h('button', { class: 'quiet', value: 'no', autofocus: true }, no),
          h('button', { class: 'danger', value: 'yes' }, yes))));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Download a URL as a file. An empty name leaves the name to the response. */
export function saveFile(url, name) {
  const link = h('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
