/** What selected regions have of their own besides prompts: strength, and a LoRA with its strength. */

import { afterPause, h, show, titled } from "./dom.js";
import { openMenu } from "./menu.js";
import { say } from "./texts.js";

export class Own {
	#regions = [];

	constructor(editor) {
		this.editor = editor;
		const share = { type: "range", min: 0, max: 1, step: 0.05, oninput: () => this.#showShare() };
		this.strength = h("input", { ...share, ...titled(say("region.strength")) });
		afterPause(this.strength, () => {
			const strength = this.strength.valueAsNumber;
			this.#change(() => ({ strength: strength < 1 ? strength : undefined }));
		});
		this.share = h("span.rag-share");
		this.lora = h("button.rag-lora", { onclick: () => this.pickLora() });
		this.weight = h("input", { type: "number", step: 0.05, ...titled(say("lora.strength")) });
		afterPause(this.weight, () => {
			const strength = this.weight.valueAsNumber;
			if (Number.isNaN(strength)) editor.render();
			else this.#change(({ loras }) => (loras?.length ? withFirst(loras, { ...loras[0], strength }) : {}));
		});
		this.root = h(".rag-own", this.strength, this.share, this.lora, this.weight);
	}

	/** @param {Region[]} regions The selected ones. */
	render(regions) {
		this.#regions = regions;
		if (regions.length) this.editor.loras.expect();
		const firsts = regions.map((region) => region.loras?.[0]);
		const [lora] = firsts;
		const named = firsts.some(Boolean);
		const same = firsts.every((one) => one?.name === lora?.name);
		show(this.strength, Math.min(...regions.map((region) => region.strength ?? 1), 1));
		this.#showShare();
		show(this.weight, firsts.every((one) => one?.strength === lora?.strength) ? (lora?.strength ?? "") : "");
		this.strength.disabled = this.lora.disabled = !regions.length;
		this.weight.disabled = !named;
		this.lora.textContent = same ? (lora?.name ?? say("lora.none")) : say("lora.several");
		const missing = regions.flatMap((region) => this.editor.loras.missing(region));
		this.lora.classList.toggle("rag-reason", missing.length > 0);
		this.lora.title = [`${say("lora")} ${(same && lora?.name) || ""}`, ...missing].join("\n");
	}

	#showShare() {
		const shares = this.#regions.map((region) => region.strength ?? 1);
		const differ = !this.strength.waiting && shares.some((share) => share !== shares[0]);
		this.share.textContent = `${differ ? "≥ " : ""}${Math.round(100 * this.strength.valueAsNumber)} %`;
	}

	pickLora() {
		const { loras } = this.editor;
		const back = document.activeElement;
		const item = (name) => ({
			text: name || say("lora.none"),
			hint: this.#regions.every((region) => region.loras?.[0]?.name === name) ? "✓" : "",
			run: () => this.#change(({ loras = [] }) => withFirst(loras, name && { strength: 1, ...loras[0], name })),
		});
		const none = () => ({ text: loras.problem || say("lora.empty"), off: true });
		const items = () => [item(), ...(loras.names.length ? loras.names.map(item) : [none()])];
		const { left, bottom } = this.lora.getBoundingClientRect();
		const fill = openMenu(items(), left, bottom, () => back.focus(), say("lora.search"));
		const known = String(loras.names) + loras.problem;
		loras.find().then(() => {
			if (String(loras.names) + loras.problem !== known) fill(items());
		});
	}

	#change(changes) {
		this.editor.change(
			this.#regions.map((region) => region.id),
			changes,
		);
	}
}

/** The first LoRA changed, or taken away; the others are kept. */
function withFirst([, ...others], first) {
	const loras = first ? [first, ...others] : others;
	return { loras: loras.length ? loras : undefined };
}
