// Scores of the page by Lighthouse, for a user who has a video.
// usage: measure.mjs SERVICE VIDEO MINIMUM DIRECTORY
import { readFile, writeFile } from 'node:fs/promises';
import lighthouse, { desktopConfig, generateReport } from 'lighthouse';
import puppeteer from 'puppeteer-core';

const [service, video, minimum, directory] = process.argv.slice(2);
const CATEGORIES = ['performance', 'accessibility', 'best-practices'];
const CREDENTIALS = { email: 'ana@example.com', password: 'Praia#2026' };

/** Call an operation of the API and return its response as JSON. */
async function call(path, options = {}, token = null) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  const response = await fetch(service + path, { ...options, headers });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

function post(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  return call(path, { method: 'POST', headers, body: JSON.stringify(body) });
}

/** Upload the video and wait until it is processed. Returns the id of its job. */
async function processVideo() {
  const { access_token: token } = await post('/auth/login', CREDENTIALS);
  const form = new FormData();
  form.append('file', new Blob([await readFile(video)]), 'sample.mp4');
  const { job_id: id } = await call('/videos/upload', { method: 'POST', body: form }, token);
  const headers = { Authorization: `Bearer ${token}` };
  // The stream of events ends with the job.
  await (await fetch(`${service}/jobs/${id}/events`, { headers })).text();
  const { status } = await call(`/videos/${id}`, {}, token);
  if (status !== 'DONE') throw new Error(`the job is ${status}`);
  return id;
}

/** Log in on the page, which keeps the session for the measurements. */
async function logIn(page) {
  await page.goto(service);
  await page.locator('#email').fill(CREDENTIALS.email);
  await page.locator('#password').fill(CREDENTIALS.password);
  await page.locator('form button[type=submit]').click();
  await page.waitForSelector('.drop-area');
}

/** Measure a path of the page. Returns the scores, from 0 to 100, and what lowers them. */
async function measure(page, path, config, report) {
  // Another fragment of the same address would not load the page again.
  await page.goto('about:blank');
  const flags = { disableStorageReset: true, onlyCategories: CATEGORIES, logLevel: 'error' };
  const { lhr } = await lighthouse(`${service}/${path}`, flags, config, page);
  await writeFile(report, generateReport(lhr, 'html'));
  if (lhr.runtimeError) throw new Error(lhr.runtimeError.message);
  const scores = CATEGORIES.map((name) => Math.round(lhr.categories[name].score * 100));
  const audits = CATEGORIES.flatMap((name) => lhr.categories[name].auditRefs)
    .filter(({ weight }) => weight > 0)
    .map(({ id }) => lhr.audits[id])
    .filter(({ score }) => score !== null && score < 0.9)
    .map(({ id, displayValue }) => [id, displayValue].filter(Boolean).join(' '));
  return { scores, audits };
}

await post('/auth/register', { ...CREDENTIALS, name: 'Ana' });
const job = await processVideo();
const browser = await puppeteer.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
let failed = false;
try {
  const page = await browser.newPage();
  await logIn(page);
  for (const [name, path] of [['list', ''], ['job', `#/jobs/${job}`]]) {
    for (const [screen, config] of [['phone', undefined], ['desktop', desktopConfig]]) {
      const report = `${directory}/${name}-${screen}.html`;
      const { scores, audits } = await measure(page, path, config, report);
      const text = CATEGORIES.map((category, index) => `${category} ${scores[index]}`);
      console.log(`${name} on a ${screen}: ${text.join(', ')}`);
      audits.forEach((audit) => console.log(`  ${audit}`));
      failed ||= scores.some((score) => score < Number(minimum));
    }
  }
} finally {
  await browser.close();
}
if (failed) {
  console.error(`a score is below ${minimum}; the reports are in ${directory}`);
  process.exitCode = 1;
}
