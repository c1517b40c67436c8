// Records of resumable uploads that are not finished, which outlive the page. They name files and
// no contents: after a reload, the file has to be chosen again.

import { readValue, writeValue } from './store.js';

const KEY = 'fiapx.uploads';

/** Return the records `{ path, name, size, modified, recipe, sentBytes }`. */
export function uploadRecords() {
  try {
    const records = JSON.parse(readValue(KEY) ?? '[]');
    return Array.isArray(records) ? records : [];
  } catch {
    return [];
  }
}

/** Return the record of a file, with this recipe if one is given, or undefined. */
export function findRecord(file, recipe) {
  return uploadRecords().find((record) =>
    record.name === file.name && record.size === file.size && record.modified === file.lastModified
    && (!recipe || JSON.stringify(record.recipe) === JSON.stringify(recipe)));
}

/** Add or replace the record of an upload. */
export function recordUpload({ path, file, recipe, sentBytes }) {
  const { name, size, lastModified: modified } = file;
  const record = { path, name, size, modified, recipe, sentBytes };
  write([...uploadRecords().filter((other) => other.path !== path), record]);
}

/** Remove the record of an upload. */
export function forgetUpload(path) {
  write(uploadRecords().filter((record) => record.path !== path));
}

/** Remove all records, because their user has logged out. */
export function forgetUploads() {
  write([]);
}

function write(records) {
  writeValue(KEY, records.length ? JSON.stringify(records) : null);
}
