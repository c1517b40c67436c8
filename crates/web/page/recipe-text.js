// Recipes in words.

import { position } from './format.js';
import { isKnown, secondsOf, selectionOf } from './recipe.js';
import { language, number, t } from './texts.js';

/** Threshold of scene changes if a recipe states none. */
const DEFAULT_THRESHOLD = 0.3;
/** Maximum times that a text lists. */
const MAX_TIMES = 6;

/**
 * Which frames a recipe selects and their format, such as "1 frame per second, PNG". Null if there
 * is no recipe.
 */
export function shortRecipeText(recipe) {
  return textOf(recipe, () => [selectionText(recipe, { short: true }), formatName(recipe)]);
}

/** All of a recipe, such as "12 frames spread over the video, from 0:10, JPEG at quality 70". */
export function recipeText(recipe) {
  return textOf(recipe, () => [
    selectionText(recipe, { short: false }),
    partText(recipe),
    skipText(recipe.skip ?? {}),
    recipe.max_frames && t('at_most', { n: recipe.max_frames }),
    imageText(recipe),
    ...othersTexts(recipe),
  ]);
}

/** Members of a recipe that the form has no fields for, in words. */
export function othersText({ scenes = {}, image, sheet }) {
  return [...scenesTexts(scenes), ...othersTexts({ image, sheet })].filter(Boolean).join(', ');
}

function textOf(recipe, parts) {
  if (recipe == null) return null;
  if (!isKnown(recipe)) return t('other_recipe');
  return parts().filter(Boolean).join(', ');
}

function selectionText({ select }, { short }) {
  const kind = selectionOf({ select });
  const parameter = select[kind];
  switch (kind) {
    case 'count': return t('frames_spread', { n: parameter });
    case 'at': return short ? t('frames_chosen', { n: parameter.length }) : timesText(parameter);
    case 'scenes': return [t('scene_frames'), ...(short ? [] : scenesTexts(parameter))].join(', ');
    case 'keyframes': return t('key_frames');
    case 'sharpest': return sharpestText(secondsOf(parameter.every ?? 1));
    default: return everyText(parameter);
  }
}

function everyText(interval) {
  const [numerator, denominator = 1] = String(interval).split('/').map(Number);
  return numerator > denominator
    ? t('frame_every', { s: number(numerator / denominator, 6) })
    : t('frames_per_second', { n: denominator / numerator });
}

function sharpestText(seconds) {
  return seconds === 1 ? t('sharpest_of_second') : t('sharpest_of', { s: number(seconds, 6) });
}

function timesText(times) {
  const listed = times.slice(0, MAX_TIMES).map(position);
  const left = times.length - listed.length;
  if (left > 0) listed.push(t('more_times', { n: left }));
  const list = new Intl.ListFormat(language, { type: 'conjunction' }).format(listed);
  return t('frames_at', { n: times.length, list });
}

function scenesTexts({ threshold, min_seconds: minSeconds }) {
  return [
    threshold != null && threshold !== DEFAULT_THRESHOLD
      && t('scene_threshold', { threshold: number(threshold, 6) }),
    minSeconds != null && t('scene_distance', { s: number(minSeconds, 6) }),
  ].filter(Boolean);
}

function partText({ from, to }) {
  const values = { from: from != null && position(from), to: to != null && position(to) };
  if (values.from && values.to) return t('part_between', values);
  if (values.from) return t('part_after', values);
  return values.to && t('part_before', values);
}

function skipText({ blank, repeated }) {
  if (blank && repeated) return t('without_blank_and_repeated');
  if (blank) return t('without_blank');
  return repeated && t('without_repeated');
}

function formatName({ image }) {
  return { png: 'PNG', jpeg: 'JPEG', webp: 'WebP' }[image?.format ?? 'png'];
}

function imageText(recipe) {
  const { quality, max_width: width } = recipe.image ?? {};
  const format = formatName(recipe);
  return [
    quality ? t('at_quality', { format, quality }) : format,
    width && t('up_to_width', { n: width }),
  ].filter(Boolean).join(', ');
}

function othersTexts({ image = {}, sheet }) {
  return [
    image.max_height && t('up_to_height', { n: image.max_height }),
    image.square_pixels && t('square_pixels'),
    sheet && t('with_sheet'),
  ];
}
