// Recipes: the frames of a video and their form, as JSON for the API and as the values of a form.
//
// Mistakes have the codes of the API (schema RecipeErrorCode of its OpenAPI document), so the same
// texts describe those that the page finds and those that the API finds.

import { decimal, position } from './format.js';
import { t } from './texts.js';

/** Longest video, in seconds. */
const MAX_SECONDS = 86_400;
/** Maximum number of times in `at`. */
const MAX_TIMES = 1000;
/** Maximum decimals of a time or interval. */
const MAX_DECIMALS = 6;
const MAX_UINT32 = 2 ** 32 - 1;
/** Quality of lossy formats if a recipe states none. */
export const DEFAULT_QUALITY = 85;
/** Contact sheets of a recipe that states no sizes. */
const DEFAULT_SHEET = { columns: 5, tile_width: 320 };
/** Maximum of each field with a whole number. */
export const MAXIMA = {
  count: MAX_UINT32,
  max_frames: MAX_UINT32,
  quality: 100,
  max_width: 65_535,
};
/** File formats, from the largest files to the smallest. */
export const FORMATS = ['png', 'jpeg', 'webp'];
/** Members of a recipe, of its `image`, its `skip`, and parameters of its selection. */
const MEMBERS = ['select', 'from', 'to', 'skip', 'max_frames', 'image', 'sheet'];
const IMAGE_MEMBERS = ['format', 'quality', 'max_width', 'max_height', 'square_pixels'];
const SKIP_MEMBERS = ['blank', 'repeated'];
const SELECTION_MEMBERS = {
  keyframes: [],
  scenes: ['threshold', 'min_seconds'],
  sharpest: ['every'],
};

/** Recipe of an upload that states none. */
export const DEFAULT_RECIPE = { select: { every: 1 }, image: { format: 'png' } };

/** Values of a form for the default recipe, and those that it suggests for other selections. */
const DEFAULT_VALUES = {
  select: 'every',
  every: '1',
  count: '12',
  at: '',
  from: '',
  to: '',
  max_frames: '',
  blank: false,
  repeated: false,
  sheet: false,
  format: 'png',
  quality: String(DEFAULT_QUALITY),
  max_width: '',
  kept: true,
};

