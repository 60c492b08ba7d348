/** The LoRAs that are installed, asked for when a region has one or may get one. */

import { say } from "./texts.js";

export class Loras {
	names = [];
	/** Why they did not come, in words. */
	problem = "";
	/** What names may be written as; nothing is known before they have come. */
	#known = null;
	#asked = false;

	constructor(editor) {
		this.editor = editor;
	}

	/** Read them anew, and show what has changed. */
	async find() {
		this.#asked = true;
		try {
			this.names = await this.editor.host.loras();
			this.#known = new Set(this.names.flatMap(forms));
			this.problem = "";
		} catch (error) {
			this.problem = error.message;
		}
		this.editor.render();
	}

	/** Read them once, before they are needed. */
	expect() {
		if (!this.#asked) this.find();
	}

	forget() {
		if (this.#asked) this.find();
	}

	/** @returns {string[]} What to say of the LoRAs of a region that are not installed. */
	missing({ loras = [] }) {
		if (loras.length) this.expect();
		const missing = ({ name }) => this.#known && !this.#known.has(forms(name)[0]);
		return loras.filter(missing).map(({ name }) => say("lora.missing", { name }));
	}
}

/** As rag_sampler/lora_tags.py: a path, or a file, with or without what it ends in, in any case. It refuses one with two meanings. */
function forms(name) {
	const path = name.replaceAll("\\", "/").toLowerCase();
	return [path, path.replace(/\.[^./]+$/, "")].flatMap((one) => [one, one.split("/").at(-1)]);
}
