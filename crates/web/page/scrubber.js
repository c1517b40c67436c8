// Slider that leads through the frames of a gallery.

import { h } from './dom.js';
import { timecode } from './format.js';
import { t } from './texts.js';

/** Slider from the first to the last frame. */
export class Scrubber {
  #input;
  #text = h('span', { class: 'time', 'aria-hidden': 'true' });
  #frameOf;

  /**
   * `last` is the number of the last frame. `frameOf(number)` returns a listed frame, or undefined.
   * `onMove(number)` is called while the slider moves.
   */
  constructor({ last, frameOf, onMove }) {
    this.#frameOf = frameOf;
    this.#input = h('input', {
      type: 'range',
      min: 1,
      max: last,
      value: 1,
      'aria-label': t('go_to_frame'),
      oninput: () => {
        this.#describe(this.number);
        onMove(this.number);
      },
    });
    this.element = h('div', { class: 'scrubber' }, this.#input, this.#text);
    this.#describe(1);
  }

  /** Number of the frame at the slider. */
  get number() {
    return Number(this.#input.value);
  }

  /** Move the slider to a frame that the user has scrolled to. */
  show(number) {
    this.#input.value = number;
    this.#describe(number);
  }

  #describe(number) {
    const frame = this.#frameOf(number);
    const time = frame && timecode(frame.timestamp_s);
    this.#text.textContent = time ?? t('frame', { n: number });
    const text = frame ? t('frame_at', { n: number, time }) : t('frame', { n: number });
    this.#input.setAttribute('aria-valuetext', text);
  }
}
