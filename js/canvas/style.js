/** The look of the editor and the previews, in the colours of ComfyUI's theme. */

const CSS = `
.rag-canvas, .rag-still { --rag-up: 1; display: flex; flex-direction: column; gap: 4px; width: 100%; color: var(--input-text);
	font: 12px/1.35 system-ui, sans-serif; user-select: none;
	&, * { box-sizing: border-box; }
	[hidden] { display: none !important; }
}
.rag-canvas { --rag-strip: 126px; --rag-opacity: 1; position: relative; height: 100%; min-height: 420px;
	button, input, textarea { font: inherit; color: inherit; margin: 0; background: var(--comfy-input-bg);
		border: 1px solid var(--border-color); border-radius: 4px; }
	button { cursor: pointer; padding: 2px 7px; min-height: 24px; }
	button:hover, [aria-expanded="true"], [aria-pressed="true"].rag-icon { border-color: var(--input-text); }
	button:disabled { opacity: .5; cursor: default; }
	:focus-visible { outline: 2px solid var(--p-primary-color); outline-offset: 1px; }
	input, textarea { padding: 2px 4px; min-width: 0; width: 100%; user-select: text; }
	textarea { resize: none; display: block; }
	input[type="range"] { padding: 0; }
	input { accent-color: var(--p-primary-color); }
	.rag-icon { padding: 2px 4px; line-height: 0; }
}
.rag-icon svg { width: 16px; height: 16px; fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linecap: round;
	stroke-linejoin: round; }
.rag-tools { position: relative; flex: none; }
.rag-bar { display: flex; flex-wrap: wrap; gap: 3px; }
.rag-panel, .rag-menu { overflow-y: auto; background: var(--comfy-menu-bg); border: 1px solid var(--border-color); border-radius: 6px;
	box-shadow: 0 6px 18px #0008; }
.rag-panel { position: absolute; z-index: 10; top: calc(100% + 4px); left: 0; right: 0; max-height: 320px; padding: 8px;
	a { color: inherit; }
	p { margin: 0; user-select: text; }
}
.rag-panel, .rag-column { display: flex; flex-direction: column; gap: 6px; }
.rag-line { display: flex; align-items: center; gap: 8px;
	input { flex: 1; }
	input[type="checkbox"] { flex: none; width: auto; }
}
.rag-help button { align-self: start; }
.rag-presets { display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 3px; }
.rag-ratio-row, .rag-layout, .rag-buttons, .rag-numbers { display: flex; gap: 3px; }
.rag-reason { color: var(--error-text) !important; }
div.rag-reason:empty { display: none; }
.rag-broken { display: flex; flex: 1; flex-direction: column; gap: 6px; min-height: 0; overflow-wrap: anywhere; }
.rag-canvas .rag-raw { flex: 1; min-height: 80px; font-family: monospace; }
.rag-stage { flex: 1 1 0; min-height: 190px; container-type: size; display: grid; place-items: start center; touch-action: none; }
.rag-paper { --rag-aspect: 1; position: relative; width: min(100cqw, 100cqh * var(--rag-aspect));
	height: min(100cqh, 100cqw / var(--rag-aspect)); background-color: color-mix(in srgb, var(--comfy-input-bg) 70%, var(--input-text));
	outline: 1px solid var(--border-color); cursor: crosshair; touch-action: none;
	&::after { content: ""; opacity: .25;
		background-image: linear-gradient(to right, var(--descrip-text) 1px, transparent 1px),
			linear-gradient(to bottom, var(--descrip-text) 1px, transparent 1px);
		background-size: var(--rag-grid-x, 100%) var(--rag-grid-y, 100%); }
}
.rag-paper::after, .rag-image, .rag-shade, .rag-regions, .rag-patches, .rag-guides, .rag-guides::before, .rag-guides::after, .rag-shape,
.rag-trace, .rag-inside, .rag-empty { position: absolute; inset: 0; width: 100%; height: 100%; }
.rag-paper::after, .rag-image, .rag-shade, .rag-guides, .rag-patches, .rag-handles, .rag-trace, .rag-shaped, .rag-inside, .rag-label,
.rag-size, .rag-draft, .rag-cursor, .rag-empty { pointer-events: none; }
.rag-image { object-fit: contain; }
.rag-shade, .rag-regions, .rag-patches { opacity: var(--rag-opacity); }
.rag-peek :is(.rag-shade, .rag-regions, .rag-patches, .rag-handles) { visibility: hidden; }
.rag-guides { display: none; filter: drop-shadow(0 0 1px #000);
	&::before, &::after { content: ""; border: 0 solid #fffc; }
	&::before { left: 33.333%; width: 33.333%; border-width: 0 1px; }
	&::after { top: 33.333%; height: 33.333%; border-width: 1px 0; }
}
.rag-thirds .rag-guides { display: block; }
.rag-shade > rect { fill: #000; fill-opacity: .45; }
.rag-region { container-type: size; position: absolute; border: 2px solid var(--rag-tint);
	background: color-mix(in srgb, var(--rag-tint) 22%, transparent); cursor: move;
	&[aria-selected="true"] { border-width: 3px; box-shadow: 0 0 0 1px #fff, 0 0 0 2px #000;
		polygon { stroke-width: 3px; filter: drop-shadow(0 0 1px #fff) drop-shadow(0 0 1px #000); }
	}
	&.rag-raised { z-index: 2; }
	&.rag-locked { cursor: default; }
	&.rag-off { border-style: dashed; background: none; opacity: .7;
		polygon { fill: none; stroke-dasharray: 5 4; }
	}
	&.rag-shaped { border: 0; background: none; box-shadow: none;
		.rag-shape { display: block; }
		.rag-label, .rag-inside { left: var(--rag-left); top: var(--rag-top); }
		.rag-inside { width: auto; height: auto; }
	}
}
.rag-shape { display: none; overflow: visible; }
.rag-shape polygon, .rag-trace polyline { fill: color-mix(in srgb, var(--rag-tint) 22%, transparent); fill-rule: evenodd;
	stroke: var(--rag-tint); stroke-width: 2px; vector-effect: non-scaling-stroke; }
.rag-shape polygon { pointer-events: auto; }
.rag-trace, .rag-cursor { z-index: 4; }
.rag-cursor { position: absolute;
	&::before { content: "+"; position: absolute; translate: -50% -52%; color: #fff; text-shadow: 0 0 2px #000, 0 0 3px #000;
		font: 500 calc(26px * var(--rag-up))/1 monospace; }
}
.rag-tracing :is(.rag-regions, .rag-handles) * { cursor: crosshair; }
.rag-inside { padding: calc(min(12px * var(--rag-up), 30cqmin) * 1.55) 3px 2px; overflow: hidden; }
.rag-words, .rag-label span, .rag-size { color: #fff; background: #000a; line-height: 1.4; }
.rag-words { padding: 0 3px; font-size: min(11px * var(--rag-up), 24cqmin); white-space: pre-wrap; overflow-wrap: anywhere;
	box-decoration-break: clone; }
.rag-words:empty, .rag-label span:empty, .rag-size:empty { display: none; }
.rag-label { position: absolute; top: -2px; left: -2px; display: flex; white-space: nowrap; line-height: 1.4;
	transform: translateX(calc(100% * var(--rag-step, 0))); font-size: min(12px * var(--rag-up), 30cqmin);
	b { min-width: 1.5em; padding: 0 .3em; text-align: center; color: var(--rag-ink); background: var(--rag-tint); }
	span { padding: 0 .4em; max-width: calc(100cqw - 2em); overflow: hidden; text-overflow: ellipsis; }
}
.rag-size { position: absolute; right: 2cqw; bottom: 2px; padding: 0 .3em; white-space: nowrap;
	font-size: min(11px * var(--rag-up), 12cqw, 25cqh); }
.rag-patch { position: absolute;
	div { height: 100%; background: repeating-linear-gradient(135deg, #fff8 0 2px, transparent 2px 8px); }
}
.rag-handles { container-type: size; position: absolute; z-index: 3; outline: 1px solid #fff;
	i { --rag-grip: min(10px * var(--rag-up), max(5px, 16cqmin)); position: absolute; left: 50%; top: 50%; width: var(--rag-grip);
		height: var(--rag-grip); margin: calc(var(--rag-grip) / -2); background: #fff; border: 1px solid #000; border-radius: 2px;
		pointer-events: auto; cursor: nwse-resize; }
	i::after { content: ""; position: absolute; inset: max(-4px * var(--rag-up), -8cqmin); }
	[data-handle*="n"] { top: 0; }
	[data-handle*="s"] { top: 100%; }
	[data-handle*="w"] { left: 0; }
	[data-handle*="e"] { left: 100%; }
	[data-handle="n"], [data-handle="s"] { cursor: ns-resize; }
	[data-handle="e"], [data-handle="w"] { cursor: ew-resize; }
	[data-handle="ne"], [data-handle="sw"] { cursor: nesw-resize; }
}
.rag-draft { position: absolute; z-index: 4; border: 2px dashed var(--rag-tint); padding: 0 4px; color: #fff; white-space: nowrap;
	background: color-mix(in srgb, var(--rag-tint) 30%, transparent); text-shadow: 0 0 3px #000; font-size: calc(11px * var(--rag-up)); }
.rag-empty { display: grid; place-items: center; text-align: center; padding: 8px; color: #fff; text-shadow: 0 0 4px #000;
	font-size: calc(13px * var(--rag-up)); }
.rag-canvas :is(.rag-prompt, .rag-name) { position: absolute; z-index: 5; min-width: min(100%, 140px); min-height: 44px; }
.rag-canvas .rag-name { height: 26px !important; min-height: 0; }
.rag-splitter { flex: none; height: 8px; margin: -2px 0; display: grid; place-items: center; cursor: ns-resize; touch-action: none;
	border-radius: 4px;
	&::before { content: ""; width: 36px; height: 3px; border-radius: 2px; background: var(--border-color); }
	&:hover::before { background: var(--input-text); }
}
.rag-strip { position: relative; flex: 0 1 var(--rag-strip); min-height: 28px; overflow-y: auto; scrollbar-width: thin; }
.rag-head { position: sticky; z-index: 3; top: 0; display: flex; flex-direction: column; gap: 3px; margin-bottom: 3px; padding: 3px;
	background: var(--comfy-input-bg); border-radius: 4px; }
.rag-group { display: flex; flex-wrap: wrap; align-items: center; gap: 3px;
	strong { flex: 1 1 auto; font-weight: 600; }
}
.rag-list { display: flex; flex-direction: column; gap: 2px; }
.rag-row { position: relative; display: grid; grid-template-columns: auto minmax(0, 1fr) fit-content(40%) auto auto; gap: 3px;
	align-items: start; flex: none; border-radius: 4px;
	&.rag-before::before, &.rag-after::before { content: ""; position: absolute; z-index: 1; left: 0; right: 0; top: -2px; height: 2px;
		background: var(--p-primary-color); }
	&.rag-after::before { top: auto; bottom: -1px; }
	&.rag-chosen { outline: 1px solid var(--p-primary-color); outline-offset: -1px; }
	&.rag-off :is(.rag-text, .rag-chip) { opacity: .55; }
	> .rag-icon { border-color: transparent; background: none; opacity: .55; }
	> .rag-icon:is(:hover, :focus-visible, .rag-set) { opacity: 1; }
	.rag-chip { min-width: 26px; font-weight: bold; cursor: grab; touch-action: none; }
	.rag-text { height: 24px; overflow: hidden; }
	.rag-text:focus { position: relative; z-index: 2; height: 44px; margin-bottom: -20px; overflow: auto; }
}
.rag-more { display: flex; flex-wrap: wrap; gap: 3px; }
.rag-buttons input { width: 26px; height: 24px; padding: 1px; }
.rag-numbers { flex: 1 1 190px; min-width: 0;
	label { display: flex; flex: 1 1 0; min-width: 0; align-items: center; gap: 3px; }
	input { appearance: textfield; }
	input::-webkit-inner-spin-button { display: none; }
}
.rag-own { display: flex; align-items: center; gap: 4px; min-width: 0;
	[type="range"] { flex: 0 1 90px; }
	[type="number"] { flex: 0 0 48px; }
	.rag-lora { flex: 1 1 0; min-width: 0; text-align: left; }
}
.rag-share { flex: none; min-width: 38px; white-space: nowrap; }
.rag-lora, .rag-extras, .rag-menu span { overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
.rag-extras, .rag-status { color: var(--descrip-text); font-size: 11px; }
.rag-extras { padding-top: 3px; }
.rag-layout > :first-child { flex: 1; text-align: left; }
.rag-status { flex: none; height: 30px; overflow-y: auto; scrollbar-width: thin; }
.rag-full { position: fixed; inset: 0; z-index: 1000; padding: 16px; background: var(--bg-color, var(--comfy-menu-bg));
	.rag-canvas { display: grid; grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr) clamp(240px, 28vw, 400px); gap: 8px 16px; }
	.rag-tools, .rag-status, .rag-broken { grid-column: 1 / -1; }
	.rag-panel { right: auto; width: min(420px, 100%); }
	.rag-strip, .rag-stage { grid-row: 2; }
	.rag-stage { grid-column: 1; }
	.rag-broken { grid-row: 1 / -1; }
	.rag-splitter { display: none; }
	.rag-row .rag-text { height: 46px; margin: 0; overflow: auto; }
}
body:has(> .rag-full) {
	.graph-canvas-container > :has([data-testid="error-overlay"]) { z-index: 1001; visibility: hidden; }
	[data-testid="error-overlay"] { visibility: visible; }
}
.rag-menu { position: fixed; z-index: 3000; min-width: 190px; max-width: min(420px, 96vw); max-height: 96vh; padding: 4px;
	font: 13px/1.4 system-ui, sans-serif; color: var(--input-text); user-select: none;
	button, input { width: 100%; padding: 4px 8px; font: inherit; color: inherit; background: none; border: 0; border-radius: 4px; }
	button { display: flex; justify-content: space-between; gap: 20px; text-align: left; cursor: pointer; }
	button:is(:hover, :focus-visible) { outline: 0; background: color-mix(in srgb, var(--input-text) 14%, transparent); }
	button:disabled { opacity: .4; cursor: default; }
	[hidden] { display: none; }
	input { position: sticky; top: 0; background: var(--comfy-input-bg); outline: 1px solid var(--border-color); }
	kbd { font: inherit; color: var(--descrip-text); }
	hr { height: 1px; margin: 4px 0; border: 0; background: var(--border-color); }
}
.rag-speaker { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.rag-still { min-height: 96px; height: 100%;
	.rag-stage { min-height: 72px; }
	.rag-paper { overflow: hidden; cursor: default; }
	.rag-paper::after { display: none; }
	.rag-region { border-width: 1px; cursor: default; }
	.rag-words, .rag-label { font-size: 10px; }
	.rag-label { top: 0; left: 0; }
	.rag-inside { padding-top: 15px; }
}
.rag-ratio { font-family: monospace; overflow-wrap: anywhere; white-space: pre-wrap;
	mark { color: inherit; background: none; text-decoration: underline wavy var(--error-text); }
}
`;

export function addStyle() {
	if (document.getElementById("rag-style")) return;
	const style = document.createElement("style");
	style.id = "rag-style";
	style.textContent = CSS;
	document.head.append(style);
}
