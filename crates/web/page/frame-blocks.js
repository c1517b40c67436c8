// Frames of a gallery in blocks. The browser lays out and observes only the blocks near the visible
// part of the page, so ten thousand frames cost little more than a hundred.

import { h } from './dom.js';

/** Items of a block. Rows of one to six items are complete. */
const BLOCK_SIZE = 60;
/** Distance to the visible part of the page within which the items of a block are observed. */
const OBSERVED_DISTANCE = '1000px';

/** The first of `items` that ends below the middle of the window, or the last one. */
function atMiddle(items, elementOf) {
  let [low, high] = [0, items.length - 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (elementOf(items[middle]).getBoundingClientRect().bottom < innerHeight / 2) low = middle + 1;
    else high = middle;
  }
  return items[low];
}

/** Items of frames and of gaps, in their order. */
export class FrameBlocks {
  element = h('div', { class: 'frame-list', role: 'list', 'aria-labelledby': 'gallery-title' });
  /** Blocks: an `element`, its `frames`, and whether it `isNear` the visible part of the page. */
  #blocks = [];
  #thumbnails;
  #measuredWidth = null;
  // Later, because the heights that follow from this are observed as well.
  #resizing = new ResizeObserver((entries) => requestAnimationFrame(() => this.#measure(entries)));
  #nearObserver = new IntersectionObserver(
    (entries) => entries.forEach((entry) => this.#onEntry(entry)),
    { rootMargin: OBSERVED_DISTANCE });

  /** The thumbnails of frames that are near are among `thumbnails`. */
  constructor(thumbnails) {
    this.#thumbnails = thumbnails;
  }

  /** Add a frame: its number, its item, and in this the image for the thumbnail at a path. */
  addFrame(frame) {
    const block = this.#addItem(frame.item);
    block.frames.push(frame);
    if (block.isNear) this.#observe(frame);
  }

  /** Add the item of a gap. */
  addGap(item) {
    this.#addItem(item);
  }

  /** Number of the frame in the middle of the window, or undefined. */
  get middle() {
    const block = atMiddle(this.#blocks, ({ element }) => element);
    return block && atMiddle(block.frames, ({ item }) => item)?.number;
  }

  #addItem(item) {
    let block = this.#blocks.at(-1);
    if (!block || block.element.childElementCount === BLOCK_SIZE) block = this.#addBlock();
    // The blocks are one list to screen readers.
    item.setAttribute('role', 'listitem');
    block.element.append(item);
    block.element.style.setProperty('--filled', block.element.childElementCount / BLOCK_SIZE);
    return block;
  }

  #addBlock() {
    const block = { element: h('ol', { class: 'frames', role: 'none' }), frames: [], isNear: false };
    this.#blocks.push(block);
    this.#resizing.observe(block.element);
    this.#nearObserver.observe(block.element);
    this.element.append(block.element);
    return block;
  }

  /** Give the blocks that are not laid out the height of one that is, once for each width. */
  #measure(entries) {
    const measured = entries.findLast(({ target, borderBoxSize: [{ inlineSize }] }) =>
      inlineSize !== this.#measuredWidth && target.childElementCount === BLOCK_SIZE
        && target.lastElementChild.checkVisibility({ contentVisibilityAuto: true }));
    if (!measured) return;
    const [{ blockSize, inlineSize }] = measured.borderBoxSize;
    this.#measuredWidth = inlineSize;
    this.element.style.setProperty('--block-height', `${blockSize}px`);
  }

  #onEntry({ target, isIntersecting }) {
    const block = this.#blocks.find(({ element }) => element === target);
    if (block.isNear === isIntersecting) return;
    block.isNear = isIntersecting;
    if (isIntersecting) block.frames.forEach((frame) => this.#observe(frame));
    else block.frames.forEach(({ item }) => this.#thumbnails.remove(item));
  }

  #observe({ item, image, path }) {
    this.#thumbnails.add(item, image, path);
  }

  /** Stop observing. */
  close() {
    this.#resizing.disconnect();
    this.#nearObserver.disconnect();
  }
}
