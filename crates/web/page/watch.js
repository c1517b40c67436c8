// Jobs that are under way, as their events come.

import { request } from './session.js';

/** Streams at a time. A browser has six connections to a host, which uploads and pictures need, too. */
const STREAMS = 2;
/** Milliseconds from look to look at those that have no stream, and before a stream that broke is opened again. */
const PAUSE = 3000;

/**
 * Watches jobs for a view: the first ones by their events, the others by looking at all of them now and then. While nobody sees the page,
 * none.
 */
export class Watch {
  #wanted = [];
  #streams = new Map();
  #timer = null;
  #heard;
  #look;

  /** `heard(event)` gets each event of a job, `look()` reads the jobs that have no stream. */
  constructor(heard, look) {
    this.#heard = heard;
    this.#look = look;
    document.addEventListener('visibilitychange', this.#balance);
  }

  /** From now on watch these jobs, the most important first. */
  want(ids) {
    this.#wanted = ids;
    this.#balance();
  }

  /** Watch nothing any more. */
  close() {
    document.removeEventListener('visibilitychange', this.#balance);
    this.want([]);
  }

  #balance = () => {
    const chosen = document.hidden ? [] : this.#wanted.slice(0, STREAMS);
    for (const [id, stream] of this.#streams) {
      if (!chosen.includes(id)) {
        stream.abort();
        this.#streams.delete(id);
      }
    }
    for (const id of chosen) if (!this.#streams.has(id)) this.#open(id);
    const others = !document.hidden && this.#wanted.length > chosen.length;
    if (others) this.#timer ??= setInterval(this.#look, PAUSE);
    else {
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
      for await (const part of chunks(response.body.pipeThrough(new TextDecoderStream()))) {
        const lines = (text + part).split('\n');
        text = lines.pop();
        for (const line of lines) if (line.startsWith('data:')) this.#heard(JSON.parse(line.slice(5)));
      }
    } catch (error) {
      if (error.name === 'AbortError') return;
      // What became of the job is seen by the next look.
      if (error.status >= 400 && error.status < 500) this.#wanted = this.#wanted.filter((wanted) => wanted !== id);
    }
    // A stream ends with its job, or because its process does.
    setTimeout(() => {
      if (this.#streams.get(id) !== stream) return;
      this.#streams.delete(id);
      this.#balance();
    }, PAUSE);
  }
}

/** The parts of a stream. Not every browser lets one loop over it. */
async function* chunks(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}
