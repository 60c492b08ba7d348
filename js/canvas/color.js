/** The colours of regions, the same as in rag_sampler/preview.py. */

/** The colour of the region at a place in the list (from 0): neighbours are far apart on the colour wheel. */
export function colorOf(index) {
	return hex((0.58 + 0.381966 * index) % 1, 0.5, 0.75);
}

/** Black or white, whichever is easier to read on a colour "#rrggbb". */
export function inkOn(color) {
	const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
	return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000000" : "#ffffff";
}

function hex(hue, lightness, saturation) {
	const reach = saturation * Math.min(lightness, 1 - lightness);
	const channel = (offset) => {
		const k = (offset + hue * 12) % 12;
		const value = lightness - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1));
		return Math.round(255 * value)
			.toString(16)
			.padStart(2, "0");
	};
	return `#${channel(0)}${channel(8)}${channel(4)}`;
}
