// A tus server that is not ours, with what `fiapx remote` needs besides: the limits of uploads, and
// the id of the job in the last response.
import { createServer } from 'node:http';
import { Server } from '@tus/server';
import { FileStore } from '@tus/file-store';

const [directory, job] = process.argv.slice(2);
const tus = new Server({
  path: '/uploads',
  datastore: new FileStore({ directory }),
  relativeLocation: true,
  onUploadFinish: async () => ({ headers: { 'X-Job-Id': job } }),
});
const limits = JSON.stringify({ suffixes: ['.mp4'], max_video_bytes: 1e9, max_videos: 50 });
const server = createServer((request, response) => {
  if (request.url === '/videos/upload') {
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.end(limits);
  } else {
    console.log(`${request.method} ${request.headers['upload-offset'] ?? ''}`.trim());
    tus.handle(request, response);
  }
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
