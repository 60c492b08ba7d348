/** More about the selected region, above the list: buttons, colour and numbers. Always there, so that nothing jumps. */

import { afterPause, h, iconButton, show, titled } from "./dom.js";
import { moved, resized } from "./geometry.js";
import { say } from "./texts.js";

export class Details {
	constructor(editor) {
		this.editor = editor;
		const recolor = () => editor.change(editor.selected, { color: this.color.value });
		this.color = h("input", { type: "color", onchange: recolor, ...titled(say("region.color")) });
		this.numbers = ["x", "y", "w", "h"].map((key) => [key, this.#number(key)]);
		this.root = h(
			".rag-more",
			h(
				".rag-buttons",
				iconButton("region.back", () => editor.reorder(editor.selected, -1)),
				iconButton("region.front", () => editor.reorder(editor.selected, 1)),
				iconButton("region.duplicate", () => editor.duplicate()),
				iconButton("region.delete", () => editor.remove()),
				iconButton("region.more", ({ clientX, clientY }) => editor.openMenu(clientX, clientY)),
				this.color,
			),
			h(".rag-numbers", ...this.numbers.map(([key, field]) => h("label", key, field))),
		);
	}

	render(region, size) {
		for (const one of this.root.querySelectorAll("button, input")) one.disabled = !region;
		this.color.value = region?.color ?? "#808080";
		const pixels = { x: size.width, y: size.height, w: size.width, h: size.height };
		for (const [key, field] of this.numbers) {
			show(field, region ? Math.round(region[key] * pixels[key]) : "");
			field.disabled ||= Boolean(region?.locked);
		}
	}

	#number(key) {
		const field = h("input", { type: "number", step: 16, min: 0, ...titled(say(`region.${key}`)) });
		afterPause(field, () => {
			const { model, selected, size } = this.editor;
			const region = model.find(selected);
			if (!region || field.value === "") this.editor.render();
			else this.editor.placeRegion(selected, withNumber(region, key, field.valueAsNumber, size));
		});
		return field;
	}
}

/** The box with one number, in pixels, changed: that edge on the grid and inside the image, the others as they are. */
function withNumber(box, key, pixels, size) {
	const across = key === "x" || key === "w";
	const by = pixels / (across ? size.width : size.height) - box[key];
	const [dx, dy] = across ? [by, 0] : [0, by];
	if (key === "x" || key === "y") return moved(box, dx, dy, size);
	return resized(box, across ? "e" : "s", dx, dy, size);
}
