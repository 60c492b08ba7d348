/** Regions that are no boxes: polygons, even-odd, of corners [x, y] in fractions of the image. */

import { bounds } from "./group.js";

/** Corners that a line drawn by hand keeps at most, and how far, in fractions, it may lie from them at first. */
const MOST = 60;
const SLACK = 0.002;
/** Of a box, how far apart lines are on which a label may stand. */
const LINE = 1 / 16;

export const around = (points) => bounds(points.map(([x, y]) => ({ x, y, w: 0, h: 0 })));

/** A region at the place of a box: its corners go with it. */
export function carriedTo(region, { x, y, w, h }) {
	const points = region.points && within(region, region).map(([across, down]) => [x + across * w, y + down * h]);
	return { ...region, x, y, w, h, ...(points && { points }) };
}

/** The corners of a region, or of its box, in fractions of a box. */
export function within({ x, y, w, h, points }, box) {
	const right = x + w;
	const bottom = y + h;
	const corners = points ?? [
		[x, y],
		[right, y],
		[right, bottom],
		[x, bottom],
	];
	return corners.map((corner) => [(corner[0] - box.x) / box.w, (corner[1] - box.y) / box.h]);
}

/**
 * Where a shape has room for its label, in fractions of its box: at the left of the highest line that is half as wide,
 * in one piece, as the widest.
 */
export function seat(region) {
	const corners = within(region, region);
	const lines = [];
	for (let y = LINE; y < 1; y += LINE) {
		const crossings = corners.flatMap(([toX, toY], index) => {
			const [fromX, fromY] = corners.at(index - 1);
			return fromY > y !== toY > y ? [fromX + ((y - fromY) / (toY - fromY)) * (toX - fromX)] : [];
		});
		crossings.sort((a, b) => a - b);
		for (let at = 0; at < crossings.length; at += 2)
			lines.push({ x: crossings[at], y, w: crossings[at + 1] - crossings[at] });
	}
	const widest = Math.max(...lines.map(({ w }) => w));
	const { x, y, w } = lines.find((line) => line.w >= widest / 2) ?? { x: 0, y: 0, w: 0 };
	return [x + 0.1 * w, y];
}

/** A style that cuts what lies in a box to the shape of a region. */
export function clip(region, box) {
	if (!region.points) return "";
	const corners = within(region, box).map(([across, down]) => `${100 * across}% ${100 * down}%`);
	return `polygon(evenodd, ${corners})`;
}

/** A line with fewer corners, as far as it stays where it is (Douglas, Peucker 1973). */
export function simplified(points) {
	for (let slack = SLACK; ; slack *= 1.5) {
		const kept = thinned(points, slack);
		if (kept.length <= MOST) return kept;
	}
}

function thinned(points, slack) {
	const [first, last] = [points[0], points.at(-1)];
	let [at, most] = [0, slack];
	for (const [index, point] of points.entries()) {
		const away = distance(point, first, last);
		if (away > most) [at, most] = [index, away];
	}
	if (!at) return [first, last];
	return [...thinned(points.slice(0, at + 1), slack).slice(0, -1), ...thinned(points.slice(at), slack)];
}

function distance([x, y], [fromX, fromY], [toX, toY]) {
	const [across, down] = [toX - fromX, toY - fromY];
	const along = ((x - fromX) * across + (y - fromY) * down) / (across ** 2 + down ** 2 || 1);
	const part = Math.min(Math.max(along, 0), 1);
	return Math.hypot(x - fromX - part * across, y - fromY - part * down);
}
