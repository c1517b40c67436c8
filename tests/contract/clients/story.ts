// From an account to an archive, with the types that openapi-typescript generates and openapi-fetch.
//
// Arguments: URL of the service, e-mail address for a new account, password, video file.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import createClient from 'openapi-fetch';
import type { components, paths } from './api.js';

type Job = components['schemas']['Job'];

function assert(condition: unknown, context?: unknown): asserts condition {
  if (!condition) {
    throw new Error(`not as expected: ${JSON.stringify(context)}`);
  }
}

const [baseUrl, email, password, video] = process.argv.slice(2);
assert(baseUrl && email && password && video);
const anyone = createClient<paths>({ baseUrl });
const bearing = (token: string) =>
  createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

// An error is a problem document.
const refused = await anyone.POST('/auth/login', { body: { email, password } });
assert(refused.error?.code === 'WRONG_CREDENTIALS', refused.error);

const account = await anyone.POST('/auth/register', { body: { email, password, name: 'Ana' } });
assert(account.data?.email === email, account.error);
const session = await anyone.POST('/auth/login', { body: { email, password } });
assert(session.data, session.error);
const user = bearing(session.data.access_token);
const key = await user.POST('/keys', {
  body: { name: 'Story', scopes: ['videos:read', 'videos:write'], password },
});
assert(key.data, key.error);
const program = bearing(key.data.key);

// Wait until a job is finished, and return it.
async function wait(id: string): Promise<Job> {
  for (;;) {
    const { data, error } = await program.GET('/videos/{id}', { params: { path: { id } } });
    assert(data, error);
    if (data.status !== 'QUEUED' && data.status !== 'PROCESSING') {
      return data;
    }
    await pause(100);
  }
}

// Upload a video, and wait for its archive. OpenAPI 3.0 has no type for files, so the generator
// takes them for strings. A recipe precedes the videos that it is for.
const bytes = await readFile(video);
const recipe: components['schemas']['Recipe'] = { select: { count: 3 } };
const upload = await program.POST('/videos/upload', {
  params: { header: { 'Idempotency-Key': 'story' } },
  body: { recipe, file: [video] },
  bodySerializer: (body) => {
    const form = new FormData();
    form.append('recipe', JSON.stringify(body.recipe));
    form.append('file', new Blob([bytes]), basename(video));
    return form;
  },
});
assert(upload.data, upload.error);
const job = await wait(upload.data.job_id);
assert(job.status === 'DONE' && job.complete && job.frame_count === 3, job);
const listed = await program.GET('/videos', { params: { query: { limit: 10 } } });
assert(listed.data?.length === 1 && listed.data[0]?.id === job.id, listed);

// Look at the frames, and download the archive.
const path = { id: job.id };
const frames = await program.GET('/jobs/{id}/frames', { params: { path } });
assert(frames.data?.frames.length === 3, frames.error);
const number = frames.data.frames[0]?.number;
assert(number);
const frame = await program.GET('/jobs/{id}/frames/{number}', {
  params: { path: { ...path, number } },
  parseAs: 'arrayBuffer',
});
assert(frame.data && Buffer.from(frame.data).subarray(1, 4).toString() === 'PNG');
const link = await program.GET('/jobs/{id}/download', { params: { path } });
assert(link.data, link.error);
const archive = await (await fetch(link.data.download_url)).arrayBuffer();
assert(archive.byteLength === link.data.size_bytes && archive.byteLength === job.zip_size_bytes);
assert(Buffer.from(archive).subarray(0, 2).toString() === 'PK');

const deleted = await program.DELETE('/videos/{id}', {
  params: { path, query: { action: 'delete' } },
});
assert(deleted.response.status === 204, deleted.error);
const missing = await program.GET('/videos/{id}', { params: { path } });
assert(missing.error?.code === 'JOB_NOT_FOUND', missing.error);
const removed = await user.DELETE('/keys/{key_id}', {
  params: { path: { key_id: key.data.id } },
});
assert(removed.response.status === 204, removed.error);
console.log('done');