/** Whether a recipe is the default one. */
export function isDefault(recipe) {
  return JSON.stringify(recipe) === JSON.stringify(DEFAULT_RECIPE);
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const hasOnly = (value, members) =>
  value === undefined
  || (isObject(value) && Object.keys(value).every((name) => members.includes(name)));

/** Kind of the selection of a recipe, such as `every`. Null if this version does not know it. */
export function selectionOf(recipe) {
  const kinds = isObject(recipe?.select) ? Object.keys(recipe.select) : [];
  if (kinds.length !== 1) return null;
  const [kind] = kinds;
  if (['every', 'count'].includes(kind)) return kind;
  if (kind === 'at') return Array.isArray(recipe.select.at) ? kind : null;
  const known = Object.hasOwn(SELECTION_MEMBERS, kind);
  return known && hasOnly(recipe.select[kind] ?? null, SELECTION_MEMBERS[kind]) ? kind : null;
}

/** Whether this version knows all members of a recipe. */
export function isKnown(recipe) {
  return selectionOf(recipe) !== null
    && hasOnly(recipe, MEMBERS)
    && hasOnly(recipe.skip, SKIP_MEMBERS)
    && hasOnly(recipe.image, IMAGE_MEMBERS)
    && FORMATS.includes(recipe.image?.format ?? 'png');
}

/** Interval of a recipe as a number of seconds. NaN if it is none. */
export function secondsOf(interval) {
  const [numerator, denominator = 1] = String(interval ?? '').split('/').map(Number);
  return numerator > 0 && denominator > 0 ? numerator / denominator : NaN;
}

/**
 * Return the values of a form for a recipe, or null if this version does not know the recipe.
 * `others` has the members that the form has no fields for.
 */
export function valuesOf(recipe) {
  if (!isKnown(recipe)) return null;
  const kind = selectionOf(recipe);
  const { select: { [kind]: parameter }, skip = {}, image = {} } = recipe;
  const values = { ...DEFAULT_VALUES, select: kind };
  if (kind === 'every' || kind === 'sharpest') values.every = intervalValue(parameter, kind);
  if (kind === 'count') values.count = String(parameter);
  if (kind === 'at') values.at = parameter.map(position).join(' ');
  for (const name of ['from', 'to']) {
    if (recipe[name] != null) values[name] = position(recipe[name]);
  }
  if (recipe.max_frames != null) values.max_frames = String(recipe.max_frames);
  for (const name of SKIP_MEMBERS) values[name] = Boolean(skip[name]);
  values.sheet = Boolean(recipe.sheet);
  values.format = image.format ?? 'png';
  if (image.quality != null) values.quality = String(image.quality);
  if (image.max_width != null) values.max_width = String(image.max_width);
  return { values, others: othersOf(recipe) };
}

/** Text of an interval: a decimal number if that is exact, else a fraction. */
function intervalValue(parameter, kind) {
  const interval = kind === 'sharpest' ? parameter.every ?? 1 : parameter;
  const seconds = secondsOf(interval);
  const rounded = Number(seconds.toFixed(MAX_DECIMALS));
  return rounded === seconds ? decimal(seconds) : String(interval);
}

const isDefaultSheet = (sheet) =>
  Object.entries(sheet).every(([name, value]) => DEFAULT_SHEET[name] === value);

/** Members of a recipe that a form has no fields for. Null if there are none. */
function othersOf({ select, image = {}, sheet }) {
  const { format, quality, max_width, ...otherImage } = image;
  const others = {
    ...(Object.keys(otherImage).length > 0 && { image: otherImage }),
    ...(sheet && !isDefaultSheet(sheet) && { sheet }),
    ...(Object.keys(select.scenes ?? {}).length > 0 && { scenes: select.scenes }),
  };
  return Object.keys(others).length > 0 ? others : null;
}

/**
 * Return the `recipe` of a form's values, and the `mistakes` in fields: objects with a `code`, by
 * field. The recipe is null if there are any.
 */
export function recipeOf(values, others = null) {
  const mistakes = {};
  const read = (field, parse) => {
    const { value, ...mistake } = parse(values[field].trim(), field);
    if (mistake.code) mistakes[field] = mistake;
    return value;
  };
  const optional = (field, parse) => (values[field].trim() ? read(field, parse) : undefined);
  const kept = values.kept && others ? others : {};
  const { format } = values;
  const recipe = {
    select: selection(values.select, read, kept),
    from: optional('from', time),
    to: optional('to', time),
    skip: values.blank || values.repeated
      ? { blank: values.blank || undefined, repeated: values.repeated || undefined }
      : undefined,
    max_frames: optional('max_frames', wholeNumber),
    image: {
      format,
      quality: format === 'png' ? undefined : otherThanDefault(optional('quality', wholeNumber)),
      max_width: optional('max_width', wholeNumber),
      ...kept.image,
    },
    sheet: values.sheet ? kept.sheet ?? {} : undefined,
  };
  if (!mistakes.to && recipe.to <= (recipe.from ?? 0)) mistakes.to = { code: 'RECIPE_PART_EMPTY' };
  // Without the members that are undefined.
  const clean = () => JSON.parse(JSON.stringify(recipe));
  return { recipe: Object.keys(mistakes).length > 0 ? null : clean(), mistakes };
}

const otherThanDefault = (quality) => (quality === DEFAULT_QUALITY ? undefined : quality);

function selection(kind, read, kept) {
  switch (kind) {
    case 'count': return { count: read('count', wholeNumber) };
    case 'at': return { at: read('at', times) };
    case 'scenes': return { scenes: kept.scenes ?? {} };
    case 'keyframes': return { keyframes: {} };
    case 'sharpest': return { sharpest: { every: read('every', interval) } };
    default: return { every: read('every', interval) };
  }
}

/** Interval: `1`, `0.5`, `0,5` or `1/3`. */
function interval(text) {
  const number = /^(\d+)(?:[.,](\d+)|\/(\d+))?$/.exec(text);
  if (!number) return { code: 'RECIPE_INTERVAL_INVALID' };
  const [, whole, decimals = '', denominator = '1'] = number;
  if (decimals.length > MAX_DECIMALS) return { code: 'RECIPE_TOO_PRECISE' };
  const seconds = Number(`${whole}.${decimals || 0}`) / Number(denominator);
  if (!(seconds > 0) || Math.max(whole, denominator) > MAX_UINT32) {
    return { code: 'RECIPE_INTERVAL_INVALID' };
  }
  if (seconds > MAX_SECONDS) return { code: 'RECIPE_INTERVAL_TOO_LONG' };
  return { value: number[3] ? `${Number(whole)}/${Number(denominator)}` : seconds };
}

/** Time in a video, in seconds: `5`, `62.5`, `1:02.5`, `1:02,5` or `1:00:00`. */
function time(text) {
  const clock = /^(?:(?:(\d+):)?(\d+):)?(\d+)(?:[.,](\d+))?$/.exec(text);
  const [, hours, minutes, seconds, decimals = ''] = clock ?? [];
  const inRange = (minutes === undefined || seconds < 60) && (hours === undefined || minutes < 60);
  if (!clock || !inRange) return { code: 'RECIPE_TIME_INVALID', text };
  if (decimals.length > MAX_DECIMALS) return { code: 'RECIPE_TOO_PRECISE' };
  const whole = Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds);
  const value = Number(`${whole}.${decimals || 0}`);
  return value > MAX_SECONDS ? { code: 'RECIPE_TIME_TOO_LATE', text } : { value };
}

/** Times, between spaces, semicolons or commas that are no decimal points. */
function times(text) {
  const separators = t('decimal_point') === ',' ? /[\s;]+|,(?=\s|$|\d+:)/ : /[\s;,]+/;
  const parsed = text.split(separators).filter(Boolean).map(time);
  const mistake = parsed.find(({ code }) => code);
  if (mistake) return mistake;
  const value = [...new Set(parsed.map(({ value }) => value))].sort((a, b) => a - b);
  if (value.length === 0) return { code: 'RECIPE_TIMES_MISSING' };
  return value.length > MAX_TIMES ? { code: 'RECIPE_TOO_MANY_TIMES' } : { value };
}

function wholeNumber(text, field) {
  const max = MAXIMA[field];
  const isValid = /^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= max;
  return isValid ? { value: Number(text) } : { code: 'RECIPE_NUMBER_INVALID', max };
}
