/** The look of the editor and the previews, in the colours of ComfyUI's theme. */

const CSS = `
.rag-canvas, .rag-still { --rag-up: 1; box-sizing: border-box; display: flex; flex-direction: column; gap: 4px;
  width: 100%; color: var(--input-text, #ddd); font: 12px/1.35 system-ui, sans-serif; user-select: none; }
.rag-canvas { --rag-strip: 126px; --rag-opacity: 1; position: relative; height: 100%; min-height: 420px; }
.rag-canvas *, .rag-still * { box-sizing: border-box; }
.rag-canvas [hidden], .rag-still [hidden] { display: none !important; }
.rag-canvas button, .rag-canvas input, .rag-canvas textarea { font: inherit; color: inherit; margin: 0;
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e); border-radius: 4px; }
.rag-canvas button { cursor: pointer; padding: 2px 7px; min-height: 24px; }
.rag-canvas button:hover, .rag-canvas button[aria-expanded="true"], .rag-icon[aria-pressed="true"] { border-color: var(--input-text, #ddd); }
.rag-canvas :focus-visible, .rag-region:focus-visible { outline: 2px solid var(--p-primary-color, #4a9eff); outline-offset: 1px; }
.rag-canvas input, .rag-canvas textarea { padding: 2px 4px; min-width: 0; width: 100%; user-select: text; }
.rag-canvas textarea { resize: none; display: block; }
.rag-icon { padding: 2px 4px !important; line-height: 0; }
.rag-icon svg { width: 16px; height: 16px; fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linecap: round;
  stroke-linejoin: round; }
.rag-tools { position: relative; flex: none; }
.rag-bar { display: flex; flex-wrap: wrap; gap: 3px; }
.rag-panel { position: absolute; z-index: 10; top: calc(100% + 4px); left: 0; right: 0; max-height: 320px; overflow-y: auto;
  display: flex; flex-direction: column; gap: 6px; padding: 8px; background: var(--comfy-menu-bg, #353535);
  border: 1px solid var(--border-color, #4e4e4e); border-radius: 6px; box-shadow: 0 6px 18px rgb(0 0 0 / .45); }
.rag-panel a { color: inherit; }
.rag-column { display: flex; flex-direction: column; gap: 6px; }
.rag-line { display: flex; align-items: center; gap: 8px; }
.rag-line input { flex: 1; padding: 0 !important; accent-color: var(--p-primary-color, #4a9eff); }
.rag-line input[type="checkbox"] { flex: none; width: auto; }
.rag-panel p { margin: 0; user-select: text; }
.rag-help button { align-self: start; }
.rag-presets { display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 3px; }
.rag-ratio-row { display: flex; gap: 3px; }
.rag-reason { color: var(--error-text, #ff6b6b); }
.rag-reason:empty { display: none; }
.rag-broken { display: flex; flex: 1; flex-direction: column; gap: 6px; min-height: 0; overflow-wrap: anywhere; }
.rag-raw { flex: 1; min-height: 80px; font-family: monospace !important; }
.rag-stage { flex: 1 1 0; min-height: 190px; container-type: size; display: grid; place-items: start center; touch-action: none; }
.rag-paper { --rag-aspect: 1; position: relative; width: min(100cqw, 100cqh * var(--rag-aspect));
  height: min(100cqh, 100cqw / var(--rag-aspect));
  background-color: color-mix(in srgb, var(--comfy-input-bg, #222) 70%, var(--input-text, #ddd));
  outline: 1px solid var(--border-color, #4e4e4e); cursor: crosshair; touch-action: none; }
.rag-paper::after { content: ""; position: absolute; inset: 0; pointer-events: none; opacity: .25;
  background-image: linear-gradient(to right, var(--descrip-text, #999) 1px, transparent 1px),
    linear-gradient(to bottom, var(--descrip-text, #999) 1px, transparent 1px);
  background-size: var(--rag-grid-x, 100%) var(--rag-grid-y, 100%); }
.rag-image, .rag-shade, .rag-regions, .rag-patches { position: absolute; inset: 0; width: 100%; height: 100%; }
.rag-image { object-fit: contain; pointer-events: none; }
.rag-shade, .rag-regions, .rag-patches { opacity: var(--rag-opacity, 1); }
.rag-peek .rag-shade, .rag-peek .rag-regions, .rag-peek .rag-patches, .rag-peek .rag-handles { visibility: hidden; }
.rag-guides { display: none; position: absolute; inset: 0; pointer-events: none;
  --rag-line: rgb(255 255 255 / .8); }
.rag-thirds .rag-guides { display: block; background:
  linear-gradient(var(--rag-line) 0 0) 33.333% 0 / 1px 100% no-repeat, linear-gradient(var(--rag-line) 0 0) 66.667% 0 / 1px 100% no-repeat,
  linear-gradient(var(--rag-line) 0 0) 0 33.333% / 100% 1px no-repeat, linear-gradient(var(--rag-line) 0 0) 0 66.667% / 100% 1px no-repeat;
  filter: drop-shadow(0 0 1px #000); }
.rag-shade { pointer-events: none; }
.rag-shade > rect { fill: #000; fill-opacity: .45; }
.rag-region { container-type: size; position: absolute; border: 2px solid var(--rag-tint);
  background: color-mix(in srgb, var(--rag-tint) 22%, transparent); cursor: move; }
.rag-region[aria-selected="true"] { border-width: 3px; box-shadow: 0 0 0 1px #fff, 0 0 0 2px #000; }
.rag-shape { display: none; position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.rag-region.rag-shaped { border: 0; background: none; box-shadow: none; pointer-events: none; }
.rag-shaped .rag-shape { display: block; }
.rag-shape polygon, .rag-trace polyline { fill: color-mix(in srgb, var(--rag-tint) 22%, transparent); fill-rule: evenodd;
  stroke: var(--rag-tint); stroke-width: 2px; vector-effect: non-scaling-stroke; pointer-events: auto; }
.rag-region[aria-selected="true"] polygon { stroke-width: 3px; filter: drop-shadow(0 0 1px #fff) drop-shadow(0 0 1px #000); }
.rag-off polygon { fill: none !important; stroke-dasharray: 5 4; }
.rag-trace { position: absolute; inset: 0; width: 100%; height: 100%; z-index: 4; pointer-events: none; }
.rag-trace polyline { pointer-events: none; }
.rag-tracing .rag-regions *, .rag-tracing .rag-handles * { cursor: crosshair !important; }
.rag-region.rag-raised { z-index: 2; }
.rag-region.rag-locked { cursor: default; }
.rag-region.rag-off { border-style: dashed; background: none; opacity: .7; }
.rag-inside { position: absolute; inset: 0; padding: calc(min(12px * var(--rag-up), 30cqmin) * 1.55) 3px 2px; overflow: hidden; pointer-events: none; }
.rag-words { padding: 0 3px; color: #fff; background: rgb(0 0 0 / .6); font-size: min(11px * var(--rag-up), 24cqmin);
  line-height: 1.4; white-space: pre-wrap; overflow-wrap: anywhere; box-decoration-break: clone;
  -webkit-box-decoration-break: clone; }
.rag-words:empty { display: none; }
.rag-label { position: absolute; top: -2px; left: -2px; display: flex; white-space: nowrap; pointer-events: none;
  transform: translateX(calc(100% * var(--rag-step, 0))); font-size: min(12px * var(--rag-up), 30cqmin); line-height: 1.4; }
.rag-label b { min-width: 1.5em; padding: 0 .3em; text-align: center; color: var(--rag-ink); background: var(--rag-tint); }
.rag-label span { padding: 0 .4em; max-width: calc(100cqw - 2em); overflow: hidden; text-overflow: ellipsis; color: #fff;
  background: rgb(0 0 0 / .65); }
.rag-label span:empty { display: none; }
.rag-size { position: absolute; right: 2cqw; bottom: 2px; padding: 0 .3em; color: #fff; background: rgb(0 0 0 / .65);
  font-size: min(11px * var(--rag-up), 12cqw, 25cqh); line-height: 1.4; white-space: nowrap; pointer-events: none; }
.rag-size:empty { display: none; }
.rag-patches, .rag-handles { pointer-events: none; }
.rag-patch { position: absolute; }
.rag-patch div { height: 100%; background: repeating-linear-gradient(135deg, rgb(255 255 255 / .55) 0 2px, transparent 2px 8px); }
.rag-handles { container-type: size; position: absolute; z-index: 3; outline: 1px solid #fff; }
.rag-handles i { --rag-grip: min(10px * var(--rag-up), max(5px, 16cqmin)); position: absolute; width: var(--rag-grip); height: var(--rag-grip);
  margin: calc(var(--rag-grip) / -2); background: #fff; border: 1px solid #000; border-radius: 2px; pointer-events: auto; }
.rag-handles i::after { content: ""; position: absolute; inset: max(-4px * var(--rag-up), -8cqmin); }
.rag-handles [data-handle*="n"] { top: 0; } .rag-handles [data-handle*="s"] { top: 100%; }
.rag-handles [data-handle*="w"] { left: 0; } .rag-handles [data-handle*="e"] { left: 100%; }
.rag-handles [data-handle="n"], .rag-handles [data-handle="s"] { left: 50%; cursor: ns-resize; }
.rag-handles [data-handle="e"], .rag-handles [data-handle="w"] { top: 50%; cursor: ew-resize; }
.rag-handles [data-handle="nw"], .rag-handles [data-handle="se"] { cursor: nwse-resize; }
.rag-handles [data-handle="ne"], .rag-handles [data-handle="sw"] { cursor: nesw-resize; }
.rag-draft { position: absolute; z-index: 4; border: 2px dashed var(--rag-tint); padding: 0 4px; color: #fff;
  background: color-mix(in srgb, var(--rag-tint) 30%, transparent); text-shadow: 0 0 3px #000; pointer-events: none;
  font-size: calc(11px * var(--rag-up)); white-space: nowrap; }
.rag-empty { position: absolute; inset: 0; display: grid; place-items: center; text-align: center; padding: 8px;
  color: #fff; text-shadow: 0 0 4px #000; pointer-events: none; font-size: calc(13px * var(--rag-up)); }
.rag-prompt, .rag-name { position: absolute; z-index: 5; min-width: min(100%, 140px) !important; user-select: text;
  background: var(--comfy-input-bg, #222) !important; }
.rag-prompt { min-height: 44px; }
.rag-name { height: 26px !important; }
.rag-splitter { flex: none; height: 8px; margin: -2px 0; display: grid; place-items: center; cursor: ns-resize; touch-action: none;
  border-radius: 4px; }
.rag-splitter::before { content: ""; width: 36px; height: 3px; border-radius: 2px; background: var(--border-color, #4e4e4e); }
.rag-splitter:hover::before { background: var(--input-text, #ddd); }
.rag-strip { position: relative; flex: 0 1 var(--rag-strip); min-height: 28px; overflow-y: auto; scrollbar-width: thin; }
.rag-head { position: sticky; z-index: 3; top: 0; margin-bottom: 3px; padding: 3px; background: var(--comfy-input-bg, #222);
  border-radius: 4px; }
.rag-group { display: flex; flex-wrap: wrap; align-items: center; gap: 3px; }
.rag-group strong { flex: 1 1 auto; font-weight: 600; }
.rag-list { display: flex; flex-direction: column; gap: 2px; }
.rag-row { position: relative; display: grid; grid-template-columns: auto minmax(0, 1fr) fit-content(40%) auto auto; gap: 3px; align-items: start; flex: none;
  border-radius: 4px; }
.rag-before::before, .rag-after::before { content: ""; position: absolute; z-index: 1; left: 0; right: 0; top: -2px; height: 2px;
  background: var(--p-primary-color, #4a9eff); }
.rag-after::before { top: auto; bottom: -1px; }
.rag-chosen { outline: 1px solid var(--p-primary-color, #4a9eff); outline-offset: -1px; }
.rag-row.rag-off .rag-text, .rag-row.rag-off .rag-chip { opacity: .55; }
.rag-row > .rag-icon { border-color: transparent; background: none; opacity: .55; }
.rag-row > .rag-icon:hover, .rag-row > .rag-icon:focus-visible, .rag-row > .rag-set { opacity: 1; }
.rag-chip { min-width: 26px; font-weight: bold !important; cursor: grab !important; touch-action: none; }
.rag-text { height: 24px; overflow: hidden; }
.rag-text:focus { position: relative; z-index: 2; height: 44px; margin-bottom: -20px; overflow: auto; }
.rag-more { display: flex; flex-wrap: wrap; gap: 3px; }
.rag-buttons, .rag-numbers { display: flex; gap: 3px; }
.rag-buttons input { width: 26px; height: 24px; padding: 1px; }
.rag-numbers { flex: 1 1 190px; min-width: 0; }
.rag-own { flex: 1 1 100%; display: flex; align-items: center; gap: 4px; min-width: 0; }
.rag-own input[type="range"] { flex: 0 1 90px; padding: 0; accent-color: var(--p-primary-color, #4a9eff); }
.rag-own input[type="number"] { flex: 0 0 48px; }
.rag-share { flex: none; width: 38px; white-space: nowrap; }
.rag-canvas .rag-lora { flex: 1 1 0; min-width: 0; text-align: left; }
.rag-lora, .rag-extras, .rag-menu span { overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
.rag-extras { padding-top: 3px; color: var(--descrip-text, #999); font-size: 11px; }
.rag-layout { display: flex; gap: 3px; }
.rag-layout > :first-child { flex: 1; text-align: left; }
.rag-numbers label { display: flex; flex: 1 1 0; min-width: 0; align-items: center; gap: 3px; }
.rag-numbers input { appearance: textfield; }
.rag-numbers input::-webkit-inner-spin-button { display: none; }
.rag-status { flex: none; height: 30px; overflow-y: auto; color: var(--descrip-text, #999); font-size: 11px; scrollbar-width: thin; }
.rag-full { position: fixed; inset: 0; z-index: 1000; padding: 16px; background: var(--bg-color, var(--comfy-menu-bg, #202020)); }
body:has(> .rag-full) .graph-canvas-container > :has([data-testid="error-overlay"]) { z-index: 1001; visibility: hidden; }
body:has(> .rag-full) [data-testid="error-overlay"] { visibility: visible; }
.rag-full .rag-canvas { display: grid; grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr) clamp(240px, 28vw, 400px); gap: 8px 16px; }
.rag-full .rag-tools { grid-column: 1 / -1; }
.rag-full .rag-panel { right: auto; width: min(420px, 100%); }
.rag-full .rag-strip { grid-row: 2; grid-column: 2; }
.rag-full .rag-stage { grid-row: 2; grid-column: 1; }
.rag-full .rag-status { grid-column: 1 / -1; }
.rag-full .rag-broken { grid-row: 1 / -1; grid-column: 1 / -1; }
.rag-full .rag-splitter { display: none; }
.rag-full .rag-text, .rag-full .rag-text:focus { height: 46px; margin: 0; overflow: auto; }
.rag-menu { position: fixed; z-index: 3000; min-width: 190px; max-width: min(420px, 96vw); max-height: 96vh; overflow-y: auto; padding: 4px;
  font: 13px/1.4 system-ui, sans-serif; color: var(--input-text, #ddd); background: var(--comfy-menu-bg, #353535);
  border: 1px solid var(--border-color, #4e4e4e); border-radius: 6px; box-shadow: 0 6px 18px rgb(0 0 0 / .5); user-select: none; }
.rag-menu button { display: flex; justify-content: space-between; gap: 20px; width: 100%; padding: 4px 8px; font: inherit; color: inherit;
  text-align: left; background: none; border: 0; border-radius: 4px; cursor: pointer; }
.rag-menu button:hover, .rag-menu button:focus-visible { outline: 0;
  background: color-mix(in srgb, var(--input-text, #ddd) 14%, transparent); }
.rag-menu [hidden] { display: none; }
.rag-menu input { position: sticky; top: 0; width: 100%; padding: 4px 8px; font: inherit; color: inherit;
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e); border-radius: 4px; }
.rag-menu button:disabled { opacity: .4; cursor: default; }
.rag-menu kbd { font: inherit; color: var(--descrip-text, #999); }
.rag-menu hr { height: 1px; margin: 4px 0; border: 0; background: var(--border-color, #4e4e4e); }
.rag-speaker { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.rag-still { min-height: 96px; height: 100%; }
.rag-still .rag-stage { min-height: 72px; }
.rag-still .rag-paper, .rag-still .rag-region { cursor: default; }
.rag-still .rag-paper { overflow: hidden; }
.rag-canvas button:disabled { opacity: .5; cursor: default; }
.rag-still .rag-paper::after { display: none; }
.rag-still .rag-words { font-size: 10px; }
.rag-still .rag-label { font-size: 10px; top: 0; left: 0; }
.rag-still .rag-inside { padding-top: 15px; }
.rag-still .rag-region { border-width: 1px; }
.rag-ratio { font-family: monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
.rag-ratio mark { color: inherit; background: none; text-decoration: underline wavy var(--error-text, #ff6b6b); }
`;

export function addStyle() {
  if (document.getElementById("rag-style")) return;
  const style = document.createElement("style");
  style.id = "rag-style";
  style.textContent = CSS;
  document.head.append(style);
}
