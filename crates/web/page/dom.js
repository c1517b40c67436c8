// Elements, and what the page says.

/**
 * Make an element. Attributes are set by name, those that begin with `on` are handlers, false and null ones are left out; children are texts
 * and elements, or lists of them. Text never becomes markup.
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

const SHAPES = {
  up: 'M12 19V6m-6 6 6-6 6 6',
  down: 'M12 4v11m-5-5 5 5 5-5M5 20h14',
  close: 'M6 6l12 12M18 6 6 18',
  left: 'M15 5l-7 7 7 7',
  right: 'M9 5l7 7-7 7',
  again: 'M20 12a8 8 0 1 1-2.5-5.8M20 3v4h-4',
  bin: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
};

/** A drawing that says nothing which a text does not. */
export function icon(name) {
  const [svg, path] = ['svg', 'path'].map((tag) => document.createElementNS('http://www.w3.org/2000/svg', tag));
  for (const [key, value] of Object.entries({ viewBox: '0 0 24 24', 'aria-hidden': 'true', class: 'icon' })) svg.setAttribute(key, value);
  path.setAttribute('d', SHAPES[name]);
  svg.append(path);
  return svg;
}

/** Tell those who do not see. */
export function say(text) {
  document.getElementById('said').textContent = text;
}

/** A browser's own dialogue; gives whether the user wants it. */
export function confirmed(question, { yes, no }) {
  return new Promise((decided) => {
    const dialog = h('dialog', { class: 'ask', 'aria-labelledby': 'question' },
      h('form', { method: 'dialog' },
        h('p', { id: 'question' }, question),
        h('div', { class: 'actions' },
          h('button', { class: 'quiet', value: 'no', autofocus: true }, no),
          h('button', { class: 'danger', value: 'yes' }, yes))));
    dialog.addEventListener('close', () => {
      dialog.remove();
      decided(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
