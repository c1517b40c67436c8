// Changes of unfinished jobs, by their event streams or by polling.

import { request } from './session.js';

/** Maximum event streams. Browsers open six connections to a host, which uploads need as well. */
const MAX_STREAMS = 2;
/** Time between two polls, and maximum time before a closed stream is opened again, in milliseconds. */
const INTERVAL = 3000;

/**
 * Watches jobs for a view: the first ones by event streams, the others by polling. Stops while the
 * page is hidden.
 */
export class JobWatcher {
  #watched = [];
  #streams = new Map();
  #timer = null;
  #onEvent;
  #poll;

  /** `onEvent(event)` is called for each event, `poll()` to update jobs that have no stream. */
  constructor(onEvent, poll) {
    this.#onEvent = onEvent;
    this.#poll = poll;
    document.addEventListener('visibilitychange', this.#update);
  }

  /** Watch the jobs with these ids, most important first, and no others. */
  watch(ids) {
    this.#watched = ids;
    this.#update();
  }

  /** Stop watching. */
  close() {
    document.removeEventListener('visibilitychange', this.#update);
    this.watch([]);
  }

  #update = () => {
    const streamed = document.hidden ? [] : this.#watched.slice(0, MAX_STREAMS);
    for (const [id, stream] of this.#streams) {
      if (!streamed.includes(id)) {
        stream.abort();
        this.#streams.delete(id);
      }
    }
    for (const id of streamed) if (!this.#streams.has(id)) this.#open(id);
    if (!document.hidden && this.#watched.length > streamed.length) {
      this.#timer ??= setInterval(this.#poll, INTERVAL);
    } else {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  };

  async #open(id) {
    const stream = new AbortController();
    this.#streams.set(id, stream);
    try {
      const response = await request(`/jobs/${id}/events`, { signal: stream.signal });
      let text = '';
      for await (const chunk of chunks(response.body.pipeThrough(new TextDecoderStream()))) {
        const lines = (text + chunk).split('\n');
        text = lines.pop();
        for (const line of lines) {
          if (line.startsWith('data:')) this.#onEvent(JSON.parse(line.slice(5)));
        }
      }
    } catch (error) {
      if (error.name === 'AbortError') return;
      // The API rejects this stream: leave the job to the next poll.
      if (error.status >= 400 && error.status < 500) {
        this.#watched = this.#watched.filter((watched) => watched !== id);
      }
    }
    // The stream ended because the job is finished or the connection was lost.
    setTimeout(() => {
      if (this.#streams.get(id) !== stream) return;
      this.#streams.delete(id);
      this.#update();
      // At random, so that not all browsers return at once to an API that has restarted.
    }, INTERVAL * (1 + Math.random()) / 2);
  }
}

/** Iterate over the chunks of a stream. Not every browser has async iteration of streams. */
async function* chunks(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}
