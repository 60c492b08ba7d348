/** Split ratios: a layout as text, and the boxes that it makes. The grammar is that of rag_sampler/layout.py. */

import { snap, TOKEN } from "./geometry.js";

/** The ratios that the split menu offers: a key of texts.js, and the text. */
export const SPLITS = [
	["split.columns2", "1, 1"],
	["split.columns3", "1, 1, 1"],
	["split.rows2", "1; 1"],
	["split.rows3", "1; 1; 1"],
	["split.grid2", "1, 1, 1; 1, 1, 1"],
	["split.grid3", "1, 1, 1, 1; 1, 1, 1, 1; 1, 1, 1, 1"],
];

/** A split ratio that cannot be read: where (from 0) and what stands there; the message is a key of texts.js. */
export class RatioError extends Error {
	constructor(key, start, end, word) {
		super(key);
		Object.assign(this, { key, start, end, word });
	}
}

/**
 * The cells of a split ratio in reading order.
 *
 * ";" separates rows and "," values. Without ";" the values are the widths of the columns of one row. With ";"
 * each row begins with its height, followed by the widths of its cells; a row of one value is one cell. A colon counts
 * as a comma, brackets and separators at the end as nothing, and full-width signs as their ASCII.
 * @throws {RatioError}
 */
export function parseRatio(text) {
	const plain = plainRatio(text);
	if (!plain.trim()) throw new RatioError("ratio.empty", 0, text.length, "");
	const rows = pieces(plain, 0, plain.length, ";").map(([start, end]) =>
		pieces(plain, start, end, ",").map(([from, to]) => value(text, plain, from, to)),
	);
	const heights = rows.length === 1 ? [1] : rows.map((row) => row[0]);
	const widths = rows.length === 1 ? rows : rows.map((row) => (row.length > 1 ? row.slice(1) : [1]));
	const tops = edges(heights);
	return widths.flatMap((row, index) =>
		edges(row).map(([left, right]) => {
			const [top, bottom] = tops[index];
			return { x: left, y: top, w: right - left, h: bottom - top };
		}),
	);
}

const TYPED = "，、；：。．％／　０１２３４５６７８９()[]{}（）［］｛｝【】:";
const PLAIN = `,,;,..%/ 0123456789${" ".repeat(14)},`;

/** A ratio in ASCII, each character at its place, without brackets and without separators at its end. */
function plainRatio(text) {
	const plain = [...Array(text.length).keys()].map((at) => PLAIN[TYPED.indexOf(text[at])] ?? text[at]);
	return plain.join("").replace(/[ \t\r\n,;]+$/, "");
}

const BREAK = /(?<![\p{L}\p{N}_])BREAK(?![\p{L}\p{N}_])/u;
const COMMAS = /^[\s,;，；、]+/;
const COMMAS_BEHIND = /[\s,;，；、]+$/;

/**
 * The prompts between the words BREAK, without white space around them and commas next to BREAK. An empty one after a
 * last BREAK is dropped where it is one more than there are cells.
 */
export function splitPrompts(text, cells) {
	const prompts = text.split(BREAK).map((piece, index, { length }) => {
		const start = index > 0 ? piece.replace(COMMAS, "") : piece;
		return (index < length - 1 ? start.replace(COMMAS_BEHIND, "") : start).trim();
	});
	if (prompts.length === cells + 1 && !prompts.at(-1)) prompts.pop();
	return prompts;
}

/** The parts of a box, their edges on the grid of tokens; null if one of them is left with no token. */
export function splitBox(box, cells, { width, height }) {
	const parts = cells.map((cell) => {
		const x0 = snap(box.x + cell.x * box.w, width);
		const x1 = snap(box.x + (cell.x + cell.w) * box.w, width);
		const y0 = snap(box.y + cell.y * box.h, height);
		const y1 = snap(box.y + (cell.y + cell.h) * box.h, height);
		return { x: x0, y: y0, w: x1 - x0, h: y1 - y0 };
	});
	const fits = (part) => part.w * width > TOKEN - 0.01 && part.h * height > TOKEN - 0.01;
	return parts.every(fits) ? parts : null;
}

/** The stretches of text[start, end) between separators, as [start, end]. */
function pieces(text, start, end, separator) {
	const found = [];
	let from = start;
	for (let at = start; at <= end; at++) {
		if (at < end && text[at] !== separator) continue;
		found.push([from, at]);
		from = at + 1;
	}
	return found;
}

const NUMBER = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?:\s*\/\s*(\d+\.?\d*|\.\d+)|\s*(%))?$/i;

/** A positive number, fraction ("1/3") or percentage ("50%"). */
function value(text, plain, from, to) {
	const word = plain.slice(from, to).trim();
	const match = NUMBER.exec(word);
	if (match) {
		const [, number, exponent, divisor, percent] = match;
		const found = Number(number + (exponent ?? "")) / (percent ? 100 : Number(divisor ?? 1));
		if (Number.isFinite(found) && found > 0) return found;
	}
	if (!word) throw new RatioError("ratio.missing", from, to, word);
	const start = from + plain.slice(from, to).indexOf(word);
	const end = start + word.length;
	throw new RatioError("ratio.word", start, end, text.slice(start, end));
}

/** Start and end of each part when sizes fill 0..1; the last one ends at 1 exactly. */
function edges(sizes) {
	const total = sizes.reduce((sum, size) => sum + size, 0);
	let reached = 0;
	let last = 0;
	return sizes.map((size, index) => {
		const from = last;
		reached += size;
		last = index === sizes.length - 1 ? 1 : reached / total;
		return [from, last];
	});
}
