// Clip to try the service with.

import { Problem } from './session.js';

const NAME = 'sample.mp4';

/** Fetch the clip as a file. */
export async function fetchSample() {
  const response = await fetch(new URL(NAME, import.meta.url)).catch(() => null);
  if (!response?.ok) throw new Problem({ code: 'NETWORK' });
  return new File([await response.blob()], NAME, { type: 'video/mp4' });
}
